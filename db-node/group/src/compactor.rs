//! The thread that has a replica's store compacted now and then.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use agora_storage::{Compaction, StorageError};

use crate::state_disk::StateDisk;

/// How often it is looked whether it is time.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After each piece it lets others have the disk and the processor for as long as the piece took, but no longer than this.
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// After a failure it is tried again so much later, after the next one twice as much later, and so on.
const FIRST_RETRY: Duration = Duration::from_secs(10);
const RETRY_MAX: Duration = Duration::from_secs(600);

/// It ends, and lets the store go, when this is dropped.
#[derive(Debug)]
pub(crate) struct Compactor {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Compactor {
    pub(crate) fn spawn(store: Arc<dyn StateDisk>) -> Compactor {
        let (stop, stopped) = mpsc::sync_channel(1);
        #[cfg(test)]
        if crate::simulation::executor::is_running() {
            return Compactor { stop: None, thread: None };
        }
        let run = move || compact_when_due(&*store, &stopped);
        // If the system has no thread to give, the store goes on as it is.
        let thread = std::thread::Builder::new().name("state-compactor".into()).spawn(run).ok();
        Compactor { stop: Some(stop), thread }
    }
}

impl Drop for Compactor {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic in there has been reported by the panic hook already.
            let _ = thread.join();
        }
    }
}

fn compact_when_due(store: &dyn StateDisk, stopped: &Receiver<()>) {
    let goes_on_after = |pause| stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout);
    let (mut pause, mut failures) = (LOOK_EVERY, 0);
    while goes_on_after(pause) {
        let begun = Instant::now();
        let outcome = match store.is_worth_compaction() {
            Ok(true) => compact(store, &goes_on_after).map(Some),
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        };
        failures = if outcome.is_err() { failures + 1 } else { 0 };
        pause = rest(failures);
        match outcome {
            Ok(Some(Compaction::Done { before, after })) => {
                let took = begun.elapsed();
                tracing::info!(before_bytes = before, after_bytes = after, ?took, "compacted the state");
            }
            Ok(Some(Compaction::Overtaken)) => tracing::info!("a state was installed over a compaction"),
            Ok(Some(Compaction::Stopped) | None) => {}
            Err(error) => tracing::warn!(%error, again_after = ?pause, "can't compact the state"),
        }
    }
}

/// Compacts, with a pause after each piece.
fn compact(
    store: &dyn StateDisk,
    goes_on_after: &dyn Fn(Duration) -> bool,
) -> Result<Compaction, StorageError> {
    let mut begun = Instant::now();
    store.compact(&mut || {
        let goes_on = goes_on_after(begun.elapsed().min(PAUSE_MAX));
        begun = Instant::now();
        goes_on
    })
}

/// How long there is nothing to do after so many failures in a row. After a success there need be no rest: by the time that
/// there is enough to do again, what changed has cost several times as much.
fn rest(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => LOOK_EVERY,
        Some(before) => FIRST_RETRY.saturating_mul(2_u32.saturating_pow(before)).min(RETRY_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tries_again_later_and_later_but_never_gives_up() {
        let waits: Vec<u64> = (0..=9).map(|failures| rest(failures).as_secs()).collect();
        assert_eq!(waits, [1, 10, 20, 40, 80, 160, 320, 600, 600, 600]);
        assert_eq!(rest(u32::MAX), RETRY_MAX);
    }
}
