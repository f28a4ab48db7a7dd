//! The log: contiguous entries of opaque bytes by position, and a few named values beside them, changed together.
//!
//! It lies in segments: files that are only ever written at their end, a frame for each batch of changes. A frame counts as a
//! whole or not at all, by its checksum. What the log holds, and where, is kept in memory, and found again at the start
//! by reading the segments; one fdatasync makes all frames before it durable. A segment begins with all that is known
//! besides entries, so those before it can go once their entries are purged.

mod frame;
mod index;
mod ops;
mod recover;
mod segment;

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeBounds;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agora_sabotage::Promise;

use crate::directory::Held;
use crate::error::StorageError;
use crate::identity::sync_directory;
use index::Index;
use segment::Segment;

/// The largest entry.
const ENTRY_BYTES_MAX: usize = 256 << 20;
/// A segment takes no more frames once it has this many bytes.
const SEGMENT_BYTES: u64 = 16 << 20;

/// Changes to the log that take effect as a whole, in the order of the fields; only the removal of purged entries may lag.
#[derive(Clone, Debug, Default)]
pub struct LogBatch {
    /// Named values to set, or (None) to remove.
    pub meta: Vec<(&'static str, Option<Vec<u8>>)>,
    /// Removes all entries above this position.
    pub truncate_after: Option<u64>,
    /// Entries to append, contiguous, behind the last that is left.
    pub append: Vec<(u64, Vec<u8>)>,
    /// Forgets all entries up to and including this position, which may lie beyond the last.
    pub purge_upto: Option<u64>,
}

/// A durable log. Cheap to clone; all clones are the same log.
#[derive(Clone, Debug)]
pub struct Log {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    held: Arc<Held>,
    files: Mutex<Files>,
    /// Counted since the start.
    syncs: AtomicU64,
}

#[derive(Debug)]
struct Files {
    index: Index,
    /// By number, without gaps. All but the last are complete and durable.
    segments: BTreeMap<u64, Arc<Segment>>,
    /// The last of them, and where its next frame goes.
    active: Arc<Segment>,
    end: u64,
    /// Up to where the last one is durable.
    durable: u64,
    /// A sync has failed: what is on the disk is not known any more, and no later sync can tell.
    failed: bool,
}

impl Log {
    /// A new log in a directory of its own.
    pub(crate) fn create(directory: PathBuf, held: Arc<Held>) -> Result<Log, StorageError> {
        let failed = StorageError::io(&held.path, "create the log");
        fs::create_dir_all(&directory).map_err(&failed)?;
        let index = Index::default();
        let (active, end) = begin_segment(&directory, 1, &index).map_err(&failed)?;
        sync_directory(&directory)?;
        let segments = BTreeMap::from([(1, Arc::clone(&active))]);
        let files = Files { index, segments, active, end, durable: end, failed: false };
        Ok(Log::over(directory, held, files))
    }

    /// The log that was created there.
    pub(crate) fn open(directory: PathBuf, held: Arc<Held>) -> Result<Log, StorageError> {
        let files = recover::recover(&directory, &held.path)?;
        Ok(Log::over(directory, held, files))
    }

    fn over(directory: PathBuf, held: Arc<Held>, files: Files) -> Log {
        Log { inner: Arc::new(Inner { directory, held, files: Mutex::new(files), syncs: AtomicU64::new(0) }) }
    }

    /// Makes changes, all or none of which survive a crash; they are durable after the next [`Log::sync`].
    ///
    /// # Errors
    /// `Gap` if the entries are not contiguous, `TooLarge`, or the disk failed. Nothing was changed, unless it was the
    /// removal of purged entries that failed: then the next purge goes on with it.
    pub fn write(&self, batch: LogBatch) -> Result<(), StorageError> {
        let mut files = self.files();
        self.check_disk(&files)?;
        let mut frame = self.checked(&files.index, &batch)?;
        if files.end >= SEGMENT_BYTES {
            let rolled = self.roll(&mut files);
            // What is left of a half begun segment must not be followed by frames in the one before.
            files.failed |= rolled.is_err();
            rolled?;
        }
        let (number, end) = (files.active.number, files.end);
        frame::seal(&mut frame, number, files.durable);
        files.active.write(&frame, end).map_err(self.failed("write the log"))?;
        let ops = frame::payload(&frame);
        for op in ops::read(ops) {
            // These can't fail: they were checked before they were put there.
            let op = op.map_err(|why| self.damaged(&why))?;
            let at = (number, end + frame::HEADER_BYTES as u64);
            files.index.apply(op, ops, at).map_err(|why| self.damaged(&why))?;
        }
        files.end += frame.len() as u64;
        if batch.purge_upto.is_some() { self.remove_purged(&mut files) } else { Ok(()) }
    }

    /// The changes as a frame without its header, in the order in which they are made.
    fn checked(&self, index: &Index, batch: &LogBatch) -> Result<Vec<u8>, StorageError> {
        let mut ops =
            frame::begin(128 + batch.append.iter().map(|(_, bytes)| bytes.len() + 16).sum::<usize>());
        for (name, value) in &batch.meta {
            ops::put_meta(&mut ops, name, value.as_deref());
        }
        if let Some(position) = batch.truncate_after {
            ops::put_truncate(&mut ops, position);
        }
        let last = index.last().map(|last| batch.truncate_after.map_or(last, |after| last.min(after)));
        let last = last.filter(|last| Some(*last) >= index.first());
        // A purge beyond the end makes room for entries that follow it, and not for the entries before.
        let purged_first = batch.purge_upto.filter(|upto| last.is_none_or(|last| *upto > last));
        if let Some(position) = purged_first {
            ops::put_purge(&mut ops, position);
        }
        let mut before = last.max(index.purged()).max(purged_first);
        for (position, bytes) in batch.append.iter().filter(|(position, _)| Some(*position) > purged_first) {
            let directory = || self.inner.held.path.clone();
            if let Some(expected) = before.map(|before| before + 1)
                && *position != expected
            {
                return Err(StorageError::Gap { directory: directory(), at: *position, expected });
            }
            if bytes.len() > ENTRY_BYTES_MAX || ops.len() + bytes.len() > ENTRY_BYTES_MAX * 2 {
                return Err(StorageError::TooLarge { directory: directory(), bytes: bytes.len() });
            }
            ops::put_append(&mut ops, *position, bytes);
            before = Some(*position);
        }
        if let Some(position) = batch.purge_upto.filter(|_| purged_first.is_none()) {
            ops::put_purge(&mut ops, position);
        }
        Ok(ops)
    }

    /// Ends the active segment and begins another one. All that was written is durable then.
    fn roll(&self, files: &mut Files) -> Result<(), StorageError> {
        let failed = self.failed("begin a segment of the log");
        self.sync_active(files)?;
        let number = files.active.number + 1;
        let (active, end) = begin_segment(&self.inner.directory, number, &files.index).map_err(&failed)?;
        sync_directory(&self.inner.directory)?;
        // From here on it is known that another one follows. That this is known need not be durable.
        let mut last = frame::begin(1);
        ops::put_end(&mut last);
        frame::seal(&mut last, files.active.number, files.durable);
        files.active.write(&last, files.end).map_err(&failed)?;
        files.segments.insert(number, Arc::clone(&active));
        (files.active, files.end, files.durable) = (active, end, end);
        Ok(())
    }

    /// Removes the segments of which nothing is left, the oldest first: whatever interrupts it, the rest is without gaps.
    fn remove_purged(&self, files: &mut Files) -> Result<(), StorageError> {
        let needed = files.index.first_segment().unwrap_or(files.active.number).min(files.active.number);
        if files.segments.keys().next().is_none_or(|first| *first >= needed) {
            return Ok(());
        }
        // Were the purge lost and the segments gone, the log would seem damaged.
        self.sync_active(files)?;
        while let Some(first) = files.segments.first_entry()
            && *first.key() < needed
        {
            let path = segment::path(&self.inner.directory, *first.key());
            fs::remove_file(path).map_err(self.failed("remove a segment of the log"))?;
            sync_directory(&self.inner.directory)?;
            first.remove();
        }
        Ok(())
    }

    fn sync_active(&self, files: &mut Files) -> Result<(), StorageError> {
        let synced = files.active.sync();
        self.synced(files, files.active.number, files.end, synced)
    }

    /// Takes note of a sync of a segment that covered all up to `upto`.
    fn synced(
        &self,
        files: &mut Files,
        number: u64,
        upto: u64,
        outcome: std::io::Result<()>,
    ) -> Result<(), StorageError> {
        self.inner.syncs.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = outcome {
            files.failed = true;
            return Err(self.failed("sync the log")(error));
        }
        if files.active.number == number {
            files.durable = files.durable.max(upto);
        }
        Ok(())
    }

    /// Makes everything that was written before this call durable, with one fdatasync. Blocks.
    ///
    /// # Errors
    /// The disk failed; nothing is known then about what was not durable before, and no later write or sync succeeds.
    pub fn sync(&self) -> Result<(), StorageError> {
        if agora_sabotage::breaks(Promise::Durability) {
            return Ok(());
        }
        let files = self.files();
        self.check_disk(&files)?;
        let (active, end) = (Arc::clone(&files.active), files.end);
        drop(files);
        let outcome = active.sync();
        self.synced(&mut self.files(), active.number, end, outcome)
    }

    /// The entries of a range, in order, up to about `max_bytes` of them, but at least one if there is one.
    ///
    /// # Errors
    /// `Damaged` if an entry is not what was written.
    pub fn read(
        &self,
        range: impl RangeBounds<u64>,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, StorageError> {
        let mut entries: Vec<(u64, Vec<u8>)> = Vec::new();
        // What is to be read is looked up first: a segment that is purged meanwhile stays readable while it is held.
        for (position, place, segment) in self.places(&range, max_bytes) {
            let read = segment.read(place.offset, place.length as usize);
            let bytes = read.map_err(self.failed("read the log"))?;
            if crc32fast::hash(&bytes) != place.checksum {
                let what = format!("the entry at log position {position} does not match its checksum");
                return Err(self.damaged(&what));
            }
            entries.push((position, bytes));
        }
        Ok(entries)
    }

    fn places(
        &self,
        range: &impl RangeBounds<u64>,
        max_bytes: usize,
    ) -> Vec<(u64, index::Place, Arc<Segment>)> {
        let files = self.files();
        let mut bytes = 0;
        let mut found = Vec::new();
        for (position, place) in files.index.within(range) {
            let Some(segment) = files.segments.get(&place.segment) else { break };
            found.push((position, place, Arc::clone(segment)));
            bytes += place.length as usize;
            if bytes >= max_bytes {
                break;
            }
        }
        found
    }

    /// The first position that is still there; None if the log is empty.
    pub fn first(&self) -> Option<u64> {
        self.files().index.first()
    }

    /// The last position; None if the log is empty.
    pub fn last(&self) -> Option<u64> {
        self.files().index.last()
    }

    /// The last position that was purged.
    pub fn purged(&self) -> Option<u64> {
        self.files().index.purged()
    }

    /// A named value.
    pub fn meta(&self, name: &str) -> Option<Vec<u8>> {
        self.files().index.meta(name).map(<[u8]>::to_vec)
    }

    /// Bytes on disk.
    pub fn disk_bytes(&self) -> u64 {
        self.files().segments.values().map(|segment| segment.allocated()).sum()
    }

    /// How often the disk was waited for since the log was opened.
    pub fn syncs(&self) -> u64 {
        self.inner.syncs.load(Ordering::Relaxed)
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.inner.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_disk(&self, files: &Files) -> Result<(), StorageError> {
        let again = || std::io::Error::other("its disk has failed before");
        if files.failed { Err(self.failed("write the log")(again())) } else { Ok(()) }
    }

    fn failed(&self, action: &'static str) -> impl Fn(std::io::Error) -> StorageError + use<> {
        StorageError::io(&self.inner.held.path, action)
    }

    fn damaged(&self, what: &str) -> StorageError {
        StorageError::damaged(&self.inner.held.path, what)
    }
}

/// A new segment with its first frame, durable but for its name in the directory; and where the next frame goes.
fn begin_segment(directory: &Path, number: u64, index: &Index) -> std::io::Result<(Arc<Segment>, u64)> {
    let segment = Segment::create(directory, number)?;
    let mut first = frame::begin(1024);
    index.put_summary(&mut first);
    frame::seal(&mut first, number, 0);
    segment.write(&first, 0)?;
    segment.sync()?;
    Ok((Arc::new(segment), first.len() as u64))
}
