//! Prepare and Promise: a coordinator gathers promises of a majority, and decides from them what the epoch starts from and who
//! takes turns.

use std::sync::Arc;
use std::time::Duration;

use crate::acks::bit;
use crate::disk::Then;
use crate::history::History;
use crate::ids::{DiskId, Epoch, Incarnation, MemberId, RosterEntry};
use crate::member::Member;
use crate::members::MemberList;
use crate::message::{Body, Health, Reason};
use crate::port::Write;
use crate::rules::Rule;

use super::transition::{Role, Start};

/// An epoch that this member coordinates, until enough have promised it.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Preparation {
    epoch: Epoch,
    reason: Reason,
    promises: Vec<Option<Promised>>,
    /// Since when there has been a majority.
    majority_since: Option<Duration>,
    retry: Duration,
    ends: Duration,
    grace: Duration,
}

/// What a member promised with.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Promised {
    pub(crate) disk: DiskId,
    pub(crate) incarnation: Incarnation,
    pub(crate) accepted: Epoch,
    pub(crate) history: History,
    /// The list of members at the end of its log.
    pub(crate) members: Arc<MemberList>,
    pub(crate) health: Health,
}

impl Preparation {
    pub(super) fn due(&self) -> Duration {
        let decide = self.majority_since.map(|since| since + self.grace);
        decide.into_iter().fold(self.retry.min(self.ends), Duration::min)
    }

    fn answered(&self) -> u64 {
        self.given().fold(0, |mask, (member, _)| mask | bit(member))
    }

    fn given(&self) -> impl Iterator<Item = (MemberId, &Promised)> + Clone {
        (0..)
            .map(MemberId)
            .zip(&self.promises)
            .filter_map(|(member, promise)| Some((member, promise.as_ref()?)))
    }
}

/// The member whose fault it is; it does not take turns in the next epoch.
fn blamed(reason: Reason) -> Option<MemberId> {
    match reason {
        Reason::DiskLost { member }
        | Reason::Silent { member }
        | Reason::HoldsUpSlot { member, .. }
        | Reason::Unhealthy { member } => Some(member),
        Reason::IncarnationGone { .. } | Reason::NeverBegan { .. } | Reason::WantsIn => None,
    }
}

impl Member {
    pub(super) fn begin_preparation(&mut self, reason: Reason) {
        let now = self.now.monotonic;
        let highest = self.change.highest_counter.max(self.promised.counter);
        let Some(counter) = highest.checked_add(1) else { return };
        let epoch = Epoch { counter, coordinator: self.me };
        self.raise_promise(epoch);
        let timing = &self.config.timing;
        self.change.preparation = Some(Preparation {
            epoch,
            reason,
            promises: vec![None; usize::from(self.config.members)],
            majority_since: None,
            retry: now + timing.change_retry,
            ends: now + timing.change_timeout,
            grace: timing.promise_grace,
        });
        self.prepared = Some((epoch, reason));
        self.counters.epochs_prepared += 1;
    }

    /// Promises an epoch: from here on nothing of a lower one is stored. What was given to the disk before is durable
    /// before the promise is, so the log that goes with the promise is.
    pub(super) fn raise_promise(&mut self, epoch: Epoch) {
        debug_assert!(epoch > self.promised);
        self.write_unwritten();
        self.promised = epoch;
        self.change.seen(epoch);
        self.change.moved = self.now.monotonic;
        self.change.question = None;
        self.change.preparation = None;
        self.set_transition_aside();
        // Who knows of no group gives no promises: nobody counts on this one. On its disk it would only keep the member out of the
        // group if that epoch is lost with the one member that had accepted it.
        if !self.is_empty() {
            self.persist(vec![Write::Promise(epoch)], Then::Promised(epoch));
        }
        if !self.config.keeps(Rule::DurableBeforePromised) {
            self.promise_is_durable(epoch);
        }
    }

    pub(crate) fn promise_is_durable(&mut self, epoch: Epoch) {
        self.change.durable_promise = epoch;
        if epoch != self.promised || !self.is_changing_epoch() {
            return;
        }
        if epoch.coordinator == self.me {
            self.send_all(Body::Prepare { epoch });
            self.record_promise(self.me, epoch, self.own_promise());
        } else {
            self.give_promise();
        }
    }

    fn own_promise(&self) -> Promised {
        Promised {
            disk: self.disk_id,
            incarnation: self.incarnation,
            accepted: self.accepted,
            history: self.log.history().clone(),
            members: Arc::clone(self.list()),
            health: self.health(),
        }
    }

    fn give_promise(&mut self) {
        if self.is_empty() {
            return;
        }
        let Promised { accepted, history, members, health, .. } = self.own_promise();
        let epoch = self.promised;
        self.send(epoch.coordinator, Body::Promise { epoch, accepted, history, members, health });
    }

    pub(crate) fn take_prepare(&mut self, from: MemberId, epoch: Epoch) {
        if epoch.coordinator != from {
            self.counters.malformed += 1;
        } else if self.is_empty() {
            // It may be bound to another group's founder. A learner does promise: whether that counts is not its to judge, since
            // the list may name it in slots that it does not have yet.
            self.counters.stale += 1;
        } else if epoch > self.promised {
            self.raise_promise(epoch);
        } else if epoch < self.promised {
            // The envelope tells the coordinator what it has to exceed.
            self.counters.stale += 1;
            self.send(from, Body::Ack);
        } else if self.is_changing_epoch() && self.change.durable_promise == epoch {
            self.give_promise();
        }
    }

    pub(crate) fn take_promise(&mut self, from: MemberId, epoch: Epoch, promised: Promised) {
        if promised.accepted >= epoch {
            self.counters.malformed += 1;
            return;
        }
        self.record_promise(from, epoch, promised);
    }

    fn record_promise(&mut self, from: MemberId, epoch: Epoch, promised: Promised) {
        if let Some(preparation) =
            self.change.preparation.as_mut().filter(|preparation| preparation.epoch == epoch)
        {
            preparation.promises[usize::from(from.0)] = Some(promised);
            self.decide_if_ready();
        } else {
            self.counters.stale += 1;
        }
    }

    pub(super) fn run_preparation_timer(&mut self) {
        let now = self.now.monotonic;
        let Some(preparation) = &mut self.change.preparation else { return };
        let (epoch, answered) = (preparation.epoch, preparation.answered());
        if now >= preparation.ends {
            self.decide_if_ready();
            if self.change.preparation.take().is_some() {
                self.back_off();
            }
            return;
        }
        if now >= preparation.retry {
            preparation.retry = now + self.config.timing.change_retry;
            if answered & bit(self.me) != 0 {
                for peer in self.peer_ids().filter(|peer| answered & bit(*peer) == 0) {
                    self.send(peer, Body::Prepare { epoch });
                }
            }
        }
        self.decide_if_ready();
    }

    /// With a majority, and once all that seem alive have answered or had time to.
    fn decide_if_ready(&mut self) {
        let now = self.now.monotonic;
        let Some(preparation) = &self.change.preparation else { return };
        let answered = preparation.answered();
        let majority = self.config.majority() - usize::from(!self.config.keeps(Rule::PromisesOfMajority));
        if self.promises_that_count(preparation) < majority {
            return;
        }
        let grace_ends = preparation.majority_since.unwrap_or(now) + self.config.timing.promise_grace;
        let grace_ends = grace_ends.min(preparation.ends);
        let is_expected = |member: &MemberId| {
            self.peers.get(*member).group == self.list().group
                && self.counts(*member)
                && !self.is_silent(*member)
                && blamed(preparation.reason) != Some(*member)
        };
        let is_complete = self.peer_ids().filter(is_expected).all(|member| answered & bit(member) != 0);
        if is_complete || now >= grace_ends {
            if let Some(preparation) = self.change.preparation.take() {
                self.decide(&preparation);
            }
        } else if let Some(preparation) = &mut self.change.preparation {
            preparation.majority_since.get_or_insert(now);
        }
    }

    /// Of those with the highest accepted epoch, the one with the longest log.
    fn best<'a>(&self, preparation: &'a Preparation) -> Option<&'a Promised> {
        let rank = |promised: &Promised| {
            let accepted = Some(promised.accepted).filter(|_| self.config.keeps(Rule::HighestEpochFirst));
            (accepted, promised.history.last())
        };
        preparation.given().map(|(_, promised)| promised).max_by_key(|promised| rank(promised))
    }

    /// How many promises count under the list of members that the epoch would start with.
    fn promises_that_count(&self, preparation: &Preparation) -> usize {
        let Some(best) = self.best(preparation) else { return 0 };
        let counts = |(member, promised): &(MemberId, &Promised)| {
            self.does_count(&best.members, *member, promised.disk)
        };
        preparation.given().filter(counts).count()
    }

    /// The epoch starts from the best log; turns for those that are healthy and up to date.
    fn decide(&mut self, preparation: &Preparation) {
        let Some(best) = self.best(preparation) else { return };
        let has_all = |promised: &Promised| {
            promised.accepted == best.accepted && promised.history.last() == best.history.last()
        };
        let sources =
            preparation.given().filter(|(member, promised)| *member != self.me && has_all(promised));
        let start = Start {
            epoch: preparation.epoch,
            roster: self.choose_roster(preparation, best),
            target: best.history.clone(),
            history: best.accepted,
            sources: sources.map(|(member, _)| member).collect(),
            first: Arc::clone(&self.log.base().members),
            why: Some(preparation.reason),
            role: Role::Coordinator,
        };
        self.begin_transition(start);
    }

    fn choose_roster(&self, preparation: &Preparation, best: &Promised) -> Vec<RosterEntry> {
        let longest = best.history.last();
        // Whose seat is not committed yet goes by an incarnation that another disk may have had.
        let has_seat = |(member, promised): &(MemberId, &Promised)| {
            best.members.names(*member, promised.disk)
                && best.members.seat(*member).generation == promised.incarnation.generation()
        };
        let promises = || preparation.given().filter(has_seat);
        let seat = |(member, promised): (MemberId, &Promised)| RosterEntry {
            member,
            incarnation: promised.incarnation,
        };
        let is_kept_out = |member: MemberId| {
            // A majority has agreed to take it in.
            let is_asked_in = member == self.me && preparation.reason == Reason::WantsIn;
            let was_in = self.roster.iter().any(|seat| seat.member == member);
            !was_in && !is_asked_in && self.peers.get(member).exclusion.holds(self.now.monotonic)
        };
        let is_fit = |(member, promised): &(MemberId, &Promised)| {
            promised.health == Health::Healthy
                && blamed(preparation.reason) != Some(*member)
                && promised.incarnation == self.known_incarnation(*member)
                && !self.lags(promised.history.last(), longest)
                && !is_kept_out(*member)
        };
        let fit: Vec<RosterEntry> = promises().filter(is_fit).map(seat).collect();
        if fit.is_empty() { promises().map(seat).collect() } else { fit }
    }
}
