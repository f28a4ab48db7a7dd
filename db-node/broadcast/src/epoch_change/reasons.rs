//! Why there should be another epoch, as this member sees it; and what it thinks of the reasons of others.

use std::time::Duration;

use crate::ids::{MemberId, RosterEntry, Slot};
use crate::member::Member;
use crate::message::{Envelope, Health, Opinion, Reason};
use crate::peers::Peer;

impl Member {
    /// The most pressing reason for another epoch.
    pub(super) fn reason(&self) -> Option<Reason> {
        if self.is_changing_epoch() {
            return self.promise_led_to_nothing();
        }
        let roster = || self.roster.iter().copied();
        let gone = || roster().find_map(|seat| self.incarnation_gone(seat));
        let silent = || roster().find(|seat| self.is_silent(seat.member));
        let unhealthy = || roster().find(|seat| self.should_leave_for_health(seat.member));
        let lost = || roster().find(|seat| self.speaks_from_another_disk(seat.member));
        gone()
            .or_else(|| lost().map(|seat| Reason::DiskLost { member: seat.member }))
            .or_else(|| silent().map(|seat| Reason::Silent { member: seat.member }))
            .or_else(|| unhealthy().map(|seat| Reason::Unhealthy { member: seat.member }))
            .or_else(|| self.slot_held_up())
            .or_else(|| self.peer_is_stuck())
            .or_else(|| self.wants_in())
    }

    fn promise_led_to_nothing(&self) -> Option<Reason> {
        let is_over = self.change_came_to_nothing(self.config.timing.change_timeout);
        (is_over && self.change.preparation.is_none())
            .then_some(Reason::NeverBegan { promised: self.promised })
    }

    /// The change that is under way has not moved on for this long, or can't, since its coordinator is gone.
    fn change_came_to_nothing(&self, limit: Duration) -> bool {
        let coordinator = self.promised.coordinator;
        let is_late = self.now.monotonic >= self.change.moved + limit;
        is_late || (coordinator != self.me && self.is_silent(coordinator))
    }

    fn incarnation_gone(&self, seat: RosterEntry) -> Option<Reason> {
        let incarnation = self.known_incarnation(seat.member);
        (incarnation > seat.incarnation && !self.speaks_from_another_disk(seat.member))
            .then_some(Reason::IncarnationGone { member: seat.member, incarnation })
    }

    pub(super) fn known_incarnation(&self, member: MemberId) -> crate::ids::Incarnation {
        if member == self.me { self.incarnation } else { self.peers.get(member).incarnation }
    }

    pub(super) fn health_of(&self, member: MemberId) -> Health {
        if member == self.me { self.health() } else { self.peers.get(member).health }
    }

    /// It is not healthy, and there is someone better.
    fn should_leave_for_health(&self, member: MemberId) -> bool {
        let is_better = |seat: &RosterEntry| {
            !self.is_silent(seat.member) && self.health_of(seat.member) == Health::Healthy
        };
        self.health_of(member) != Health::Healthy && self.roster.iter().any(is_better)
    }

    /// A peer has promised an epoch that never began, and can't go back. It may be too far behind to coordinate one itself.
    fn peer_is_stuck(&self) -> Option<Reason> {
        let limit = 2 * self.config.timing.change_timeout;
        let is_stuck = |peer: &Peer| {
            peer.promised > self.promised
                && peer.stuck_since.is_some_and(|since| self.now.monotonic >= since + limit)
        };
        let stuck = self.peer_ids().filter(|peer| !self.is_silent(*peer)).map(|peer| self.peers.get(peer));
        stuck
            .into_iter()
            .find(|peer| is_stuck(peer))
            .map(|peer| Reason::NeverBegan { promised: peer.promised })
    }

    fn slot_held_up(&self) -> Option<Reason> {
        let since = self.sequencing.turn_since()?;
        let slot = self.log.last().next();
        let member = self.owner(slot).member;
        let is_late = self.now.monotonic >= since + self.config.timing.hold_up;
        let is_a_gap = self.highest_known() >= slot;
        (is_late && member != self.me && !is_a_gap).then_some(Reason::HoldsUpSlot { member, slot })
    }

    fn wants_in(&self) -> Option<Reason> {
        let since = self.change.caught_up_since?;
        let is_time = self.now.monotonic >= since + self.config.timing.join_delay;
        (is_time && self.health() == Health::Healthy).then_some(Reason::WantsIn)
    }

    /// A member outside of the roster that lives in the current epoch and is up to date waits to be taken in.
    pub(super) fn note_whether_caught_up(&mut self) {
        let me = RosterEntry { member: self.me, incarnation: self.incarnation };
        let is_outside = !self.is_changing_epoch() && self.is_full_member() && !self.roster.contains(&me);
        let is_caught_up =
            is_outside && self.hears_majority() && !self.lags(self.log.last(), self.highest_known());
        if !is_caught_up {
            self.change.caught_up_since = None;
        } else if self.change.caught_up_since.is_none() {
            self.change.caught_up_since = Some(self.now.monotonic);
        }
    }

    /// Too far behind to take turns.
    pub(crate) fn lags(&self, last: Slot, longest: Slot) -> bool {
        last.0.saturating_add(self.config.bounds.max_roster_lag_slots) < longest.0
    }

    /// What this member thinks of a peer's reason.
    pub(super) fn opinion(&self, from: MemberId, envelope: &Envelope, reason: Reason, last: Slot) -> Opinion {
        let timing = &self.config.timing;
        let is_stuck = self.is_changing_epoch() && self.change_came_to_nothing(timing.change_timeout / 2);
        // Who is far behind would have to fetch a lot before the epoch could begin.
        let lags = envelope.epoch < self.accepted
            || (envelope.epoch == self.accepted && self.lags(last, self.log.last()));
        // Whose log is longer may have a seat by a slot that this member lacks.
        let may_ask = self.counts(from) || last > self.log.last();
        if lags || !may_ask || (self.is_changing_epoch() && !is_stuck) {
            return Opinion::Disagree;
        }
        let agrees = match reason {
            // Who has promised an epoch below the accepted one only lacks the news of it.
            Reason::NeverBegan { promised } => promised > self.accepted,
            _ if envelope.epoch != self.accepted || is_stuck => is_stuck,
            Reason::IncarnationGone { member, incarnation } => {
                self.roster.iter().any(|seat| seat.member == member && seat.incarnation < incarnation)
            }
            Reason::DiskLost { member } => {
                self.speaks_from_another_disk(member) || self.is_silent_for(member, timing.silence / 2)
            }
            Reason::Silent { member } => self.is_silent_for(member, timing.silence / 2),
            Reason::Unhealthy { member } => self.should_leave_for_health(member),
            Reason::HoldsUpSlot { slot, .. } => self.is_held_up_too(slot),
            Reason::WantsIn => self.may_come_in(from, envelope),
        };
        if agrees { Opinion::Agree } else { Opinion::Disagree }
    }

    fn is_held_up_too(&self, slot: Slot) -> bool {
        let half = self.config.timing.hold_up / 2;
        let is_late = self.sequencing.turn_since().is_some_and(|since| self.now.monotonic >= since + half);
        is_late && self.log.last().next() == slot
    }

    fn may_come_in(&self, from: MemberId, envelope: &Envelope) -> bool {
        let seat = RosterEntry { member: from, incarnation: envelope.incarnation };
        !self.roster.contains(&seat)
            && self.health_of(from) == Health::Healthy
            && !self.peers.get(from).exclusion.holds(self.now.monotonic)
            && !self.lags(envelope.acknowledged, self.log.last())
    }
}
