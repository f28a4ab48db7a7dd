//! The openraft group: a leader puts commands into a log, a majority keeps it, all apply it.
//!
//! What comes in waits a little and then travels together, at each step: commands on their way to the leader
//! (`commands`), at the leader on their way into a log entry (`proposer`), entries on their way to disk (`log_writer`), reads
//! that want to know how far the state must have come (`reads`, `read_index`). All nodes answer reads from their own state.
//!
//! | where | what |
//! |---|---|
//! | `types`, `wire` | openraft's types for this group, and their protobuf messages |
//! | `log_store`, `log_reader`, `log_writer`, `log_cache`, `log_disk` | openraft's log over [`agora_storage::Log`] |
//! | `state_machine`, `snapshot_*` | openraft's state machine over a [`Replica`], and snapshots on their way to a peer |
//! | `dial`, `link`, `network`, `service` | both ends of the streams between members |
//! | `node_id`, `founding`, `membership`, `roster`, `seat_change`, `seats` | who is a node of the group, at first and later, and where |
//! | `view`, `election`, `adoption`, `leadership` | who leads, who is to lead next, and what a leader does to stay or to leave |
//! | `clock`, `upkeep`, `status` | which time it is, and what happens now and then |
//!
//! What holds: a vote and an entry are durable before they are acknowledged; the log is purged only below a position that
//! the state store has made durable; a command is sent a second time only if it certainly was not taken the first time.

mod adoption;
mod clock;
mod commands;
mod dial;
mod election;
mod founding;
mod leadership;
mod link;
mod log_cache;
mod log_disk;
mod log_reader;
mod log_store;
mod log_writer;
mod membership;
mod network;
mod node_id;
mod proposer;
mod read_index;
mod reads;
mod roster;
mod seat_change;
mod seats;
mod service;
mod snapshot_file;
mod snapshot_receiver;
mod snapshot_sender;
mod start;
mod state_machine;
mod status;
#[cfg(test)]
mod suite_tests;
mod types;
mod upkeep;
mod view;
mod wire;

#[cfg(test)]
pub(crate) use dial::{Dial, Replies};
#[cfg(test)]
pub(crate) use log_cache::LogCache;
#[cfg(test)]
pub(crate) use log_disk::LogDisk;
#[cfg(test)]
pub(crate) use log_store::LogStore;
#[cfg(test)]
pub(crate) use log_writer::{Change, Gathered};
pub use roster::{Roster, SEATS_MAX, VOTERS_MIN};
pub use seat_change::{Changed, SeatChange};
pub use seats::Seats;
pub use service::{PeerService, RaftPeerService};
#[cfg(test)]
pub(crate) use start::{Loaded, start_with};
pub use start::{RaftOptions, Running, StartError, start};

#[allow(unused_imports, reason = "named by the documentation above")]
use crate::replica::Replica;
