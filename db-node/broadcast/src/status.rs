//! What a member tells of itself to people and to its driver.

use std::sync::Arc;

use crate::ids::{DiskId, Epoch, Incarnation, MemberId, RosterEntry, Slot};
use crate::member::Member;
use crate::members::MemberList;
use crate::message::{Health, Reason};

/// Where a member stands just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The member.
    pub me: MemberId,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Its disk.
    pub disk: DiskId,
    /// Whose disks have a seat.
    pub members: Arc<MemberList>,
    /// The members that speak from a disk that has no seat.
    pub learners: Vec<MemberId>,
    /// Whether it serves.
    pub standing: Standing,
    /// The accepted epoch.
    pub epoch: Epoch,
    /// The highest promised epoch.
    pub promised: Epoch,
    /// Who takes turns in the accepted epoch, in order.
    pub roster: Vec<RosterEntry>,
    /// Who owns the next unassigned slot.
    pub next_owner: MemberId,
    /// What the log starts after.
    pub base: Slot,
    /// The last slot of the log, durable or not.
    pub last: Slot,
    /// The last slot acknowledged in the accepted epoch.
    pub stored: Slot,
    /// The last slot known to be committed.
    pub committed: Slot,
    /// The last slot delivered.
    pub delivered: Slot,
    /// Own requests that are not sequenced yet.
    pub unsequenced: usize,
    /// The members that are held to be silent.
    pub silent: Vec<MemberId>,
    /// Why this member wants another epoch, if it does.
    pub wants_change: Option<Reason>,
    /// Why the accepted epoch was begun; none if this member was not told, or has forgotten it in a restart.
    pub why: Option<Reason>,
    /// Why this member takes no turns; none if it does.
    pub outside: Option<Outside>,
    /// What was counted since the start.
    pub counters: Counters,
}

/// Whether a member serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It takes part in an epoch together with a majority.
    Serving,
    /// It hears no majority.
    CutOff,
    /// An epoch is promised that has not begun here.
    ChangingEpoch,
    /// It is far behind.
    CatchingUp,
    /// It knows of no group yet.
    Empty,
    /// It has no seat: its disk is a new one, and waits until it is taken in.
    Learning,
}

/// Why a member takes no turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// It knows of no group yet.
    Empty,
    /// Its disk is a new one, without a seat in the group.
    Learns {
        /// What it has.
        at: Slot,
        /// What it knows that others have.
        upto: Slot,
    },
    /// It hears no majority.
    CutOff,
    /// It lacks slots that others have.
    CatchesUp(CatchUp),
    /// It has promised an epoch that has not begun here.
    ChangesEpoch,
    /// Its disk is too slow, or its clock too far from the others'.
    Unhealthy(Health),
    /// It is up to date and waits to be taken in; who was put out before waits longer.
    Waits,
}

/// How far a member that catches up is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatchUp {
    /// What it has.
    pub at: Slot,
    /// What it knows that others have.
    pub upto: Slot,
    /// How it gets there.
    pub by: Means,
}

/// How a member gets what it lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// From the logs of others.
    Log,
    /// By the whole state of another: the logs no longer reach back far enough.
    Snapshot,
}

/// Events, counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages dropped because no member that keeps the protocol sends them.
    pub malformed: u64,
    /// Epochs that were to start without what is committed here. There are none if all members keep the protocol.
    pub impossible: u64,
    /// Messages of a lower epoch or an earlier incarnation, dropped.
    pub stale: u64,
    /// Requests, sequences or questions dropped at a bound.
    pub over_bound: u64,
    /// Questions for what was missing, sent.
    pub asked: u64,
    /// Entries and requests sent again to who asked.
    pub resent: u64,
    /// Slots assigned by this member.
    pub assigned: u64,
    /// Epochs accepted.
    pub epochs_accepted: u64,
    /// Epochs that this member prepared.
    pub epochs_prepared: u64,
}

impl Member {
    /// Where this member stands.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            me: self.me,
            incarnation: self.incarnation,
            disk: self.disk_id,
            members: Arc::clone(self.list()),
            learners: self.peer_ids().filter(|peer| self.speaks_from_another_disk(*peer)).collect(),
            standing: self.standing(),
            epoch: self.accepted,
            promised: self.promised,
            roster: self.roster.clone(),
            next_owner: self.owner(self.log.last().next()).member,
            base: self.log.base().slot,
            last: self.log.last(),
            stored: self.stored_slot(),
            committed: self.acks.committed,
            delivered: self.acks.delivered,
            unsequenced: self.pending.span(self.me),
            silent: self.peer_ids().filter(|peer| self.is_silent(*peer)).collect(),
            wants_change: self.change.wanted(),
            why: self.why,
            outside: self.outside(),
            counters: self.counters,
        }
    }

    /// The accepted epoch: also in the status, but this is cheap to ask for after each step.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.accepted
    }

    /// The epoch that this member prepared last since its start, and why; it may have begun or not. As cheap.
    #[must_use]
    pub fn prepared(&self) -> Option<(Epoch, Reason)> {
        self.prepared
    }

    fn outside(&self) -> Option<Outside> {
        let me = RosterEntry { member: self.me, incarnation: self.incarnation };
        let health = self.health();
        if self.is_empty() {
            Some(Outside::Empty)
        } else if self.is_cut_off() {
            Some(Outside::CutOff)
        } else if !self.is_full_member() {
            Some(Outside::Learns { at: self.log.last(), upto: self.highest_known() })
        } else if let Some(catch_up) = self.catches_up_for_epoch().or_else(|| self.catches_up_in_epoch()) {
            Some(Outside::CatchesUp(catch_up))
        } else if self.is_changing_epoch() {
            Some(Outside::ChangesEpoch)
        } else if self.roster.contains(&me) {
            None
        } else if health != Health::Healthy {
            Some(Outside::Unhealthy(health))
        } else {
            Some(Outside::Waits)
        }
    }

    fn catches_up_in_epoch(&self) -> Option<CatchUp> {
        let (at, upto) = (self.log.last(), self.highest_known());
        self.lags(at, upto).then_some(CatchUp { at, upto, by: Means::Log })
    }

    /// Whether this member hears no majority.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        !self.hears_majority()
    }

    fn standing(&self) -> Standing {
        if self.is_empty() {
            Standing::Empty
        } else if self.is_cut_off() {
            Standing::CutOff
        } else if self.is_changing_epoch() {
            Standing::ChangingEpoch
        } else if !self.is_full_member() {
            Standing::Learning
        } else if self.lags(self.log.last(), self.highest_known()) {
            Standing::CatchingUp
        } else {
            Standing::Serving
        }
    }
}
