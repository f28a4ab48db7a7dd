//! Generations: each is a whole state in a directory of its own, a base and what has changed since. The identity file says
//! which one is current; any other is left from something that was cut off, and goes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::base::{Base, BaseWriter};
use super::recent::Recent;
use crate::error::StorageError;
use crate::identity::sync_directory;

/// The directory of generation 0, which has no base: that is how a state lay in format 3.
const FIRST: &str = "state";
const LATER: &str = "state-";
pub(super) const BASE: &str = "base";

/// A state on disk.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) number: u64,
    pub(super) base: Option<Base>,
    pub(super) recent: Recent,
}

impl Generation {
    /// An empty one. It is durable when this returns.
    pub(super) fn create(directory: &Path, number: u64) -> Result<Generation, StorageError> {
        let (mut base, recent) = begin(directory, number)?;
        Self::complete(directory, number, (&mut base, recent))
    }

    /// What was begun, with all that was written into it. It is durable when this returns.
    pub(super) fn complete(
        directory: &Path,
        number: u64,
        (base, recent): (&mut BaseWriter, Recent),
    ) -> Result<Generation, StorageError> {
        let base = base.finish().map_err(StorageError::io(directory, "write the state"))?;
        recent.sync()?;
        sync_directory(&path(directory, number))?;
        sync_directory(directory)?;
        Ok(Generation { number, base: Some(base), recent })
    }

    /// The one that is there.
    pub(super) fn open(directory: &Path, number: u64) -> Result<Generation, StorageError> {
        let path = path(directory, number);
        let base = match Base::open(&path.join(BASE)) {
            Ok(base) => Some(base),
            Err(error) if error.kind() == io::ErrorKind::NotFound && number == 0 => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StorageError::damaged(directory, "its state is missing"));
            }
            Err(error) => return Err(StorageError::io(directory, "open the state")(error)),
        };
        Ok(Generation { number, base, recent: Recent::open(&path, directory)? })
    }
}

/// Begins to write a generation.
pub(super) fn begin(directory: &Path, number: u64) -> Result<(BaseWriter, Recent), StorageError> {
    let path = path(directory, number);
    let failed = StorageError::io(directory, "create a directory for the state");
    fs::create_dir(&path).map_err(&failed)?;
    let base = BaseWriter::create(&path.join(BASE)).map_err(&failed)?;
    Ok((base, Recent::create(&path, directory)?))
}

/// Where a generation is.
pub(super) fn path(directory: &Path, number: u64) -> PathBuf {
    match number {
        0 => directory.join(FIRST),
        number => directory.join(format!("{LATER}{number}")),
    }
}

/// Removes a generation, or what there is of it. Who still reads it may go on.
pub(super) fn remove(directory: &Path, number: u64) -> Result<(), StorageError> {
    match fs::remove_dir_all(path(directory, number)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StorageError::io(directory, "remove an earlier state")(error))
        }
        _ => Ok(()),
    }
}

/// Bytes that a generation takes. Files come and go meanwhile.
pub(super) fn bytes(directory: &Path, number: u64) -> Result<u64, StorageError> {
    let ignoring_missing = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(0),
        _ => Err(StorageError::io(directory, "measure the state")(error)),
    };
    used(&path(directory, number)).or_else(ignoring_missing)
}

fn used(path: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { used(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

/// The generations of which there is anything.
pub(super) fn all(directory: &Path) -> Result<Vec<u64>, StorageError> {
    let failed = StorageError::io(directory, "list the directory");
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory).map_err(&failed)? {
        let name = entry.map_err(&failed)?.file_name();
        let number = match name.to_str() {
            Some(FIRST) => Some(0),
            name => name.and_then(|name| name.strip_prefix(LATER)?.parse().ok()),
        };
        numbers.extend(number.filter(|number| path(directory, *number).file_name() == Some(&name)));
    }
    Ok(numbers)
}
