//! A snapshot helps only if some log goes on where it ends. Under load logs are purged in less time than it takes to send and
//! install a large state: so who gives one keeps its log from there on, within bounds, and who took it asks the giver for
//! what comes next, whatever the others have purged.

use std::time::Duration;

use crate::ids::{MemberId, Slot};
use crate::member::Member;

/// The log that is kept for peers which take a snapshot from this member.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Holds {
    peers: Vec<Option<Hold>>,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Hold {
    /// What comes after this slot is kept.
    after: Slot,
    until: Duration,
}

impl Holds {
    pub(crate) fn new(members: u16) -> Self {
        Holds { peers: vec![None; usize::from(members)] }
    }
}

impl Member {
    /// This member gives a snapshot of this slot to a peer, or has just given it.
    pub(crate) fn gives_snapshot(&mut self, to: MemberId, slot: Slot) {
        if to == self.me || to.0 >= self.config.members {
            self.counters.malformed += 1;
            return;
        }
        let until = self.now.monotonic + self.config.timing.hold_log;
        self.holds.peers[usize::from(to.0)] = Some(Hold { after: slot, until });
    }

    /// The slot after which the log is kept for peers. Who comes nearer is waited for anew; beyond the bounds nobody is.
    pub(crate) fn held_after(&mut self) -> Option<Slot> {
        if self.holds.peers.iter().all(Option::is_none) {
            return None;
        }
        let (now, bounds) = (self.now.monotonic, &self.config.bounds);
        if self.log.bytes() > bounds.hold_log_bytes || self.log.len() > bounds.hold_log_slots {
            self.holds = Holds::new(self.config.members);
            return None;
        }
        let acknowledged: Vec<Slot> = self.member_ids().map(|peer| self.acknowledged_by(peer)).collect();
        for (hold, acknowledged) in self.holds.peers.iter_mut().zip(acknowledged) {
            if let Some(known) = hold
                && acknowledged > known.after
            {
                *known = Hold { after: acknowledged, until: now + self.config.timing.hold_log };
            }
            hold.take_if(|hold| now >= hold.until);
        }
        self.holds.peers.iter().flatten().map(|hold| hold.after).min()
    }
}
