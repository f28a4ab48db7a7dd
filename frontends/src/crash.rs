//! Named points of a purchase at which a test can hold a process, to kill it, or others, just there.
//!
//! They exist in debug builds with the feature `crash-points`, which only this package's tests ask for; everywhere else they
//! are nothing. Even then a process stops at none of them unless the environment names a listener, which is told of each
//! point and holds the process there until it answers.

#[cfg(all(feature = "crash-points", debug_assertions))]
pub(crate) use held::point;

#[cfg(not(all(feature = "crash-points", debug_assertions)))]
pub(crate) async fn point(_name: &'static str, _purchase_id: impl std::fmt::Display) {}

#[cfg(all(feature = "crash-points", debug_assertions))]
mod held {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    /// Names the listener: an address.
    const LISTENER: &str = "AGORA_CRASH_POINTS";

    /// Tells the listener `PROCESS-ID NAME PURCHASE-ID`, and goes on when it closes the connection.
    pub(crate) async fn point(name: &'static str, purchase_id: impl std::fmt::Display) {
        let Ok(address) = std::env::var(LISTENER) else { return };
        let Ok(mut listener) = TcpStream::connect(address).await else { return };
        let line = format!("{} {name} {purchase_id}\n", std::process::id());
        if listener.write_all(line.as_bytes()).await.is_ok() {
            // Whatever ends the connection lets the process go on.
            drop(listener.read_to_end(&mut Vec::new()).await);
        }
    }
}
