//! When to stop: at SIGTERM, at Ctrl-C, or when the launcher is gone. And what it means to be told again.
//!
//! Often one wish comes as two signals: `timeout` signals its child and then the child's whole group, and a Ctrl-C reaches
//! everybody at the terminal, some of whom pass it on. So what comes within a second belongs to the same wish.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::lifeline::watch_lifeline;

/// Signals that come so soon after one that was followed are the same wish.
const SAME_WISH: Duration = Duration::from_secs(1);
/// As shells have it for a program that was ended by Ctrl-C.
const INTERRUPTED: i32 = 130;

/// A token that is cancelled when this process should stop. Told again a second later or more, the process ends at once: it
/// leaves nothing behind that a restart does not take care of. For programs that start others there is [`Shutdown`].
///
/// # Errors
/// The operating system does not let us listen for signals.
pub fn shutdown_signal() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut wishes = Wishes::listen(&[TERMINATE, INTERRUPT])?;
    watch_lifeline(stop.clone());
    let token = stop.clone();
    tokio::spawn(async move {
        let signal = wishes.next().await;
        tracing::info!(signal, "stopping");
        token.cancel();
        end_at_once(wishes.next().await);
    });
    Ok(stop)
}

/// What a program is told that has started others and keeps temporary directories, so that it has to clear up whatever it is
/// told: first to stop, then to hurry. The default is never told anything.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Cancelled when it is told to stop: everything ends in good order.
    pub stop: CancellationToken,
    /// Cancelled when it is told again, a second later or more: nothing is waited for any more, and others are killed instead of
    /// told to end. `stop` is cancelled, too.
    pub hurry: CancellationToken,
}

impl Shutdown {
    /// Listens to SIGTERM, SIGINT (Ctrl-C) and SIGHUP (the terminal is gone; not under `nohup`). The third wish ends this process
    /// at once, as a last resort.
    ///
    /// # Errors
    /// The operating system does not let us listen for signals.
    pub fn listen() -> std::io::Result<Self> {
        let shutdown = Shutdown::default();
        let kinds: &[_] =
            if listens_to_hangups() { &[TERMINATE, INTERRUPT, HANGUP] } else { &[TERMINATE, INTERRUPT] };
        let mut wishes = Wishes::listen(kinds)?;
        let Shutdown { stop, hurry } = shutdown.clone();
        tokio::spawn(async move {
            let signal = wishes.next().await;
            tracing::info!(signal, "stopping");
            stop.cancel();
            let signal = wishes.next().await;
            tracing::info!(signal, "told again: hurrying");
            hurry.cancel();
            end_at_once(wishes.next().await);
        });
        Ok(shutdown)
    }
}

fn end_at_once(signal: &str) -> ! {
    tracing::warn!(signal, "told again: ending at once");
    std::process::exit(INTERRUPTED)
}

type Kind = (&'static str, fn() -> SignalKind);
const TERMINATE: Kind = ("SIGTERM", SignalKind::terminate);
const INTERRUPT: Kind = ("SIGINT", SignalKind::interrupt);
const HANGUP: Kind = ("SIGHUP", SignalKind::hangup);

/// Signals, taken together to wishes.
struct Wishes {
    signals: Vec<(&'static str, Signal)>,
    last: Option<Instant>,
}

impl Wishes {
    fn listen(kinds: &[Kind]) -> std::io::Result<Self> {
        let signals = kinds.iter().map(|(name, kind)| Ok((*name, signal(kind())?)));
        Ok(Wishes { signals: signals.collect::<std::io::Result<_>>()?, last: None })
    }

    /// The signal that the next wish began with.
    async fn next(&mut self) -> &'static str {
        loop {
            let came = poll_fn(|context| {
                let mut signals = self.signals.iter_mut();
                let came =
                    signals.find_map(|(name, signal)| signal.poll_recv(context).is_ready().then_some(*name));
                came.map_or(Poll::Pending, Poll::Ready)
            });
            let came = came.await;
            if self.is_another(Instant::now()) {
                return came;
            }
        }
    }

    /// Whether a signal at this moment is a wish of its own.
    fn is_another(&mut self, at: Instant) -> bool {
        let another = self.last.is_none_or(|last| at.duration_since(last) >= SAME_WISH);
        if another {
            self.last = Some(at);
        }
        another
    }
}

/// Whether a hangup is to be listened to: not if whoever started this program wants hangups ignored, as `nohup` does. Where that
/// can't be found out, what the system does about them is left as it is.
fn listens_to_hangups() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_signals(&status).is_some_and(|ignored| ignored & 1 == 0)
}

/// The signals that a process ignores, the first one, SIGHUP, in the lowest bit.
fn ignored_signals(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_in_one_second_are_one_wish_and_who_keeps_asking_is_heard() {
        let mut wishes = Wishes { signals: Vec::new(), last: None };
        let start = Instant::now();
        let asked_at_ms = [0, 1, 400, 999, 1_000, 1_400, 1_999, 2_000, 7_000];
        let heard = asked_at_ms.map(|ms| wishes.is_another(start + Duration::from_millis(ms)));
        assert_eq!(heard, [true, false, false, false, true, false, false, true, true]);
    }

    #[test]
    fn what_is_ignored_is_read_from_what_the_kernel_tells() {
        assert_eq!(ignored_signals("SigBlk:\t00\nSigIgn:\t0000000000001000\nSigCgt:\t1\n"), Some(0x1000));
        assert_eq!(ignored_signals("SigIgn:\t0000000000000001\n"), Some(1));
        assert_eq!(ignored_signals("Name:\tx\n"), None);
    }
}
