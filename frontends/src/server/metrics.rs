//! `/metrics`: how many requests, of which route, with which status, and how long they took.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Requests by method, route and status.
pub const REQUESTS: &str = "agora_frontend_requests_total";
/// Their time in seconds, by method and route.
pub const SECONDS: &str = "agora_frontend_request_seconds";

/// Upper ends of the histogram's buckets, in seconds.
const BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 10.0];
/// How often what was measured is put into the buckets; until then each value is kept.
const UPKEEP: Duration = Duration::from_secs(2);

/// One process has one set of metrics, whatever runs in it.
static COLLECTED: OnceLock<Option<Arc<PrometheusHandle>>> = OnceLock::new();

/// Begins to collect, and keeps what is collected small. Call it on the runtime that serves.
///
/// # Errors
/// Something else in this process collects metrics already.
pub fn collect() -> anyhow::Result<Arc<PrometheusHandle>> {
    let start = || {
        let builder = PrometheusBuilder::new().set_buckets(&BUCKETS).ok()?;
        let handle = Arc::new(builder.install_recorder().ok()?);
        metrics::describe_counter!(REQUESTS, "Requests by method, route and status");
        metrics::describe_histogram!(SECONDS, metrics::Unit::Seconds, "Time to answer by method and route");
        Some(handle)
    };
    let handle = COLLECTED.get_or_init(start).clone();
    let handle =
        handle.ok_or_else(|| anyhow::anyhow!("something else in this process collects metrics already"))?;
    let kept = Arc::downgrade(&handle);
    tokio::spawn(async move {
        while let Some(handle) = kept.upgrade() {
            handle.run_upkeep();
            drop(handle);
            tokio::time::sleep(UPKEEP).await;
        }
    });
    Ok(handle)
}
