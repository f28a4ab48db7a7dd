//! The service over HTTP: SOAP at `POST /`, its description at `/?wsdl`, health and books for machines.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

use super::clerk::{Clerk, ClerkError};
use super::ledger::LedgerError;
use super::operations::Operation;
use super::soap::{self, CONTENT_TYPE, Fault, MESSAGE_BYTES_MAX};
use super::wsdl::wsdl;
use crate::crash;
use crate::month::Month;

/// Longest time for one request, a slow sender's included.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);
/// Longest host name that the description is given for.
const HOST_BYTES_MAX: usize = 255;

/// The routes of the service.
pub(crate) fn router(clerk: Clerk) -> Router {
    Router::new()
        .route("/", get(describe).post(call))
        .route("/healthz", get(health))
        .route("/ledger", get(books))
        .layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_TIME_MAX))
        .layer(CatchPanicLayer::new())
        .with_state(clerk)
}

async fn describe(RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    if !query.is_some_and(|query| query.eq_ignore_ascii_case("wsdl")) {
        let hint = "This is a SOAP 1.1 service: POST envelopes here. Its description is at /?wsdl\n";
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")], hint).into_response();
    }
    // Callers are told the name under which they found the service; whatever else is in the header is ignored.
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(|host| is_host(host));
    let description = wsdl(&format!("http://{}/", host.unwrap_or("localhost")));
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], description).into_response()
}

fn is_host(host: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    !host.is_empty() && host.len() <= HOST_BYTES_MAX && host.bytes().all(plain)
}

async fn call(State(clerk): State<Clerk>, message: Result<Bytes, BytesRejection>) -> Response {
    let message = match message {
        Ok(message) => message,
        Err(error) => {
            let text =
                format!("the message can't be read, or has more than {MESSAGE_BYTES_MAX} bytes: {error}");
            return fault(&Fault::client(text));
        }
    };
    match soap::read_body(&message).and_then(|body| Operation::read(&body, Month::now())) {
        Ok(operation) => serve(&clerk, operation).await,
        Err(wrong) => fault(&wrong),
    }
}

async fn serve(clerk: &Clerk, operation: Operation) -> Response {
    match operation {
        Operation::Authorize(payment) => {
            let (transaction_id, amount_cents) = (payment.transaction_id.clone(), payment.amount_cents);
            crash::point("asked", &transaction_id).await;
            let decided = clerk.authorize(payment).await;
            crash::point("decided", &transaction_id).await;
            match decided {
                Ok(decision) => {
                    let approved = decision.approved;
                    tracing::debug!(transaction_id, amount_cents, approved, "authorization");
                    let approved = if approved { "true" } else { "false" };
                    let id = decision.authorization_id.as_str();
                    reply("AuthorizePaymentResponse", &[("approved", approved), ("authorization_id", id)])
                }
                Err(error) => failed(&error),
            }
        }
        Operation::Void { transaction_id } => {
            let voided = clerk.void(transaction_id.clone()).await;
            crash::point("made-void", &transaction_id).await;
            match voided {
                Ok(()) => {
                    tracing::debug!(transaction_id, "void");
                    reply("VoidPaymentResponse", &[("voided", "true")])
                }
                Err(error) => failed(&error),
            }
        }
    }
}

fn reply(name: &str, parameters: &[(&str, &str)]) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], soap::write_message(name, parameters)).into_response()
}

/// A fault, with the status that SOAP 1.1 gives to all of them.
fn fault(fault: &Fault) -> Response {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], soap::write_fault(fault)).into_response()
}

fn failed(error: &ClerkError) -> Response {
    match error {
        ClerkError::Ledger(LedgerError::OtherPayment) => fault(&Fault::client(error.to_string())),
        // 503 says what a fault does not: certainly nothing was done, and it is worth trying again.
        ClerkError::Overloaded | ClerkError::Ledger(LedgerError::Full) => {
            let headers = [(header::CONTENT_TYPE, CONTENT_TYPE), (header::RETRY_AFTER, "1")];
            let message = soap::write_fault(&Fault::server(error.to_string()));
            (StatusCode::SERVICE_UNAVAILABLE, headers, message).into_response()
        }
        // Where the ledger is on the disk is nobody's business outside.
        ClerkError::Closed | ClerkError::Ledger(LedgerError::Storage { .. }) => {
            fault(&Fault::server("the ledger can't be written"))
        }
    }
}

async fn health(State(clerk): State<Clerk>) -> Response {
    if clerk.is_working() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the ledger can't be written\n").into_response()
    }
}

async fn books(State(clerk): State<Clerk>) -> Response {
    Json(clerk.totals()).into_response()
}
