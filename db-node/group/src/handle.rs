//! The face of a group: what the gRPC service in front of it may ask.

use std::sync::Arc;
use std::time::Duration;

use agora_machine::Malformed;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

use crate::runtime;

/// Why a group did not answer. A refusal by the state machine is an answer, not a failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The bytes are no command or query. Nothing happened.
    #[error("{0}")]
    Malformed(String),
    /// A bound was reached. Nothing happened; worth repeating after this time.
    #[error("too much is under way; retry after {} ms", retry_after.as_millis())]
    Overloaded {
        /// When to come back.
        retry_after: Duration,
    },
    /// This node can't serve now. Nothing happened; another node may.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The command may have happened, or may yet. Repeat it with the same idempotency key.
    #[error("the outcome is unknown: {0}")]
    OutcomeUnknown(String),
}

/// A command on its way into a group, with the way back for its answer.
#[derive(Debug)]
pub struct Command {
    /// What is to be applied; it has passed `StateMachine::check`.
    pub command: Bytes,
    /// Where the state machine's response goes.
    pub answer: oneshot::Sender<Result<Bytes, Failure>>,
}

/// A linearizable query on its way into a group.
#[derive(Debug)]
pub struct Query {
    /// What is asked.
    pub query: Bytes,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<Bytes, Failure>>,
}

/// What a node knows of its group; `applied`, `last` and `first` are slots or log indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupStatus {
    /// None: it serves. Else why it does not, for people.
    pub not_ready_because: Option<String>,
    /// Last position applied.
    pub applied: u64,
    /// Last position in the log.
    pub last: u64,
    /// First position still in the log.
    pub first: u64,
    /// Last position known to be committed.
    pub committed: u64,
    /// What only one protocol has.
    pub protocol: Option<Protocol>,
}

/// The part of a status that only one protocol has. Members are named by their index in the cluster file, or by their seat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The broadcast group.
    Broadcast {
        /// Counter and coordinator of the accepted epoch.
        epoch: (u64, usize),
        /// Who takes turns, in order.
        roster: Vec<usize>,
        /// Who owns the next unassigned slot.
        next_owner: usize,
        /// This node's incarnation.
        incarnation: u64,
        /// Why the epoch was begun; who has restarted since does not know.
        epoch_reason: Option<String>,
        /// Why this node takes no turns; none if it does.
        outside_because: Option<String>,
        /// The disk that this node speaks from.
        disk: String,
        /// Per member, the disk that counts in the group's decisions; none while the seat is vacant.
        seats: Vec<Option<String>>,
        /// Members that speak from a disk without a seat, as far as this node hears.
        learners: Vec<usize>,
    },
    /// The openraft group.
    Raft {
        /// The current term.
        term: u64,
        /// The leader, if one is known.
        leader: Option<usize>,
        /// This node's role: "leader", "follower", "candidate", "learner" or "shutdown".
        role: &'static str,
        /// Who votes.
        voters: Vec<usize>,
        /// Who only learns.
        learners: Vec<usize>,
        /// All who have a seat.
        members: Vec<RaftMember>,
        /// One more than the log position of these members, if that is applied; else 0.
        members_since: u64,
    },
}

/// Who has a seat in an openraft group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftMember {
    /// The seat.
    pub seat: usize,
    /// The node's name; empty if that was not written down.
    pub name: String,
    /// The address of its services.
    pub address: String,
    /// Whether the seat has a vote; if not, its node learns.
    pub votes: bool,
}

/// A group, as its service sees it. Cheap to clone.
#[derive(Clone)]
pub struct GroupHandle {
    check: fn(&[u8]) -> Result<(), Malformed>,
    commands: mpsc::Sender<Command>,
    queries: mpsc::Sender<Query>,
    status: watch::Receiver<GroupStatus>,
    checksum: Arc<dyn Fn() -> (u64, u32) + Send + Sync>,
}

/// How long callers are asked to stay away when a queue in front of a group is full.
const RETRY_AFTER: Duration = Duration::from_millis(50);

impl GroupHandle {
    /// A handle over the queues that a group's driver reads. The queues' capacities are the bound on what waits.
    /// `checksum` computes, on a blocking thread, (last applied position, checksum of the state at it).
    pub fn new(
        check: fn(&[u8]) -> Result<(), Malformed>,
        commands: mpsc::Sender<Command>,
        queries: mpsc::Sender<Query>,
        status: watch::Receiver<GroupStatus>,
        checksum: Arc<dyn Fn() -> (u64, u32) + Send + Sync>,
    ) -> Self {
        GroupHandle { check, commands, queries, status, checksum }
    }

    /// Replicates a command, and returns the state machine's response once it is durable at a majority and applied here.
    ///
    /// # Errors
    /// See [`Failure`]; only `OutcomeUnknown` leaves open whether the command took effect.
    pub async fn execute(&self, command: Bytes) -> Result<Bytes, Failure> {
        (self.check)(&command).map_err(|malformed| Failure::Malformed(malformed.0))?;
        let (answer, answered) = oneshot::channel();
        self.commands.try_send(Command { command, answer }).map_err(refused)?;
        answered.await.unwrap_or_else(|_| Err(Failure::OutcomeUnknown("this node is stopping".into())))
    }

    /// Answers a query from a state that includes every command acknowledged before this call.
    ///
    /// # Errors
    /// See [`Failure`]; a query changes nothing, so all of them may be repeated elsewhere.
    pub async fn query(&self, query: Bytes) -> Result<Bytes, Failure> {
        let (answer, answered) = oneshot::channel();
        self.queries.try_send(Query { query, answer }).map_err(refused)?;
        answered.await.unwrap_or_else(|_| Err(Failure::Unavailable("this node is stopping".into())))
    }

    /// What the node knows of its group just now.
    pub fn status(&self) -> GroupStatus {
        self.status.borrow().clone()
    }

    /// The last applied position and the checksum of the state at it. Takes time in proportion to the state.
    ///
    /// # Errors
    /// The computation was cut off because the node stops.
    pub async fn checksum(&self) -> Result<(u64, u32), Failure> {
        let checksum = Arc::clone(&self.checksum);
        let computed = runtime::blocking(move || checksum()).await;
        computed.map_err(|_| Failure::Unavailable("this node is stopping".into()))
    }
}

fn refused<T>(error: mpsc::error::TrySendError<T>) -> Failure {
    match error {
        mpsc::error::TrySendError::Full(_) => Failure::Overloaded { retry_after: RETRY_AFTER },
        mpsc::error::TrySendError::Closed(_) => Failure::Unavailable("this node is stopping".into()),
    }
}
