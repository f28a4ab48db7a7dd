//! How an entry of the log lies in sled: cut into pieces, under keys that sort by position, with a checksum.
//!
//! sled rewrites a page of up to 16 values whenever some of them changed, and puts pages beyond half a megabyte into files
//! of their own, with an fsync each. Pieces of 8 KiB keep pages small.

use sled::IVec;

const ENTRY: u8 = b'e';
const META: u8 = b'm';
const PIECE_BYTES: usize = 8 << 10;
const CHECKSUM_BYTES: usize = 4;
const LENGTH_BYTES: usize = 4;

/// Largest entry that can be cut into at most 65536 pieces, with a good margin.
pub(crate) const ENTRY_BYTES_MAX: usize = 256 << 20;

pub(crate) fn key(position: u64, piece: u16) -> [u8; 11] {
    let mut key = [ENTRY; 11];
    key[1..9].copy_from_slice(&position.to_be_bytes());
    key[9..].copy_from_slice(&piece.to_be_bytes());
    key
}

/// The keys of all entries.
pub(crate) fn all() -> std::ops::RangeInclusive<[u8; 11]> {
    key(0, 0)..=key(u64::MAX, u16::MAX)
}

pub(crate) fn meta_key(name: &str) -> Vec<u8> {
    let mut key = vec![META];
    key.extend_from_slice(name.as_bytes());
    key
}

/// The position that a key belongs to, and which piece it is.
pub(crate) fn position(key: &[u8]) -> Option<(u64, u16)> {
    let (position, piece) = key.strip_prefix(&[ENTRY])?.split_at_checked(8)?;
    Some((u64::from_be_bytes(position.try_into().ok()?), u16::from_be_bytes(piece.try_into().ok()?)))
}

fn checksum(position: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&position.to_be_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

/// The pieces of an entry. The first one starts with the entry's checksum and length.
pub(crate) fn cut(position: u64, bytes: &[u8]) -> impl Iterator<Item = ([u8; 11], IVec)> {
    let first_bytes = bytes.len().min(PIECE_BYTES - CHECKSUM_BYTES - LENGTH_BYTES);
    let (first, rest) = bytes.split_at(first_bytes);
    let mut head = Vec::with_capacity(CHECKSUM_BYTES + LENGTH_BYTES + first.len());
    head.extend_from_slice(&checksum(position, bytes).to_be_bytes());
    head.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    head.extend_from_slice(first);
    let rest = rest
        .chunks(PIECE_BYTES)
        .zip(1..)
        .map(move |(piece, number)| (key(position, number), IVec::from(piece)));
    std::iter::once((key(position, 0), IVec::from(head))).chain(rest)
}

/// Puts an entry together again.
#[derive(Debug)]
pub(crate) struct Assembly {
    position: u64,
    checksum: u32,
    length: usize,
    next_piece: u16,
    bytes: Vec<u8>,
}

impl Assembly {
    /// Starts with the first piece.
    pub(crate) fn start(position: u64, first: &[u8]) -> Result<Self, String> {
        let too_short = || format!("the record of log position {position} is too short");
        let (checksum, rest) = first.split_first_chunk::<CHECKSUM_BYTES>().ok_or_else(too_short)?;
        let (length, rest) = rest.split_first_chunk::<LENGTH_BYTES>().ok_or_else(too_short)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity(length.min(ENTRY_BYTES_MAX));
        bytes.extend_from_slice(rest);
        Ok(Assembly { position, checksum: u32::from_be_bytes(*checksum), length, next_piece: 1, bytes })
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Adds a further piece.
    pub(crate) fn add(&mut self, piece: u16, bytes: &[u8]) -> Result<(), String> {
        if piece != self.next_piece || self.bytes.len() + bytes.len() > self.length {
            return Err(format!("log position {} has a piece {piece} that does not fit", self.position));
        }
        self.next_piece = self.next_piece.wrapping_add(1);
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The entry, if it is what was written.
    pub(crate) fn finish(self) -> Result<(u64, Vec<u8>), String> {
        if self.bytes.len() != self.length || checksum(self.position, &self.bytes) != self.checksum {
            return Err(format!("the entry at log position {} does not match its checksum", self.position));
        }
        Ok((self.position, self.bytes))
    }
}

/// A meta value behind its checksum.
pub(crate) fn sealed_meta(name: &str, value: &[u8]) -> IVec {
    let mut sealed = meta_checksum(name, value).to_be_bytes().to_vec();
    sealed.extend_from_slice(value);
    sealed.into()
}

/// What [`sealed_meta`] sealed.
pub(crate) fn unsealed_meta(name: &str, sealed: &[u8]) -> Result<Vec<u8>, String> {
    match sealed.split_first_chunk() {
        Some((checksum, value)) if u32::from_be_bytes(*checksum) == meta_checksum(name, value) => {
            Ok(value.to_vec())
        }
        _ => Err(format!("the log's value {name:?} does not match its checksum")),
    }
}

fn meta_checksum(name: &str, value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(name.as_bytes());
    hasher.update(value);
    hasher.finalize()
}
