//! Which requests are let in, and how long they may take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::{App, Deadline, REQUEST_TIME};
use crate::problem::Problem;

/// What an operation that ends at its deadline may take beyond it to say so.
const GRACE: Duration = Duration::from_millis(500);

/// Sends away at once who finds the frontend full; gives the others their deadline, and answers for those that miss it.
pub async fn admit(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let Ok(_admitted) = Arc::clone(&app.admission).try_acquire_owned() else {
        return Problem::unavailable("this frontend has too much under way; nothing happened")
            .into_response();
    };
    let deadline = Instant::now() + REQUEST_TIME;
    request.extensions_mut().insert(Deadline(deadline));
    let changes_nothing = matches!(*request.method(), Method::GET | Method::HEAD);
    match tokio::time::timeout_at((deadline + GRACE).into(), next.run(request)).await {
        Ok(response) => response,
        Err(_) if changes_nothing => Problem::unavailable("this took too long").into_response(),
        Err(_) => Problem::outcome_unknown().into_response(),
    }
}
