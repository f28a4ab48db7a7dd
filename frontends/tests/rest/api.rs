//! A REST client that hides nothing: any method, path, header and body, and the answer as it came.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::cluster::Cluster;

/// One frontend, as one user sees it.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

/// Something to send.
pub struct Call {
    request: reqwest::RequestBuilder,
    what: String,
}

impl Api {
    pub fn new(base: &str) -> Self {
        Api {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            base: base.to_owned(),
            token: None,
        }
    }

    /// The same user at another frontend.
    pub fn at(&self, base: &str) -> Self {
        Api { base: base.to_owned(), ..self.clone() }
    }

    pub fn with_token(&self, token: &str) -> Self {
        Api { token: Some(token.to_owned()), ..self.clone() }
    }

    pub fn without_token(&self) -> Self {
        Api { token: None, ..self.clone() }
    }

    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    pub fn call(&self, method: &str, path: &str) -> Call {
        let url = if path.starts_with("/v1") || path.is_empty() {
            format!("{}{path}", self.base)
        } else {
            format!("{}/v1{path}", self.base)
        };
        let mut request = self.http.request(Method::from_bytes(method.as_bytes()).unwrap(), url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        Call { request, what: format!("{method} {path}") }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send().await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path).json(body).send().await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.call("PUT", path).json(body).send().await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path).send().await
    }
}

impl Call {
    pub fn key(mut self, key: &str) -> Self {
        self.request = self.request.header("Idempotency-Key", key);
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub fn json(mut self, body: Value) -> Self {
        self.request = self.request.header("Content-Type", "application/json").body(body.to_string());
        self
    }

    pub fn body(mut self, body: impl Into<reqwest::Body>) -> Self {
        self.request = self.request.body(body);
        self
    }

    pub async fn send(self) -> Answer {
        let what = self.what.clone();
        self.try_send().await.unwrap_or_else(|error| panic!("{what}: {error:?}"))
    }

    /// None if there was no answer: the frontend died.
    pub async fn attempt(self) -> Option<Answer> {
        self.try_send().await.ok()
    }

    async fn try_send(self) -> reqwest::Result<Answer> {
        let response = self.request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, headers, body })
    }
}

impl Answer {
    /// Checks the status, and gives the body.
    #[track_caller]
    pub fn ok(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.body
    }

    /// Checks that it is a problem of this kind, in every detail that the contract has.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        assert_eq!(self.body["status"], status, "{self:?}");
        for text in ["type", "title", "detail"] {
            assert!(self.body[text].as_str().is_some_and(|text| !text.is_empty()), "{self:?}");
        }
        assert_eq!(self.headers.contains_key("retry-after"), status == 429 || status == 503, "{self:?}");
        assert!(self.headers.contains_key("x-request-id"), "{self:?}");
    }

    /// Checks that it is about this field.
    #[track_caller]
    pub fn at_fault(&self, field: &str) {
        self.problem(422, "invalid_field");
        assert_eq!(self.body["field"], field, "{self:?}");
    }
}

/// A text that nobody else uses.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A category that no other test uses.
pub fn category() -> u32 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    u32::try_from(NEXT.fetch_add(1, Ordering::Relaxed)).unwrap()
}

/// A user who is logged in.
pub struct User {
    pub api: Api,
    pub id: u64,
    pub username: String,
    pub cluster: Arc<Cluster>,
}

impl User {
    pub async fn buyer(cluster: &Arc<Cluster>) -> Self {
        User::new(cluster, &cluster.buyers[0], "buyer").await
    }

    pub async fn seller(cluster: &Arc<Cluster>) -> Self {
        User::new(cluster, &cluster.sellers[0], "seller").await
    }

    async fn new(cluster: &Arc<Cluster>, base: &str, role: &str) -> Self {
        let (api, username) = (Api::new(base), unique(role));
        let account = json!({"username": username, "password": "secret", "display_name": "Somebody"});
        let created = api.post(&format!("/{role}s"), account).await.ok(201);
        let id = created[format!("{role}_id")].as_u64().unwrap();
        let user = User { api, id, username, cluster: Arc::clone(cluster) };
        user.log_in().await
    }

    /// The same user in a session of its own.
    pub async fn log_in(&self) -> Self {
        let login = json!({"username": self.username, "password": "secret"});
        let session = self.api.without_token().post("/sessions", login).await.ok(201);
        let api = self.api.with_token(session["token"].as_str().unwrap());
        User { api, id: self.id, username: self.username.clone(), cluster: Arc::clone(&self.cluster) }
    }

    /// Puts an item on sale, and gives its id.
    pub async fn offers(&self, item: Value) -> String {
        self.api.post("/items", item).await.ok(201)["item_id"].as_str().unwrap().to_owned()
    }

    /// Puts units of an item into the cart.
    pub async fn wants(&self, item_id: &str, quantity: u32) -> Value {
        self.api.post("/cart/items", json!({"item_id": item_id, "quantity": quantity})).await.ok(200)
    }
}

/// An item to be put on sale.
pub fn lamp(category: u32) -> Value {
    json!({"name": "Lamp", "category": category, "keywords": ["desk", "light"], "condition": "new", "price": "12.50",
           "quantity": 10})
}

/// How to pay.
pub fn card() -> Value {
    json!({"card": {"name": "Ada Example", "number": "4111111111111111", "expiry": "12/2099", "security_code": "737"}})
}
