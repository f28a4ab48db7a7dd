//! The list of members: per seat of the group, which disk counts. It is agreed in the log, and changes by one seat at a time.
//!
//! A member that lost its disk may have promised and acknowledged what it forgot, so its new disk counts in no quorum until the
//! list names it. The list in force at a slot is the one that the log up to and including that slot leads to, whether that is
//! committed or not. A quorum is a majority of *all seats*, filled or not: so to vacate a seat never lets anything pass that did
//! not pass before. Of any two lists that differ in one seat, one names a subset of what the other names; all their quorums
//! are more than half of the seats from the larger one, so any two of them have a disk in common. Lists further apart never
//! decide on the same thing, because a change is assigned only
//! - once the change before it is committed, in the assigner's own epoch, and
//! - if it fills a seat, once a quorum has made the assigner's epoch durable: or else two epochs, of which neither knows the
//!   other, might fill the same seat with different disks.
//!
//! Wherever a quorum is counted, the list is the one in force where the counted logs end: an acknowledged slot's own for its
//! commit, that of the log which an epoch starts from for promises, the reader's for reads, which begin anew when it changes.

use std::sync::Arc;

use crate::ids::{DiskId, MemberId, Slot};
use crate::log::DoesNotFollow;
use crate::member::Member;
use crate::rules::Rule;

/// Which disks count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MemberList {
    /// The disk of the member that founded the group: it names the group. 0 before there is one.
    pub group: DiskId,
    /// One per member of the cluster file.
    pub seats: Vec<Seat>,
    /// The slot that changed the list last; 0 if it is as it was founded.
    pub changed: Slot,
}

/// A place in the group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seat {
    /// The disk that counts; none while the seat is vacant.
    pub disk: Option<DiskId>,
    /// How often a disk took this seat since the group was founded. Incarnations of different disks are told apart by it.
    pub generation: u32,
}

/// A change of the list, carried by a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListChange {
    /// The disk no longer counts; the seat is vacant.
    Remove {
        /// Whose seat.
        member: MemberId,
        /// The disk that had it.
        disk: DiskId,
    },
    /// The disk takes the vacant seat.
    Add {
        /// Whose seat.
        member: MemberId,
        /// The disk that counts from here on.
        disk: DiskId,
    },
}

impl MemberList {
    /// Of a member that knows of no group.
    #[must_use]
    pub fn none() -> Self {
        MemberList::default()
    }

    /// The list of a group that one of these disks has founded.
    #[must_use]
    pub fn founded(group: DiskId, disks: &[DiskId]) -> Self {
        let seat = |disk: &DiskId| Seat { disk: Some(*disk), generation: 0 };
        MemberList { group, seats: disks.iter().map(seat).collect(), changed: Slot(0) }
    }

    /// There is no group yet.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.seats.is_empty()
    }

    /// A member's seat.
    #[must_use]
    pub fn seat(&self, member: MemberId) -> Seat {
        self.seats.get(usize::from(member.0)).copied().unwrap_or_default()
    }

    /// Whether this disk counts for this member.
    #[must_use]
    pub fn names(&self, member: MemberId, disk: DiskId) -> bool {
        self.seat(member).disk == Some(disk)
    }

    /// How many seats are filled.
    #[must_use]
    pub fn filled(&self) -> usize {
        self.seats.iter().filter(|seat| seat.disk.is_some()).count()
    }

    /// The list that a change in this slot leads to.
    ///
    /// # Errors
    /// The change does not fit this list.
    pub(crate) fn after(&self, change: ListChange, slot: Slot) -> Result<MemberList, DoesNotFollow> {
        let mut next = self.clone();
        next.changed = slot;
        let (ListChange::Remove { member, .. } | ListChange::Add { member, .. }) = change;
        let seat = next.seats.get_mut(usize::from(member.0)).ok_or(DoesNotFollow)?;
        match change {
            ListChange::Remove { disk, .. } if seat.disk == Some(disk) => seat.disk = None,
            ListChange::Add { disk, .. } if seat.disk.is_none() => {
                seat.disk = Some(disk);
                seat.generation = seat.generation.saturating_add(1);
            }
            _ => return Err(DoesNotFollow),
        }
        Ok(next)
    }
}

impl Member {
    /// The list in force at the end of the log.
    pub(crate) fn list(&self) -> &Arc<MemberList> {
        &self.log.tip().members
    }

    /// The disk from which a member speaks, as far as is known.
    pub(crate) fn disk_of(&self, member: MemberId) -> Option<DiskId> {
        if member == self.me { Some(self.disk_id) } else { self.peers.get(member).disk }
    }

    /// Whether what a member says counts in quorums under this list.
    pub(crate) fn counts_in(&self, list: &MemberList, member: MemberId) -> bool {
        self.disk_of(member).is_some_and(|disk| self.does_count(list, member, disk))
    }

    pub(crate) fn does_count(&self, list: &MemberList, member: MemberId, disk: DiskId) -> bool {
        list.names(member, disk) || !self.config.keeps(Rule::OnlyListedDisksCount)
    }

    /// Whether what a member says counts in quorums.
    pub(crate) fn counts(&self, member: MemberId) -> bool {
        self.counts_in(self.list(), member)
    }

    /// As far as this member's log tells, it has no seat: it receives and stores, and what it says counts in no quorum.
    pub(crate) fn is_learner(&self) -> bool {
        !self.counts(self.me)
    }

    /// This member knows of no group.
    pub(crate) fn is_empty(&self) -> bool {
        self.accepted.counter == 0
    }

    /// Whether this member may send requests and take turns: it has a seat, and an incarnation that no other disk of the seat had.
    pub(crate) fn is_full_member(&self) -> bool {
        self.list().names(self.me, self.disk_id)
            && self.incarnation.generation() == self.list().seat(self.me).generation
    }

    /// A seat that the list gives to another disk than the one that speaks from it: that disk is lost.
    pub(crate) fn speaks_from_another_disk(&self, member: MemberId) -> bool {
        member != self.me && self.peers.get(member).disk.is_some_and(|disk| !self.list().names(member, disk))
    }

    /// The change of the list that is due, if this member may assign it now.
    pub(crate) fn list_change_due(&self) -> Option<ListChange> {
        if !self.peer_ids().any(|peer| self.speaks_from_another_disk(peer)) {
            return None;
        }
        let due = self.peer_ids().find_map(|peer| self.seat_to_change(peer))?;
        let may = self.may_change_list(due) || !self.config.keeps(Rule::OneListChangeAtATime);
        may.then_some(due)
    }

    fn seat_to_change(&self, member: MemberId) -> Option<ListChange> {
        let peer = self.peers.get(member);
        let disk = peer.disk.filter(|_| self.speaks_from_another_disk(member) && !self.is_silent(member))?;
        match self.list().seat(member).disk {
            // What remains must be able to decide.
            Some(lost) => (self.list().filled() > self.config.majority())
                .then_some(ListChange::Remove { member, disk: lost }),
            None => (peer.epoch == self.accepted && !self.lags(peer.acknowledged, self.log.last()))
                .then_some(ListChange::Add { member, disk }),
        }
    }

    /// See the module's description.
    fn may_change_list(&self, change: ListChange) -> bool {
        let since = self.list().changed.max(self.acks.epoch_floor);
        let since = match change {
            ListChange::Add { .. } => since.max(Slot(1)),
            ListChange::Remove { .. } => since,
        };
        self.quorum_acknowledged(self.list()) >= since
    }

    /// A slot that changes the list was added to the log: what was asked under the last list says nothing any more.
    pub(crate) fn list_has_changed(&mut self, change: ListChange) {
        if let ListChange::Add { member, disk } = change {
            self.seat_is_filled(member, disk);
        }
        self.restart_reads();
        self.change.look_again(self.now.monotonic);
    }

    /// What is known of the member here may be from before, from a disk that it has lost: that says nothing about the new one.
    pub(crate) fn seat_is_filled(&mut self, member: MemberId, disk: DiskId) {
        if member != self.me && self.peers.get(member).disk.is_some_and(|known| known != disk) {
            self.peers.is_said_to_speak_from(member, disk, self.now.monotonic);
            self.pending.forget(member, &self.log.tip().sequenced);
        }
    }
}
