//! What is noted of each request: its id, its outcome, its time. Never its body, its token or its key.

use std::any::Any;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;
use uuid::{Builder, Uuid};

use crate::problem::Problem;
use crate::server::metrics::{REQUESTS, SECONDS};

/// Names a request in its answer and in the log.
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over from a caller.
const REQUEST_ID_BYTES: usize = 64;

/// Gives a request its id, and notes its outcome.
pub async fn observe(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(&request);
    let method = method(request.method());
    let path = request.extensions().get::<MatchedPath>().cloned();
    let route = path.as_ref().map_or("none", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default(), method, route);
    let mut response = next.run(request).instrument(span.clone()).await;
    let (status, took) = (response.status(), started.elapsed());
    metrics::counter!(REQUESTS, "method" => method, "route" => route.clone(), "status" => status.as_str().to_owned())
        .increment(1);
    metrics::histogram!(SECONDS, "method" => method, "route" => route).record(took);
    span.in_scope(|| {
        let (status, took_us) = (status.as_u16(), u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        // "Come back later" is no defect, and where it has a cause in the databases that is noted there. To write a line for each
        // when there are thousands a second would make the load worse.
        if status >= 500 && status != 503 {
            tracing::warn!(status, took_us, "answered");
        } else {
            tracing::debug!(status, took_us, "answered");
        }
    });
    response.headers_mut().insert(REQUEST_ID.clone(), id);
    response
}

/// Counts a request that was sent away at the door, and gives its answer an id.
pub fn sent_away(request: &Request, mut response: Response) -> Response {
    let (method, status) = (method(request.method()), response.status());
    let status = if status == StatusCode::TOO_MANY_REQUESTS { "429" } else { "503" };
    metrics::counter!(REQUESTS, "method" => method, "route" => "none", "status" => status).increment(1);
    response.headers_mut().insert(REQUEST_ID.clone(), request_id(request));
    response
}

/// The caller's, if it is a plain one.
fn request_id(request: &Request) -> HeaderValue {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let given = request.headers().get(&REQUEST_ID);
    let given =
        given.filter(|id| (1..=REQUEST_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(plain));
    given.cloned().unwrap_or_else(|| {
        let mut buffer = Uuid::encode_buffer();
        // They need not be unguessable, and the system's randomness is a system call each.
        let text = Builder::from_random_bytes(rand::random()).into_uuid().simple().encode_lower(&mut buffer);
        HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("none"))
    })
}

/// A caller may make up methods, but not metrics.
fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// The answer of an operation that panicked. What it said goes to the log.
pub fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(panic = text, "an operation panicked");
    Problem::internal().into_response()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt;
    use tower_http::catch_panic::CatchPanicLayer;

    use super::*;

    #[tokio::test]
    async fn an_operation_that_panics_is_a_problem_that_tells_nothing() {
        let router = Router::new()
            .route("/", get(async || -> &'static str { panic!("a secret") }))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(from_fn(observe));
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), 500);
        assert!(response.headers().contains_key("x-request-id"));
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["code"], "internal_error");
        assert!(!body.to_string().contains("secret"), "{body}");
    }
}
