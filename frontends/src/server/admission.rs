//! Who is let in, and how long that may take.
//!
//! The door stands before everything else that is done for a request: its route is not looked up, its body is not read, nothing
//! is asked of a database. Who is sent away there costs little more than to read the head of a request and to write a few
//! prepared bytes. So a frontend that is asked for several times of what can be done still has its time for those it let in.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Either, Ready, ready};
use tower::Service;

use crate::app::{App, Arrival, REQUEST_TIME};
use crate::problem::{PROBLEM_JSON, Problem};
use crate::rest::token::bearer;
use crate::server::connections::Peer;
use crate::server::observe;
use crate::server::rates::Client;

/// Where accounts and sessions are made: whoever guesses passwords shows a session that fits each guess.
const NEED_NO_SESSION: [&str; 3] = ["/v1/sessions", "/v1/buyers", "/v1/sellers"];
/// What those ask for who look after the frontend. They are always let in.
const OWN: [&str; 4] = ["/openapi.json", "/healthz", "/readyz", "/metrics"];
/// What an operation that ends at its deadline may take beyond it to say so.
const GRACE: Duration = Duration::from_millis(500);

/// Sends away at once who asks too often or finds the frontend full.
#[derive(Clone)]
pub struct Door<S> {
    app: Arc<App>,
    /// The answer of a full frontend: the document is the same for all.
    full: Bytes,
    inside: S,
}

impl<S> Door<S> {
    /// A door of this frontend.
    pub fn new(app: Arc<App>, inside: S) -> Self {
        let full = Problem::unavailable("this frontend has too much under way; nothing happened");
        Door { app, full: full.document(), inside }
    }

    fn full(&self) -> Response {
        let mut response = Response::new(Body::from(self.full.clone()));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        response
    }
}

impl<S> Service<Request> for Door<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future =
        Either<Ready<Result<Response, Infallible>>, BoxFuture<'static, Result<Response, Infallible>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inside.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if OWN.contains(&request.uri().path()) {
            return Either::Right(self.inside.call(request).boxed());
        }
        let away = |response| Either::Left(ready(Ok(observe::sent_away(&request, response))));
        if let Err(wait) = self.app.rates.pass(client(&request), Instant::now()) {
            return away(Problem::rate_limited(wait).into_response());
        }
        let Ok(place) = Arc::clone(&self.app.admission).try_acquire_owned() else {
            return away(self.full());
        };
        let answer = self.inside.call(request);
        let keeps_its_place = async move {
            let answer = answer.await;
            drop(place);
            answer
        };
        Either::Right(keeps_its_place.boxed())
    }
}

/// Gives requests their time of arrival, and answers for those that miss the last deadline.
pub async fn in_time(mut request: Request, next: Next) -> Response {
    let now = Instant::now();
    request.extensions_mut().insert(Arrival(now));
    let changes_nothing = matches!(*request.method(), Method::GET | Method::HEAD);
    match tokio::time::timeout_at((now + REQUEST_TIME + GRACE).into(), next.run(request)).await {
        Ok(response) => response,
        Err(_) if changes_nothing => Problem::unavailable("this took too long").into_response(),
        Err(_) => Problem::outcome_unknown().into_response(),
    }
}

/// A session, or an address for those who show none, show what can't be one, or want one.
fn client(request: &Request) -> Client {
    let needs_none = request.method() == Method::POST && NEED_NO_SESSION.contains(&request.uri().path());
    match bearer(request.headers()).ok().filter(|_| !needs_none) {
        Some(token) => Client::of(token),
        None => {
            let peer = request.extensions().get::<ConnectInfo<Peer>>();
            Client::of(peer.map(|ConnectInfo(Peer(address))| IpAddr::to_canonical(&address.ip())))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use agora_process::{Admission, standard_cluster};
    use agora_proto::common::Role;
    use axum::Router;
    use axum::routing::get;
    use tokio::sync::Notify;
    use tower::ServiceExt;

    use super::*;

    /// A frontend that never asks its databases.
    fn app(admission: Admission) -> Arc<App> {
        let mut cluster = standard_cluster("nowhere".into(), || ([127, 0, 0, 1], 1).into());
        cluster.admission = admission;
        App::new(Role::Buyer, &cluster).unwrap()
    }

    /// What is behind the door of a test: it answers when it may, and counts who came in.
    #[derive(Clone, Default)]
    struct Inside {
        came: Arc<AtomicUsize>,
        may_answer: Arc<Notify>,
    }

    impl Inside {
        fn door(&self, admission: Admission) -> Door<Router> {
            let this = self.clone();
            let slow = async move || {
                this.came.fetch_add(1, Ordering::Relaxed);
                this.may_answer.notified().await;
            };
            let own = OWN.iter().fold(Router::new(), |router, path| router.route(path, get(async || ())));
            Door::new(app(admission), own.fallback(slow))
        }

        fn came(&self) -> usize {
            self.came.load(Ordering::Relaxed)
        }
    }

    fn request(path: &str) -> Request {
        Request::get(path).header("x-request-id", "this-one").body(Body::empty()).unwrap()
    }

    async fn json(response: Response) -> serde_json::Value {
        let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn a_full_frontend_says_so_without_looking_at_the_request_and_has_room_again_after_an_answer() {
        let inside = Inside::default();
        let door = inside.door(Admission { frontend_requests: 1, ..Admission::default() });
        let mut first = tokio::spawn(door.clone().oneshot(request("/v1/items")));
        while inside.came() < 1 {
            tokio::task::yield_now().await;
        }
        let refused = door.clone().oneshot(request("/v1/no-such-thing")).await.unwrap();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[header::RETRY_AFTER], "1");
        assert_eq!(refused.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(refused.headers()["x-request-id"], "this-one");
        let body = json(refused).await;
        assert_eq!((&body["code"], &body["status"]), (&"unavailable".into(), &503.into()));
        assert!(body["detail"].as_str().unwrap().contains("nothing happened"), "{body}");
        assert_eq!(inside.came(), 1, "nobody inside has heard of it");
        for path in OWN {
            let own = door.clone().oneshot(request(path)).await.unwrap();
            assert_eq!(own.status(), StatusCode::OK, "{path} can be asked all the same");
        }

        inside.may_answer.notify_one();
        assert_eq!((&mut first).await.unwrap().unwrap().status(), StatusCode::OK);
        let second = tokio::spawn(door.clone().oneshot(request("/v1/items")));
        while inside.came() < 2 {
            assert!(!second.is_finished(), "{second:?}");
            tokio::task::yield_now().await;
        }
        second.abort();
        assert!(second.await.unwrap_err().is_cancelled());
        inside.may_answer.notify_one();
        let third = door.oneshot(request("/v1/items")).await.unwrap();
        assert_eq!(third.status(), StatusCode::OK, "whoever went away has left its place");
    }

    #[tokio::test]
    async fn who_asks_too_often_is_told_that_also_by_a_full_frontend() {
        let inside = Inside::default();
        let door =
            inside.door(Admission { frontend_requests: 1, client_requests_per_s: 1, ..Admission::default() });
        let _first = tokio::spawn(door.clone().oneshot(request("/v1/items")));
        while inside.came() < 1 {
            tokio::task::yield_now().await;
        }
        let often = door.clone().oneshot(request("/v1/items")).await.unwrap();
        assert_eq!(often.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(often.headers()[header::RETRY_AFTER], "1");
        assert_eq!(often.headers()["x-request-id"], "this-one");
        assert_eq!(json(often).await["code"], "rate_limited");
        let mut other = request("/v1/items");
        let token = HeaderValue::from_static("Bearer 00000000-0000-0000-0000-000000000001");
        other.headers_mut().insert(header::AUTHORIZATION, token);
        let other = door.oneshot(other).await.unwrap();
        assert_eq!(other.status(), StatusCode::SERVICE_UNAVAILABLE, "another client may ask, but it is full");
    }
}
