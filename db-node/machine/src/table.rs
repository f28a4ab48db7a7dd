//! A table: an ordered map that remembers which of its records changed, and that clones in constant time.

use std::collections::BTreeSet;
use std::ops::RangeBounds;

use bytes::Bytes;
use imbl::OrdMap;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::record::{Change, CorruptRecord, Record, TableId, decode, decode_key, encode, encode_key};

/// An ordered map from keys to values. Every write notes its key; [`Table::take_changes`] turns the notes into changes.
#[derive(Clone, Debug)]
pub struct Table<K: Ord + Clone, V: Clone> {
    id: TableId,
    rows: OrdMap<K, V>,
    changed: BTreeSet<K>,
}

impl<K, V> Table<K, V>
where
    K: Ord + Clone + Serialize + DeserializeOwned,
    V: Clone + Serialize + DeserializeOwned,
{
    /// An empty table. The id is part of the format on disk, and unique within a state machine.
    pub fn new(id: TableId) -> Self {
        Table { id, rows: OrdMap::new(), changed: BTreeSet::new() }
    }

    /// The table's id.
    pub fn id(&self) -> TableId {
        self.id
    }

    /// The key of a row's record.
    pub fn record_key(&self, key: &K) -> Bytes {
        encode_key(self.id, key)
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(key)
    }

    /// Whether there is a row of that key.
    pub fn contains_key(&self, key: &K) -> bool {
        self.rows.contains_key(key)
    }

    /// Writes a row; what it replaced is returned.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.changed.insert(key.clone());
        self.rows.insert(key, value)
    }

    /// Changes a row in place, if there is one, and returns what the change returns.
    pub fn update<T>(&mut self, key: &K, change: impl FnOnce(&mut V) -> T) -> Option<T> {
        let row = self.rows.get_mut(key)?;
        self.changed.insert(key.clone());
        Some(change(row))
    }

    /// Removes a row; what it was is returned.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let old = self.rows.remove(key)?;
        self.changed.insert(key.clone());
        Some(old)
    }

    /// The rows in the order of their keys.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.rows.iter()
    }

    /// The rows of a range of keys, in order.
    pub fn range<R: RangeBounds<K>>(&self, range: R) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.rows.range(range)
    }

    /// Moves what changed since the last call to the end of `changes`.
    pub fn take_changes(&mut self, changes: &mut Vec<Change>) {
        let Table { id, rows, changed } = self;
        for key in std::mem::take(changed) {
            changes.push(Change { key: encode_key(*id, &key), value: rows.get(&key).map(encode) });
        }
    }

    /// All rows as records.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.rows.iter().map(|(key, value)| Record { key: encode_key(self.id, key), value: encode(value) })
    }

    /// Takes a record of this table in, without noting it as a change.
    ///
    /// # Errors
    /// The record can't be read.
    pub fn load(&mut self, record: &Record) -> Result<(), CorruptRecord> {
        let key = decode_key(record)?;
        let value = decode(&record.value).map_err(|why| record.corrupt(why))?;
        self.rows.insert(key, value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_rebuild_the_table() {
        let mut table: Table<(u32, u64), String> = Table::new(TableId(7));
        table.insert((1, 2), "a".into());
        table.insert((1, 3), "b".into());
        table.update(&(1, 2), |row| row.push('!'));
        table.remove(&(1, 3));
        let mut changes = Vec::new();
        table.take_changes(&mut changes);
        assert_eq!(changes.len(), 2, "one change a row, and a removal is one");
        let mut copy: Table<(u32, u64), String> = Table::new(TableId(7));
        for change in &changes {
            if let Some(value) = &change.value {
                copy.load(&Record { key: change.key.clone(), value: value.clone() }).unwrap();
            }
        }
        assert!(copy.iter().eq(table.iter()));
        let mut none = Vec::new();
        table.take_changes(&mut none);
        assert!(none.is_empty());
    }

    #[test]
    fn damaged_records_are_refused() {
        let mut table: Table<u64, String> = Table::new(TableId(1));
        let good = Record { key: encode_key(TableId(1), &9_u64), value: encode(&"x".to_string()) };
        for cut in 0..good.key.len() {
            assert!(table.load(&Record { key: good.key.slice(..cut), value: good.value.clone() }).is_err());
        }
        for cut in 0..good.value.len() {
            assert!(table.load(&Record { key: good.key.clone(), value: good.value.slice(..cut) }).is_err());
        }
        assert!(table.is_empty());
    }
}
