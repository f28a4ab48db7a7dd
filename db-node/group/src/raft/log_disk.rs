//! What a log lies on, as far as openraft's log is concerned.

use std::fmt::Debug;
use std::ops::Range;

use agora_storage::{Log, LogBatch, StorageError};

/// A durable log of opaque entries by position, with named values beside them.
pub(crate) trait LogDisk: Debug + Send + Sync {
    /// See [`Log::write`].
    fn write(&self, batch: LogBatch) -> Result<(), StorageError>;
    /// See [`Log::sync`].
    fn sync(&self) -> Result<(), StorageError>;
    /// See [`Log::read`].
    fn read(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<(u64, Vec<u8>)>, StorageError>;
    /// See [`Log::first`].
    fn first(&self) -> Option<u64>;
    /// See [`Log::last`].
    fn last(&self) -> Option<u64>;
    /// See [`Log::purged`].
    fn purged(&self) -> Option<u64>;
    /// See [`Log::meta`].
    fn meta(&self, name: &str) -> Option<Vec<u8>>;
}

impl LogDisk for Log {
    fn write(&self, batch: LogBatch) -> Result<(), StorageError> {
        Log::write(self, batch)
    }

    fn sync(&self) -> Result<(), StorageError> {
        Log::sync(self)
    }

    fn read(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<(u64, Vec<u8>)>, StorageError> {
        Log::read(self, range, max_bytes)
    }

    fn first(&self) -> Option<u64> {
        Log::first(self)
    }

    fn last(&self) -> Option<u64> {
        Log::last(self)
    }

    fn purged(&self) -> Option<u64> {
        Log::purged(self)
    }

    fn meta(&self, name: &str) -> Option<Vec<u8>> {
        Log::meta(self, name)
    }
}
