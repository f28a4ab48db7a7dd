//! Acknowledgements, commit and delivery.
//!
//! A slot is committed once a majority of all seats, whatever the roster, has acknowledged it in the current epoch; who has the
//! seats says the list in force at that slot. It is
//! delivered once it is also stored here, so the state never runs ahead of this member's log but by a snapshot.

use std::time::Duration;

use crate::config::Config;
use crate::disk::Then;
use crate::ids::{Epoch, MemberId, Slot};
use crate::log::entry_bytes;
use crate::member::Member;
use crate::members::MemberList;
use crate::message::Body;
use crate::port::{Delivery, Entry, Output, Write};
use crate::rules::Rule;

#[derive(Clone, Debug, Hash)]
pub(crate) struct Acks {
    /// The last slot that is durable here under the accepted epoch; 0 until the acceptance is durable itself.
    stored: Slot,
    /// The last slot of the log with which the accepted epoch was accepted.
    pub(crate) epoch_floor: Slot,
    /// The last slot that is known to be committed. Only a snapshot takes it beyond the log.
    pub(crate) committed: Slot,
    /// The log up to this slot is known to be committed. It may lag behind `committed` and even behind `delivered`: what a
    /// snapshot covers is committed, but a log that is behind it may hold something else there.
    pub(crate) settled: Slot,
    pub(crate) delivered: Slot,
    state_durable: Slot,
    undelivered_bytes: usize,
    /// Who is told at the end of the step: a bit per member.
    prompt: u64,
    /// When the others are told.
    due: Option<Duration>,
}

impl Acks {
    /// The log up to `settled` is known to be the one that led to the state applied.
    pub(crate) fn new(settled: Slot, last: Slot, applied: Slot, epoch_floor: Slot) -> Self {
        Acks {
            stored: last,
            epoch_floor,
            committed: applied,
            settled,
            delivered: applied,
            state_durable: Slot(0),
            undelivered_bytes: 0,
            prompt: 0,
            due: None,
        }
    }

    pub(crate) fn due(&self) -> Option<Duration> {
        self.due
    }
}

impl Member {
    /// What this member acknowledges: in its accepted epoch, unless it has promised a higher one.
    pub(crate) fn acknowledged(&self) -> Slot {
        let has_promised = self.is_changing_epoch() && self.config.keeps(Rule::NothingStoredAfterPromise);
        if has_promised { Slot(0) } else { self.acks.stored }
    }

    pub(crate) fn stored_slot(&self) -> Slot {
        self.acks.stored
    }

    /// The slot below which nothing can be committed that this member, in its accepted epoch, does not have.
    pub(crate) fn read_floor(&self) -> Slot {
        if !self.config.keeps(Rule::ReadFloorAtEpochStart) {
            return self.acks.stored;
        }
        self.acks.stored.max(self.acks.epoch_floor)
    }

    pub(crate) fn count_undelivered(&mut self, entry: &Entry) {
        if entry.sequence.slot > self.acks.delivered {
            self.acks.undelivered_bytes += entry_bytes(entry);
        }
    }

    pub(crate) fn has_too_much_uncommitted(&self) -> bool {
        let bounds = &self.config.bounds;
        self.log.last().0.saturating_sub(self.acks.committed.0) >= bounds.max_uncommitted_slots
            || self.acks.undelivered_bytes >= bounds.max_uncommitted_bytes
    }

    /// The log is durable up to a slot.
    pub(crate) fn stored(&mut self, epoch: Epoch, slot: Slot, senders: u64) {
        if epoch != self.accepted {
            return;
        }
        for peer in self.peer_ids() {
            if self.peers.get(peer).awaits > self.acks.stored {
                self.acks.prompt |= bit(peer);
            }
        }
        self.acks.prompt |= senders;
        self.acks.stored = self.acks.stored.max(slot);
    }

    /// The accepted epoch is durable, with all that it started from.
    pub(crate) fn accept_is_durable(&mut self, epoch: Epoch, slot: Slot) {
        self.founding.is_in_group = true;
        if epoch != self.accepted {
            return;
        }
        self.acks.stored = self.acks.stored.max(slot);
        self.acks.prompt = u64::MAX;
        self.epoch_is_durable(epoch);
    }

    /// An epoch is accepted: nothing is acknowledged in it before that is durable.
    pub(crate) fn begin_acks(&mut self, floor: Slot) {
        self.acks.stored =
            if self.config.keeps(Rule::DurableBeforeClaimed) { Slot(0) } else { self.log.last() };
        self.acks.epoch_floor = floor;
        self.acks.undelivered_bytes = self.log.bytes_after(self.acks.delivered);
    }

    /// Tells those who wait; the others are told soon, unless something else tells them before.
    pub(crate) fn send_acks(&mut self) {
        let acknowledged = self.acknowledged();
        let is_due = self.acks.due.is_some_and(|due| self.now.monotonic >= due);
        let prompt = std::mem::take(&mut self.acks.prompt);
        if !self.peers.any_untold(self.me, acknowledged) {
            self.acks.due = None;
            return;
        }
        let untold = self.peer_ids().filter(|peer| self.peers.get(*peer).told < acknowledged);
        let (now, later): (Vec<_>, Vec<_>) = untold.partition(|peer| is_due || prompt & bit(*peer) != 0);
        if now.len() == usize::from(self.config.members) - 1 {
            self.send_all(Body::Ack);
        } else {
            now.iter().for_each(|peer| self.send(*peer, Body::Ack));
        }
        if later.is_empty() {
            self.acks.due = None;
        } else if self.acks.due.is_none() {
            self.acks.due = Some(self.now.monotonic + self.config.timing.ack_delay);
        }
    }

    /// The highest slot that a quorum under this list has acknowledged in this epoch.
    pub(crate) fn quorum_acknowledged(&self, list: &MemberList) -> Slot {
        let mut acknowledged = [Slot(0); Config::MOST_MEMBERS as usize];
        let members = usize::from(self.config.members);
        for (place, member) in acknowledged.iter_mut().zip(self.member_ids()) {
            let peer = self.peers.get(member);
            *place = match member {
                _ if !self.counts_in(list, member) => Slot(0),
                me if me == self.me => self.acks.stored,
                _ if peer.epoch == self.accepted => peer.acknowledged,
                _ if !self.config.keeps(Rule::AcknowledgedInThisEpoch) => peer.acknowledged,
                _ => Slot(0),
            };
        }
        let acknowledged = &mut acknowledged[..members];
        acknowledged.sort_unstable();
        let majority = self.config.majority() - usize::from(!self.config.keeps(Rule::CommitByMajority));
        acknowledged[(members - majority).min(members - 1)]
    }

    /// Raises what is committed to the highest slot that a quorum of the list in force there has acknowledged. What is beyond
    /// this member's log waits until it is here, since it may change the list.
    pub(crate) fn commit(&mut self) {
        let mut upto = self.log.last();
        for (first, list) in self.log.lists() {
            let by_quorum = self.quorum_acknowledged(list).min(upto);
            if by_quorum >= first {
                upto = by_quorum;
                break;
            }
            upto = Slot(first.0.saturating_sub(1));
        }
        if upto > self.acks.settled {
            self.acks.settled = upto;
            self.acks.committed = self.acks.committed.max(upto);
        }
    }

    pub(crate) fn deliver(&mut self) {
        let upto = self.acks.committed.min(self.acks.stored);
        while self.acks.delivered < upto {
            let slot = self.acks.delivered.next();
            let Some(entry) = self.log.get(slot) else { break };
            let bytes = entry_bytes(entry);
            let delivery = Delivery {
                slot,
                epoch: entry.sequence.epoch,
                time_ms: entry.sequence.time_ms,
                requests: entry.bodies.clone(),
                change: entry.sequence.change,
            };
            for id in &entry.sequence.requests {
                if id.sender == self.me && id.incarnation == self.incarnation {
                    self.own.delivered(id.local_seq);
                }
            }
            self.acks.undelivered_bytes = self.acks.undelivered_bytes.saturating_sub(bytes);
            self.acks.delivered = slot;
            self.out.push(Output::Deliver(delivery));
        }
        self.answer_ready_reads();
    }

    /// A snapshot covers all up to a slot: it is committed, and need not be delivered.
    pub(crate) fn skip_delivery_to(&mut self, slot: Slot) {
        self.acks.committed = self.acks.committed.max(slot);
        self.acks.delivered = self.acks.delivered.max(slot);
        self.acks.undelivered_bytes = self.log.bytes_after(self.acks.delivered);
    }

    pub(crate) fn state_durable(&mut self, slot: Slot) {
        self.acks.state_durable = self.acks.state_durable.max(slot.min(self.acks.delivered));
        self.purge();
    }

    /// Drops the oldest part of the log once it is larger than what is kept for laggards by an eighth, but for what is kept for a
    /// peer that takes a snapshot.
    fn purge(&mut self) {
        let bounds = &self.config.bounds;
        let (keep_bytes, keep_slots) = (bounds.keep_log_bytes, bounds.keep_log_slots);
        if self.log.bytes() <= keep_bytes + keep_bytes / 8 && self.log.len() <= keep_slots + keep_slots / 8 {
            return;
        }
        let covered = self.acks.state_durable.min(self.acks.settled);
        let covered = self.held_after().map_or(covered, |held| covered.min(held));
        if covered <= self.log.base().slot {
            return;
        }
        let upto = self.log.slot_to_keep_after(keep_bytes, keep_slots).min(covered);
        if upto > self.log.base().slot {
            self.write_unwritten();
            let base = self.log.purge_upto(upto);
            self.persist(vec![Write::Purge(base)], Then::Nothing);
        }
    }
}

pub(crate) fn bit(member: MemberId) -> u64 {
    1 << member.0
}
