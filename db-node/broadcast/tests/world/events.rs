//! What is to happen, and when.

use std::cmp::Ordering;
use std::time::Duration;

use agora_broadcast::{Base, Epoch, MemberId, Message};
use agora_machine::Record;

/// An event in the queue: by its time, then in the order in which they were planned.
pub(super) struct Scheduled {
    pub(super) at: Duration,
    pub(super) number: u64,
    pub(super) event: Event,
}

/// `start`: in which of the node's starts; in another one it is dropped.
#[derive(Debug)]
pub(super) enum Event {
    /// Whatever incarnation is up then gets it.
    Arrive {
        from: MemberId,
        from_start: u64,
        to: MemberId,
        message: Message,
    },
    Synced {
        node: MemberId,
        start: u64,
    },
    Wake {
        node: MemberId,
        start: u64,
    },
    StateSynced {
        node: MemberId,
        start: u64,
    },
    SnapshotArrives {
        node: MemberId,
        start: u64,
        from: MemberId,
        epoch: Epoch,
        base: Base,
        state: Vec<Record>,
    },
    Lost {
        node: MemberId,
        start: u64,
        peer: MemberId,
    },
    Crash {
        node: MemberId,
        start: u64,
    },
    LoseDisk {
        node: MemberId,
        start: u64,
    },
    Restart {
        node: MemberId,
        start: u64,
    },
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
