//! A tiny state machine for tests: named counters.
#![allow(dead_code, clippy::unwrap_used, reason = "each test uses a part of it, and may fail")]

use agora_machine::{CorruptRecord, Malformed, Record, StateMachine, Table, TableId, Timestamp};
use bytes::Bytes;

/// A command with this name is a bug: the state machine panics.
pub const BUG: &str = "bug";

/// A query for this answers the time that it was asked at.
pub const LOCAL_NOW: &str = "local-now";

/// Commands are "NAME NUMBER" and answer the counter's new value; queries are "NAME" and answer its value.
#[derive(Clone, Debug)]
pub struct Counters {
    counts: Table<String, u64>,
    last: Table<u8, u64>,
}

impl Default for Counters {
    fn default() -> Self {
        Counters { counts: Table::new(TableId(1)), last: Table::new(TableId(2)) }
    }
}

pub fn add(name: &str, number: u64) -> Bytes {
    format!("{name} {number}").into()
}

/// Whether a group that asked its state machine now gave it about this time.
pub fn is_now(ms: u64) -> bool {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.abs_diff(std::time::Duration::from_millis(ms)) < std::time::Duration::from_secs(2)
}

pub fn number(response: &[u8]) -> u64 {
    std::str::from_utf8(response).unwrap().parse().unwrap()
}

fn parse(command: &[u8]) -> Option<(String, u64)> {
    let (name, number) = std::str::from_utf8(command).ok()?.split_once(' ')?;
    Some((name.into(), number.parse().ok()?))
}

impl Counters {
    pub fn value(&self, name: &str) -> u64 {
        self.counts.get(&name.to_string()).copied().unwrap_or(0)
    }

    /// The time of the last command.
    pub fn last(&self) -> u64 {
        self.last.get(&0).copied().unwrap_or(0)
    }
}

impl StateMachine for Counters {
    fn check(command: &[u8]) -> Result<(), Malformed> {
        parse(command).map(drop).ok_or_else(|| Malformed("not NAME NUMBER".into()))
    }

    fn apply(&mut self, now: Timestamp, command: &[u8]) -> Bytes {
        assert!(now.0 >= self.last(), "time went back from {} to {}", self.last(), now.0);
        self.last.insert(0, now.0);
        let Some((name, number)) = parse(command) else { return "refused".into() };
        assert_ne!(name, BUG, "a bug in the state machine");
        let value = self.value(&name) + number;
        self.counts.insert(name, value);
        value.to_string().into()
    }

    fn query(&self, local_now: Timestamp, query: &[u8]) -> Result<Bytes, Malformed> {
        if query == LOCAL_NOW.as_bytes() {
            return Ok(local_now.0.to_string().into());
        }
        let name = std::str::from_utf8(query).map_err(|_| Malformed("not text".into()))?;
        Ok(self.value(name).to_string().into())
    }

    fn maintenance(&self, _: Timestamp) -> Option<Bytes> {
        (self.value("wants-maintenance") > self.value("maintained")).then(|| add("maintained", 1))
    }

    fn take_changes(&mut self) -> Vec<agora_machine::Change> {
        let mut changes = Vec::new();
        self.counts.take_changes(&mut changes);
        self.last.take_changes(&mut changes);
        changes
    }

    fn records(&self) -> Box<dyn Iterator<Item = Record> + '_> {
        Box::new(self.counts.records().chain(self.last.records()))
    }

    fn load(records: impl Iterator<Item = Record>) -> Result<Self, CorruptRecord> {
        let mut machine = Counters::default();
        for record in records {
            match record.table()? {
                TableId(1) => machine.counts.load(&record)?,
                TableId(2) => machine.last.load(&record)?,
                _ => return Err(record.corrupt("of no table")),
            }
        }
        Ok(machine)
    }
}
