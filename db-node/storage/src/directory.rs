//! A node's data directory: created once, checked at each start, open in one process at a time.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::StorageError;
use crate::identity::{self, DiskId, Found, Identity, Phase};
use crate::log::Log;
use crate::state::{FIRST_GENERATION, StateStore};

pub(crate) const LOCK: &str = "lock";
const LOG: &str = "log";
const SCRATCH: &str = "scratch";

/// An open data directory. It stays locked until the last of its log, its state store and itself is dropped.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
    disk: DiskId,
    log: Log,
    state: StateStore,
}

/// Holds the lock for as long as anything of the directory is open.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Opens the data directory of a node, or creates it if there is nothing there.
    ///
    /// # Errors
    /// It is in use, damaged, foreign or no data directory; or the file system refused. Then nothing was changed.
    pub fn open(path: impl AsRef<Path>, identity: &Identity) -> Result<Directory, StorageError> {
        let path = path.as_ref();
        fs::create_dir_all(path).map_err(StorageError::io(path, "create the directory"))?;
        let found = identity::read(path)?;
        if found.is_none() {
            refuse_strangers(path)?;
        }
        if let Some(found) = &found
            && found.identity != *identity
        {
            return Err(StorageError::Foreign {
                directory: path.to_owned(),
                found: Box::new(found.identity.clone()),
                wanted: Box::new(identity.clone()),
            });
        }
        let held = Arc::new(lock(path)?);
        // Read again: another process may have created it while this one waited for nothing but the lock.
        match identity::read(path)? {
            Some(found) if found.phase == Phase::Complete => Self::open_existing(held, found),
            _ => Self::create(held, identity),
        }
    }

    fn open_existing(held: Arc<Held>, found: Found) -> Result<Directory, StorageError> {
        let path = held.path.clone();
        remove(&path, SCRATCH)?;
        if !path.join(LOG).is_dir() {
            return Err(StorageError::damaged(&path, "its log is missing"));
        }
        let disk = found.disk;
        let state = StateStore::open(Arc::clone(&held), found)?;
        let log = Log::open(path.join(LOG), held)?;
        Ok(Directory { disk, log, state, path })
    }

    fn create(held: Arc<Held>, identity: &Identity) -> Result<Directory, StorageError> {
        let path = held.path.clone();
        let disk = DiskId::random();
        let mut found =
            Found { identity: identity.clone(), disk, state: FIRST_GENERATION, phase: Phase::Creating };
        identity::write(&path, &found)?;
        StateStore::remove_all(&path)?;
        for name in [LOG, SCRATCH] {
            remove(&path, name)?;
        }
        found.phase = Phase::Complete;
        let state = StateStore::create(Arc::clone(&held), found.clone())?;
        let log = Log::create(path.join(LOG), held)?;
        identity::write(&path, &found)?;
        Ok(Directory { disk, log, state, path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What tells it from the directory that this node had before, if it lost one.
    pub fn disk(&self) -> DiskId {
        self.disk
    }

    /// The log.
    pub fn log(&self) -> Log {
        self.log.clone()
    }

    /// The state store.
    pub fn state(&self) -> StateStore {
        self.state.clone()
    }

    /// A place for files that need not outlive the process: what lies there is removed at the next start.
    ///
    /// # Errors
    /// The file system refused.
    pub fn scratch(&self) -> Result<PathBuf, StorageError> {
        let scratch = self.path.join(SCRATCH);
        fs::create_dir_all(&scratch).map_err(StorageError::io(&self.path, "create the scratch directory"))?;
        Ok(scratch)
    }

    /// Bytes on disk.
    ///
    /// # Errors
    /// The file system refused.
    pub fn disk_bytes(&self) -> Result<u64, StorageError> {
        Ok(self.log.disk_bytes() + self.state.disk_bytes()?)
    }

    /// How often the log has waited for the disk since the directory was opened.
    pub fn log_syncs(&self) -> u64 {
        self.log.syncs()
    }
}

fn refuse_strangers(path: &Path) -> Result<(), StorageError> {
    let failed = StorageError::io(path, "list the directory");
    for entry in fs::read_dir(path).map_err(&failed)? {
        if !identity::may_precede_identity(&entry.map_err(&failed)?.file_name()) {
            return Err(StorageError::NotADataDirectory { directory: path.to_owned() });
        }
    }
    Ok(())
}

fn lock(path: &Path) -> Result<Held, StorageError> {
    let opened = File::options().create(true).truncate(false).write(true).open(path.join(LOCK));
    let lock = opened.map_err(StorageError::io(path, "open the lock file"))?;
    match lock.try_lock() {
        Ok(()) => Ok(Held { path: path.to_owned(), _lock: lock }),
        Err(TryLockError::WouldBlock) => Err(StorageError::InUse { directory: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(StorageError::io(path, "lock")(error)),
    }
}

fn remove(path: &Path, name: &str) -> Result<(), StorageError> {
    match fs::remove_dir_all(path.join(name)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StorageError::io(path, "remove what an interrupted start left")(error))
        }
        _ => Ok(()),
    }
}
