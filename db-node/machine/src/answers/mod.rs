//! Remembered answers: what makes a repeated command take effect once.
//!
//! Per idempotency key the fingerprint of the command and its response are kept, as replicated state, for 24 hours. They are
//! bounded by the bytes that they take: at the bound new keys are refused, because forgetting early would break the promise.
//!
//! Answers come in the order of replicated time and go in the same order. So they lie one behind the other, in the form in
//! which they are stored, cut into runs of a few kilobytes: a run is a record. The store then has a few records to write for
//! many answers, instead of one for each at a place as random as the keys are, and memory holds no more than the bytes and an
//! index over them.

mod index;
mod run;

use std::collections::VecDeque;

use agora_sabotage::Promise;
use bytes::Bytes;
use imbl::Vector;

use crate::record::{Change, CorruptRecord, Record, TableId, decode, decode_key, encode, encode_key};
use crate::state_machine::Timestamp;
use index::{Index, Position};
use run::{HEADER_BYTES, OpenRun, ROW_BYTES, Row};

/// Most bytes that remembered answers take: of each the response and [`ANSWER_OVERHEAD_BYTES`].
pub const ANSWERS_BYTES_MAX: u64 = 2560 << 20;
/// What an answer counts for besides its response: key, fingerprint, time and length, and its place in the index.
pub const ANSWER_OVERHEAD_BYTES: u64 = ROW_BYTES as u64 + Index::ENTRY_BYTES;

/// The key of the record that says where the oldest answer is.
const OLDEST: u64 = u64::MAX;

/// SHA-256 of a scope and key, or of a request.
type Hash = [u8; 32];

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
///
/// A clone shares all but the index, which it builds anew should it be asked for an answer: clones are mostly made to read
/// their records.
#[derive(Debug)]
pub struct Answers {
    id: TableId,
    bytes_max: u64,
    /// The runs that are complete.
    runs: Vector<Bytes>,
    /// The number of the first of them.
    first: u64,
    /// The run behind them, which grows.
    open: OpenRun,
    /// Where the oldest answer lies in the first run. What is before it is forgotten.
    oldest: usize,
    count: u64,
    bytes: u64,
    index: Option<Index>,
    unsaved: Unsaved,
}

/// What changed since the changes were last taken.
#[derive(Clone, Copy, Debug, Default)]
struct Unsaved {
    anything: bool,
    /// The runs from this one to the first were removed.
    removed_from: u64,
    /// The runs from this one on were written.
    written_from: u64,
}

impl Clone for Answers {
    fn clone(&self) -> Self {
        Answers { runs: self.runs.clone(), open: self.open.clone(), index: None, ..*self }
    }
}

impl Answers {
    /// None yet, in a table with this id; new keys are refused while they take `bytes_max` or more.
    pub fn new(id: TableId, bytes_max: u64) -> Self {
        Answers {
            id,
            bytes_max,
            runs: Vector::new(),
            first: 0,
            open: OpenRun::default(),
            oldest: HEADER_BYTES,
            count: 0,
            bytes: 0,
            index: None,
            unsaved: Unsaved::default(),
        }
    }

    /// What is known of this key and command.
    pub fn recall(&mut self, key: &Hash, fingerprint: &Hash) -> Remembered {
        if agora_sabotage::breaks(Promise::OnceOnly) {
            return Remembered::New;
        }
        let full = self.bytes >= self.bytes_max;
        match self.find(key) {
            Some(row) if row.is_of(fingerprint) => Remembered::Answered(Bytes::copy_from_slice(row.response)),
            Some(_) => Remembered::Reused,
            None if full => Remembered::Full,
            None => Remembered::New,
        }
    }

    fn find(&mut self, key: &Hash) -> Option<Row<'_>> {
        self.build_index();
        let position = self
            .index
            .as_ref()?
            .find(key, |position| self.row(position).is_some_and(|row| row.has_key(key)))?;
        self.row(position)
    }

    /// Remembers the response to a command that was new.
    pub fn remember(&mut self, now: Timestamp, key: Hash, fingerprint: Hash, response: &[u8]) {
        self.build_index();
        if !self.open.takes(now.0) {
            let complete = std::mem::take(&mut self.open).complete();
            self.runs.push_back(complete);
            self.drop_forgotten_runs();
        }
        let position =
            Position { run: self.last(), offset: self.open.append(now.0, &key, &fingerprint, response) };
        if let Some(index) = &mut self.index {
            index.insert(&key, position);
        }
        self.count += 1;
        self.bytes += counted(response);
        self.unsaved.anything = true;
    }

    /// Whether an answer is older than `kept_ms` at this time.
    pub fn any_older(&self, now: Timestamp, kept_ms: u64) -> bool {
        self.oldest().is_some_and(|row| row.at_ms.saturating_add(kept_ms) < now.0)
    }

    /// Forgets answers older than `kept_ms`, the oldest first and at most `most`; says how many.
    pub fn forget_older(&mut self, now: Timestamp, kept_ms: u64, most: usize) -> usize {
        for forgotten in 0..most {
            if !self.any_older(now, kept_ms) {
                return forgotten;
            }
            self.forget_oldest();
        }
        most
    }

    fn forget_oldest(&mut self) {
        self.build_index();
        let position = Position { run: self.first, offset: self.oldest };
        let (runs, open) = (&self.runs, &self.open);
        let Some(row) = run_of(runs, open, 0).and_then(|run| run::row(run, position.offset)) else { return };
        if let Some(index) = &mut self.index {
            index.remove(row.key, position);
        }
        self.count -= 1;
        self.bytes -= counted(row.response);
        self.oldest = row.end;
        self.unsaved.anything = true;
        self.drop_forgotten_runs();
    }

    /// Drops the first runs of which nothing is remembered. The one that grows stays.
    fn drop_forgotten_runs(&mut self) {
        while self.runs.front().is_some_and(|run| self.oldest >= run.len()) {
            self.runs.pop_front();
            self.first += 1;
            self.oldest = HEADER_BYTES;
        }
    }

    fn oldest(&self) -> Option<Row<'_>> {
        self.row(Position { run: self.first, offset: self.oldest })
    }

    fn row(&self, position: Position) -> Option<Row<'_>> {
        let place = usize::try_from(position.run.checked_sub(self.first)?).ok()?;
        run::row(run_of(&self.runs, &self.open, place)?, position.offset)
    }

    /// The number of the run that grows.
    fn last(&self) -> u64 {
        self.first + self.runs.len() as u64
    }

    fn build_index(&mut self) {
        if self.index.is_none() {
            let mut index = Index::default();
            self.each(|key, position, _| index.insert(key, position));
            self.index = Some(index);
        }
    }

    /// Calls with the key, the position and the response of each answer, the oldest first.
    fn each(&self, mut call: impl FnMut(&[u8], Position, &[u8])) {
        let mut offset = self.oldest;
        let runs = self.runs.iter().map(|run| &run[..]).chain([self.open.bytes()]);
        for (run, bytes) in (self.first..).zip(runs) {
            while let Some(row) = run::row(bytes, offset) {
                call(row.key, Position { run, offset }, row.response);
                offset = row.end;
            }
            offset = HEADER_BYTES;
        }
    }

    /// How many are remembered.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The table's id.
    pub fn id(&self) -> TableId {
        self.id
    }

    /// Moves what changed since the last call to the end of `changes`.
    pub fn take_changes(&mut self, changes: &mut Vec<Change>) {
        if !std::mem::take(&mut self.unsaved.anything) {
            return;
        }
        let removed = self.unsaved.removed_from..self.first;
        changes.extend(removed.map(|run| Change { key: encode_key(self.id, &run), value: None }));
        let written_from = self.unsaved.written_from.max(self.first);
        let written = self.records_from(written_from);
        changes.extend(written.map(|record| Change { key: record.key, value: Some(record.value) }));
        self.unsaved = Unsaved { anything: false, removed_from: self.first, written_from: self.last() };
    }

    /// The state as records, in a fixed order.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.records_from(self.first)
    }

    /// The records of the runs from this one on, and the one that says where the oldest answer is.
    fn records_from(&self, from: u64) -> impl Iterator<Item = Record> + '_ {
        let skipped = usize::try_from(from - self.first).unwrap_or(usize::MAX);
        let complete = self.runs.iter().skip(skipped).cloned();
        let open = self.open.begun().map(Bytes::copy_from_slice);
        let oldest = open.is_some().then(|| Record {
            key: encode_key(self.id, &OLDEST),
            value: encode(&(self.first, self.oldest as u64)),
        });
        let runs = (from..).zip(complete.chain(open));
        runs.map(|(run, value)| Record { key: encode_key(self.id, &run), value }).chain(oldest)
    }
}

/// The run at this place, counted from the first.
fn run_of<'a>(runs: &'a Vector<Bytes>, open: &'a OpenRun, place: usize) -> Option<&'a [u8]> {
    if place == runs.len() { Some(open.bytes()) } else { runs.get(place).map(|run| &run[..]) }
}

fn counted(response: &[u8]) -> u64 {
    response.len() as u64 + ANSWER_OVERHEAD_BYTES
}

/// Answers on their way in from their records.
#[derive(Debug)]
pub struct AnswersLoader {
    answers: Answers,
    runs: VecDeque<(u64, Bytes)>,
    oldest: Option<(u64, u64)>,
}

impl AnswersLoader {
    /// For answers of this table and bound.
    pub fn new(id: TableId, bytes_max: u64) -> Self {
        AnswersLoader { answers: Answers::new(id, bytes_max), runs: VecDeque::new(), oldest: None }
    }

    /// Takes a record in. They must come in the order of their keys.
    ///
    /// # Errors
    /// The record can't be read, or does not belong where it is.
    pub fn load(&mut self, record: &Record) -> Result<(), CorruptRecord> {
        let run: u64 = decode_key(record)?;
        if run == OLDEST {
            self.oldest = Some(decode(&record.value).map_err(|why| record.corrupt(why))?);
            return Ok(());
        }
        if self.runs.back().is_some_and(|(before, _)| before + 1 != run) || self.oldest.is_some() {
            return Err(record.corrupt("a run of answers that does not follow the one before"));
        }
        run::check(&record.value).map_err(|why| record.corrupt(why))?;
        // A copy, for the record may be a small part of what it was read with.
        self.runs.push_back((run, Bytes::copy_from_slice(&record.value)));
        Ok(())
    }

    /// The answers that the records make up, indexed.
    ///
    /// # Errors
    /// Records are missing.
    pub fn finish(self) -> Result<Answers, CorruptRecord> {
        let AnswersLoader { mut answers, mut runs, oldest } = self;
        let corrupt =
            |why: &str| CorruptRecord { key: encode_key(answers.id, &OLDEST).to_vec(), why: why.to_owned() };
        let Some((last, open)) = runs.pop_back() else {
            return if oldest.is_none() { Ok(answers) } else { Err(corrupt("no answers follow")) };
        };
        let Some((first, offset)) = oldest else { return Err(corrupt("it is missing")) };
        if runs.front().map_or(last, |(run, _)| *run) != first {
            return Err(corrupt("the oldest answer is not in the first run"));
        }
        answers.first = first;
        answers.runs = runs.into_iter().map(|(_, run)| run).collect();
        answers.open = OpenRun::of(&open);
        answers.oldest = usize::try_from(offset).unwrap_or(usize::MAX);
        let begins = |run: &[u8]| run::begins_row(run, answers.oldest);
        let all_forgotten = answers.runs.is_empty() && answers.oldest == answers.open.bytes().len();
        if !all_forgotten && !run_of(&answers.runs, &answers.open, 0).is_some_and(begins) {
            return Err(corrupt("the oldest answer does not begin there"));
        }
        let (mut count, mut bytes) = (0, 0);
        let mut index = Index::default();
        answers.each(|key, position, response| {
            index.insert(key, position);
            count += 1;
            bytes += counted(response);
        });
        (answers.count, answers.bytes, answers.index) = (count, bytes, Some(index));
        answers.unsaved = Unsaved { anything: false, removed_from: first, written_from: last };
        Ok(answers)
    }
}

#[cfg(test)]
mod tests;
