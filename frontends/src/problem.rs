//! How a frontend says no: problem details (RFC 9457) with a stable `code`, and the field at fault where one is.

use std::borrow::Cow;
use std::time::Duration;

use agora_db_client::CallError;
use agora_proto::common::{Code, Refusal};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// The media type of problem documents.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// When to come back, if there is no better guess.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a request was not done. Its body never says more than the caller may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: String,
    field: Option<String>,
    retry_after: Option<Duration>,
}

/// `application/problem+json`.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Identifies the kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "urn:agora:problem:insufficient_stock")]
    kind: String,
    /// The kind of problem, for people.
    #[schema(example = "Insufficient stock")]
    title: String,
    /// The HTTP status.
    #[schema(example = 409)]
    status: u16,
    /// What was wrong this time, and what to do.
    detail: String,
    /// The kind of problem, for programs. Stable.
    #[schema(example = "insufficient_stock")]
    code: String,
    /// The field at fault, where one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

impl Problem {
    /// A problem with one of the marketplace's codes.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Problem {
            status: status_of(code),
            code: Cow::Owned(code.text()),
            detail: detail.into(),
            field: None,
            retry_after: matches!(code, Code::RateLimited | Code::Unavailable).then_some(RETRY_AFTER),
        }
    }

    /// A problem that only HTTP knows, or that nobody should see.
    fn of_http(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Problem { status, code: Cow::Borrowed(code), detail: detail.into(), field: None, retry_after: None }
    }

    /// `invalid_field`: the field, and what it must be.
    pub fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Problem { field: Some(field.into()), ..Problem::new(Code::InvalidField, detail) }
    }

    /// `malformed_request`: it can't even be read.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Problem::new(Code::MalformedRequest, detail)
    }

    /// `unavailable`: nothing happened; come back.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Problem::new(Code::Unavailable, detail)
    }

    /// `rate_limited`: this caller asks too often; nothing happened.
    pub fn rate_limited(wait: Duration) -> Self {
        let detail = "these are too many requests of one client; nothing happened";
        Problem { retry_after: Some(wait), ..Problem::new(Code::RateLimited, detail) }
    }

    /// `outcome_unknown`: it may have happened, or may yet.
    pub fn outcome_unknown() -> Self {
        Problem::new(
            Code::OutcomeUnknown,
            "it is not known whether this took effect; repeat it with the same Idempotency-Key to find out",
        )
    }

    /// Nothing is there.
    pub fn not_found() -> Self {
        Problem::of_http(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
    }

    /// Something is there, but not for this method.
    pub fn method_not_allowed() -> Self {
        let detail = "this path does not have this method; the Allow header names those that it has";
        Problem::of_http(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
    }

    /// The body is too large.
    pub fn payload_too_large(limit: usize) -> Self {
        let detail = format!("the body may have at most {limit} bytes");
        Problem::of_http(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail)
    }

    /// The request line is longer than anything that is asked for here.
    pub fn uri_too_long() -> Self {
        Problem::of_http(StatusCode::URI_TOO_LONG, "uri_too_long", "the path and the query are too long")
    }

    /// The headers are larger, or more, than anything that is asked for here.
    pub fn headers_too_large() -> Self {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        Problem::of_http(status, "headers_too_large", "the headers are too large, or too many")
    }

    /// The body is of another kind.
    pub fn unsupported_media_type() -> Self {
        let detail = "the body must be JSON, with the header \"Content-Type: application/json\"";
        Problem::of_http(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    }

    /// The caller was too slow to send its request. Nothing happened.
    pub fn request_timeout() -> Self {
        let detail = "the body did not arrive in time; nothing happened";
        Problem::of_http(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail)
    }

    /// A defect of this program. The cause goes to the log and not to the caller.
    pub fn internal() -> Self {
        let detail = "the frontend has a defect; its log tells more, under this answer's X-Request-Id";
        Problem::of_http(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail)
    }

    /// As the last answer on a connection, whole, for when there is no request that it could be an answer to.
    pub fn on_the_wire(self) -> Bytes {
        let status = self.status;
        let body = self.document();
        let head = format!(
            "HTTP/1.1 {} {}\r\ncontent-type: {PROBLEM_JSON}\r\ncontent-length: {}\r\nx-request-id: {}\r\nconnection: close\r\n\r\n",
            status.as_u16(),
            status.canonical_reason().unwrap_or_default(),
            body.len(),
            Uuid::new_v4().simple(),
        );
        [head.as_bytes(), &body].concat().into()
    }

    /// The document alone, for an answer that many get.
    pub fn document(self) -> Bytes {
        // Nothing in it can fail to be written as JSON.
        serde_json::to_vec(&self.into_body()).unwrap_or_default().into()
    }

    fn into_body(self) -> ProblemBody {
        ProblemBody {
            kind: format!("urn:agora:problem:{}", self.code),
            title: title_of(&self.code),
            status: self.status.as_u16(),
            detail: self.detail,
            code: self.code.into_owned(),
            field: self.field,
        }
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The field at fault, where one is.
    #[cfg(test)]
    pub fn at_fault(&self) -> Option<&str> {
        self.field.as_deref()
    }
}

fn status_of(code: Code) -> StatusCode {
    match code {
        Code::MalformedRequest => StatusCode::BAD_REQUEST,
        Code::InvalidField | Code::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
        Code::BadCredentials | Code::MissingToken | Code::InvalidSession => StatusCode::UNAUTHORIZED,
        Code::WrongRole | Code::NotOwner => StatusCode::FORBIDDEN,
        Code::ItemNotFound | Code::SellerNotFound | Code::PurchaseNotFound => StatusCode::NOT_FOUND,
        Code::UsernameTaken
        | Code::ReservationNotFound
        | Code::InsufficientStock
        | Code::NotInCart
        | Code::CartEmpty
        | Code::CartFull
        | Code::SavedCartConflict
        | Code::PurchaseConflict => StatusCode::CONFLICT,
        Code::PaymentDeclined => StatusCode::PAYMENT_REQUIRED,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::OutcomeUnknown => StatusCode::GATEWAY_TIMEOUT,
        Code::Unspecified => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let code = refusal.code();
        if code == Code::Unspecified {
            tracing::error!(
                code = refusal.code,
                detail = refusal.detail,
                "a database refused with an unknown code"
            );
            return Problem::internal();
        }
        let field = (!refusal.field.is_empty()).then_some(refusal.field);
        Problem { field, ..Problem::new(code, refusal.detail) }
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Malformed(detail) => {
                tracing::error!(detail, "a database does not understand this frontend");
                Problem::internal()
            }
            CallError::Overloaded { retry_after } => Problem {
                retry_after: Some(retry_after),
                ..Problem::unavailable("the databases have too much under way; nothing happened")
            },
            CallError::Unavailable(detail) => {
                tracing::warn!(detail, "a database is unavailable");
                Problem::unavailable("a database can't be reached now; nothing happened")
            }
            CallError::OutcomeUnknown(detail) => {
                tracing::warn!(detail, "the outcome of a command is unknown");
                Problem::outcome_unknown()
            }
        }
    }
}

/// `insufficient_stock` as people write it.
fn title_of(code: &str) -> String {
    let mut letters = code.replace('_', " ");
    if let Some(first) = letters.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    letters
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, retry_after) = (self.status, self.retry_after);
        let mut response = (status, axum::Json(self.into_body())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(after) = retry_after {
            // The header counts whole seconds, and 0 would invite a storm.
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from(after.as_millis().div_ceil(1000).max(1) as u64),
            );
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(problem: Problem) -> (StatusCode, axum::http::HeaderMap, serde_json::Value) {
        let response = problem.into_response();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, headers, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn a_refusal_by_a_database_becomes_a_problem_with_its_code_and_field() {
        let (status, headers, body) = body(Refusal::field("price", "must be more than 0").into()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(
            body,
            serde_json::json!({
                "type": "urn:agora:problem:invalid_field", "title": "Invalid field", "status": 422,
                "detail": "must be more than 0", "code": "invalid_field", "field": "price",
            })
        );
    }

    #[tokio::test]
    async fn whoever_is_told_to_come_back_is_told_when() {
        let after = CallError::Overloaded { retry_after: Duration::from_millis(50) };
        let (status, headers, _) = body(after.into()).await;
        assert_eq!(
            (status, headers[header::RETRY_AFTER].to_str().unwrap()),
            (StatusCode::SERVICE_UNAVAILABLE, "1")
        );
        let (status, headers, _) = body(Refusal::new(Code::RateLimited, "too many").into()).await;
        assert_eq!(
            (status, headers[header::RETRY_AFTER].to_str().unwrap()),
            (StatusCode::TOO_MANY_REQUESTS, "1")
        );
    }

    #[tokio::test]
    async fn an_unknown_outcome_is_not_called_a_failure() {
        let (status, headers, body) = body(CallError::OutcomeUnknown("the node died".into()).into()).await;
        assert_eq!((status, body["code"].as_str()), (StatusCode::GATEWAY_TIMEOUT, Some("outcome_unknown")));
        assert!(headers.get(header::RETRY_AFTER).is_none());
        assert!(!body["detail"].as_str().unwrap().contains("died"), "causes are for the log");
    }

    #[test]
    fn every_code_has_a_status_of_its_own_kind() {
        for number in 1.. {
            let Ok(code) = Code::try_from(number) else { break };
            assert!(
                status_of(code).as_u16() >= 400 && status_of(code) != StatusCode::INTERNAL_SERVER_ERROR,
                "{code}"
            );
        }
    }
}
