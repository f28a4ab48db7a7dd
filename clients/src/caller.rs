//! Who calls: a way to the marketplace, a session token, and what is said about the next call. Both clients are made of it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::Method;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::model::{AccountCreated, Credentials, NewAccount, OpenedSession, Problem, Rating, Session};
use crate::options::ClientOptions;
use crate::transport::{Answer, Request, Transport};

/// What a caller is at the marketplace. Each role has frontends of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Buyer,
    Seller,
}

/// Clones share the session.
#[derive(Clone)]
pub(crate) struct Caller {
    role: Role,
    transport: Transport,
    token: Arc<Mutex<Option<Arc<str>>>>,
    key: Option<String>,
    deadline: Option<Duration>,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let logged_in = self.token.lock().is_some();
        f.debug_struct("Caller").field("transport", &self.transport).field("logged_in", &logged_in).finish()
    }
}

impl Caller {
    pub fn new(role: Role, servers: &[String], options: ClientOptions) -> Result<Self, Error> {
        let transport = Transport::new(servers, options)?;
        Ok(Caller { role, transport, token: Arc::default(), key: None, deadline: None })
    }

    pub fn sibling(&self) -> Self {
        Caller {
            role: self.role,
            transport: self.transport.sibling(),
            token: Arc::default(),
            key: None,
            deadline: self.deadline,
        }
    }

    pub fn with_key(&self, key: impl Into<String>) -> Self {
        Caller { key: Some(key.into()), ..self.clone() }
    }

    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Caller { deadline: Some(deadline), ..self.clone() }
    }

    pub fn token(&self) -> Option<String> {
        self.token.lock().as_deref().map(str::to_owned)
    }

    pub fn set_token(&self, token: Option<String>) {
        *self.token.lock() = token.map(Arc::from);
    }

    pub fn server(&self) -> &str {
        self.transport.preferred_url()
    }

    pub async fn create_account(&self, resource: &str, account: &NewAccount) -> Result<u64, Error> {
        let request = Request::change(Method::POST, resource).json(account)?;
        let created: AccountCreated = self.change(request).await?;
        Ok(created.user_id)
    }

    pub async fn login(&self, username: &str, password: &str) -> Result<Session, Error> {
        let request = Request::change(Method::POST, "/sessions").json(&Credentials { username, password })?;
        let OpenedSession { token, buyer_id, seller_id, idle_timeout_s } = self.change(request).await?;
        // Frontends of both kinds open sessions; one of the other kind would be of no use here.
        let (user_id, whose) = match self.role {
            Role::Buyer => (buyer_id, "a frontend for sellers, not for buyers"),
            Role::Seller => (seller_id, "a frontend for buyers, not for sellers"),
        };
        let user_id = user_id.ok_or_else(|| Error::BadAnswer(format!("{} is {whose}", self.server())))?;
        self.set_token(Some(token.clone()));
        Ok(Session { token, user_id, idle_timeout_s })
    }

    pub async fn logout(&self) -> Result<(), Error> {
        let answer = self.send(self.keyed(Request::change(Method::DELETE, "/session"))).await?;
        // A repeat finds the session ended by the attempt whose answer was lost.
        let ended_before = answer.repeated && answer.status == 401;
        if !ended_before {
            accept(answer)?;
        }
        self.set_token(None);
        Ok(())
    }

    pub async fn seller_rating(&self, seller_id: u64) -> Result<Rating, Error> {
        self.read(Request::get(format!("/sellers/{seller_id}/rating"), Vec::new())).await
    }

    /// A call that changes nothing.
    pub async fn read<T: DeserializeOwned>(&self, request: Request) -> Result<T, Error> {
        parse(accept(self.send(request).await?)?)
    }

    /// A call that changes something and answers with a body.
    pub async fn change<T: DeserializeOwned>(&self, request: Request) -> Result<T, Error> {
        parse(self.change_answer(request).await?)
    }

    /// The same, for those who look at the status too.
    pub async fn change_answer(&self, request: Request) -> Result<Answer, Error> {
        accept(self.send(self.keyed(request)).await?)
    }

    fn keyed(&self, mut request: Request) -> Request {
        request.key = Some(self.key.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string()));
        request
    }

    async fn send(&self, request: Request) -> Result<Answer, Error> {
        let token = self.token.lock().clone();
        let deadline = self.deadline.unwrap_or(self.transport.deadline());
        self.transport.call(&request, token.as_deref(), deadline).await
    }
}

fn accept(answer: Answer) -> Result<Answer, Error> {
    if (200..300).contains(&answer.status) {
        return Ok(answer);
    }
    let problem = Problem::read(&answer.body);
    if problem.code.is_empty() {
        return Err(Error::BadAnswer(format!("status {} without a problem document", answer.status)));
    }
    Err(Error::Refused {
        status: answer.status,
        detail: problem.text().to_owned(),
        code: problem.code,
        field: problem.field.filter(|field| !field.is_empty()),
        repeated: answer.repeated,
    })
}

pub(crate) fn parse<T: DeserializeOwned>(answer: Answer) -> Result<T, Error> {
    serde_json::from_slice(&answer.body).map_err(|error| Error::BadAnswer(error.to_string()))
}
