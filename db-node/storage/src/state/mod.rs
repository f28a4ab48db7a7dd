//! The state store: the records of a state machine, and the position up to which they were applied, never apart.
//!
//! A state lies in a generation: a dense base, which is written once, and a sled database with what has changed since. A whole
//! new state, be it another one or the same without the gaps, is written as the next generation and then made current by
//! one small write.

mod base;
mod compaction;
mod generation;
mod merge;
mod recent;
mod room;
mod staged;
mod steps;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::directory::Held;
use crate::error::StorageError;
use crate::identity::Found;
use compaction::Follower;
use generation::Generation;
use recent::Changes;

pub use compaction::Compaction;
pub use staged::StagedState;

/// The generation that a new directory begins with.
pub(crate) const FIRST_GENERATION: u64 = 1;
/// How many changes are read together; changes wait meanwhile.
const PAGE_RECORDS: usize = 1024;

/// A store of records. Cheap to clone; all clones are the same store.
#[derive(Clone, Debug)]
pub struct StateStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    held: Arc<Held>,
    current: Mutex<Current>,
    /// The number of the next generation that is written.
    next: AtomicU64,
}

/// What is current. Changes are made, and generations switched, by whoever holds it.
#[derive(Debug)]
struct Current {
    /// What the identity file says.
    found: Found,
    generation: Arc<Generation>,
    follower: Option<Follower>,
    /// It is not known which generation a restart would find.
    undecided: bool,
}

/// A key with its value.
pub type KeyValue = (Vec<u8>, Vec<u8>);

impl Inner {
    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore {
    /// An empty store, durable, in a data directory that is being created.
    pub(crate) fn create(held: Arc<Held>, found: Found) -> Result<StateStore, StorageError> {
        let generation = Generation::create(&held.path, found.state)?;
        Ok(Self::over(held, found, generation))
    }

    /// The store that is there. Other generations are left from something that was cut off.
    pub(crate) fn open(held: Arc<Held>, found: Found) -> Result<StateStore, StorageError> {
        let generation = Generation::open(&held.path, found.state)?;
        for other in generation::all(&held.path)?.into_iter().filter(|other| *other != found.state) {
            generation::remove(&held.path, other)?;
        }
        Ok(Self::over(held, found, generation))
    }

    fn over(held: Arc<Held>, found: Found, generation: Generation) -> StateStore {
        let next = AtomicU64::new(generation.number + 1);
        let current = Current { found, generation: Arc::new(generation), follower: None, undecided: false };
        StateStore { inner: Arc::new(Inner { held, current: Mutex::new(current), next }) }
    }

    /// Removes what a creation that was cut off has left.
    pub(crate) fn remove_all(directory: &Path) -> Result<(), StorageError> {
        generation::all(directory)?.into_iter().try_for_each(|number| generation::remove(directory, number))
    }

    /// Writes (or, without a value, removes) records together with the position that they lead to, atomically. A value is never
    /// empty. It becomes durable with the next [`StateStore::sync`]; until then a crash may bring back an earlier state with
    /// its position.
    ///
    /// # Errors
    /// The disk failed; nothing was changed.
    pub fn commit<K, V>(
        &self,
        changes: impl Iterator<Item = (K, Option<V>)>,
        position: &[u8],
    ) -> Result<(), StorageError>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let mut all = Changes::default();
        for (key, value) in changes {
            all.put(key.as_ref(), value.as_ref().map(AsRef::as_ref));
        }
        all.set_position(position);
        let mut current = self.inner.current();
        current.check(&self.inner.held.path)?;
        let for_follower = current.follower.is_some().then(|| all.clone());
        current.generation.recent.apply(all)?;
        if let (Some(follower), Some(all)) = (&mut current.follower, for_follower) {
            follower.apply(all);
        }
        Ok(())
    }

    /// Makes everything that was committed before this call durable. Blocks.
    ///
    /// # Errors
    /// The disk failed.
    pub fn sync(&self) -> Result<(), StorageError> {
        let generation = {
            let current = self.inner.current();
            current.check(&self.inner.held.path)?;
            Arc::clone(&current.generation)
        };
        // If another generation becomes current meanwhile, it is durable by then.
        generation.recent.sync()
    }

    /// The position of the last commit or installation.
    ///
    /// # Errors
    /// The disk failed.
    pub fn position(&self) -> Result<Option<Vec<u8>>, StorageError> {
        self.generation().recent.position()
    }

    /// All records in the order of their keys.
    pub fn records(&self) -> impl Iterator<Item = Result<KeyValue, StorageError>> + Send + use<> {
        self.records_of(&self.generation())
    }

    fn records_of(
        &self,
        generation: &Arc<Generation>,
    ) -> impl Iterator<Item = Result<KeyValue, StorageError>> + Send + use<> {
        let base = generation.base.as_ref().map(|base| base.records(&self.inner.held.path));
        merge::merged(base.into_iter().flatten(), self.changes(Arc::clone(generation)))
    }

    /// What is in a generation besides its base, in the order of the keys.
    fn changes(
        &self,
        generation: Arc<Generation>,
    ) -> impl Iterator<Item = Result<KeyValue, StorageError>> + Send + use<> {
        let (store, mut after, mut ended) = (self.clone(), None, false);
        let pages = std::iter::from_fn(move || {
            if ended {
                return None;
            }
            // Nothing is changed while a page is read: sled has no snapshots.
            let current = store.inner.current();
            let page = generation.recent.page(after.as_deref(), PAGE_RECORDS);
            drop(current);
            after = page.as_ref().ok().and_then(|page| page.last()).map(|(key, _)| key.clone());
            ended = after.is_none();
            Some(page)
        });
        pages.flat_map(|page| {
            let (records, error) =
                page.map_or_else(|error| (Vec::new(), Some(Err(error))), |page| (page, None));
            records.into_iter().map(Ok).chain(error)
        })
    }

    /// Replaces the whole state, atomically and durably. Blocks.
    ///
    /// # Errors
    /// The disk failed; the old state stays.
    pub fn install<K, V>(
        &self,
        records: impl Iterator<Item = (K, V)>,
        position: &[u8],
    ) -> Result<(), StorageError>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let mut staged = self.stage()?;
        for (key, value) in records {
            staged.put(key.as_ref(), value.as_ref())?;
        }
        staged.install(position)
    }

    /// Begins a new state beside the current one.
    ///
    /// # Errors
    /// The disk failed.
    pub fn stage(&self) -> Result<StagedState, StorageError> {
        StagedState::begin(self, self.inner.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Bytes on disk, with those of a state that is being written.
    ///
    /// # Errors
    /// The file system refused.
    pub fn disk_bytes(&self) -> Result<u64, StorageError> {
        let directory = &self.inner.held.path;
        generation::all(directory)?.into_iter().map(|number| generation::bytes(directory, number)).sum()
    }

    fn generation(&self) -> Arc<Generation> {
        Arc::clone(&self.inner.current().generation)
    }
}

impl Current {
    fn check(&self, directory: &Path) -> Result<(), StorageError> {
        let undecided = std::io::Error::other("its identity file could not be replaced for certain");
        if self.undecided {
            Err(StorageError::io(directory, "tell the current state")(undecided))
        } else {
            Ok(())
        }
    }
}
