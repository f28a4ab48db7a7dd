//! The HTTP server around the operations: limits, deadlines, request ids, metrics, health; starting and stopping.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;
use crate::problem::Problem;
use crate::rest;

mod admission;
mod bare_errors;
pub(crate) mod connections;
mod health;
mod metrics;
mod observe;
mod process;
pub mod rates;

pub use process::run;

/// All paths of a frontend, with everything around them.
///
/// # Errors
/// The description of the interface can't be written as JSON, or metrics can't be collected.
pub fn router(app: Arc<App>) -> anyhow::Result<Router> {
    let (operations, description) = rest::router(app.role).split_for_parts();
    let description: bytes::Bytes = rest::describe(app.role, description).to_json()?.into();
    let metrics = metrics::collect()?;
    let operations = operations
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .fallback(async || Problem::not_found())
        // Bodies are read, and bounded, by the operations that have one.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(admission::in_time));
    let own = Router::new()
        .route("/openapi.json", get(async move || json(description)))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(async move || metrics.render()))
        .method_not_allowed_fallback(async || Problem::method_not_allowed());
    Ok(operations
        .merge(own)
        .layer(CatchPanicLayer::custom(observe::panicked))
        .layer(from_fn(observe::observe))
        .with_state(app))
}

fn json(text: bytes::Bytes) -> impl axum::response::IntoResponse {
    ([(axum::http::header::CONTENT_TYPE, "application/json")], text)
}
