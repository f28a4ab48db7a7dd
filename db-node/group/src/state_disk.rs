//! What a replica's records lie on.

use std::fmt::Debug;

use agora_machine::Change;
use agora_storage::{Compaction, KeyValue, StagedState, StateStore, StorageError};

/// Records that are found again.
pub(crate) type Found = Box<dyn Iterator<Item = Result<KeyValue, StorageError>> + Send>;

/// A durable store of records, with the position that they lead to.
pub(crate) trait StateDisk: Debug + Send + Sync {
    /// See [`StateStore::commit`].
    fn commit(&self, changes: Vec<Change>, position: &[u8]) -> Result<(), StorageError>;
    /// See [`StateStore::sync`].
    fn sync(&self) -> Result<(), StorageError>;
    /// See [`StateStore::position`].
    fn position(&self) -> Result<Option<Vec<u8>>, StorageError>;
    /// See [`StateStore::records`].
    fn records(&self) -> Found;
    /// See [`StateStore::stage`].
    fn stage(&self) -> Result<Box<dyn Staged>, StorageError>;
    /// See [`StateStore::is_worth_compaction`].
    fn is_worth_compaction(&self) -> Result<bool, StorageError>;
    /// See [`StateStore::compact`].
    fn compact(&self, goes_on: &mut dyn FnMut() -> bool) -> Result<Compaction, StorageError>;
}

/// A new state that is not current yet.
pub(crate) trait Staged {
    /// See [`StagedState::put`].
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageError>;
    /// See [`StagedState::install`].
    fn install(self: Box<Self>, position: &[u8]) -> Result<(), StorageError>;
}

impl StateDisk for StateStore {
    fn commit(&self, changes: Vec<Change>, position: &[u8]) -> Result<(), StorageError> {
        StateStore::commit(self, changes.into_iter().map(|change| (change.key, change.value)), position)
    }

    fn sync(&self) -> Result<(), StorageError> {
        StateStore::sync(self)
    }

    fn position(&self) -> Result<Option<Vec<u8>>, StorageError> {
        StateStore::position(self)
    }

    fn records(&self) -> Found {
        Box::new(StateStore::records(self))
    }

    fn stage(&self) -> Result<Box<dyn Staged>, StorageError> {
        Ok(Box::new(StateStore::stage(self)?))
    }

    fn is_worth_compaction(&self) -> Result<bool, StorageError> {
        StateStore::is_worth_compaction(self)
    }

    fn compact(&self, goes_on: &mut dyn FnMut() -> bool) -> Result<Compaction, StorageError> {
        StateStore::compact(self, goes_on)
    }
}

impl Staged for StagedState {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        StagedState::put(self, key, value)
    }

    fn install(self: Box<Self>, position: &[u8]) -> Result<(), StorageError> {
        StagedState::install(*self, position)
    }
}
