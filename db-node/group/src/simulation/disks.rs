//! Disks in memory that know what was synced: a crash takes what was not, or a part of it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use agora_machine::Change;
use agora_storage::{Compaction, KeyValue, LogBatch, StorageError};
use bytes::Bytes;
use parking_lot::Mutex;
use rand::Rng;

use super::executor;
use crate::raft::LogDisk;
use crate::state_disk::{Found, Staged, StateDisk};

/// What becomes of what disks are asked to make durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Disks {
    /// It is durable.
    #[default]
    Honest,
    /// They say so, and it is not.
    Pretending,
}

/// An image with the changes on top of it that are not synced.
#[derive(Debug)]
struct Disk<I, C> {
    synced: I,
    current: I,
    unsynced: Vec<C>,
    kind: Disks,
}

/// What a disk holds.
trait Image<C>: Clone {
    fn apply(&mut self, change: C);
}

impl<I: Image<C> + Default, C: Clone> Default for Disk<I, C> {
    fn default() -> Self {
        Disk { synced: I::default(), current: I::default(), unsynced: Vec::new(), kind: Disks::Honest }
    }
}

impl<I: Image<C>, C: Clone> Disk<I, C> {
    fn write(&mut self, change: C) {
        self.current.apply(change.clone());
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        if self.kind == Disks::Pretending {
            return;
        }
        self.unsynced.clear();
        self.synced = self.current.clone();
    }

    /// Writes reach the disk in their order, so that a first part of them survives.
    fn crash(&mut self) {
        let survive = executor::draw(|random| random.random_range(0..=self.unsynced.len())).unwrap_or(0);
        for change in self.unsynced.drain(..).take(survive) {
            self.synced.apply(change);
        }
        self.current = self.synced.clone();
    }
}

#[derive(Clone, Debug, Default)]
struct LogImage {
    entries: BTreeMap<u64, Vec<u8>>,
    purged: Option<u64>,
    meta: BTreeMap<&'static str, Vec<u8>>,
}

impl Image<LogBatch> for LogImage {
    fn apply(&mut self, batch: LogBatch) {
        for (name, value) in batch.meta {
            match value {
                Some(value) => drop(self.meta.insert(name, value)),
                None => drop(self.meta.remove(name)),
            }
        }
        if let Some(after) = batch.truncate_after {
            self.entries.split_off(&(after + 1));
        }
        for (position, bytes) in batch.append {
            let last = self.entries.last_key_value().map(|(last, _)| *last).max(self.purged);
            let expected = last.max(batch.purge_upto.filter(|upto| Some(*upto) > last)).unwrap_or(0) + 1;
            assert!(last.is_none() || position == expected, "a gap in the log: {position} is not {expected}");
            self.entries.insert(position, bytes);
        }
        if let Some(upto) = batch.purge_upto {
            self.entries = self.entries.split_off(&(upto + 1));
            self.purged = self.purged.max(Some(upto));
        }
    }
}

/// A log's disk. All clones are the same disk.
#[derive(Clone, Debug)]
pub(super) struct MemoryLog(Arc<Mutex<Disk<LogImage, LogBatch>>>);

impl MemoryLog {
    pub(super) fn new(kind: Disks) -> MemoryLog {
        MemoryLog(Arc::new(Mutex::new(Disk { kind, ..Disk::default() })))
    }

    pub(super) fn crash(&self) {
        self.0.lock().crash();
    }
}

impl LogDisk for MemoryLog {
    fn write(&self, batch: LogBatch) -> Result<(), StorageError> {
        self.0.lock().write(batch);
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.0.lock().sync();
        Ok(())
    }

    fn read(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<(u64, Vec<u8>)>, StorageError> {
        let (disk, mut bytes) = (self.0.lock(), 0);
        let mut found = Vec::new();
        for (position, entry) in disk.current.entries.range(range) {
            found.push((*position, entry.clone()));
            bytes += entry.len();
            if bytes >= max_bytes {
                break;
            }
        }
        Ok(found)
    }

    fn first(&self) -> Option<u64> {
        self.0.lock().current.entries.first_key_value().map(|(first, _)| *first)
    }

    fn last(&self) -> Option<u64> {
        self.0.lock().current.entries.last_key_value().map(|(last, _)| *last)
    }

    fn purged(&self) -> Option<u64> {
        self.0.lock().current.purged
    }

    fn meta(&self, name: &str) -> Option<Vec<u8>> {
        self.0.lock().current.meta.get(name).cloned()
    }
}

#[derive(Clone, Debug, Default)]
struct StateImage {
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    position: Option<Vec<u8>>,
}

type Commit = (Vec<Change>, Vec<u8>);

impl Image<Commit> for StateImage {
    fn apply(&mut self, (changes, position): Commit) {
        for Change { key, value } in changes {
            match value {
                Some(value) => drop(self.records.insert(key.to_vec(), value.to_vec())),
                None => drop(self.records.remove(key.as_ref())),
            }
        }
        self.position = Some(position);
    }
}

/// A state's disk. All clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(super) struct MemoryState(Arc<Mutex<Disk<StateImage, Commit>>>);

impl MemoryState {
    pub(super) fn crash(&self) {
        self.0.lock().crash();
    }
}

impl StateDisk for MemoryState {
    fn commit(&self, changes: Vec<Change>, position: &[u8]) -> Result<(), StorageError> {
        self.0.lock().write((changes, position.to_vec()));
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.0.lock().sync();
        Ok(())
    }

    fn position(&self) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.0.lock().current.position.clone())
    }

    fn records(&self) -> Found {
        let records: Vec<KeyValue> = self.0.lock().current.records.clone().into_iter().collect();
        Box::new(records.into_iter().map(Ok))
    }

    fn stage(&self) -> Result<Box<dyn Staged>, StorageError> {
        Ok(Box::new(MemoryStaged { disk: self.clone(), records: Vec::new() }))
    }

    fn is_worth_compaction(&self) -> Result<bool, StorageError> {
        Ok(false)
    }

    fn compact(&self, _: &mut dyn FnMut() -> bool) -> Result<Compaction, StorageError> {
        Ok(Compaction::Stopped)
    }
}

struct MemoryStaged {
    disk: MemoryState,
    records: Vec<(Bytes, Bytes)>,
}

impl Staged for MemoryStaged {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.records.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        Ok(())
    }

    fn install(self: Box<Self>, position: &[u8]) -> Result<(), StorageError> {
        let records = self.records.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        let mut disk = self.disk.0.lock();
        disk.current = StateImage { records, position: Some(position.to_vec()) };
        disk.sync();
        Ok(())
    }
}
