//! Which requests are let in, and how long they may take.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::{App, Arrival, REQUEST_TIME};
use crate::problem::Problem;
use crate::rest::token::bearer;
use crate::server::connections::Peer;
use crate::server::rates::Client;

/// Where accounts and sessions are made: whoever guesses passwords shows a session that fits each guess.
const NEED_NO_SESSION: [&str; 3] = ["/v1/sessions", "/v1/buyers", "/v1/sellers"];
/// What an operation that ends at its deadline may take beyond it to say so.
const GRACE: Duration = Duration::from_millis(500);

/// Sends away at once who asks too often or finds the frontend full; gives the others their time of arrival, and answers for
/// those that miss the last deadline.
pub async fn admit(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let now = Instant::now();
    if let Err(wait) = app.rates.pass(client(&request), now) {
        return Problem::rate_limited(wait).into_response();
    }
    let Ok(_admitted) = Arc::clone(&app.admission).try_acquire_owned() else {
        return Problem::unavailable("this frontend has too much under way; nothing happened")
            .into_response();
    };
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
        Some(token) => Client::of(token.hash()),
        None => {
            let peer = request.extensions().get::<ConnectInfo<Peer>>();
            Client::of(peer.map(|ConnectInfo(Peer(address))| IpAddr::to_canonical(&address.ip())))
        }
    }
}
