//! The log: contiguous entries of opaque bytes by position, and a few named values beside them, changed together.

use std::ops::RangeBounds;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::directory::Held;
use crate::error::StorageError;
use crate::log_record::{self as record, Assembly, ENTRY_BYTES_MAX};

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
    database: sled::Db,
    held: Arc<Held>,
    bounds: Mutex<Bounds>,
}

/// What the log holds: positions `purged + 1 ..= last`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bounds {
    /// Everything up to here was purged.
    purged: Option<u64>,
    /// The first entry, if there is one.
    first: Option<u64>,
    /// The last entry, if there is one.
    last: Option<u64>,
}

impl Bounds {
    fn next(&self) -> Option<u64> {
        self.last.max(self.purged).map(|position| position + 1)
    }

    fn truncate(&mut self, after: u64) {
        if self.last.is_some_and(|last| last > after) {
            self.last = Some(after);
        }
        self.drop_if_empty();
    }

    fn purge(&mut self, upto: u64) {
        self.purged = self.purged.max(Some(upto));
        self.first = self.first.max(self.purged.map(|purged| purged + 1));
        self.drop_if_empty();
    }

    fn drop_if_empty(&mut self) {
        if self.last < self.first || self.last.is_none() {
            (self.first, self.last) = (None, None);
        }
    }
}

/// The position up to which entries were purged, as a named value.
const PURGED: &str = "\0purged";

/// How many records one removal takes at most, so that appends wait only shortly for a purge.
const PURGE_RECORDS: usize = 512;

impl Log {
    pub(crate) fn open(database: sled::Db, held: Arc<Held>) -> Result<Log, StorageError> {
        let log = Log { inner: Arc::new(Inner { database, held, bounds: Mutex::default() }) };
        let purged = match log.meta(PURGED)? {
            Some(bytes) => {
                let bytes = bytes
                    .try_into()
                    .map_err(|_| log.damaged("the position of the last purge is malformed"))?;
                Some(u64::from_be_bytes(bytes))
            }
            None => None,
        };
        if let Some(purged) = purged {
            // A crash may have come between the promise to purge and its execution.
            log.remove_purged(purged)?;
        }
        let end = |key: Option<Result<sled::IVec, sled::Error>>| match key {
            Some(key) => match record::position(&key.map_err(log.failed())?) {
                Some((position, _)) => Ok(Some(position)),
                None => Err(log.damaged("it has a malformed key")),
            },
            None => Ok(None),
        };
        let first = end(log.inner.database.range(record::all()).keys().next())?;
        let last = end(log.inner.database.range(record::all()).keys().next_back())?;
        if let (Some(purged), Some(first)) = (purged, first)
            && first != purged + 1
        {
            return Err(log.damaged(&format!("its log starts at {first}, but it was purged up to {purged}")));
        }
        *log.bounds() = Bounds { purged, first, last };
        Ok(log)
    }

    /// Makes changes, all or none of which survive a crash; they are durable after the next [`Log::sync`].
    ///
    /// # Errors
    /// `Gap` if the entries are not contiguous, `TooLarge`, or the database failed. Nothing was changed, unless it was a
    /// purge that failed: then the next one or the next start goes on with it.
    pub fn write(&self, batch: LogBatch) -> Result<(), StorageError> {
        let mut bounds = self.bounds();
        let mut after = *bounds;
        let mut writes = sled::Batch::default();
        if let Some(position) = batch.truncate_after {
            after.truncate(position);
            self.remove_above(position, &mut writes)?;
        }
        // A purge beyond the end makes room for entries that follow it, and not the entries before.
        let purged_first = batch.purge_upto.filter(|upto| after.last.is_none_or(|last| *upto > last));
        if let Some(position) = purged_first {
            after.purge(position);
        }
        for (position, bytes) in batch.append.iter().filter(|(position, _)| Some(*position) > purged_first) {
            self.check(&after, *position, bytes)?;
            for (key, piece) in record::cut(*position, bytes) {
                writes.insert(&key, piece);
            }
            after.first = after.first.or(Some(*position));
            after.last = Some(*position);
        }
        if let Some(position) = batch.purge_upto {
            after.purge(position);
            let purged = after.purged.unwrap_or(position);
            writes.insert(record::meta_key(PURGED), record::sealed_meta(PURGED, &purged.to_be_bytes()));
        }
        for (name, value) in &batch.meta {
            match value {
                Some(value) => writes.insert(record::meta_key(name), record::sealed_meta(name, value)),
                None => writes.remove(record::meta_key(name)),
            }
        }
        self.inner.database.apply_batch(writes).map_err(self.failed())?;
        *bounds = after;
        drop(bounds);
        match batch.purge_upto {
            Some(position) => self.remove_purged(position),
            None => Ok(()),
        }
    }

    fn check(&self, bounds: &Bounds, position: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let directory = || self.inner.held.path.clone();
        if let Some(expected) = bounds.next()
            && position != expected
        {
            return Err(StorageError::Gap { directory: directory(), at: position, expected });
        }
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(StorageError::TooLarge { directory: directory(), bytes: bytes.len() });
        }
        Ok(())
    }

    fn remove_above(&self, position: u64, writes: &mut sled::Batch) -> Result<(), StorageError> {
        let above = record::key(position, u16::MAX)..=*record::all().end();
        for key in self.inner.database.range(above).keys() {
            let key = key.map_err(self.failed())?;
            // The range starts at the last conceivable piece of the entry that stays.
            if record::position(&key).is_some_and(|(found, _)| found > position) {
                writes.remove(key);
            }
        }
        Ok(())
    }

    /// Removes what was purged, from the front and in bounded steps: whatever interrupts it, the rest stays contiguous.
    fn remove_purged(&self, upto: u64) -> Result<(), StorageError> {
        loop {
            let mut writes = sled::Batch::default();
            let mut found = 0;
            for key in self
                .inner
                .database
                .range(record::key(0, 0)..=record::key(upto, u16::MAX))
                .keys()
                .take(PURGE_RECORDS)
            {
                writes.remove(key.map_err(self.failed())?);
                found += 1;
            }
            if found == 0 {
                return Ok(());
            }
            self.inner.database.apply_batch(writes).map_err(self.failed())?;
        }
    }

    /// Makes everything that was written before this call durable, with one fsync. Blocks.
    ///
    /// # Errors
    /// The disk failed; nothing is known then about what was not durable before.
    pub fn sync(&self) -> Result<(), StorageError> {
        self.inner.database.flush().map(drop).map_err(self.failed())
    }

    /// The entries of a range, in order, up to about `max_bytes` of them, but at least one if there is one.
    ///
    /// # Errors
    /// `Damaged` if an entry is not what was written, or one is missing between others.
    pub fn read(
        &self,
        range: impl RangeBounds<u64>,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, StorageError> {
        let Some((first, last)) = within(&range, *self.bounds()) else { return Ok(Vec::new()) };
        let mut entries: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut bytes = 0;
        let mut assembly: Option<Assembly> = None;
        let damaged = |what: String| self.damaged(&what);
        for item in self.inner.database.range(record::key(first, 0)..=record::key(last, u16::MAX)) {
            let (key, value) = item.map_err(self.failed())?;
            let (position, piece) =
                record::position(&key).ok_or_else(|| self.damaged("its log has a malformed key"))?;
            match &mut assembly {
                Some(started) if started.position() == position => {
                    started.add(piece, &value).map_err(damaged)?
                }
                _ => {
                    if let Some(done) = assembly.take() {
                        let entry = done.finish().map_err(damaged)?;
                        bytes += entry.1.len();
                        entries.push(entry);
                        if bytes >= max_bytes {
                            break;
                        }
                    }
                    let expected = entries.last().map_or(first, |(position, _)| position + 1);
                    if position != expected || piece != 0 {
                        return Err(self.damaged(&format!("log position {expected} is missing")));
                    }
                    assembly = Some(Assembly::start(position, &value).map_err(damaged)?);
                }
            }
        }
        if let Some(done) = assembly {
            entries.push(done.finish().map_err(damaged)?);
        }
        Ok(entries)
    }

    /// The first position that is still there; None if the log is empty.
    pub fn first(&self) -> Option<u64> {
        self.bounds().first
    }

    /// The last position; None if the log is empty.
    pub fn last(&self) -> Option<u64> {
        self.bounds().last
    }

    /// The last position that was purged.
    pub fn purged(&self) -> Option<u64> {
        self.bounds().purged
    }

    /// A named value.
    ///
    /// # Errors
    /// `Damaged` if it is not what was written.
    pub fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let sealed = self.inner.database.get(record::meta_key(name)).map_err(self.failed())?;
        let value = sealed.map(|sealed| record::unsealed_meta(name, &sealed)).transpose();
        value.map_err(|what| self.damaged(&what))
    }

    /// Bytes on disk.
    ///
    /// # Errors
    /// The file system refused.
    pub fn disk_bytes(&self) -> Result<u64, StorageError> {
        self.inner.database.size_on_disk().map_err(self.failed())
    }

    fn bounds(&self) -> MutexGuard<'_, Bounds> {
        self.inner.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self) -> impl Fn(sled::Error) -> StorageError + use<> {
        StorageError::database(&self.inner.held.path)
    }

    fn damaged(&self, what: &str) -> StorageError {
        StorageError::damaged(&self.inner.held.path, what)
    }
}

/// The first and the last position of a range that the log holds.
fn within(range: &impl RangeBounds<u64>, bounds: Bounds) -> Option<(u64, u64)> {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    let (first, last) = (bounds.first?, bounds.last?);
    let start = match range.start_bound() {
        Included(start) => *start,
        Excluded(start) => start.checked_add(1)?,
        Unbounded => first,
    };
    let end = match range.end_bound() {
        Included(end) => *end,
        Excluded(end) => end.checked_sub(1)?,
        Unbounded => last,
    };
    let (start, end) = (start.max(first), end.min(last));
    (start <= end).then_some((start, end))
}
