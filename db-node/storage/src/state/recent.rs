//! What has changed since the base of a generation was written, and the position that it leads to: a sled database.
//!
//! A record that was removed is there with an empty value.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::KeyValue;
use crate::error::StorageError;

/// What sled calls the file that a database is in.
const DATABASE_FILE: &str = "db";
/// Of the tree with the changes.
const TREE: &str = "state-0";
/// Up to format 3 a state that had been installed lay in another tree, whose number is here.
const TREE_NUMBER: &[u8] = b"generation";
/// A record by which a database that lost its content is told from a new one.
const MARKER: &[u8] = b"\0agora";

const RECORD: u8 = b'r';
const POSITION: &[u8] = b"p";

/// How much stays in sled's cache: all of it is in memory in the state machine already.
const CACHE_BYTES: u64 = 64 << 20;
/// How long an earlier database of this process may take to let go of its file.
const LETTING_GO: Duration = Duration::from_secs(5);

/// The database. All clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Recent {
    database: sled::Db,
    tree: sled::Tree,
    /// The file that the database is in.
    file: Arc<File>,
    /// The data directory, for errors.
    directory: Arc<Path>,
}

/// Changes that are made together.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    batch: sled::Batch,
    bytes: usize,
}

impl Changes {
    /// Writes a record, or without a value removes it.
    pub(super) fn put(&mut self, key: &[u8], value: Option<&[u8]>) {
        debug_assert!(value.is_none_or(|value| !value.is_empty()), "an empty value stands for a removal");
        let value = value.unwrap_or_default();
        self.bytes += key.len() + value.len();
        self.batch.insert(record_key(key), value);
    }

    /// Moves the position.
    pub(super) fn set_position(&mut self, position: &[u8]) {
        self.batch.insert(POSITION, position);
    }

    /// How large they are.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Recent {
    /// A database without changes, in a directory of its own in this data directory.
    pub(super) fn create(path: &Path, directory: &Path) -> Result<Recent, StorageError> {
        let recent = Self::open_any(path, directory)?;
        recent.database.insert(MARKER, MARKER).map_err(recent.failed())?;
        Ok(recent)
    }

    /// The database that is there.
    pub(super) fn open(path: &Path, directory: &Path) -> Result<Recent, StorageError> {
        if !path.join(DATABASE_FILE).is_file() {
            return Err(StorageError::damaged(directory, "its state is missing"));
        }
        let recent = Self::open_any(path, directory)?;
        match recent.database.get(MARKER).map_err(recent.failed())? {
            Some(_) => Ok(recent),
            None => Err(StorageError::damaged(directory, "its state has lost its content")),
        }
    }

    fn open_any(path: &Path, directory: &Path) -> Result<Recent, StorageError> {
        let failed = StorageError::database(directory);
        let database = open_database(path, directory)?;
        let file = File::options().read(true).write(true).open(path.join(DATABASE_FILE));
        let file = file.map_err(StorageError::io(directory, "open the state"))?;
        let tree = match database.get(TREE_NUMBER).map_err(&failed)? {
            Some(bytes) => earlier_tree(&database, &bytes, directory)?,
            None => database.open_tree(TREE).map_err(&failed)?,
        };
        Ok(Recent { database, tree, file: Arc::new(file), directory: directory.into() })
    }

    /// Makes changes, all or none.
    pub(super) fn apply(&self, changes: Changes) -> Result<(), StorageError> {
        agora_sabotage::room().map_err(StorageError::io(&self.directory, "write the state"))?;
        self.tree.apply_batch(changes.batch).map_err(self.failed())
    }

    /// Makes everything before this call durable. Blocks.
    pub(super) fn sync(&self) -> Result<(), StorageError> {
        let failed = StorageError::io(&self.directory, "sync the state");
        agora_sabotage::sync().map_err(&failed)?;
        self.database.flush().map_err(self.failed())?;
        // sled leaves it at having the pages written back, without what else a power failure would take.
        self.file.sync_data().map_err(failed)
    }

    /// The position that was set last.
    pub(super) fn position(&self) -> Result<Option<Vec<u8>>, StorageError> {
        let position = self.tree.get(POSITION).map_err(self.failed())?;
        Ok(position.map(|position| position.to_vec()))
    }

    /// So many changed records at most that come after this key, in the order of their keys.
    pub(super) fn page(&self, after: Option<&[u8]>, count: usize) -> Result<Vec<KeyValue>, StorageError> {
        let start = match after {
            // The next key that there can be.
            Some(key) => [&record_key(key)[..], &[0]].concat(),
            None => vec![RECORD],
        };
        let record = |found: sled::Result<(sled::IVec, sled::IVec)>| {
            let (key, value) = found.map_err(self.failed())?;
            Ok((key.get(1..).unwrap_or_default().to_vec(), value.to_vec()))
        };
        self.tree.range(start..vec![RECORD + 1]).take(count).map(record).collect()
    }

    /// Bytes on disk.
    pub(super) fn bytes(&self) -> Result<u64, StorageError> {
        self.database.size_on_disk().map_err(self.failed())
    }

    fn failed(&self) -> impl Fn(sled::Error) -> StorageError + use<> {
        StorageError::database(&self.directory)
    }
}

fn record_key(key: &[u8]) -> Vec<u8> {
    let mut prefixed = Vec::with_capacity(1 + key.len());
    prefixed.push(RECORD);
    prefixed.extend_from_slice(key);
    prefixed
}

fn earlier_tree(database: &sled::Db, number: &[u8], directory: &Path) -> Result<sled::Tree, StorageError> {
    let number = <[u8; 8]>::try_from(number).map(u64::from_be_bytes);
    let number =
        number.map_err(|_| StorageError::damaged(directory, "its state's generation is malformed"))?;
    let name = format!("state-{number}");
    if !database.tree_names().iter().any(|found| found.as_ref() == name.as_bytes()) {
        return Err(StorageError::damaged(directory, "its current state is missing"));
    }
    database.open_tree(name).map_err(StorageError::database(directory))
}

fn open_database(path: &Path, directory: &Path) -> Result<sled::Db, StorageError> {
    // Syncs are asked for by whoever needs them; sled's own timer would only add to them.
    let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
    let begun = Instant::now();
    loop {
        match config.open() {
            // The data directory's own lock is held, so it is an earlier database of this very process that still lets go of
            // its file: sled does so on a thread of its own.
            Err(sled::Error::Io(error)) if is_lock(&error) && begun.elapsed() < LETTING_GO => {
                std::thread::sleep(Duration::from_millis(1));
            }
            opened => return opened.map_err(StorageError::database(directory)),
        }
    }
}

/// sled has no kind of its own for this.
fn is_lock(error: &std::io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}
