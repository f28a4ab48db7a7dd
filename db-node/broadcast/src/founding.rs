//! How a group comes to be: the first member founds it, with the disks of all members, once every one of them has said that it
//! knows of no group. So a member that lost its disk never founds a second group while any other remembers the first.
//!
//! Whoever tells a founder that it knows of none is bound to that founder's disk, durably and before it says so: from then on it
//! joins no group that another disk founded. Hence, once all have answered, no group that an earlier disk of the founder may have
//! founded, and lost with itself, can come to life beside the new one.
//!
//! A bond ends when it is certain that its founder founds nothing: it is seen in a group itself; or a majority of all members is
//! in one that it did not found. For who is in a group never says to be empty, and was not bound to that founder or knew as
//! much already; and that each of a majority comes back with another disk and says so is excluded, since only a
//! minority loses its disks. A member tells that it is in a group once that is durable.
//!
//! The group is named by its founder's disk, and all messages carry that name. Everybody else joins like any member that is
//! behind: by the news of the epoch. Whose disk the founding list names has a seat at once; it can't have forgotten anything,
//! since a disk that did belongs to somebody who comes back with another one. Anyone else learns, until the list names it.

use std::time::Duration;

use crate::disk::Then;
use crate::ids::{DiskId, Epoch, Incarnation, MemberId, RosterEntry, Slot};
use crate::log::Log;
use crate::member::Member;
use crate::members::MemberList;
use crate::message::{Body, Envelope};
use crate::port::{Base, Durable, Write};
use crate::rules::Rule;

/// The member that founds the group.
const FOUNDER: MemberId = MemberId(0);

#[derive(Clone, Debug, Hash)]
pub(crate) struct Founding {
    /// Who has told this founder that it knows of no group, in which incarnation and from which disk.
    answers: Vec<Option<(DiskId, Incarnation)>>,
    ask_due: Duration,
    /// The founder that this member last told so, or is about to.
    bound: Option<DiskId>,
    durable_bond: Option<DiskId>,
    /// That this member is in a group is durable.
    pub(crate) is_in_group: bool,
}

impl Founding {
    pub(crate) fn new(durable: &Durable, members: u16, now: Duration) -> Self {
        let (answers, bound) = (vec![None; usize::from(members)], durable.bound);
        let is_in_group = durable.accepted.counter > 0;
        Founding { answers, ask_due: now, bound, durable_bond: bound, is_in_group }
    }
}

impl Member {
    fn may_found(&self) -> bool {
        self.is_empty() && self.me == FOUNDER && !self.is_in_transition()
    }

    pub(crate) fn founding_due(&self) -> Option<Duration> {
        self.may_found().then_some(self.founding.ask_due)
    }

    pub(crate) fn run_founding_timer(&mut self) {
        if !self.may_found() || self.now.monotonic < self.founding.ask_due {
            return;
        }
        self.founding.ask_due = self.now.monotonic + self.config.timing.change_retry;
        for peer in self.peer_ids() {
            if self.founding.answers[usize::from(peer.0)].is_none() {
                self.send(peer, Body::AskEmpty);
            }
        }
        self.found_if_all_are_empty();
    }

    pub(crate) fn take_ask_empty(&mut self, from: MemberId, founder: DiskId) {
        if from != FOUNDER {
            self.counters.malformed += 1;
        } else if !self.is_empty() || self.is_in_transition() {
            // What is sent anyway shows that there is a group.
            self.counters.stale += 1;
        } else if self.founding.durable_bond == Some(founder) {
            self.send(FOUNDER, Body::Empty { founder });
        } else if self.founding.bound != Some(founder) {
            self.founding.bound = Some(founder);
            self.persist(vec![Write::Bind(founder)], Then::Bound(founder));
        }
    }

    pub(crate) fn bond_is_durable(&mut self, founder: DiskId) {
        self.founding.durable_bond = Some(founder);
        if self.is_empty() && !self.is_in_transition() && self.founding.bound == Some(founder) {
            self.send(FOUNDER, Body::Empty { founder });
        }
    }

    pub(crate) fn take_empty(&mut self, from: MemberId, envelope: &Envelope, founder: DiskId) {
        if self.may_found() && founder == self.disk_id {
            self.founding.answers[usize::from(from.0)] = Some((envelope.disk, envelope.incarnation));
            self.found_if_all_are_empty();
        } else {
            self.counters.stale += 1;
        }
    }

    fn found_if_all_are_empty(&mut self) {
        let mine = (self.disk_id, self.incarnation);
        self.founding.answers[usize::from(self.me.0)] = Some(mine);
        let founders: Vec<_> = self.founding.answers.iter().flatten().copied().collect();
        let needed = match self.config.keeps(Rule::FoundedByAll) {
            true => usize::from(self.config.members),
            false => 1,
        };
        if founders.len() >= needed {
            self.found();
        }
    }

    fn found(&mut self) {
        let disks = self.founding.answers.iter().map(|answer| answer.map_or(DiskId(0), |answer| answer.0));
        let list = MemberList::founded(self.disk_id, &disks.collect::<Vec<_>>());
        let seats = self.member_ids().zip(&self.founding.answers);
        let seat = |(member, answer): (MemberId, &Option<(DiskId, Incarnation)>)| {
            answer.map(|(_, incarnation)| RosterEntry { member, incarnation })
        };
        let roster: Vec<RosterEntry> = seats.filter_map(seat).collect();
        let base = Base::founded(list);
        self.log = Log::new(self.config.members, self.config.kept(), base.clone());
        (self.promised, self.accepted, self.roster) = (Epoch::FOUNDING, Epoch::FOUNDING, roster.clone());
        let accept = Write::Accept { epoch: Epoch::FOUNDING, roster };
        let then = Then::Accepted { epoch: Epoch::FOUNDING, slot: Slot(0) };
        self.persist(vec![Write::Purge(base), accept], then);
        self.enter_founded_epoch();
    }

    /// Whether this member, which knows of no group, may join the one with this list.
    pub(crate) fn may_join(&self, list: &MemberList) -> bool {
        let Some(founder) = self.founding.bound.filter(|_| self.config.keeps(Rule::FoundersAreBound)) else {
            return true;
        };
        let is_in = |peer: &MemberId| self.peers.get(*peer).group == list.group;
        let its_founder_is_in = self.disk_of(FOUNDER) == Some(founder) && is_in(&FOUNDER);
        let in_group = self.peer_ids().filter(is_in).count();
        founder == list.group || its_founder_is_in || in_group >= self.config.majority()
    }

    /// Once this member's seat is committed, it raises its incarnation above those of all disks that had the seat before.
    pub(crate) fn raise_incarnation(&mut self) {
        let list = self.list();
        let generation = list.seat(self.me).generation;
        let is_settled = list.names(self.me, self.disk_id) && list.changed <= self.acks.settled;
        if is_settled && self.incarnation.generation() < generation && !self.is_raising {
            self.is_raising = true;
            let incarnation = Incarnation::of_generation(generation);
            self.write_unwritten();
            self.persist(vec![Write::Incarnation(incarnation)], Then::Raised(incarnation));
        }
    }

    pub(crate) fn raise_is_durable(&mut self, incarnation: Incarnation) {
        self.is_raising = false;
        self.incarnation = incarnation;
        self.begin_incarnation();
    }
}
