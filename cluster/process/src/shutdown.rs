//! When to stop: at SIGTERM, at Ctrl-C, or when the launcher is gone.

use tokio_util::sync::CancellationToken;

use crate::lifeline::watch_lifeline;

/// A token that is cancelled when this process should stop. A second signal ends the process at once.
///
/// # Errors
/// The operating system does not let us listen for signals.
pub fn shutdown_signal() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    watch_lifeline(stop.clone());
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    let token = stop.clone();
    tokio::spawn(async move {
        let mut wait = async || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        let signal = wait().await;
        tracing::info!(signal, "stopping");
        token.cancel();
        let signal = wait().await;
        tracing::warn!(signal, "told again: ending at once");
        std::process::exit(130);
    });
    Ok(stop)
}
