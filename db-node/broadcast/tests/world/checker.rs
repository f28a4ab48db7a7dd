//! The invariants, checked over all members at every step.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use agora_broadcast::{
    Body, Delivery, Entry, Epoch, Incarnation, MemberId, Request, RequestId, RosterEntry, Sequence, Slot,
};

use super::disk::Disk;

/// What is true of the group as a whole, gathered from all that its members do.
#[derive(Default)]
pub struct Checker {
    /// What was sent, by whom it was first proposed.
    sent: HashMap<RequestId, Arc<Request>>,
    /// What was delivered, slot by slot, whoever delivered it first.
    delivered: Vec<Delivery>,
    delivered_ids: BTreeSet<RequestId>,
    /// Per sender, the incarnation and the local_seq that was delivered last.
    last_of_sender: BTreeMap<MemberId, (Incarnation, u64)>,
    /// Per epoch and slot, what was assigned.
    assigned: BTreeMap<(Epoch, Slot), Sequence>,
    /// Per epoch and slot, the epoch of the slot below in the log that has it.
    below: BTreeMap<(Epoch, Slot), Epoch>,
    rosters: BTreeMap<Epoch, Vec<RosterEntry>>,
}

impl Checker {
    pub fn sent(&mut self, request: Arc<Request>) {
        let before = self.sent.insert(request.id, request);
        assert!(before.is_none(), "validity: a request's id was given out twice");
    }

    /// The time of the last slot that was delivered.
    pub fn last_time_ms(&self) -> u64 {
        self.delivered.last().map_or(0, |last| last.time_ms)
    }

    pub fn last_delivered(&self) -> Slot {
        Slot(self.delivered.len() as u64)
    }

    /// A member multicasts something.
    pub fn said(&mut self, body: &Body) {
        match body {
            Body::Sequence { sequence, .. } => self.assigned(sequence),
            Body::StartEpoch { epoch, roster, .. } => {
                let known = self.rosters.entry(*epoch).or_insert_with(|| roster.clone());
                assert_eq!(known, roster, "epoch {epoch} has two rosters");
            }
            _ => {}
        }
    }

    fn assigned(&mut self, sequence: &Sequence) {
        let key = (sequence.epoch, sequence.slot);
        let known = self.assigned.entry(key).or_insert_with(|| sequence.clone());
        assert_eq!(known, sequence, "one assignment per epoch and slot");
    }

    /// A disk got an entry, above one of the other epoch.
    pub fn stored(&mut self, entry: &Entry, below: Epoch) {
        self.assigned(&entry.sequence);
        let key = (entry.sequence.epoch, entry.sequence.slot);
        let known = self.below.entry(key).or_insert(below);
        assert_eq!(*known, below, "prefix: slot {} of epoch {} follows different histories", key.1, key.0);
    }

    /// A member delivers; the disks of all members as they are.
    pub fn delivered<'a>(&mut self, delivery: &Delivery, disks: impl Iterator<Item = &'a Disk> + Clone) {
        let index = usize::try_from(delivery.slot.0 - 1).unwrap();
        if let Some(known) = self.delivered.get(index) {
            assert_eq!(known, delivery, "agreement");
            return;
        }
        assert_eq!(index, self.delivered.len(), "no holes: slot {} is delivered too early", delivery.slot);
        let last_time = self.delivered.last().map_or(0, |last| last.time_ms);
        assert!(delivery.time_ms >= last_time, "time goes back");
        for request in &delivery.requests {
            self.check_request(request);
        }
        self.delivered.push(delivery.clone());
        self.check_durable(delivery.slot, disks);
    }

    fn check_request(&mut self, request: &Arc<Request>) {
        let sent = self.sent.get(&request.id).expect("validity: nobody sent this");
        assert_eq!(sent, request, "validity: it was sent otherwise");
        assert!(self.delivered_ids.insert(request.id), "integrity: {} is delivered twice", request.id);
        let RequestId { sender, incarnation, local_seq } = request.id;
        match self.last_of_sender.insert(sender, (incarnation, local_seq)) {
            Some((last, seq)) if last == incarnation => assert_eq!(local_seq, seq + 1, "per-sender order"),
            Some((last, _)) => assert!(incarnation > last && local_seq == 1, "per-sender order"),
            None => assert_eq!(local_seq, 1, "per-sender order"),
        }
    }

    /// A delivered slot is in the log or below the base of a majority.
    pub fn check_durable<'a>(&self, slot: Slot, disks: impl Iterator<Item = &'a Disk> + Clone) {
        let Some(delivered) = self.delivered.get(usize::try_from(slot.0).unwrap() - 1) else { return };
        let holds = |disk: &&Disk| {
            let is_same = |entry: &Entry| {
                entry.bodies == delivered.requests && entry.sequence.time_ms == delivered.time_ms
            };
            disk.durable.base.slot >= slot || disk.entry(slot).is_some_and(is_same)
        };
        let holders = disks.clone().filter(holds).count();
        let members = disks.count();
        assert!(holders > members / 2, "durability: slot {slot} is on {holders} of {members} disks");
    }
}
