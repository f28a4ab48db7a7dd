//! Negative acknowledgements: what is missing is asked for, its author first, then anyone who has it; backed off.

use std::time::Duration;

use crate::config::Timing;
use crate::ids::{Epoch, Incarnation, MemberId, Slot};
use crate::log::entry_bytes;
use crate::member::Member;
use crate::message::Body;
use crate::port::Entry;

#[derive(Clone, Debug, Hash)]
pub(crate) struct Gaps {
    /// The log ends at this slot, and more is known to be.
    entries: Option<Gap<Slot>>,
    /// Per sender: its requests are here up to this one, and more are announced.
    requests: Vec<Option<Gap<(Incarnation, u64)>>>,
    /// Who gave the last snapshot, and keeps what comes after it, until this member has caught up.
    giver: Option<Giver>,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Giver {
    member: MemberId,
    /// Questions since it last had something new.
    unanswered: u32,
}

/// The giver of the last snapshot is asked so often in vain.
const GIVER_QUESTIONS: u32 = 10;

/// Something is missing after a place.
#[derive(Clone, Copy, Debug, Hash)]
struct Gap<Place> {
    after: Place,
    due: Duration,
    attempt: u32,
}

impl<Place: PartialEq> Gap<Place> {
    fn new(after: Place, now: Duration, timing: &Timing) -> Self {
        Gap { after, due: now + timing.ask_delay, attempt: 0 }
    }

    /// The same gap as before keeps its timer; another one begins anew.
    fn watch(gap: &mut Option<Self>, after: Option<Place>, now: Duration, timing: &Timing) {
        match (gap.as_ref(), after) {
            (_, None) => *gap = None,
            (Some(known), Some(after)) if known.after == after => {}
            (_, Some(after)) => *gap = Some(Gap::new(after, now, timing)),
        }
    }

    fn asked(&mut self, now: Duration, timing: &Timing) {
        self.attempt += 1;
        self.due = now + pause(self.attempt, timing);
    }
}

/// The pause before a question is asked again.
pub(crate) fn pause(attempt: u32, timing: &Timing) -> Duration {
    timing.ask_delay.saturating_mul(1 << attempt.min(16)).min(timing.ask_delay_most)
}

impl Gaps {
    pub(crate) fn new(members: u16) -> Self {
        Gaps { entries: None, requests: vec![None; usize::from(members)], giver: None }
    }

    /// A snapshot of this peer is installed.
    pub(crate) fn goes_on_with(&mut self, giver: MemberId) {
        self.giver = Some(Giver { member: giver, unanswered: 0 });
    }

    pub(crate) fn giver(&self) -> Option<MemberId> {
        self.giver.map(|giver| giver.member)
    }

    pub(crate) fn forget_giver(&mut self) {
        self.giver = None;
    }

    pub(crate) fn was_of_use(&mut self, peer: MemberId) {
        if let Some(giver) = self.giver.as_mut().filter(|giver| giver.member == peer) {
            giver.unanswered = 0;
        }
    }

    /// Every other question is for the giver, until it was asked too often in vain.
    pub(crate) fn turn_of_giver(&mut self, attempt: u32) -> Option<MemberId> {
        let giver = self.giver.as_mut().filter(|_| attempt % 2 == 1)?;
        giver.unanswered += 1;
        let member = giver.member;
        self.giver.take_if(|giver| giver.unanswered > GIVER_QUESTIONS);
        Some(member)
    }

    pub(crate) fn due(&self) -> Option<Duration> {
        let requests = self.requests.iter().flatten().map(|gap| gap.due);
        self.entries.iter().map(|gap| gap.due).chain(requests).min()
    }
}

impl Member {
    /// The last slot that is known to be assigned in the accepted epoch's history.
    pub(crate) fn highest_known(&self) -> Slot {
        let acknowledged = self.peer_ids().map(|peer| self.acknowledged_by(peer));
        let future = self.sequencing.last_future(self.accepted);
        acknowledged.chain(future).chain([self.log.last()]).max().unwrap_or_default()
    }

    /// What a peer has acknowledged in the accepted epoch.
    pub(crate) fn acknowledged_by(&self, peer: MemberId) -> Slot {
        let peer = self.peers.get(peer);
        if peer.epoch == self.accepted { peer.acknowledged } else { Slot(0) }
    }

    /// Notes what is missing. During a change of epoch, the change looks after it.
    pub(crate) fn watch_gaps(&mut self) {
        let (now, last) = (self.now.monotonic, self.log.last());
        let is_behind = !self.is_changing_epoch() && self.highest_known() > last;
        Gap::watch(&mut self.gaps.entries, is_behind.then_some(last), now, &self.config.timing);
        if !is_behind && !self.is_changing_epoch() {
            self.gaps.forget_giver();
        }
        for sender in self.peer_ids() {
            let missing = self.pending.gap(sender).map(|(incarnation, from, _)| (incarnation, from));
            Gap::watch(&mut self.gaps.requests[usize::from(sender.0)], missing, now, &self.config.timing);
        }
    }

    pub(crate) fn run_gap_timers(&mut self) {
        let now = self.now.monotonic;
        if let Some(gap) = self.gaps.entries
            && now >= gap.due
            && !self.is_changing_epoch()
        {
            let giver = self.gaps.turn_of_giver(gap.attempt);
            if let Some(whom) = giver.or_else(|| self.whom_to_ask(gap.attempt)) {
                self.ask_entries(whom);
            }
            self.entries_asked();
        }
        for sender in self.peer_ids() {
            let timing = &self.config.timing;
            if let Some(gap) = &mut self.gaps.requests[usize::from(sender.0)]
                && now >= gap.due
            {
                gap.asked(now, timing);
                self.ask_requests(sender);
            }
        }
    }

    fn entries_asked(&mut self) {
        if let Some(gap) = &mut self.gaps.entries {
            gap.asked(self.now.monotonic, &self.config.timing);
        }
    }

    fn ask_requests(&mut self, sender: MemberId) {
        // Who is behind gets them with the slots that list them.
        let is_behind = self.peers.get(sender).epoch > self.accepted
            || self.is_changing_epoch()
            || self.gaps.entries.is_some_and(|gap| gap.attempt > 0);
        if let Some((incarnation, from, upto)) = self.pending.gap(sender).filter(|_| !is_behind) {
            self.counters.asked += 1;
            self.send(sender, Body::AskRequests { incarnation, from, upto });
        }
    }

    /// The slot's owner first, then those in turn who have acknowledged it.
    fn whom_to_ask(&self, attempt: u32) -> Option<MemberId> {
        let missing = self.log.last().next();
        let owner = self.owner(missing).member;
        let author = Some(owner).filter(|owner| *owner != self.me && missing > self.acks.epoch_floor);
        let holders =
            self.peer_ids().filter(|peer| Some(*peer) != author && self.acknowledged_by(*peer) >= missing);
        let candidates: Vec<MemberId> = author.into_iter().chain(holders).collect();
        candidates.get(usize::try_from(attempt).ok()?.checked_rem(candidates.len())?).copied()
    }

    fn ask_entries(&mut self, whom: MemberId) {
        let from = self.log.last().next();
        let upto = match self.sequencing.first_future(self.accepted) {
            Some(slot) => Slot(slot.0 - 1).max(from),
            None => self.highest_known().max(from),
        };
        self.counters.asked += 1;
        self.send(whom, Body::AskEntries { history: self.accepted, from, upto });
    }

    /// A peer misses slots.
    pub(crate) fn resend_entries(&mut self, to: MemberId, history: Epoch, from: Slot, upto: Slot) {
        if history != self.accepted {
            self.counters.stale += 1;
            return;
        }
        let base = self.log.base().slot;
        let entries = self.log.range(from, upto, self.config.bounds.max_resend_bytes);
        let bytes = entries.iter().map(entry_bytes).sum();
        if (!entries.is_empty() || from <= base) && self.may_resend(to, bytes) {
            self.counters.resent += entries.len() as u64;
            self.send(to, Body::Entries { history, base, entries });
        }
    }

    pub(crate) fn take_entries(&mut self, from: MemberId, history: Epoch, base: Slot, entries: Vec<Entry>) {
        if self.is_changing_epoch() {
            self.take_entries_of_change(from, history, base, entries);
            return;
        }
        if history != self.accepted {
            self.counters.stale += 1;
            return;
        }
        if base > self.log.last() {
            self.log_of_peer_is_too_short(from);
            return;
        }
        let before = self.log.last();
        for entry in entries {
            if entry.sequence.slot > self.log.last() && self.append(entry).is_err() {
                self.counters.malformed += 1;
                break;
            }
        }
        if self.log.last() > before {
            self.gaps.was_of_use(from);
        }
        self.go_on_asking(from, before);
    }

    /// Far behind, the next part is asked for as soon as one has come.
    fn go_on_asking(&mut self, from: MemberId, before: Slot) {
        let (last, known) = (self.log.last(), self.highest_known());
        let next_is_here = self.sequencing.first_future(self.accepted) == Some(last.next());
        if last > before && known > last && !next_is_here && self.acknowledged_by(from) > last {
            self.watch_gaps();
            self.ask_entries(from);
            self.entries_asked();
        }
    }
}
