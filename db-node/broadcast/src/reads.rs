//! Linearizable reads: all that wait share a round, in which a majority tells how far it is.
//!
//! An answer counts only if its sender has accepted the reader's own epoch: a write that was committed before the round began
//! is stored at a majority, which meets the round's, in this epoch or found in it at its start; or it was committed in a
//! later epoch, and then a majority has accepted that one, and the round can't be completed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::acks::bit;
use crate::ids::{Incarnation, MemberId, Slot};
use crate::member::Member;
use crate::message::{Body, Envelope};
use crate::port::{Output, ReadId, Refused};
use crate::rules::Rule;

#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Reads {
    /// No round has begun for these.
    waiting: Vec<Waiting>,
    rounds: VecDeque<Round>,
    /// The read slot is known, and not delivered yet.
    undelivered: BTreeMap<Slot, Vec<Waiting>>,
    count: usize,
    last_round: u64,
    expiry_due: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Waiting {
    read: ReadId,
    expires: Duration,
}

#[derive(Clone, Debug, Hash)]
struct Round {
    number: u64,
    reads: Vec<Waiting>,
    answered: u64,
    slot: Slot,
    attempt: u32,
    retry: Duration,
}

impl Reads {
    pub(crate) fn due(&self) -> Option<Duration> {
        self.rounds.iter().map(|round| round.retry).chain(self.expiry_due).min()
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Vec<Waiting>> {
        let rounds = self.rounds.iter_mut().map(|round| &mut round.reads);
        rounds.chain(self.undelivered.values_mut()).chain([&mut self.waiting])
    }
}

impl Member {
    pub(crate) fn read(&mut self, read: ReadId) {
        let is_full = self.reads.count >= self.config.bounds.max_waiting_reads;
        let why = if is_full { Some(Refused::Overloaded) } else { None };
        let may_serve = self.hears_majority() && self.is_full_member();
        let why = why.or_else(|| (!may_serve).then_some(Refused::Unavailable));
        if let Some(why) = why {
            self.out.push(Output::ReadRefused { read, why });
            return;
        }
        let expires = self.now.monotonic + self.config.timing.read_timeout;
        self.reads.count += 1;
        self.reads.waiting.push(Waiting { read, expires });
        self.reads.expiry_due.get_or_insert(expires);
    }

    /// Begins a round for all reads that wait, unless enough rounds are under way.
    pub(crate) fn start_read_rounds(&mut self) {
        if self.reads.waiting.is_empty() || self.reads.rounds.len() >= self.config.bounds.max_read_rounds {
            return;
        }
        self.reads.last_round += 1;
        let number = self.reads.last_round;
        self.reads.rounds.push_back(Round {
            number,
            reads: std::mem::take(&mut self.reads.waiting),
            answered: if self.is_learner() { 0 } else { bit(self.me) },
            slot: self.read_floor(),
            attempt: 0,
            retry: self.now.monotonic + self.config.timing.read_retry,
        });
        self.send_all(Body::ReadQuery { round: number });
        self.complete_read_rounds();
    }

    pub(crate) fn answer_read(&mut self, from: MemberId, envelope: &Envelope, round: u64) {
        let slot = self.read_floor();
        let awaits = self.log.last();
        let peer = self.peers.get_mut(from);
        peer.awaits = peer.awaits.max(awaits);
        self.send(from, Body::ReadAnswer { reader: envelope.incarnation, round, slot });
    }

    pub(crate) fn take_read_answer(
        &mut self,
        from: MemberId,
        envelope: &Envelope,
        reader: Incarnation,
        round: u64,
        slot: Slot,
    ) {
        let is_mine = reader == self.incarnation || !self.config.keeps(Rule::ReadOfThisIncarnation);
        if !is_mine || envelope.epoch != self.accepted || !self.counts(from) {
            self.counters.stale += 1;
            return;
        }
        if let Some(round) = self.reads.rounds.iter_mut().find(|candidate| candidate.number == round) {
            round.answered |= bit(from);
            round.slot = round.slot.max(slot);
            self.complete_read_rounds();
        }
    }

    fn complete_read_rounds(&mut self) {
        let majority = self.config.majority() - usize::from(!self.config.keeps(Rule::ReadByMajority));
        let is_complete = |round: &Round| round.answered.count_ones() as usize >= majority;
        while let Some(index) = self.reads.rounds.iter().position(is_complete)
            && let Some(round) = self.reads.rounds.remove(index)
        {
            self.reads.undelivered.entry(round.slot).or_default().extend(round.reads);
        }
        self.answer_ready_reads();
    }

    pub(crate) fn answer_ready_reads(&mut self) {
        while let Some(first) = self.reads.undelivered.first_entry()
            && *first.key() <= self.acks.delivered
        {
            let (slot, reads) = first.remove_entry();
            self.reads.count -= reads.len();
            self.out.extend(reads.into_iter().map(|Waiting { read, .. }| Output::ReadReady { read, slot }));
        }
    }

    /// Another epoch, or another list of members: what was asked under the last one says nothing any more.
    pub(crate) fn restart_reads(&mut self) {
        let mut reads = Vec::new();
        for group in self.reads.all() {
            reads.append(group);
        }
        self.reads.rounds.clear();
        self.reads.undelivered.clear();
        self.reads.waiting = reads;
    }

    pub(crate) fn run_read_timers(&mut self) {
        let now = self.now.monotonic;
        if self.reads.expiry_due.is_some_and(|due| now >= due) {
            self.expire_reads();
        }
        for index in 0..self.reads.rounds.len() {
            let round = &mut self.reads.rounds[index];
            if now < round.retry {
                continue;
            }
            round.attempt += 1;
            let pause = self.config.timing.read_retry * (1 << round.attempt.min(4));
            round.retry = now + pause;
            let (number, answered) = (round.number, round.answered);
            for peer in self.peer_ids().filter(|peer| answered & bit(*peer) == 0) {
                self.send(peer, Body::ReadQuery { round: number });
            }
        }
    }

    fn expire_reads(&mut self) {
        let now = self.now.monotonic;
        let mut expired = Vec::new();
        let mut next = None;
        for group in self.reads.all() {
            group.retain(|waiting| {
                if waiting.expires <= now {
                    expired.push(waiting.read);
                } else {
                    next = next.into_iter().chain([waiting.expires]).min();
                }
                waiting.expires > now
            });
        }
        self.reads.count -= expired.len();
        self.reads.expiry_due = next;
        self.reads.rounds.retain(|round| !round.reads.is_empty());
        self.reads.undelivered.retain(|_, reads| !reads.is_empty());
        self.out
            .extend(expired.into_iter().map(|read| Output::ReadRefused { read, why: Refused::Unavailable }));
    }
}
