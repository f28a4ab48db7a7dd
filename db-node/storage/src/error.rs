//! What can go wrong with a data directory. Each error names the directory, and those that a person must solve name the
//! ways out.

use std::path::{Path, PathBuf};

use crate::identity::Identity;

/// Why storage refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The file system refused.
    #[error("can't {action} in data directory {}: {source}", directory.display())]
    Io {
        /// The data directory.
        directory: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the file system said.
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error("data directory {} is in use by another process: stop that process, or give this node a directory of its own", directory.display())]
    InUse {
        /// The data directory.
        directory: PathBuf,
    },
    /// It holds something, but nothing that a node wrote.
    #[error(
        "directory {} is not empty and has no identity file, so it is not the data directory of a node: \
         name another directory, or empty this one if nothing in it is needed", directory.display()
    )]
    NotADataDirectory {
        /// The directory.
        directory: PathBuf,
    },
    /// It belongs to another node, database or cluster.
    #[error(
        "data directory {} belongs to {found}, but this is {wanted}: start the node that it belongs to, or name another \
         directory for this one", directory.display()
    )]
    Foreign {
        /// The data directory.
        directory: PathBuf,
        /// Whose it is.
        found: Box<Identity>,
        /// Who asked.
        wanted: Box<Identity>,
    },
    /// A later version of this program wrote it.
    #[error(
        "data directory {} has format {found}, but this program reads format {known}: start it with the version that wrote it",
        directory.display()
    )]
    UnknownFormat {
        /// The data directory.
        directory: PathBuf,
        /// The format that was found.
        found: u32,
        /// The format that this program knows.
        known: u32,
    },
    /// Something in it is not as it was written.
    #[error(
        "data directory {} is damaged: {what}. Move it away and start the node again: with an empty directory it joins its \
         group as a new member and is brought up to date by the others. Don't bring back an older copy: what was promised \
         since is not in it", directory.display()
    )]
    Damaged {
        /// The data directory.
        directory: PathBuf,
        /// What was found.
        what: String,
    },
    /// sled failed.
    #[error("the database in data directory {} failed: {source}", directory.display())]
    Database {
        /// The data directory.
        directory: PathBuf,
        /// What sled said.
        source: sled::Error,
    },
    /// Entries must be contiguous: this append would leave a hole or overwrite.
    #[error("append at position {at} to the log in {}, where {expected} is next", directory.display())]
    Gap {
        /// The data directory.
        directory: PathBuf,
        /// Where the append would have gone.
        at: u64,
        /// Where it has to go.
        expected: u64,
    },
    /// An entry is larger than the log takes.
    #[error("an entry of {bytes} bytes is more than the log in {} takes", directory.display())]
    TooLarge {
        /// The data directory.
        directory: PathBuf,
        /// The entry's size.
        bytes: usize,
    },
}

impl StorageError {
    pub(crate) fn io(
        directory: &Path,
        action: &'static str,
    ) -> impl Fn(std::io::Error) -> StorageError + use<> {
        let directory = directory.to_owned();
        move |source| StorageError::Io { directory: directory.clone(), action, source }
    }

    pub(crate) fn damaged(directory: &Path, what: impl Into<String>) -> StorageError {
        StorageError::Damaged { directory: directory.to_owned(), what: what.into() }
    }

    /// sled's own findings of corruption are damage; everything else is a failure that may pass.
    pub(crate) fn database(directory: &Path) -> impl Fn(sled::Error) -> StorageError + use<> {
        let directory = directory.to_owned();
        move |source| match source {
            sled::Error::Corruption { .. } => {
                StorageError::Damaged { directory: directory.clone(), what: source.to_string() }
            }
            sled::Error::Io(source) => StorageError::Io {
                directory: directory.clone(),
                action: "read or write the database",
                source,
            },
            source => StorageError::Database { directory: directory.clone(), source },
        }
    }
}
