//! What openraft is told about this group: its node ids, log payloads, responses and snapshots.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub use super::node_id::NodeId;
use agora_machine::{Record, StateMachine};
use bytes::Bytes;

pub(crate) type LogId = openraft::LogId<NodeId>;
pub(crate) type LeaderId = openraft::LeaderId<NodeId>;
pub(crate) type Vote = openraft::Vote<NodeId>;
pub(crate) type Entry = openraft::Entry<TypeConfig>;
pub(crate) type Membership = openraft::Membership<NodeId, Member>;
pub(crate) type StoredMembership = openraft::StoredMembership<NodeId, Member>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<NodeId, Member>;
pub(crate) type Snapshot = openraft::Snapshot<TypeConfig>;
pub(crate) type StorageError = openraft::StorageError<NodeId>;
pub(crate) type Raft = openraft::Raft<TypeConfig>;

openraft::declare_raft_types!(
    /// openraft as this group uses it.
    pub TypeConfig:
        D = Batch,
        R = Responses,
        NodeId = NodeId,
        Node = Member,
        Entry = openraft::Entry<TypeConfig>,
        SnapshotData = SnapshotData,
        AsyncRuntime = crate::runtime::OpenraftRuntime,
);

/// What the membership says of a node besides who it is: what its seat is called, and where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// The node's name in the cluster file; empty in what was written before names were.
    pub name: String,
    /// The address of its services.
    pub address: String,
}

/// The payload of a log entry: commands that waited together. Cheap to clone, because openraft clones entries often.
#[derive(Clone, PartialEq, Eq)]
pub struct Batch {
    /// The leader's clock; applied at this time, or at the time of the batch before if that is later.
    pub time_ms: u64,
    /// The commands, in the order in which they are applied.
    pub commands: Arc<[Bytes]>,
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} commands at {} ms", self.commands.len(), self.time_ms)
    }
}

/// The responses to a batch, one for each command; none for entries that are no batch.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Responses(pub Vec<Bytes>);

impl fmt::Debug for Responses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} responses", self.0.len())
    }
}

/// A snapshot's data: the position of the state, and where its records are.
#[derive(Clone)]
pub struct SnapshotData {
    /// The state machine's position, encoded.
    pub position: Vec<u8>,
    /// The records.
    pub records: SnapshotRecords,
}

/// Where the records of a snapshot are.
#[derive(Clone)]
pub enum SnapshotRecords {
    /// In memory: a consistent copy of the state machine, which shares its structure with the living one.
    Machine(Arc<dyn RecordSource>),
    /// In a file, as they came from a peer; removed with the last clone of this.
    File(Arc<ReceivedFile>),
}

/// A state machine, seen as its records only.
pub trait RecordSource: Send + Sync {
    /// All records in order.
    fn records(&self) -> Box<dyn Iterator<Item = Record> + '_>;
}

impl<M: StateMachine> RecordSource for M {
    fn records(&self) -> Box<dyn Iterator<Item = Record> + '_> {
        StateMachine::records(self)
    }
}

/// A file of length-delimited records that removes itself.
#[derive(Debug)]
pub struct ReceivedFile {
    /// Where it is.
    pub path: PathBuf,
}

impl Drop for ReceivedFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "can't remove the file of a snapshot");
        }
    }
}

impl fmt::Debug for SnapshotData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.records {
            SnapshotRecords::Machine(_) => f.write_str("a snapshot in memory"),
            SnapshotRecords::File(file) => write!(f, "a snapshot in {}", file.path.display()),
        }
    }
}
