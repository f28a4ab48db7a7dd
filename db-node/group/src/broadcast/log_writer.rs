//! The thread that makes the protocol's writes durable: takes all that wait, one batch, one fsync.

use std::thread::JoinHandle;

use agora_broadcast::{PersistId, Write};
use agora_storage::{Log, StorageError};
use tokio::sync::{mpsc, watch};

use super::fatal::Fatal;
use super::log_batch::Folded;

/// Persists that wait for the disk. The protocol bounds what it has under way well below; should it ever be full, the driver
/// waits for the disk.
const QUEUE: usize = 4096;
/// One batch takes no more once it has this many bytes.
const BATCH_BYTES: usize = 8 << 20;

/// Writes that belong together.
pub(super) struct Persist {
    pub(super) id: PersistId,
    pub(super) writes: Vec<Write>,
}

/// The way to the log.
pub(super) struct LogWriter {
    /// Where persists go, in the order of their ids.
    pub(super) queue: mpsc::Sender<Persist>,
    /// The last one that is durable.
    pub(super) persisted: watch::Receiver<PersistId>,
}

/// Starts the thread. It ends when the queue's sender is dropped, or when the disk fails, which is fatal.
pub(super) fn start(log: Log, fatal: Fatal) -> std::io::Result<(LogWriter, JoinHandle<()>)> {
    let (queue, waiting) = mpsc::channel(QUEUE);
    let (report, persisted) = watch::channel(PersistId(0));
    let run =
        move || run(&log, waiting, &report).map_err(|error| format!("the log can't be written: {error}"));
    let thread = fatal.thread("log-writer", run)?;
    Ok((LogWriter { queue, persisted }, thread))
}

fn run(
    log: &Log,
    mut waiting: mpsc::Receiver<Persist>,
    report: &watch::Sender<PersistId>,
) -> Result<(), StorageError> {
    while let Some(first) = waiting.blocking_recv() {
        let mut folded = Folded::default();
        let mut last = first.id;
        first.writes.iter().for_each(|write| folded.add(write));
        while folded.bytes() < BATCH_BYTES
            && let Ok(next) = waiting.try_recv()
        {
            last = next.id;
            next.writes.iter().for_each(|write| folded.add(write));
        }
        log.write(folded.finish())?;
        log.sync()?;
        report.send_replace(last);
    }
    Ok(())
}
