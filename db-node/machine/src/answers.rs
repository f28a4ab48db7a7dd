//! Remembered answers: what makes a repeated command take effect once.
//!
//! Per idempotency key the fingerprint of the command and its response are kept, as replicated state, for 24 hours. The
//! table is bounded: at its bound new keys are refused, because forgetting early would break the promise.

use std::collections::VecDeque;

use bytes::Bytes;
use imbl::OrdSet;
use serde::{Deserialize, Serialize};

use crate::record::{Change, CorruptRecord, Record, TableId};
use crate::state_machine::Timestamp;
use crate::table::Table;

/// Most answers that are remembered at a time.
pub const ANSWERS_MAX: usize = 4_000_000;

/// SHA-256 of a scope and key.
type KeyHash = [u8; 32];

/// What is kept of a command that took effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedAnswer {
    fingerprint: [u8; 32],
    at_ms: u64,
    response: Vec<u8>,
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// Nothing: apply the command, and remember its response.
    New,
    /// The same command was answered: this was the response.
    Answered(Bytes),
    /// Another command had that key.
    Reused,
    /// No more can be remembered now.
    Full,
}

/// The remembered answers of a state machine.
#[derive(Clone, Debug)]
pub struct Answers {
    rows: Table<KeyHash, RememberedAnswer>,
    by_age: OrdSet<(u64, KeyHash)>,
    max: usize,
}

impl Answers {
    /// None yet, in a table with this id; at most `max` at a time.
    pub fn new(id: TableId, max: usize) -> Self {
        Answers { rows: Table::new(id), by_age: OrdSet::new(), max }
    }

    /// What is known of this key and command.
    pub fn recall(&self, key: &KeyHash, fingerprint: &[u8; 32]) -> Remembered {
        match self.rows.get(key) {
            Some(row) if row.fingerprint == *fingerprint => {
                Remembered::Answered(Bytes::copy_from_slice(&row.response))
            }
            Some(_) => Remembered::Reused,
            None if self.rows.len() >= self.max => Remembered::Full,
            None => Remembered::New,
        }
    }

    /// Remembers the response to a command that was new.
    pub fn remember(&mut self, now: Timestamp, key: KeyHash, fingerprint: [u8; 32], response: &[u8]) {
        let row = RememberedAnswer { fingerprint, at_ms: now.0, response: response.to_vec() };
        if let Some(old) = self.rows.insert(key, row) {
            self.by_age.remove(&(old.at_ms, key));
        }
        self.by_age.insert((now.0, key));
    }

    /// Whether an answer is older than `kept_ms` at this time.
    pub fn any_older(&self, now: Timestamp, kept_ms: u64) -> bool {
        self.by_age.get_min().is_some_and(|(at_ms, _)| at_ms.saturating_add(kept_ms) < now.0)
    }

    /// Forgets answers older than `kept_ms`, the oldest first and at most `most`; says how many.
    pub fn forget_older(&mut self, now: Timestamp, kept_ms: u64, most: usize) -> usize {
        let due: VecDeque<_> = self
            .by_age
            .iter()
            .take_while(|(at_ms, _)| at_ms.saturating_add(kept_ms) < now.0)
            .take(most)
            .copied()
            .collect();
        for aged in &due {
            self.by_age.remove(aged);
            self.rows.remove(&aged.1);
        }
        due.len()
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table's id.
    pub fn id(&self) -> TableId {
        self.rows.id()
    }

    /// See [`Table::take_changes`].
    pub fn take_changes(&mut self, changes: &mut Vec<Change>) {
        self.rows.take_changes(changes);
    }

    /// See [`Table::records`].
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.rows.records()
    }

    /// See [`Table::load`]. Call [`Answers::index`] once when all records are in.
    ///
    /// # Errors
    /// The record can't be read.
    pub fn load(&mut self, record: &Record) -> Result<(), CorruptRecord> {
        self.rows.load(record)
    }

    /// Rebuilds the order by age from the rows.
    pub fn index(&mut self) {
        self.by_age = self.rows.iter().map(|(key, row)| (row.at_ms, *key)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_answered_once_refused_when_reused_and_forgotten_in_time() {
        let mut answers = Answers::new(TableId(1), 2);
        let (a, b, c) = ([1; 32], [2; 32], [3; 32]);
        assert_eq!(answers.recall(&a, &[9; 32]), Remembered::New);
        answers.remember(Timestamp(100), a, [9; 32], b"first");
        assert_eq!(answers.recall(&a, &[9; 32]), Remembered::Answered(Bytes::from_static(b"first")));
        assert_eq!(answers.recall(&a, &[8; 32]), Remembered::Reused);
        answers.remember(Timestamp(200), b, [9; 32], b"second");
        assert_eq!(answers.recall(&c, &[9; 32]), Remembered::Full);
        assert_eq!(answers.forget_older(Timestamp(1100), 1000, 10), 0, "exactly as old is not older");
        assert_eq!(answers.forget_older(Timestamp(1101), 1000, 10), 1);
        assert_eq!(answers.recall(&a, &[9; 32]), Remembered::New);
    }
}
