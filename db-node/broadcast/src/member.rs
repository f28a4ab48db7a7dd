//! A member: the step function and all that it remembers.

use std::time::Duration;

use crate::config::Config;
use crate::ids::{Epoch, Slot};
use crate::port::{Base, Durable, Input, Now, Output};
use crate::status::{Counters, Standing, Status};

/// One member of the group.
#[derive(Clone, Debug)]
pub struct Member {
    config: Config,
    durable: Durable,
    now: Now,
}

impl Member {
    /// A member that starts with what it finds on its disk.
    #[must_use]
    pub fn new(config: Config, durable: Durable, now: Now) -> Self {
        Member { config, durable, now }
    }

    /// Takes in what happened; adds what is to be done.
    pub fn step(&mut self, now: Now, input: Input, outputs: &mut Vec<Output>) {
        self.now = now;
        let _ = (input, outputs);
    }

    /// When `Input::Tick` is due next, in monotonic time, if nothing happens before.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Duration> {
        Some(self.now.monotonic + self.config.timing.heartbeat)
    }

    /// The protocol's part of a snapshot of the state at a delivered slot, and the accepted epoch, which a peer that
    /// installs the snapshot is to be told. None if the log does not reach back to that slot.
    #[must_use]
    pub fn base_at(&self, slot: Slot) -> Option<(Epoch, Base)> {
        (slot == self.durable.base.slot).then(|| (self.durable.accepted, self.durable.base.clone()))
    }

    /// Where this member stands.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            me: self.config.me,
            incarnation: self.durable.incarnation,
            standing: Standing::Serving,
            epoch: self.durable.accepted,
            promised: self.durable.promised,
            roster: self.durable.roster.clone(),
            next_owner: self.config.me,
            base: self.durable.base.slot,
            last: self.durable.base.slot,
            stored: self.durable.base.slot,
            committed: self.durable.applied,
            delivered: self.durable.applied,
            unsequenced: 0,
            silent: Vec::new(),
            wants_change: None,
            counters: Counters::default(),
        }
    }
}
