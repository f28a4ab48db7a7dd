//! A segment's file. It is filled with zeros a little ahead of what is written, so that a sync has only data to write, and
//! not the file's size and the place of its blocks as well.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// How far ahead.
const AHEAD_BYTES: u64 = 1 << 20;
static ZEROS: [u8; AHEAD_BYTES as usize] = [0; AHEAD_BYTES as usize];

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    file: File,
    allocated: AtomicU64,
}

const EXTENSION: &str = "log";

/// Where a segment is.
pub(super) fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:016x}.{EXTENSION}"))
}

/// The number of the segment in a file of this name.
pub(super) fn number(path: &Path) -> Option<u64> {
    let name = path.file_stem()?.to_str().filter(|name| name.len() == 16)?;
    let number = u64::from_str_radix(name, 16).ok()?;
    (path.extension()? == EXTENSION && number > 0).then_some(number)
}

impl Segment {
    /// Creates a segment; what an earlier attempt has left is overwritten.
    pub(super) fn create(directory: &Path, number: u64) -> io::Result<Segment> {
        agora_sabotage::room()?;
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path(directory, number))?;
        Ok(Segment { number, file, allocated: AtomicU64::new(0) })
    }

    /// Opens a segment, without what is behind this offset.
    pub(super) fn open(directory: &Path, number: u64, end: u64) -> io::Result<Segment> {
        let file = File::options().read(true).write(true).open(path(directory, number))?;
        if file.metadata()?.len() > end {
            file.set_len(end)?;
            file.sync_all()?;
        }
        Ok(Segment { number, file, allocated: AtomicU64::new(end) })
    }

    /// Writes there. One at a time.
    pub(super) fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Err(full) = agora_sabotage::room() {
            // What still fits is written, as on a disk that is full.
            self.file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(full);
        }
        let end = offset + bytes.len() as u64;
        let allocated = self.allocated();
        if end > allocated {
            let from = allocated.max(end);
            self.file.write_all_at(&ZEROS, from)?;
            self.allocated.store(from + AHEAD_BYTES, Ordering::Relaxed);
        }
        self.file.write_all_at(bytes, offset)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        agora_sabotage::sync()?;
        self.file.sync_data()
    }

    pub(super) fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// Bytes on disk.
    pub(super) fn allocated(&self) -> u64 {
        self.allocated.load(Ordering::Relaxed)
    }
}
