//! openraft's log over [`agora_storage::Log`]: entries, the vote, and how far is committed.
//!
//! Writes go through one thread ([`LogWriter`]), in openraft's order. Reads come from memory where they can: entries are
//! readable as soon as `append` returns, though they are durable only when their callback is called.

use std::fmt::{Debug, Display};
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use agora_proto::raft as pb;
use agora_storage::LogBatch;
use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{
    AnyError, EntryPayload, ErrorSubject, ErrorVerb, OptionalSend, RaftLogReader, StorageIOError,
};
use parking_lot::{Mutex, RwLock};
use prost::Message;
use tokio::sync::{oneshot, watch};

use super::log_cache::{LogCache, entry_bytes};
use super::log_disk::LogDisk;
use super::log_reader::LogReader;
use super::log_writer::{self, COMMITTED, Change, LogWriter, PURGED, VOTE, position};
use super::types::{Entry, LogId, NodeId, StorageError, TypeConfig, Vote};
use super::wire;
use crate::runtime;

/// About how many bytes of entries are read, and sent to a peer, at a time.
pub(crate) const READ_BYTES: usize = 1 << 20;

/// openraft's log. Cheap to clone; all clones are the same log.
#[derive(Clone, Debug)]
pub(crate) struct LogStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    log: Arc<dyn LogDisk>,
    cache: Arc<RwLock<LogCache>>,
    writer: LogWriter,
    committed: RwLock<Option<LogId>>,
    vote: RwLock<Option<Vote>>,
    /// Bytes appended since the last snapshot: what a restart may have to apply again.
    unsnapshotted_bytes: Mutex<u64>,
    /// One purge at a time.
    purging: Arc<Mutex<()>>,
    coverage: watch::Sender<Coverage>,
    /// How often the replications may have been replaced.
    replications: watch::Sender<u64>,
}

/// What the state has of the log, as far as purging is concerned. openraft has the log purged of what a snapshot covers while it
/// is still being installed: killed then, a member would have that neither in its log nor in its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Coverage {
    /// Up to this index the state on disk needs the log no more.
    durable: u64,
    /// A snapshot that is being installed covers the log up to this index.
    installing: Option<u64>,
    /// It could not be installed.
    failed: bool,
}

/// Says that a snapshot is being installed, for as long as it lives.
pub(crate) struct Installing {
    log: LogStore,
}

impl Drop for Installing {
    fn drop(&mut self) {
        self.log.inner.coverage.send_modify(|now| (now.installing, now.failed) = (None, false));
    }
}

pub(crate) fn failed(subject: ErrorSubject<NodeId>, verb: ErrorVerb, error: impl Display) -> StorageError {
    StorageIOError::new(subject, verb, AnyError::error(error)).into()
}

pub(crate) fn read_failed(error: impl Display) -> StorageError {
    failed(ErrorSubject::Logs, ErrorVerb::Read, error)
}

fn write_failed(error: impl Display) -> StorageError {
    failed(ErrorSubject::Logs, ErrorVerb::Write, error)
}

impl LogStore {
    /// The log on this disk. Blocks.
    pub(crate) fn open(log: impl LogDisk + 'static) -> Result<LogStore, String> {
        let log: Arc<dyn LogDisk> = Arc::new(log);
        let purged = log_writer::read_meta::<pb::LogId>(&*log, PURGED)?.map(wire::log_id);
        let last = match log.last() {
            Some(last) => read_from_disk(&*log, last - 1, last, 0)?.pop().map(|entry| entry.log_id),
            None => None,
        };
        let committed = log_writer::read_meta::<pb::LogId>(&*log, COMMITTED)?.map(wire::log_id);
        let vote = log_writer::read_meta::<pb::Vote>(&*log, VOTE)?.map(wire::vote);
        let cache = Arc::new(RwLock::new(LogCache::new(purged, log.first().map(|first| first - 1), last)));
        let writer =
            LogWriter::spawn(Arc::clone(&log), Arc::clone(&cache)).map_err(|error| error.to_string())?;
        let inner = Inner {
            log,
            cache,
            writer,
            committed: RwLock::new(committed),
            vote: RwLock::new(vote),
            unsnapshotted_bytes: Mutex::new(0),
            purging: Arc::default(),
            coverage: watch::Sender::default(),
            replications: watch::Sender::new(0),
        };
        Ok(LogStore { inner: Arc::new(inner) })
    }

    /// First and last index in the log, and the last that is known to be committed; 0 stands for none.
    pub(crate) fn positions(&self) -> (u64, u64, u64) {
        let (first, end) = self.inner.cache.read().bounds();
        let committed = self.inner.committed.read().map_or(0, |id| id.index);
        (first, end.saturating_sub(1), committed)
    }

    /// The id of the last entry.
    pub(crate) fn last(&self) -> Option<LogId> {
        self.inner.cache.read().last()
    }

    /// The highest vote that this member has cast or accepted; it may not be durable yet.
    pub(crate) fn vote(&self) -> Option<Vote> {
        *self.inner.vote.read()
    }

    /// Tells when the replications may be replaced: with the leader, and with the members.
    pub(crate) fn replications(&self) -> watch::Receiver<u64> {
        self.inner.replications.subscribe()
    }

    /// Notes that a snapshot which covers the log up to this index is about to be installed. One at a time.
    pub(crate) fn installing(&self, upto: u64) -> Installing {
        self.inner.coverage.send_modify(|now| now.installing = Some(upto));
        Installing { log: self.clone() }
    }

    /// Notes that the state on disk includes the log up to this index.
    pub(crate) fn covered(&self, upto: u64) {
        self.inner.coverage.send_modify(|now| now.durable = now.durable.max(upto));
    }

    /// Notes that a snapshot under way, if there is one, will never be installed.
    pub(crate) fn not_installed(&self) {
        self.inner.coverage.send_modify(|now| now.failed = now.installing.is_some());
    }

    /// Waits until the state has durably what the log is about to forget. Only of a snapshot under way that is in doubt.
    async fn may_forget(&self, upto: u64) -> bool {
        let mut coverage = self.inner.coverage.subscribe();
        let is_covered = |now: &Coverage| {
            now.durable >= upto || now.installing.is_none_or(|covers| covers > upto) || now.failed
        };
        let found = coverage.wait_for(is_covered).await;
        found.is_ok_and(|now| now.durable >= upto || !now.failed)
    }

    /// Bytes appended since [`LogStore::snapshotted`] was last called.
    pub(crate) fn unsnapshotted_bytes(&self) -> u64 {
        *self.inner.unsnapshotted_bytes.lock()
    }

    /// Notes that a snapshot begins.
    pub(crate) fn snapshotted(&self) {
        *self.inner.unsnapshotted_bytes.lock() = 0;
    }

    async fn change(&self, change: impl FnOnce(log_writer::Done) -> Change) -> Result<(), String> {
        let (done, outcome) = oneshot::channel();
        self.inner.writer.send(change(done));
        match outcome.await {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err("the log's writer is gone".into()),
        }
    }

    /// Entries of `[start, end)`, up to about `max_bytes` of them, but at least one if there is one.
    pub(crate) async fn read(
        &self,
        start: u64,
        end: u64,
        max_bytes: usize,
    ) -> Result<Vec<Entry>, StorageError> {
        let (start, disk_end) = {
            let cache = self.inner.cache.read();
            let (first, log_end) = cache.bounds();
            let (start, end) = (start.max(first), end.min(log_end));
            if start >= end {
                return Ok(Vec::new());
            }
            if start >= cache.first_in_memory() {
                return Ok(cache.read(start, end, max_bytes));
            }
            (start, end.min(cache.first_in_memory()))
        };
        let log = Arc::clone(&self.inner.log);
        let read = runtime::blocking(move || read_from_disk(&*log, start, disk_end, max_bytes));
        let mut entries = read.await.map_err(read_failed)?.map_err(read_failed)?;
        let bytes: usize = entries.iter().map(entry_bytes).sum();
        if entries.last().is_some_and(|entry| entry.log_id.index + 1 == disk_end)
            && disk_end < end
            && bytes < max_bytes
        {
            let cache = self.inner.cache.read();
            // What was in memory a moment ago may have left it; then this read ends where the disk's part does.
            if cache.first_in_memory() <= disk_end {
                entries.extend(cache.read(disk_end, end.min(cache.bounds().1), max_bytes - bytes));
            }
        }
        Ok(entries)
    }
}

fn read_from_disk(log: &dyn LogDisk, start: u64, end: u64, max_bytes: usize) -> Result<Vec<Entry>, String> {
    let entries = log.read(position(start)..position(end), max_bytes).map_err(|error| error.to_string())?;
    entries.into_iter().map(|(_, bytes)| wire::decode_entry(bytes).map_err(|malformed| malformed.0)).collect()
}

fn bounds_of(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        let (mut start, end) = bounds_of(&range);
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let read = self.read(start, end, usize::MAX).await?;
            let Some(last) = read.last() else { return Ok(entries) };
            start = last.log_id.index + 1;
            entries.extend(read);
        }
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError> {
        let cache = self.inner.cache.read();
        Ok(LogState { last_purged_log_id: cache.purged(), last_log_id: cache.last() })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader::new(self.clone())
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let vote = *vote;
        *self.inner.vote.write() = Some(vote);
        self.inner.replications.send_modify(|count| *count += 1);
        let saved = self.change(|done| Change::Vote { vote, done }).await;
        saved.map_err(|error| failed(ErrorSubject::Vote, ErrorVerb::Write, error))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.vote())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        *self.inner.committed.write() = committed;
        self.inner.writer.send(Change::Committed(committed));
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(*self.inner.committed.read())
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<TypeConfig>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = {
            let mut cache = self.inner.cache.write();
            // What is purged was applied, and is in a snapshot: it need not come back.
            let purged = cache.purged().map(|id| id.index);
            let entries: Vec<Entry> =
                entries.into_iter().filter(|entry| Some(entry.log_id.index) > purged).collect();
            cache.append(&entries);
            entries
        };
        if entries.iter().any(|entry| matches!(entry.payload, EntryPayload::Membership(_))) {
            self.inner.replications.send_modify(|count| *count += 1);
        }
        *self.inner.unsnapshotted_bytes.lock() +=
            entries.iter().map(|entry| entry_bytes(entry) as u64).sum::<u64>();
        self.inner.writer.send(Change::Append { entries, flushed: callback });
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let since = log_id.index;
        let previous = match since.checked_sub(1) {
            Some(previous) => self.read(previous, since, 0).await?.pop().map(|entry| entry.log_id),
            None => None,
        };
        self.inner.cache.write().truncate(since, previous);
        self.change(|done| Change::Truncate { since, done }).await.map_err(write_failed)?;
        self.inner.cache.write().truncated(since);
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        if !self.may_forget(log_id.index).await {
            return Err(write_failed("the snapshot that covers what is to be purged was not installed"));
        }
        let beyond = self.inner.cache.read().last() <= Some(log_id);
        self.inner.cache.write().purge(log_id);
        let (log, one_at_a_time) = (Arc::clone(&self.inner.log), Arc::clone(&self.inner.purging));
        let purge = runtime::blocking(move || {
            let _one_at_a_time = one_at_a_time.lock();
            if log.purged() >= Some(position(log_id.index)) {
                return Ok(());
            }
            let meta = vec![(PURGED, Some(wire::log_id_to_pb(log_id).encode_to_vec()))];
            let purged =
                log.write(LogBatch { meta, purge_upto: Some(position(log_id.index)), ..LogBatch::default() });
            purged.inspect_err(|error| tracing::error!(%error, "can't purge the log"))
        });
        if beyond {
            // The next append has to find the log purged, or it would leave a gap.
            purge.await.map_err(write_failed)?.map_err(write_failed)?;
        }
        // Else it goes on beside the writes: they need not wait, and a restart finishes what a crash interrupts.
        Ok(())
    }
}
