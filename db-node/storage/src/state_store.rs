//! The state store: the records of a state machine, and the position up to which they were applied, never apart.
//!
//! A state lives in a sled tree of its own, a generation. Changes are atomic batches to the current one; a whole new state
//! is staged in the next generation, made durable, and then made current by one small write.

use std::fs::File;
use std::sync::{Arc, PoisonError, RwLock};

use crate::directory::Held;
use crate::error::StorageError;

const GENERATION: &[u8] = b"generation";
const GENERATION_TREE: &str = "state-";
const META: u8 = b'm';
const RECORD: u8 = b'r';
const POSITION: &[u8] = b"p";

/// How many bytes of records one batch of a staged state holds.
const STAGE_BYTES: usize = 256 << 10;

/// A store of records. Cheap to clone; all clones are the same store.
#[derive(Clone, Debug)]
pub struct StateStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    database: sled::Db,
    /// The file that the database is in.
    file: File,
    held: Arc<Held>,
    current: RwLock<Generation>,
}

#[derive(Clone, Debug)]
struct Generation {
    number: u64,
    tree: sled::Tree,
}

/// A key with its value.
pub type KeyValue = (Vec<u8>, Vec<u8>);

impl StateStore {
    /// The store in this database, which lies in this file.
    pub(crate) fn open(database: sled::Db, file: File, held: Arc<Held>) -> Result<StateStore, StorageError> {
        let failed = StorageError::database(&held.path);
        let number = match database.get(GENERATION).map_err(&failed)? {
            Some(bytes) => match bytes.as_ref().try_into() {
                Ok(bytes) => u64::from_be_bytes(bytes),
                Err(_) => {
                    return Err(StorageError::damaged(&held.path, "its state's generation is malformed"));
                }
            },
            None => 0,
        };
        let name = tree_name(number);
        let names = database.tree_names();
        if number > 0 && !names.iter().any(|found| found.as_ref() == name.as_bytes()) {
            return Err(StorageError::damaged(&held.path, "its current state is missing"));
        }
        for other in names {
            // Left by an installation that was cut off, or that had just been completed.
            if other.starts_with(GENERATION_TREE.as_bytes()) && other.as_ref() != name.as_bytes() {
                database.drop_tree(other).map_err(&failed)?;
            }
        }
        let tree = database.open_tree(name).map_err(&failed)?;
        let current = RwLock::new(Generation { number, tree });
        Ok(StateStore { inner: Arc::new(Inner { database, file, held, current }) })
    }

    /// Writes (or, without a value, removes) records together with the position that they lead to, atomically. It becomes
    /// durable with the next [`StateStore::sync`]; until then a crash may bring back an earlier state with its position.
    ///
    /// # Errors
    /// The database failed; nothing was changed.
    pub fn commit<K, V>(
        &self,
        changes: impl Iterator<Item = (K, Option<V>)>,
        position: &[u8],
    ) -> Result<(), StorageError>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        agora_sabotage::room().map_err(StorageError::io(&self.inner.held.path, "write the state"))?;
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(record_key(key.as_ref()), value.as_ref()),
                None => batch.remove(record_key(key.as_ref())),
            }
        }
        batch.insert(POSITION, position);
        self.tree().apply_batch(batch).map_err(self.failed())
    }

    /// Makes everything that was committed before this call durable. Blocks.
    ///
    /// # Errors
    /// The disk failed.
    pub fn sync(&self) -> Result<(), StorageError> {
        agora_sabotage::sync().map_err(StorageError::io(&self.inner.held.path, "sync the state"))?;
        self.inner.database.flush().map_err(self.failed())?;
        // sled leaves it at having the pages written back, without what else a power failure would take.
        let synced = self.inner.file.sync_data();
        synced.map_err(StorageError::io(&self.inner.held.path, "sync the state"))
    }

    /// The position of the last commit or installation.
    ///
    /// # Errors
    /// The database failed.
    pub fn position(&self) -> Result<Option<Vec<u8>>, StorageError> {
        let position = self.tree().get(POSITION).map_err(self.failed())?;
        Ok(position.map(|position| position.to_vec()))
    }

    /// All records in the order of their keys.
    pub fn records(&self) -> impl Iterator<Item = Result<KeyValue, StorageError>> + Send + use<> {
        let failed = self.failed();
        self.tree().scan_prefix([RECORD]).map(move |item| {
            let (key, value) = item.map_err(&failed)?;
            Ok((key.get(1..).unwrap_or_default().to_vec(), value.to_vec()))
        })
    }

    /// Replaces the whole state, atomically and durably. Blocks.
    ///
    /// # Errors
    /// The database failed; the old state stays.
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

    /// Begins a new state beside the current one. One at a time: an earlier one that was not installed is discarded.
    ///
    /// # Errors
    /// The database failed.
    pub fn stage(&self) -> Result<StagedState, StorageError> {
        let number = self.generation().number + 1;
        self.inner.database.drop_tree(tree_name(number)).map_err(self.failed())?;
        let tree = self.inner.database.open_tree(tree_name(number)).map_err(self.failed())?;
        Ok(StagedState {
            store: self.clone(),
            generation: Generation { number, tree },
            batch: sled::Batch::default(),
            batch_bytes: 0,
        })
    }

    /// A named value, which is no part of the state.
    ///
    /// # Errors
    /// The database failed.
    pub fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let value = self.inner.database.get(meta_key(name)).map_err(self.failed())?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// Sets a named value; it becomes durable with the next [`StateStore::sync`].
    ///
    /// # Errors
    /// The database failed.
    pub fn put_meta(&self, name: &str, value: &[u8]) -> Result<(), StorageError> {
        self.inner.database.insert(meta_key(name), value).map(drop).map_err(self.failed())
    }

    /// Bytes on disk.
    ///
    /// # Errors
    /// The file system refused.
    pub fn disk_bytes(&self) -> Result<u64, StorageError> {
        self.inner.database.size_on_disk().map_err(self.failed())
    }

    fn generation(&self) -> Generation {
        self.inner.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tree(&self) -> sled::Tree {
        self.generation().tree
    }

    fn failed(&self) -> impl Fn(sled::Error) -> StorageError + use<> {
        StorageError::database(&self.inner.held.path)
    }
}

/// A new state that is being written beside the current one, and that becomes current at once or not at all.
#[derive(Debug)]
pub struct StagedState {
    store: StateStore,
    generation: Generation,
    batch: sled::Batch,
    batch_bytes: usize,
}

impl StagedState {
    /// Adds a record.
    ///
    /// # Errors
    /// The database failed.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.batch.insert(record_key(key), value);
        self.batch_bytes += key.len() + value.len();
        if self.batch_bytes >= STAGE_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), StorageError> {
        let path = &self.store.inner.held.path;
        agora_sabotage::room().map_err(StorageError::io(path, "write the state"))?;
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        self.generation.tree.apply_batch(batch).map_err(self.store.failed())
    }

    /// Makes it durable, then current, and removes the state that was. Blocks.
    ///
    /// # Errors
    /// The database failed; the old state stays.
    pub fn install(mut self, position: &[u8]) -> Result<(), StorageError> {
        self.batch.insert(POSITION, position);
        self.write()?;
        self.store.sync()?;
        let database = &self.store.inner.database;
        let mut current = self.store.inner.current.write().unwrap_or_else(PoisonError::into_inner);
        let new = self.generation.number.to_be_bytes();
        database.insert(GENERATION, &new).map_err(self.store.failed())?;
        self.store.sync()?;
        let old = std::mem::replace(&mut *current, self.generation.clone());
        drop(current);
        database.drop_tree(tree_name(old.number)).map(drop).map_err(self.store.failed())
    }
}

fn tree_name(generation: u64) -> String {
    format!("{GENERATION_TREE}{generation}")
}

fn record_key(key: &[u8]) -> Vec<u8> {
    prefixed(RECORD, key)
}

fn meta_key(name: &str) -> Vec<u8> {
    prefixed(META, name.as_bytes())
}

fn prefixed(prefix: u8, key: &[u8]) -> Vec<u8> {
    let mut prefixed = Vec::with_capacity(1 + key.len());
    prefixed.push(prefix);
    prefixed.extend_from_slice(key);
    prefixed
}
