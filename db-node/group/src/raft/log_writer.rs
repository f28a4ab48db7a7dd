//! The one thread that writes the log, and waits for the disk so that no async worker has to.
//!
//! What waits at the same time goes to disk as one batch with one fsync. Callers learn of the outcome when it is durable.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use agora_storage::{LogBatch, StorageError};
use openraft::storage::LogFlushed;
use parking_lot::{Mutex, RwLock};
use prost::Message;
use tokio::sync::oneshot;

use super::log_cache::LogCache;
use super::log_disk::LogDisk;
use super::types::{Entry, LogId, TypeConfig, Vote};
use super::wire;

/// Named values of the log.
pub(crate) const VOTE: &str = "vote";
pub(crate) const COMMITTED: &str = "committed";
pub(crate) const PURGED: &str = "purged-log-id";

/// Says that a change is durable, or why it is not.
pub(crate) type Done = oneshot::Sender<Result<(), Arc<StorageError>>>;

/// A change to the log.
pub(crate) enum Change {
    /// Append entries, contiguous with what is there.
    Append { entries: Vec<Entry>, flushed: LogFlushed<TypeConfig> },
    /// Remove entries from an index on.
    Truncate { since: u64, done: Done },
    /// Keep a vote.
    Vote { vote: Vote, done: Done },
    /// Keep how far is committed. Worth no fsync of its own: it only spares a restarted node the question.
    Committed(Option<LogId>),
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Change::Append { .. } => "Append",
            Change::Truncate { .. } => "Truncate",
            Change::Vote { .. } => "Vote",
            Change::Committed(_) => "Committed",
        })
    }
}

/// The writing thread. openraft waits for each change before the next one, which bounds the queue; the thread ends, having
/// written what was queued, when this is dropped.
pub(crate) struct LogWriter {
    queue: Option<Box<Queue>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Queues a change; gives it back if there is nobody who writes.
type Queue = dyn Fn(Change) -> Result<(), Change> + Send + Sync;

impl std::fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogWriter")
    }
}

/// openraft counts entries from 0, the log's positions here from 1, so that there is one before the first.
pub(crate) fn position(index: u64) -> u64 {
    index + 1
}

impl LogWriter {
    pub(crate) fn spawn(log: Arc<dyn LogDisk>, cache: Arc<RwLock<LogCache>>) -> std::io::Result<LogWriter> {
        #[cfg(test)]
        if let Some(queue) = crate::simulation::log_writer::spawn(&log, &cache) {
            return Ok(LogWriter { queue: Some(queue), thread: Mutex::new(None) });
        }
        let (changes, queue) = channel();
        let thread = std::thread::Builder::new()
            .name("log-writer".into())
            .spawn(move || run(&*log, &cache, &queue))?;
        let queue = move |change| changes.send(change).map_err(|unsent| unsent.0);
        Ok(LogWriter { queue: Some(Box::new(queue)), thread: Mutex::new(Some(thread)) })
    }

    /// Queues a change. If the thread is gone, the change's own channel is dropped with it, which tells its owner.
    pub(crate) fn send(&self, change: Change) {
        if let Some(queue) = &self.queue
            && let Err(unsent) = queue(change)
        {
            tracing::error!(change = ?unsent, "the log's writer is gone");
        }
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.lock().take() {
            // A panic in there has been reported by the panic hook already.
            let _ = thread.join();
        }
    }
}

fn run(log: &dyn LogDisk, cache: &RwLock<LogCache>, queue: &Receiver<Change>) {
    let mut committed = None;
    while let Ok(first) = queue.recv() {
        let mut next = Some(first);
        while let Some(first) = next.take() {
            let gathered;
            (gathered, next) = Gathered::of(first, || queue.try_recv().ok(), &mut committed);
            if let Some(gathered) = gathered {
                let (batch, waiting) = gathered.into_parts();
                waiting.conclude(cache, log.write(batch).and_then(|()| log.sync()));
            }
        }
    }
    if let Some(committed) = committed.take() {
        let written = log.write(LogBatch { meta: vec![(COMMITTED, Some(committed))], ..LogBatch::default() });
        if let Err(error) = written.and_then(|()| log.sync()) {
            tracing::error!(%error, "can't write the log at its end");
        }
    }
}

/// Changes that go to disk together.
#[derive(Default)]
pub(crate) struct Gathered {
    batch: LogBatch,
    waiting: Waiting,
}

/// Those who wait for a batch to be durable.
#[derive(Default)]
pub(crate) struct Waiting {
    flushed: Vec<LogFlushed<TypeConfig>>,
    done: Vec<Done>,
    written: Option<u64>,
}

impl Gathered {
    /// A change and those that wait behind it, if anybody waits for them; and the change that is for the next batch.
    pub(crate) fn of(
        first: Change,
        mut more: impl FnMut() -> Option<Change>,
        committed: &mut Option<Vec<u8>>,
    ) -> (Option<Gathered>, Option<Change>) {
        let mut gathered = Gathered::default();
        gathered.add(first, committed);
        // A truncation must not overtake the appends before it within one batch, so it begins a batch of its own.
        let next = loop {
            match more() {
                Some(truncate @ Change::Truncate { .. }) => break Some(truncate),
                Some(change) => gathered.add(change, committed),
                None => break None,
            }
        };
        if gathered.waiting.flushed.is_empty() && gathered.waiting.done.is_empty() {
            // Only how far is committed: that goes along with the next batch that somebody waits for.
            return (None, next);
        }
        if let Some(committed) = committed.take() {
            gathered.batch.meta.push((COMMITTED, Some(committed)));
        }
        (Some(gathered), next)
    }

    fn add(&mut self, change: Change, committed: &mut Option<Vec<u8>>) {
        let Gathered { batch, waiting } = self;
        match change {
            Change::Append { entries, flushed } => {
                batch.append.extend(
                    entries.iter().map(|entry| (position(entry.log_id.index), wire::encode_entry(entry))),
                );
                waiting.written = entries.last().map(|entry| entry.log_id.index).or(waiting.written);
                waiting.flushed.push(flushed);
            }
            Change::Truncate { since, done } => {
                batch.truncate_after = Some(since);
                waiting.done.push(done);
            }
            Change::Vote { vote, done } => {
                batch.meta.push((VOTE, Some(wire::vote_to_pb(vote).encode_to_vec())));
                waiting.done.push(done);
            }
            Change::Committed(log_id) => {
                *committed = log_id.map(|log_id| wire::log_id_to_pb(log_id).encode_to_vec());
            }
        }
    }

    pub(crate) fn into_parts(self) -> (LogBatch, Waiting) {
        (self.batch, self.waiting)
    }
}

impl Waiting {
    /// Tells all what became of their changes.
    pub(crate) fn conclude(self, cache: &RwLock<LogCache>, outcome: Result<(), StorageError>) {
        let outcome = outcome.map_err(Arc::new);
        if let (Ok(()), Some(written)) = (&outcome, self.written) {
            cache.write().written(written);
        }
        for flushed in self.flushed {
            flushed.log_io_completed(outcome.clone().map_err(std::io::Error::other));
        }
        for done in self.done {
            // Whoever no longer waits needs no answer.
            let _ = done.send(outcome.clone());
        }
    }
}

/// A named value of the log that is a message.
pub(crate) fn read_meta<T: Message + Default>(log: &dyn LogDisk, name: &str) -> Result<Option<T>, String> {
    let Some(bytes) = log.meta(name) else { return Ok(None) };
    T::decode(bytes.as_slice()).map(Some).map_err(|error| format!("the log's {name} can't be read: {error}"))
}
