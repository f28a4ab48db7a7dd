//! Turns: the owner of the next slot assigns it; the others follow what owners assign.
//!
//! The log grows only here: by an assignment of this member, by the next sequence once all that it lists is here, or by an
//! entry that a peer sent again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::ids::{Epoch, MemberId, RequestId, RosterEntry, Slot};
use crate::log::{DoesNotFollow, request_bytes};
use crate::member::Member;
use crate::message::{Body, Envelope};
use crate::pending::Offered;
use crate::port::{Entry, Request, Sequence};
use crate::rules::Rule;

#[derive(Clone, Debug, Hash)]
pub(crate) struct Sequencing {
    /// Sequences beyond the end of the log, of the accepted epoch or of a later one that is about to be.
    future: BTreeMap<Slot, Assigned>,
    future_epoch: Epoch,
    /// The next sequence is here; this request that it lists is not.
    blocked_on: Option<RequestId>,
    /// Since when it has been the next owner's turn with something to take.
    turn_since: Option<Duration>,
}

/// A sequence, and who sent it.
#[derive(Clone, Debug, Hash)]
struct Assigned {
    by: RosterEntry,
    sequence: Arc<Sequence>,
}

impl Sequencing {
    pub(crate) fn new(accepted: Epoch) -> Self {
        Sequencing { future: BTreeMap::new(), future_epoch: accepted, blocked_on: None, turn_since: None }
    }

    /// Since when the next owner could have assigned its slot.
    pub(crate) fn turn_since(&self) -> Option<Duration> {
        self.turn_since
    }

    /// The first sequence of this epoch that is kept for later.
    pub(crate) fn first_future(&self, epoch: Epoch) -> Option<Slot> {
        self.future.first_key_value().map(|(slot, _)| *slot).filter(|_| self.future_epoch == epoch)
    }

    /// The last one.
    pub(crate) fn last_future(&self, epoch: Epoch) -> Option<Slot> {
        self.future.last_key_value().map(|(slot, _)| *slot).filter(|_| self.future_epoch == epoch)
    }

    /// An epoch is accepted with a log up to this slot.
    pub(crate) fn enter_epoch(&mut self, epoch: Epoch, last: Slot) {
        if self.future_epoch == epoch {
            self.future = self.future.split_off(&last.next());
        } else {
            self.future.clear();
            self.future_epoch = epoch;
        }
        self.blocked_on = None;
        self.turn_since = None;
    }
}

impl Member {
    pub(crate) fn take_requests(&mut self, from: MemberId, envelope: &Envelope, requests: Vec<Arc<Request>>) {
        for request in requests {
            let id = request.id;
            let is_own = id.sender == from && id.incarnation == envelope.incarnation && id.local_seq > 0;
            let bytes = request_bytes(&request);
            if !is_own || request.commands.is_empty() || bytes > self.config.bounds.max_request_bytes {
                self.counters.malformed += 1;
                return;
            }
            if self.pending.bytes(from) + bytes > 2 * self.config.bounds.max_unsequenced_bytes {
                self.counters.over_bound += 1;
                return;
            }
            match self.pending.offer(request, &self.log.tip().sequenced) {
                Offered::Taken if self.sequencing.blocked_on == Some(id) => self.sequencing.blocked_on = None,
                Offered::Taken | Offered::Known => {}
                Offered::TooFarAhead => self.counters.over_bound += 1,
                Offered::Superseded => self.counters.stale += 1,
            }
        }
    }

    pub(crate) fn take_sequence(&mut self, from: MemberId, envelope: &Envelope, sequence: Arc<Sequence>) {
        let (epoch, slot) = (sequence.epoch, sequence.slot);
        let has_promised = epoch < self.promised && self.config.keeps(Rule::NothingStoredAfterPromise);
        if epoch < self.accepted || has_promised || (epoch == self.accepted && slot <= self.log.last()) {
            self.counters.stale += 1;
            return;
        }
        if slot.0 > self.log.last().0.saturating_add(self.config.bounds.max_future_slots) {
            self.counters.over_bound += 1;
            return;
        }
        if epoch > self.sequencing.future_epoch {
            self.sequencing.future.clear();
            self.sequencing.future_epoch = epoch;
        }
        if epoch == self.sequencing.future_epoch {
            let by = RosterEntry { member: from, incarnation: envelope.incarnation };
            self.sequencing.future.entry(slot).or_insert(Assigned { by, sequence });
        }
    }

    /// Lets the log grow as far as it can.
    pub(crate) fn advance(&mut self) {
        let may_store = !self.is_changing_epoch() || !self.config.keeps(Rule::NothingStoredAfterPromise);
        while may_store && (self.follow_owner() || self.assign()) {}
        let waits = self.someone_waits() && !self.is_changing_epoch() && !self.has_too_much_uncommitted();
        match self.sequencing.turn_since {
            None if waits => self.sequencing.turn_since = Some(self.now.monotonic),
            Some(_) if !waits => self.sequencing.turn_since = None,
            _ => {}
        }
    }

    /// Whether there is something for the owner to take, which it has or can get. What came from a member that is gone may never
    /// have come to the owner, and nobody waits for it.
    fn someone_waits(&self) -> bool {
        let waits = |member| self.pending.ready_of(member) > 0 && !self.is_silent(member);
        self.pending.ready() > 0 && self.member_ids().any(waits)
    }

    /// Appends the next slot if its sequence and all that it lists are here.
    fn follow_owner(&mut self) -> bool {
        let next = self.log.last().next();
        if self.sequencing.future_epoch != self.accepted || self.sequencing.blocked_on.is_some() {
            return false;
        }
        let Some(assigned) = self.sequencing.future.get(&next) else { return false };
        if assigned.by != self.owner(next) && self.config.keeps(Rule::OnlyTheOwnerAssigns) {
            self.drop_malformed(next);
            return true;
        }
        let sequence = Arc::clone(&assigned.sequence);
        let bodies: Result<Vec<_>, RequestId> =
            sequence.requests.iter().map(|id| self.pending.get(*id).cloned().ok_or(*id)).collect();
        match bodies {
            Ok(bodies) => {
                if self.append(Entry { sequence: Sequence::clone(&sequence), bodies }).is_err() {
                    self.drop_malformed(next);
                }
                true
            }
            Err(missing) => {
                self.sequencing.blocked_on = Some(missing);
                false
            }
        }
    }

    fn drop_malformed(&mut self, slot: Slot) {
        self.sequencing.future.remove(&slot);
        self.counters.malformed += 1;
    }

    /// The log gets its next entry, of the accepted epoch's history.
    pub(crate) fn append(&mut self, entry: Entry) -> Result<(), DoesNotFollow> {
        debug_assert!(
            !self.is_changing_epoch() || !self.config.keeps(Rule::NothingStoredAfterPromise),
            "nothing is stored once a higher epoch is promised"
        );
        if entry.sequence.epoch > self.accepted {
            return Err(DoesNotFollow);
        }
        self.log.append(entry.clone())?;
        if let Some(change) = entry.sequence.change {
            self.list_has_changed(change);
        }
        for id in &entry.sequence.requests {
            self.pending.sequenced(*id);
        }
        self.sequencing.future.remove(&entry.sequence.slot);
        self.sequencing.blocked_on = None;
        self.sequencing.turn_since = None;
        self.count_undelivered(&entry);
        self.write_later(entry);
        Ok(())
    }

    /// Assigns the next slot if it is this member's and there is something to take.
    fn assign(&mut self) -> bool {
        let slot = self.log.last().next();
        let me = RosterEntry { member: self.me, incarnation: self.incarnation };
        let owner = self.owner(slot);
        let is_owner = owner == me
            || (owner.member == self.me && !self.config.keeps(Rule::TurnsOfIncarnations))
            || !self.config.keeps(Rule::OnlyTheOwnerAssigns);
        // A roster names members that have a seat; another disk may come back in an incarnation of the same number.
        if !is_owner || !self.is_full_member() || self.has_too_much_uncommitted() {
            return false;
        }
        let change = self.list_change_due();
        if self.pending.ready() == 0 && change.is_none() {
            return false;
        }
        let bodies = self.choose(slot);
        let requests = bodies.iter().map(|body| body.id).collect();
        let not_before = if self.config.keeps(Rule::TimeNeverGoesBack) { self.log.tip().time_ms } else { 0 };
        let time_ms = self.agreed_wall_ms().max(not_before);
        let sequence = Sequence { epoch: self.accepted, slot, requests, time_ms, change };
        let multicast = Arc::new(sequence.clone());
        if self.append(Entry { sequence, bodies }).is_err() {
            debug_assert!(false, "an owner assigns only what follows");
            return false;
        }
        self.counters.assigned += 1;
        let unsent = self.own.take_unsent();
        self.send_all(Body::Sequence { sequence: multicast, requests: unsent });
        true
    }

    /// Takes all that may be taken, as far as it fits; a different sender comes first each time.
    fn choose(&self, slot: Slot) -> Vec<Arc<Request>> {
        let bounds = &self.config.bounds;
        let members = self.config.members;
        let first = u16::try_from(slot.0 % u64::from(members)).unwrap_or(0);
        let senders = (first..members).chain(0..first).map(MemberId);
        let mut chosen = Vec::with_capacity(self.pending.ready().min(bounds.max_slot_requests));
        let mut bytes = 0;
        for request in senders.flat_map(|sender| self.pending.takeable(sender)) {
            if chosen.len() >= bounds.max_slot_requests || bytes >= bounds.max_slot_bytes {
                break;
            }
            bytes += request_bytes(request);
            chosen.push(Arc::clone(request));
        }
        chosen
    }
}
