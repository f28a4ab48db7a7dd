//! The base of a generation: all records of a state as they once were, densely, in one file that never changes again.
//!
//! It is a mark, then blocks, then a block that is empty. A block is the length of its content, a checksum of the whole file
//! up to there, and the content: records in the order of their keys, each key and each value behind its length.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::KeyValue;
use crate::error::StorageError;

const MARK: [u8; 4] = *b"agb1";
/// Length, checksum.
const HEADER_BYTES: usize = 4 + 4;
/// A block is complete when it has so many bytes.
const BLOCK_BYTES: usize = 64 << 10;
/// Made durable after so many bytes at most, so that whoever else waits for the disk never waits for all of it.
const UNSYNCED_BYTES: u64 = 4 << 20;

/// A base that can be read. All clones are the same file, which may have been removed meanwhile.
#[derive(Clone, Debug)]
pub(super) struct Base {
    file: Arc<File>,
    bytes: u64,
}

impl Base {
    /// The base in that file.
    pub(super) fn open(path: &Path) -> io::Result<Base> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Base { file: Arc::new(file), bytes })
    }

    /// How large the file is.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All records in the order of their keys, of the base of this data directory. Damage ends them with an error.
    pub(super) fn records(
        &self,
        directory: &Path,
    ) -> impl Iterator<Item = Result<KeyValue, StorageError>> + Send + use<> {
        let directory = directory.to_owned();
        let mut blocks = Blocks { base: self.clone(), at: 0, checksum: crc32fast::Hasher::new() };
        let (mut block, mut at, mut ended) = (Vec::new(), 0, false);
        std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let record = loop {
                if at < block.len() {
                    break record(&block, &mut at).ok_or(Failure::Damage).map(Some);
                }
                match blocks.next() {
                    Ok(Some(next)) => (block, at) = (next, 0),
                    Ok(None) => break Ok(None),
                    Err(failure) => break Err(failure),
                }
            };
            ended = !matches!(record, Ok(Some(_)));
            record.map_err(|failure| failure.of(&directory)).transpose()
        })
    }
}

enum Failure {
    Io(io::Error),
    Damage,
}

impl Failure {
    fn of(self, directory: &Path) -> StorageError {
        match self {
            Failure::Io(error) => StorageError::io(directory, "read the state")(error),
            Failure::Damage => StorageError::damaged(directory, "its state is not as it was written"),
        }
    }
}

/// Reads one block after the other.
struct Blocks {
    base: Base,
    at: u64,
    checksum: crc32fast::Hasher,
}

impl Blocks {
    /// None: that was the last one.
    fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        if self.at == 0 && self.read(MARK.len())? != MARK {
            return Err(Failure::Damage);
        }
        let header = self.read(HEADER_BYTES)?;
        let (length, checksum) = header.split_first_chunk().ok_or(Failure::Damage)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Failure::Damage)?;
        let block = self.read(length)?;
        self.checksum.update(&block);
        if self.checksum.clone().finalize().to_be_bytes() != checksum {
            return Err(Failure::Damage);
        }
        match length {
            0 if self.at == self.base.bytes => Ok(None),
            0 => Err(Failure::Damage),
            _ => Ok(Some(block)),
        }
    }

    fn read(&mut self, length: usize) -> Result<Vec<u8>, Failure> {
        let end = self.at + length as u64;
        if end > self.base.bytes {
            return Err(Failure::Damage);
        }
        let mut bytes = vec![0; length];
        self.base.file.read_exact_at(&mut bytes, self.at).map_err(Failure::Io)?;
        self.at = end;
        Ok(bytes)
    }
}

/// The record that begins there; moves on behind it.
fn record(block: &[u8], at: &mut usize) -> Option<KeyValue> {
    Some((field(block, at)?, field(block, at)?))
}

fn field(block: &[u8], at: &mut usize) -> Option<Vec<u8>> {
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let byte = *block.get(*at)?;
        *at += 1;
        length |= usize::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    let end = at.checked_add(length)?;
    let field = block.get(*at..end)?.to_vec();
    *at = end;
    Some(field)
}

fn put_field(bytes: &[u8], block: &mut Vec<u8>) {
    let mut length = bytes.len();
    while length >= 0x80 {
        block.push(length as u8 | 0x80);
        length >>= 7;
    }
    block.push(length as u8);
    block.extend_from_slice(bytes);
}

/// A base on its way to its file.
#[derive(Debug)]
pub(super) struct BaseWriter {
    file: Arc<File>,
    block: Vec<u8>,
    checksum: crc32fast::Hasher,
    last_key: Option<Vec<u8>>,
    unsynced: u64,
}

impl BaseWriter {
    /// Begins a new file.
    pub(super) fn create(path: &Path) -> io::Result<BaseWriter> {
        let file = Arc::new(File::options().read(true).write(true).create_new(true).open(path)?);
        (&*file).write_all(&MARK)?;
        let (block, checksum) = (Vec::with_capacity(BLOCK_BYTES), crc32fast::Hasher::new());
        Ok(BaseWriter { file, block, checksum, last_key: None, unsynced: 0 })
    }

    /// Appends a record. Keys must ascend: false if this one does not, and then nothing was done.
    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) -> io::Result<bool> {
        if self.last_key.as_deref().is_some_and(|last| last >= key) {
            return Ok(false);
        }
        let last_key = self.last_key.get_or_insert_default();
        last_key.clear();
        last_key.extend_from_slice(key);
        put_field(key, &mut self.block);
        put_field(value, &mut self.block);
        if self.block.len() >= BLOCK_BYTES {
            self.write_block()?;
        }
        Ok(true)
    }

    fn write_block(&mut self) -> io::Result<()> {
        agora_sabotage::room()?;
        let length = u32::try_from(self.block.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.checksum.update(&self.block);
        let mut file = &*self.file;
        file.write_all(&length.to_be_bytes())?;
        file.write_all(&self.checksum.clone().finalize().to_be_bytes())?;
        file.write_all(&self.block)?;
        self.unsynced += u64::from(length);
        self.block.clear();
        if self.unsynced >= UNSYNCED_BYTES { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        agora_sabotage::sync()?;
        self.unsynced = 0;
        self.file.sync_data()
    }

    /// Writes what is left of it, and makes it durable. Nothing can be put into it afterwards.
    pub(super) fn finish(&mut self) -> io::Result<Base> {
        if !self.block.is_empty() {
            self.write_block()?;
        }
        self.write_block()?;
        self.sync()?;
        let bytes = self.file.metadata()?.len();
        Ok(Base { file: Arc::clone(&self.file), bytes })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn numbered(count: u32) -> Vec<KeyValue> {
        let value = |at: u32| vec![at as u8; (at * 7919 % 3000) as usize];
        (0..count).map(|at| (at.to_be_bytes().to_vec(), value(at))).collect()
    }

    fn write(path: &Path, records: &[KeyValue]) {
        let mut writer = BaseWriter::create(path).unwrap();
        for (key, value) in records {
            assert!(writer.put(key, value).unwrap());
        }
        writer.finish().unwrap();
    }

    fn read(path: &Path) -> Result<Vec<KeyValue>, StorageError> {
        Base::open(path).unwrap().records(path).collect()
    }

    #[test]
    fn records_come_back_whatever_their_number_and_size() {
        let root = tempfile::tempdir().unwrap();
        for count in [0, 1, 2, 500] {
            let (path, records) = (root.path().join(count.to_string()), numbered(count));
            write(&path, &records);
            assert_eq!(read(&path).unwrap(), records);
        }
        let large = [(vec![1; 300], vec![7; 5 << 20]), (vec![2], vec![])];
        write(&root.path().join("large"), &large);
        assert_eq!(read(&root.path().join("large")).unwrap(), large);
    }

    #[test]
    fn what_does_not_ascend_is_not_taken() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("base");
        let mut writer = BaseWriter::create(&path).unwrap();
        let taken = ["b", "d", "c", "d", "a", "e"].map(|key| writer.put(key.as_bytes(), b"v").unwrap());
        assert_eq!(taken, [true, true, false, false, false, true]);
        writer.finish().unwrap();
        let keys: Vec<Vec<u8>> = read(&path).unwrap().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [b"b", b"d", b"e"]);
    }

    #[test]
    fn any_flipped_bit_and_any_missing_or_additional_byte_is_found() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("base");
        write(&path, &numbered(4));
        let good = fs::read(&path).unwrap();
        let refused = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            matches!(read(&path), Err(StorageError::Damaged { .. }))
        };
        for at in (0..good.len()).filter(|at| at % 61 == 0 || *at < 40 || *at + 20 > good.len()) {
            let mut bad = good.clone();
            bad[at] ^= 4;
            assert!(refused(&bad), "bit flipped in byte {at}");
            assert!(refused(&good[..at]), "{at} bytes are left");
        }
        assert!(refused(&[&good[..], &[0]].concat()));
    }

    #[test]
    fn a_missing_block_is_found() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("base");
        write(&path, &numbered(500));
        let good = fs::read(&path).unwrap();
        let length = u32::from_be_bytes(good[4..8].try_into().unwrap()) as usize;
        let without_first = [&good[..4], &good[4 + HEADER_BYTES + length..]].concat();
        fs::write(&path, without_first).unwrap();
        assert!(matches!(read(&path), Err(StorageError::Damaged { .. })));
    }
}
