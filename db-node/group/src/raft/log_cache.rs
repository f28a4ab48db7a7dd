//! The tail of the log in memory: what replication and the state machine read a moment after it was written.

use std::collections::VecDeque;

use super::types::{Entry, LogId};

/// How many bytes of commands stay in memory; entries beyond are read from disk.
const CACHE_BYTES: usize = 32 << 20;
/// What an entry takes besides its commands, about.
const ENTRY_BYTES: usize = 128;

/// The bounds of the log, and its last entries: always a contiguous end of it.
#[derive(Debug, Default)]
pub(crate) struct LogCache {
    purged: Option<LogId>,
    /// The first index that is there, or that comes next if there is none.
    first: u64,
    last: Option<LogId>,
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Entries up to here are on disk, and may leave memory.
    written: Option<u64>,
}

pub(crate) fn entry_bytes(entry: &Entry) -> usize {
    let commands = match &entry.payload {
        openraft::EntryPayload::Normal(batch) => {
            batch.commands.iter().map(|command| command.len() + 32).sum()
        }
        _ => 0,
    };
    ENTRY_BYTES + commands
}

impl LogCache {
    /// Of a log that has entries from `first` on, if it has any.
    pub(crate) fn new(purged: Option<LogId>, first: Option<u64>, last: Option<LogId>) -> Self {
        let written = last.map(|last| last.index);
        let first = first.unwrap_or_else(|| purged.map_or(0, |id| id.index + 1));
        LogCache { purged, first, last: last.max(purged), entries: VecDeque::new(), bytes: 0, written }
    }

    pub(crate) fn purged(&self) -> Option<LogId> {
        self.purged
    }

    pub(crate) fn last(&self) -> Option<LogId> {
        self.last
    }

    /// The indexes that the log holds: from the first up to, but without, the second.
    pub(crate) fn bounds(&self) -> (u64, u64) {
        (self.first, self.last.map_or(0, |id| id.index + 1))
    }

    /// The first index that is in memory, which may be just behind the last entry.
    pub(crate) fn first_in_memory(&self) -> u64 {
        self.entries.front().map_or(self.bounds().1, |entry| entry.log_id.index)
    }

    /// The entries of a range that is in memory, up to about so many bytes, but at least one.
    pub(crate) fn read(&self, start: u64, end: u64, max_bytes: usize) -> Vec<Entry> {
        let skip = usize::try_from(start.saturating_sub(self.first_in_memory())).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let until = |entry: &&Entry| {
            let fits = entry.log_id.index < end && (bytes == 0 || bytes < max_bytes);
            bytes += entry_bytes(entry);
            fits
        };
        self.entries.iter().skip(skip).take_while(until).cloned().collect()
    }

    pub(crate) fn append(&mut self, entries: &[Entry]) {
        for entry in entries {
            if self.last.is_none() {
                self.first = entry.log_id.index;
            }
            self.last = Some(entry.log_id);
            self.bytes += entry_bytes(entry);
            self.entries.push_back(entry.clone());
        }
    }

    /// Notes that entries up to this index are on disk, and lets old ones go.
    pub(crate) fn written(&mut self, upto: u64) {
        self.written = self.written.max(Some(upto));
        while self.bytes > CACHE_BYTES
            && self.entries.len() > 1
            && self.entries.front().is_some_and(|entry| Some(entry.log_id.index) <= self.written)
        {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry_bytes(&entry);
        }
    }

    /// Removes entries from this index on. `previous` is the id of the one before, if there is one.
    pub(crate) fn truncate(&mut self, since: u64, previous: Option<LogId>) {
        while self.entries.back().is_some_and(|entry| entry.log_id.index >= since) {
            if let Some(entry) = self.entries.pop_back() {
                self.bytes -= entry_bytes(&entry);
            }
        }
        if self.last.is_some_and(|last| last.index >= since) {
            self.last = previous.max(self.purged);
            self.written = self.written.min(self.last.map(|last| last.index));
        }
    }

    /// Notes that nothing from this index on is on disk any more. Writes that were under way when the log was truncated
    /// have been noted since, and what follows takes their place.
    pub(crate) fn truncated(&mut self, since: u64) {
        self.written = self.written.min(since.checked_sub(1));
    }

    pub(crate) fn purge(&mut self, upto: LogId) {
        while self.entries.front().is_some_and(|entry| entry.log_id.index <= upto.index) {
            self.pop_front();
        }
        self.purged = self.purged.max(Some(upto));
        self.first = self.first.max(upto.index + 1);
        self.last = self.last.max(self.purged);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use openraft::{EntryPayload, LeaderId};

    use super::super::types::Batch;
    use super::*;

    fn entry(index: u64, bytes: usize) -> Entry {
        let batch = Batch { time_ms: 0, commands: Arc::from(vec![vec![0; bytes].into()]) };
        Entry { log_id: LogId::new(LeaderId::new(1, 1.into()), index), payload: EntryPayload::Normal(batch) }
    }

    fn indexes(entries: &[Entry]) -> Vec<u64> {
        entries.iter().map(|entry| entry.log_id.index).collect()
    }

    #[test]
    fn only_what_is_on_disk_leaves_memory() {
        let mut cache = LogCache::default();
        for index in 0..40 {
            cache.append(&[entry(index, 1 << 20)]);
        }
        assert_eq!(cache.first_in_memory(), 0);
        cache.written(3);
        assert_eq!(cache.first_in_memory(), 4);
        cache.written(39);
        let first = cache.first_in_memory();
        assert!(first > 4 && first < 40, "{first}");
        assert_eq!(cache.bounds(), (0, 40));
    }

    #[test]
    fn a_read_stops_at_its_bytes_but_gives_one_entry() {
        let mut cache = LogCache::default();
        cache.append(&(0..10).map(|index| entry(index, 1000)).collect::<Vec<_>>());
        assert_eq!(indexes(&cache.read(3, 6, usize::MAX)), [3, 4, 5]);
        assert_eq!(indexes(&cache.read(3, 6, 1)), [3]);
        assert_eq!(indexes(&cache.read(3, 6, 0)), [3]);
        assert_eq!(indexes(&cache.read(8, 20, usize::MAX)), [8, 9]);
    }

    #[test]
    fn truncation_and_purge_move_the_bounds() {
        let mut cache = LogCache::default();
        cache.append(&(0..10).map(|index| entry(index, 10)).collect::<Vec<_>>());
        cache.truncate(7, Some(entry(6, 0).log_id));
        cache.purge(entry(3, 0).log_id);
        assert_eq!((cache.bounds(), cache.first_in_memory()), ((4, 7), 4));
        cache.purge(entry(20, 0).log_id);
        assert_eq!((cache.bounds(), cache.first_in_memory()), ((21, 21), 21));
    }
}
