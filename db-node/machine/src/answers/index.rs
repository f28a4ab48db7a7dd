//! Where the answer of a key is: a hash table from the key's first bytes to its position, and nothing else, so that it stays
//! small beside the answers.
//!
//! It is cut into shards, so that none is ever so large that its growth would be felt.

use hashbrown::HashTable;

const SHARDS: usize = 1 << 8;

/// Where an answer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) run: u64,
    pub(super) offset: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The key is a hash: its first bytes are as good as any hash of it.
    prefix: u64,
    position: u64,
}

#[derive(Debug)]
pub(super) struct Index {
    shards: Vec<HashTable<Entry>>,
}

impl Default for Index {
    fn default() -> Self {
        Index { shards: vec![HashTable::new(); SHARDS] }
    }
}

/// A row begins within the first few kilobytes of its run.
const OFFSET_BITS: u32 = 16;

impl Position {
    fn packed(self) -> u64 {
        self.run << OFFSET_BITS | self.offset as u64
    }

    fn unpacked(packed: u64) -> Self {
        let offset = packed & ((1 << OFFSET_BITS) - 1);
        Position { run: packed >> OFFSET_BITS, offset: offset as usize }
    }
}

fn prefix(key: &[u8]) -> u64 {
    key.first_chunk().map_or(0, |prefix| u64::from_be_bytes(*prefix))
}

/// The table looks at the highest and the lowest bits of its hash: the shard is told by others.
fn shard(prefix: u64) -> usize {
    (prefix >> 32) as usize % SHARDS
}

impl Index {
    /// What an entry takes: itself and a byte of control, in a table that is two thirds full on average.
    pub(super) const ENTRY_BYTES: u64 = (size_of::<Entry>() as u64 + 1) * 3 / 2;

    /// The position of this key; `matches` tells whether it is the one at a position.
    pub(super) fn find(&self, key: &[u8], matches: impl Fn(Position) -> bool) -> Option<Position> {
        let prefix = prefix(key);
        let found = self.shards[shard(prefix)]
            .find(prefix, |entry| entry.prefix == prefix && matches(Position::unpacked(entry.position)))?;
        Some(Position::unpacked(found.position))
    }

    pub(super) fn insert(&mut self, key: &[u8], position: Position) {
        let prefix = prefix(key);
        let entry = Entry { prefix, position: position.packed() };
        self.shards[shard(prefix)].insert_unique(prefix, entry, |entry| entry.prefix);
    }

    pub(super) fn remove(&mut self, key: &[u8], position: Position) {
        let (prefix, packed) = (prefix(key), position.packed());
        let found = self.shards[shard(prefix)].find_entry(prefix, |entry| entry.position == packed);
        if let Ok(entry) = found {
            entry.remove();
        }
    }
}
