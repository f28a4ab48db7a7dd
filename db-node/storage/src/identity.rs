//! The identity file: whose data directory this is and where its current state lies, in text that a person can read, with a
//! checksum.

use std::fmt;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use uuid::Uuid;

use crate::error::StorageError;

/// Whose data a directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's name.
    pub cluster: String,
    /// The node's name.
    pub node: String,
    /// The kind of database.
    pub database: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {:?} of the {:?} database of cluster {:?}", self.node, self.database, self.cluster)
    }
}

/// Which disk, as it were, a data directory is: drawn at random when it is created, and kept in it for good.
///
/// A node that has lost its directory gets another one, and so can be told from the node that made its promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskId(Uuid);

impl DiskId {
    pub(crate) fn random() -> DiskId {
        DiskId(Uuid::new_v4())
    }

    /// All 128 bits of it.
    pub fn as_u128(self) -> u128 {
        self.0.as_u128()
    }
}

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the identity file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) identity: Identity,
    pub(crate) disk: DiskId,
    /// The generation of the state.
    pub(crate) state: u64,
    pub(crate) phase: Phase,
}

/// How far the creation of a directory has come. While it is not complete nothing in it was ever acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Creating,
    Complete,
}

const NAME: &str = "identity";
const NEW_NAME: &str = "identity.new";
const FORMAT: u32 = 4;
/// The same, but for one thing: it does not name a generation, because there was one only.
const FORMAT_WITHOUT_GENERATIONS: u32 = 3;

/// Names that may lie in a directory that is not yet a data directory: what a start leaves that died at once.
pub(crate) fn may_precede_identity(name: &std::ffi::OsStr) -> bool {
    name == NEW_NAME || name == crate::directory::LOCK
}

fn text(Found { identity, disk, state, phase }: &Found) -> String {
    let phase = match phase {
        Phase::Creating => "creating",
        Phase::Complete => "complete",
    };
    let Identity { cluster, node, database } = identity;
    format!(
        "# The data directory of a node. Don't edit.\n\
         format = {FORMAT}\ncluster = {cluster:?}\nnode = {node:?}\ndatabase = {database:?}\ndisk = {disk}\n\
         state = {state}\nphase = {phase}\n"
    )
}

/// Writes the file so that after a crash either the old or the new one is there.
pub(crate) fn write(directory: &Path, found: &Found) -> Result<(), StorageError> {
    prepare(directory, found)?;
    publish(directory)
}

/// The first half of [`write`]: if it fails, the old file is there.
pub(crate) fn prepare(directory: &Path, found: &Found) -> Result<(), StorageError> {
    agora_sabotage::room().map_err(StorageError::io(directory, "write the identity file"))?;
    let failed = StorageError::io(directory, "write the identity file");
    let body = text(found);
    let new = directory.join(NEW_NAME);
    let mut file = File::create(&new).map_err(&failed)?;
    writeln!(file, "{body}checksum = {:08x}", crc32fast::hash(body.as_bytes())).map_err(&failed)?;
    file.sync_all().map_err(&failed)
}

/// The second half: if it fails, nobody knows which one is there after a crash.
pub(crate) fn publish(directory: &Path) -> Result<(), StorageError> {
    let renamed = fs::rename(directory.join(NEW_NAME), directory.join(NAME));
    renamed.map_err(StorageError::io(directory, "write the identity file"))?;
    sync_directory(directory)
}

pub(crate) fn sync_directory(directory: &Path) -> Result<(), StorageError> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(StorageError::io(directory, "sync the directory"))
}

/// The identity file's content; None if there is no such file.
pub(crate) fn read(directory: &Path) -> Result<Option<Found>, StorageError> {
    let bytes = match fs::read(directory.join(NAME)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StorageError::io(directory, "read the identity file")(error)),
    };
    let damaged = |what: &str| StorageError::damaged(directory, format!("its identity file {what}"));
    let text = String::from_utf8(bytes).map_err(|_| damaged("is not text"))?;
    let (body, checksum) = text.rsplit_once("checksum = ").ok_or_else(|| damaged("has no checksum"))?;
    if checksum.trim_end() != format!("{:08x}", crc32fast::hash(body.as_bytes())) {
        return Err(damaged("does not have the content that its checksum was made of"));
    }
    parse(directory, body).map(Some)
}

fn parse(directory: &Path, body: &str) -> Result<Found, StorageError> {
    let field = |name: &str| {
        let line = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
        line.ok_or_else(|| StorageError::damaged(directory, format!("its identity file has no {name}")))
    };
    let found = field("format")?.parse().unwrap_or(u32::MAX);
    if ![FORMAT, FORMAT_WITHOUT_GENERATIONS].contains(&found) {
        return Err(StorageError::UnknownFormat { directory: directory.to_owned(), found, known: FORMAT });
    }
    let name = |name: &str| field(name).map(unquoted);
    let identity = Identity { cluster: name("cluster")?, node: name("node")?, database: name("database")? };
    let phase = if field("phase")? == "complete" { Phase::Complete } else { Phase::Creating };
    let state = match found {
        FORMAT_WITHOUT_GENERATIONS => Ok(0),
        _ => field("state")?.parse(),
    };
    let state = state.map_err(|_| StorageError::damaged(directory, "its identity file names no state"))?;
    let disk = field("disk")?.parse().map(DiskId);
    let disk = disk.map_err(|_| StorageError::damaged(directory, "its identity file names no disk"))?;
    Ok(Found { identity, disk, state, phase })
}

/// Undoes what `{:?}` did for names: quotes, and escapes of quotes, backslashes and what is not printable. What can't be
/// undone stays as it is, and then differs from the name that was asked for, which is reported.
fn unquoted(quoted: &str) -> String {
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(quoted);
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            plain.push(char);
            continue;
        }
        match chars.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('r') => plain.push('\r'),
            Some('0') => plain.push('\0'),
            Some('u') => {
                let code: String = chars.by_ref().skip(1).take_while(|char| *char != '}').collect();
                plain.extend(u32::from_str_radix(&code, 16).ok().and_then(char::from_u32));
            }
            Some(other) => plain.push(other),
            None => plain.push('\\'),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_survive() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["plain", "", "with \"quotes\" and \\", "Ἀγορά\n\u{7f}\u{200b}", "checksum = 1"] {
            let identity = Identity { cluster: name.into(), node: "n".into(), database: name.into() };
            let found = Found { identity, disk: DiskId::random(), state: 7, phase: Phase::Complete };
            write(directory.path(), &found).unwrap();
            assert_eq!(read(directory.path()).unwrap(), Some(found));
        }
    }

    #[test]
    fn any_flipped_bit_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let identity = Identity { cluster: "c".into(), node: "n".into(), database: "d".into() };
        let found = Found { identity, disk: DiskId::random(), state: 7, phase: Phase::Complete };
        write(directory.path(), &found).unwrap();
        let path = directory.path().join(NAME);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() - 1 {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert!(
                matches!(read(directory.path()), Err(StorageError::Damaged { .. })),
                "bit flipped in byte {at}"
            );
        }
    }
}
