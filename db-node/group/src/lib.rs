//! A replicated state machine behind one handle.
//!
//! Two ways to replicate, one face: [`GroupHandle`] takes commands and queries as bytes and answers them linearizably, whether
//! the rotating-sequencer broadcast (`broadcast`) or openraft (`raft`) is behind it. It drives any
//! [`StateMachine`](agora_machine::StateMachine) and knows nothing of the marketplace, nor of who calls.

pub mod broadcast;
mod compactor;
mod handle;
pub mod raft;
mod replica;
mod runtime;
#[cfg(test)]
mod simulation;
mod state_disk;

pub use handle::{Command, Failure, GroupHandle, GroupStatus, Protocol, Query, RaftMember};
pub use replica::{Replica, ReplicaError, checksum};
