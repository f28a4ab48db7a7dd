//! The one trait between replication and the marketplace.

use bytes::Bytes;

use crate::record::{Change, CorruptRecord, Record};

/// Replicated time: milliseconds since the Unix epoch, as agreed in the log. It never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

/// These bytes are no command or no query of this state machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed: {0}")]
pub struct Malformed(pub String);

/// A deterministic state machine: equal commands in equal order at equal times make equal states and equal responses on
/// every node. `Clone` is cheap (the tables share structure): it is how a consistent snapshot is taken.
pub trait StateMachine: Clone + Default + Send + Sync + 'static {
    /// Whether these bytes are a command, before they enter the log.
    ///
    /// # Errors
    /// `Malformed` says what is wrong with them.
    fn check(command: &[u8]) -> Result<(), Malformed>;

    /// Applies a command at a time. A command that breaks a rule gets a refusal for a response and changes nothing; so
    /// do bytes that are no command (a later version's, say).
    fn apply(&mut self, now: Timestamp, command: &[u8]) -> Bytes;

    /// Answers a query from the state as it is. What is over is over by the time of the last applied command, which in a group that
    /// was quiet or down may be long ago. `local_now` is this node's time: later than that by as long as it was, unless its
    /// clock is wrong, so it may only serve for what does no harm then.
    ///
    /// # Errors
    /// `Malformed` when the bytes are no query.
    fn query(&self, local_now: Timestamp, query: &[u8]) -> Result<Bytes, Malformed>;

    /// The maintenance command that is worth replicating at this (local, unreliable) time, if one is. Whoever asks may
    /// propose it; proposing it twice or late does no harm.
    fn maintenance(&self, local_now: Timestamp) -> Option<Bytes>;

    /// What changed since the last call: one change per record, for one atomic write.
    fn take_changes(&mut self) -> Vec<Change>;

    /// All records, in a fixed order, lazily: the state of a snapshot, and what a checksum is computed from.
    fn records(&self) -> Box<dyn Iterator<Item = Record> + '_>;

    /// The state that these records make up, indexes rebuilt.
    ///
    /// # Errors
    /// `CorruptRecord` names the record that can't be read, or that breaks an invariant.
    fn load(records: impl Iterator<Item = Record>) -> Result<Self, CorruptRecord>;
}
