//! Records: how a state is cut into pieces for the store and for snapshots.
//!
//! A record's key starts with its table's id, so that all tables share one ordered key space and one atomic batch. Values
//! are bincode behind a version byte.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The number of a table within its state machine; part of the format on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u8);

/// A key with its value, both encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The table's id, then the encoded key.
    pub key: Bytes,
    /// The encoded value.
    pub value: Bytes,
}

/// A record that was written, or (without a value) removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The table's id, then the encoded key.
    pub key: Bytes,
    /// None: removed.
    pub value: Option<Bytes>,
}

/// A record that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("corrupt record with key {key:02x?}: {why}")]
pub struct CorruptRecord {
    /// The record's key, as it was found.
    pub key: Vec<u8>,
    /// What is wrong with it.
    pub why: String,
}

const VERSION: u8 = 1;

/// Fixed-width and big-endian, so that encoded keys sort as the keys do.
fn format() -> impl bincode::config::Config {
    bincode::config::standard().with_big_endian().with_fixed_int_encoding()
}

/// A key under its table's id, encoded so that the order of integers and of tuples of them is kept.
pub(crate) fn encode_key<K: Serialize>(table: TableId, key: &K) -> Bytes {
    let mut bytes = vec![table.0];
    // Keys are plain integers, tuples, byte arrays and strings: these can't fail to encode.
    let encoded = bincode::serde::encode_into_std_write(key, &mut bytes, format());
    debug_assert!(encoded.is_ok(), "a key that does not encode: {encoded:?}");
    bytes.into()
}

/// A value behind its version byte.
pub fn encode<V: Serialize>(value: &V) -> Bytes {
    let mut bytes = vec![VERSION];
    let encoded = bincode::serde::encode_into_std_write(value, &mut bytes, bincode::config::standard());
    debug_assert!(encoded.is_ok(), "a value that does not encode: {encoded:?}");
    bytes.into()
}

/// The value that [`encode`] made these bytes from.
///
/// # Errors
/// Says what is wrong with the bytes: empty, of an unknown version, cut short, or with something behind them.
pub fn decode<V: DeserializeOwned>(bytes: &[u8]) -> Result<V, String> {
    let (version, body) = bytes.split_first().ok_or("empty")?;
    if *version != VERSION {
        return Err(format!("version {version}, but this program reads version {VERSION}"));
    }
    let (value, read) =
        bincode::serde::decode_from_slice(body, bincode::config::standard().with_limit::<{ 16 << 20 }>())
            .map_err(|error| error.to_string())?;
    if read == body.len() { Ok(value) } else { Err(format!("{} bytes too many", body.len() - read)) }
}

pub(crate) fn decode_key<K: DeserializeOwned>(record: &Record) -> Result<K, CorruptRecord> {
    let body = record.key.get(1..).unwrap_or_default();
    match bincode::serde::decode_from_slice(body, format()) {
        Ok((key, read)) if read == body.len() => Ok(key),
        Ok(_) => Err(record.corrupt("bytes behind the key")),
        Err(error) => Err(record.corrupt(error.to_string())),
    }
}

impl Record {
    /// The table that the record belongs to.
    ///
    /// # Errors
    /// The key is empty.
    pub fn table(&self) -> Result<TableId, CorruptRecord> {
        self.key.first().map(|id| TableId(*id)).ok_or_else(|| self.corrupt("no table id"))
    }

    /// This record, as the one that is at fault.
    pub fn corrupt(&self, why: impl Into<String>) -> CorruptRecord {
        CorruptRecord { key: self.key.to_vec(), why: why.into() }
    }
}
