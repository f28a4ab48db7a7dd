//! The invariants, checked over all members at every step.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use agora_broadcast::{
    Body, Delivery, DiskId, Entry, Epoch, Incarnation, ListChange, MemberId, MemberList, Message, Reason,
    Request, RequestId, RosterEntry, Sequence, Slot,
};

use super::disk::Disk;

/// What is true of the group as a whole, gathered from all that its members do.
#[derive(Default)]
pub struct Checker {
    /// What was sent, by whom it was first proposed, in which group.
    sent: HashMap<(DiskId, RequestId), Arc<Request>>,
    /// What was delivered, slot by slot, whoever delivered it first.
    delivered: Vec<Delivery>,
    delivered_ids: BTreeSet<RequestId>,
    /// Per sender, the incarnation and the local_seq that was delivered last.
    last_of_sender: BTreeMap<MemberId, (Incarnation, u64)>,
    /// Per group, epoch and slot, what was assigned. There is more than one group only if one was lost before it did anything.
    assigned: BTreeMap<(DiskId, Epoch, Slot), Sequence>,
    /// Per epoch and slot, the epoch of the slot below in the log that has it.
    below: BTreeMap<(DiskId, Epoch, Slot), Epoch>,
    rosters: BTreeMap<(DiskId, Epoch), Vec<RosterEntry>>,
    reasons: BTreeMap<(DiskId, Epoch), Reason>,
    /// The list of members, as the delivered slots have changed it.
    pub members: Option<MemberList>,
    /// How often a disk took a seat.
    pub taken_in: u64,
}

impl Checker {
    pub fn sent(&mut self, group: DiskId, request: Arc<Request>) {
        let before = self.sent.insert((group, request.id), request);
        assert!(before.is_none(), "validity: a request's id was given out twice");
    }

    pub fn last_delivered(&self) -> Slot {
        Slot(self.delivered.len() as u64)
    }

    /// The time of the last slot that was delivered.
    pub fn last_time_ms(&self) -> u64 {
        self.delivered.last().map_or(0, |last| last.time_ms)
    }

    /// A group is founded, or a member joins it at its very start.
    pub fn founded(&mut self, members: &MemberList) {
        match &mut self.members {
            Some(known) if known.group == members.group => {}
            // The last one was lost with its founder.
            known => {
                assert!(self.delivered.is_empty(), "a second group is founded");
                *known = Some(members.clone());
            }
        }
    }

    /// A member says something.
    pub fn said(&mut self, message: &Message) {
        let group = message.envelope.group;
        match &message.body {
            Body::Sequence { sequence, .. } => self.assigned(group, sequence),
            Body::StartEpoch { epoch, roster, why, .. } => {
                let known = self.rosters.entry((group, *epoch)).or_insert_with(|| roster.clone());
                assert_eq!(known, roster, "epoch {epoch} has two rosters");
                // Who has restarted does not know.
                if let Some(why) = why {
                    let known = self.reasons.entry((group, *epoch)).or_insert(*why);
                    assert_eq!(known, why, "epoch {epoch} has two reasons");
                }
            }
            _ => {}
        }
    }

    fn assigned(&mut self, group: DiskId, sequence: &Sequence) {
        let key = (group, sequence.epoch, sequence.slot);
        let known = self.assigned.entry(key).or_insert_with(|| sequence.clone());
        assert_eq!(known, sequence, "one assignment per epoch and slot");
    }

    /// A disk got an entry, above one of the other epoch.
    pub fn stored(&mut self, group: DiskId, entry: &Entry, below: Epoch) {
        self.assigned(group, &entry.sequence);
        let (epoch, slot) = (entry.sequence.epoch, entry.sequence.slot);
        let known = self.below.entry((group, epoch, slot)).or_insert(below);
        assert_eq!(*known, below, "prefix: slot {slot} of epoch {epoch} follows different histories");
    }

    /// A member delivers; the disks of all members as they are.
    pub fn delivered<'a>(&mut self, delivery: &Delivery, disks: impl Iterator<Item = Seat<'a>> + Clone) {
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
        // In force from this slot on.
        if let Some(change) = delivery.change {
            self.list_changes(change);
        }
        self.check_durable(delivery.slot, disks);
    }

    /// The committed list changes by one seat, and each change fits the one before.
    fn list_changes(&mut self, change: ListChange) {
        let members = self.members.as_mut().expect("a group was founded");
        let (ListChange::Remove { member, .. } | ListChange::Add { member, .. }) = change;
        let seat = &mut members.seats[usize::from(member.0)].disk;
        match change {
            ListChange::Remove { disk, .. } => assert_eq!(seat.take(), Some(disk), "removed without a seat"),
            ListChange::Add { disk, .. } => {
                assert_eq!(seat.replace(disk), None, "a seat is taken twice");
                self.taken_in += 1;
            }
        }
    }

    /// Whether a disk has its member's seat.
    pub fn names(&self, member: MemberId, disk: DiskId) -> bool {
        self.members.as_ref().is_some_and(|members| members.names(member, disk))
    }

    fn check_request(&mut self, request: &Arc<Request>) {
        let group = self.members.as_ref().map(|members| members.group).unwrap_or_default();
        let sent = self.sent.get(&(group, request.id)).expect("validity: nobody sent this");
        assert_eq!(sent, request, "validity: it was sent otherwise");
        assert!(self.delivered_ids.insert(request.id), "integrity: {} is delivered twice", request.id);
        let RequestId { sender, incarnation, local_seq } = request.id;
        match self.last_of_sender.insert(sender, (incarnation, local_seq)) {
            Some((last, seq)) if last == incarnation => assert_eq!(local_seq, seq + 1, "per-sender order"),
            Some((last, _)) => assert!(incarnation > last && local_seq == 1, "per-sender order"),
            None => assert_eq!(local_seq, 1, "per-sender order"),
        }
    }

    /// A delivered slot is in the log or below the base of a majority. What a lost disk held counts until its seat is vacated.
    pub fn check_durable<'a>(&self, slot: Slot, seats: impl Iterator<Item = Seat<'a>> + Clone) {
        let Some(delivered) = self.delivered.get(usize::try_from(slot.0).unwrap() - 1) else { return };
        let has = |disk: &Disk| {
            let is_same = |entry: &Entry| {
                entry.bodies == delivered.requests
                    && entry.sequence.time_ms == delivered.time_ms
                    && entry.sequence.change == delivered.change
            };
            disk.durable.base.slot >= slot || disk.entry(slot).is_some_and(is_same)
        };
        let holds = |seat: &Seat<'_>| {
            let lost = seat.lost.iter().filter(|lost| self.names(seat.member, lost.durable.disk));
            has(seat.disk) || lost.clone().any(has)
        };
        let holders = seats.clone().filter(holds).count();
        let members = seats.count();
        assert!(holders > members / 2, "durability: slot {slot} is on {holders} of {members} disks");
    }
}

/// A member's disk, and those that it lost.
#[derive(Clone, Copy)]
pub struct Seat<'a> {
    pub member: MemberId,
    pub disk: &'a Disk,
    pub lost: &'a [Disk],
}
