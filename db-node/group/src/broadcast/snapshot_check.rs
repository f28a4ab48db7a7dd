//! How both ends of a snapshot make sure that it arrived whole.

/// Counts records and sums them up.
#[derive(Clone, Debug, Default)]
pub(super) struct Check {
    records: u64,
    hasher: crc32fast::Hasher,
}

impl Check {
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.records += 1;
        for part in [key, value] {
            self.hasher.update(&(part.len() as u64).to_be_bytes());
            self.hasher.update(part);
        }
    }

    /// How many there were so far.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// How many there were, and their CRC-32.
    pub(super) fn finish(&self) -> (u64, u32) {
        (self.records, self.hasher.clone().finalize())
    }
}
