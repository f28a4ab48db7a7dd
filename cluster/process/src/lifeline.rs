//! A lifeline: a process that was started by a launcher ends when the launcher does, however that ends.
//!
//! The launcher keeps the write end of the child's standard input open and never writes to it. When the launcher dies, even
//! by kill -9, the child reads the end of the file and stops. That needs nothing of the operating system but pipes.

use std::io::Read;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Set by a launcher in the environment of what it starts: standard input is a lifeline.
pub const LIFELINE_VARIABLE: &str = "AGORA_LIFELINE";

/// How long a process that lost its launcher may take to stop by itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// Cancels the token when the launcher is gone; without a launcher, never.
pub fn watch_lifeline(stop: CancellationToken) {
    if std::env::var_os(LIFELINE_VARIABLE).is_none() {
        return;
    }
    // A thread of its own: a blocked read on tokio's pool would hold up the runtime's shutdown.
    let watch = move || {
        let mut buffer = [0_u8; 64];
        let mut input = std::io::stdin().lock();
        while matches!(input.read(&mut buffer), Ok(n) if n > 0) {}
        tracing::warn!("the launcher is gone: stopping");
        stop.cancel();
        // Nobody is left who could end a process that hangs while it stops.
        std::thread::sleep(PATIENCE);
        std::process::exit(1);
    };
    if let Err(error) = std::thread::Builder::new().name("lifeline".into()).spawn(watch) {
        tracing::error!(%error, "can't watch the lifeline: this process will outlive its launcher");
    }
}
