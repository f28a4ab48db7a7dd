//! A new generation on its way: records go into its base, and at the end it becomes current at once or not at all.
//!
//! The steps, each of them durable before the next one: base and changes are complete; the identity file names the new
//! generation instead of the old one; the old one is removed. A crash leaves the old state or the new one, as a whole,
//! and what else lies there is removed at the next start.

use std::sync::Arc;

use super::base::BaseWriter;
use super::generation::{self, Generation};
use super::recent::{Changes, Recent};
use super::steps::{Step, reached};
use super::{Current, StateStore};
use crate::error::StorageError;
use crate::identity;

/// How many bytes of records that come out of order are written together.
const OUT_OF_ORDER_BYTES: usize = 4 << 20;

/// A new state that is being written beside the current one, and that becomes current at once or not at all.
#[derive(Debug)]
pub struct StagedState {
    pub(super) store: StateStore,
    pub(super) number: u64,
    pub(super) recent: Recent,
    base: BaseWriter,
    out_of_order: Changes,
    /// Its files stay, whatever becomes of this.
    kept: bool,
}

impl Drop for StagedState {
    fn drop(&mut self) {
        if !self.kept {
            // What can't be removed now is removed at the next start.
            let _ = generation::remove(&self.store.inner.held.path, self.number);
        }
    }
}

impl StagedState {
    pub(super) fn begin(store: &StateStore, number: u64) -> Result<StagedState, StorageError> {
        let directory = &store.inner.held.path;
        let begun = generation::begin(directory, number);
        let (base, recent) = begun.inspect_err(|_| drop(generation::remove(directory, number)))?;
        let out_of_order = Changes::default();
        let staged = StagedState { store: store.clone(), number, recent, base, out_of_order, kept: false };
        staged.reached(Step::Begun)?;
        Ok(staged)
    }

    /// Adds a record. It is best to add them in the order of their keys.
    ///
    /// # Errors
    /// The disk failed.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        let path = &self.store.inner.held.path;
        if self.base.put(key, value).map_err(StorageError::io(path, "write the state"))? {
            return Ok(());
        }
        // A base has no place for it. The next one will.
        self.out_of_order.put(key, Some(value));
        if self.out_of_order.bytes() < OUT_OF_ORDER_BYTES {
            return Ok(());
        }
        self.recent.apply(std::mem::take(&mut self.out_of_order))
    }

    /// Makes it durable, then current, and removes the state that was. Blocks.
    ///
    /// # Errors
    /// The disk failed; the old state stays.
    pub fn install(mut self, position: &[u8]) -> Result<(), StorageError> {
        self.out_of_order.set_position(position);
        self.recent.apply(std::mem::take(&mut self.out_of_order))?;
        let generation = self.complete()?;
        let old = self.switch(&mut self.store.clone().inner.current(), generation)?;
        self.discard(&old)
    }

    /// All of it, durable.
    pub(super) fn complete(&mut self) -> Result<Generation, StorageError> {
        let written = (&mut self.base, self.recent.clone());
        let generation = Generation::complete(&self.store.inner.held.path, self.number, written)?;
        self.reached(Step::Durable)?;
        Ok(generation)
    }

    /// Makes it the current generation, and returns the one that was.
    pub(super) fn switch(
        &mut self,
        current: &mut Current,
        generation: Generation,
    ) -> Result<Arc<Generation>, StorageError> {
        let directory = &self.store.inner.held.path;
        current.check(directory)?;
        let mut found = current.found.clone();
        found.state = self.number;
        identity::prepare(directory, &found)?;
        self.reached(Step::Prepared)?;
        self.kept = true;
        let published = identity::publish(directory).and_then(|()| self.reached(Step::Current));
        // From here on either may be the one that a restart finds.
        current.undecided = published.is_err();
        published?;
        (current.found, current.follower) = (found, None);
        Ok(std::mem::replace(&mut current.generation, Arc::new(generation)))
    }

    /// Removes the generation that was.
    pub(super) fn discard(&self, old: &Generation) -> Result<(), StorageError> {
        // What can't be removed now is removed at the next start.
        let _ = generation::remove(&self.store.inner.held.path, old.number);
        self.reached(Step::Removed)
    }

    pub(super) fn reached(&self, step: Step) -> Result<(), StorageError> {
        reached(step).map_err(StorageError::io(&self.store.inner.held.path, "write a new state"))
    }
}
