//! Logging: structured lines on standard error, which a launcher turns into one file per process.

use tracing_subscriber::EnvFilter;

/// Starts logging. `AGORA_LOG` filters, as in `info,agora_group=debug` (default: `info`, and warnings only of libraries);
/// `AGORA_LOG_FORMAT=json` makes one JSON object of each line. Later calls do nothing.
pub fn init_logging() {
    let default = "info,openraft=off,sled=warn,h2=warn,hyper=warn,tonic=warn,tower=warn";
    let filter = std::env::var("AGORA_LOG")
        .ok()
        .and_then(|text| EnvFilter::try_new(text).ok())
        .unwrap_or_else(|| EnvFilter::new(default));
    // That nobody reads the lines any more, because a terminal is gone, is no reason to panic.
    let lines = tracing_subscriber::fmt().log_internal_errors(false);
    let lines = lines.with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    let started = match std::env::var("AGORA_LOG_FORMAT").as_deref() {
        Ok("json") => lines.json().try_init(),
        _ => lines.try_init(),
    };
    // A second start in one process (a test, say) finds logging already set up, and that is fine.
    drop(started);
}
