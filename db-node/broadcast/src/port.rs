//! The port between the protocol and whoever drives it: what goes in, what comes out, what must be durable.
//!
//! The contract of the driver:
//! - it calls `step` for each input, and then carries out the outputs in their order;
//! - `Persist`s are made durable in the order of their ids, and reported, all at once if it likes, with `Persisted`;
//!   several that wait together should share one fsync;
//! - a `Send` may be lost, doubled, delayed or reordered, but not altered;
//! - `Deliver`s are applied in order. What is applied may be written to the state store without an fsync of its own:
//!   the log has it. Before a `Write::Purge` is carried out the state store must be durable up to that slot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::ids::{DiskId, Epoch, Incarnation, MemberId, RequestId, RosterEntry, Slot};
use crate::log::Tip;
use crate::members::{ListChange, MemberList};
use crate::message::Message;
use crate::rules::Kept;

/// What time it is, in both senses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Now {
    /// Never goes back; since an arbitrary moment. Drives timers.
    pub monotonic: Duration,
    /// Milliseconds since the Unix epoch, as this member's clock has it, which may be wrong. Becomes slot times.
    pub wall_ms: u64,
}

/// A batch of commands on its way to be sequenced.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// Who sent it, and its place among what that sender sent.
    pub id: RequestId,
    /// The commands, opaque, in the order in which they are applied.
    pub commands: Vec<Bytes>,
}

/// What an owner assigned to a slot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sequence {
    /// The epoch of the assignment.
    pub epoch: Epoch,
    /// The slot.
    pub slot: Slot,
    /// The requests, in the order in which they are applied.
    pub requests: Vec<RequestId>,
    /// The slot's time in milliseconds since the Unix epoch; never below that of the slot before.
    pub time_ms: u64,
    /// A change of the list of members, in force from this slot on.
    pub change: Option<ListChange>,
}

/// A slot as it stands in the log: the sequence with all bodies that it lists, in the same order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// What was assigned.
    pub sequence: Sequence,
    /// The requests' bodies, shared with whoever else holds them.
    pub bodies: Vec<Arc<Request>>,
}

/// What came before the first entry of a log: the protocol's part of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Base {
    /// The last slot that the snapshot covers; 0 if the log is whole.
    pub slot: Slot,
    /// The epoch in which that slot was assigned.
    pub epoch: Epoch,
    /// That slot's time.
    pub time_ms: u64,
    /// Per sender and incarnation, the last local_seq that was sequenced up to there.
    pub sequenced: BTreeMap<(MemberId, Incarnation), u64>,
    /// The list of members in force after that slot.
    pub members: Arc<MemberList>,
}

/// All that a member finds on its disk when it starts (its incarnation already raised and made durable).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Durable {
    /// The data directory that all of this is in.
    pub disk: DiskId,
    /// The founder that this member, while it knew of no group, last told so.
    pub bound: Option<DiskId>,
    /// The incarnation of this start.
    pub incarnation: Incarnation,
    /// The highest epoch promised.
    pub promised: Epoch,
    /// The epoch that the log belongs to.
    pub accepted: Epoch,
    /// The roster of the accepted epoch.
    pub roster: Vec<RosterEntry>,
    /// What the log starts from.
    pub base: Base,
    /// The log above the base, contiguous.
    pub entries: Vec<Entry>,
    /// The last slot that is applied to the state on this member's disk; at least `base.slot`. Delivery goes on after it.
    pub applied: Slot,
    /// The epoch in which that slot was assigned, as its delivery or the snapshot's base said: it tells whether the log agrees
    /// with the state up to there, which it need not if the state came with a snapshot just before a crash.
    pub applied_epoch: Epoch,
}

/// A log on disk that no member can have written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenLog {
    /// An entry does not follow the one before.
    #[error("slot {slot} does not follow slot {after}", slot = slot.0, after = after.0)]
    DoesNotFollow {
        /// The entry.
        slot: Slot,
        /// The one before, or the base.
        after: Slot,
    },
    /// An entry of a later epoch than the accepted one.
    #[error("the log goes on to epoch {last}, beyond the accepted epoch {accepted}")]
    BeyondAccepted {
        /// The last entry's epoch.
        last: Epoch,
        /// The accepted epoch.
        accepted: Epoch,
    },
    /// The list of members is that of a larger or a smaller group.
    #[error("the list of members has {found} seats, in a group of {members}")]
    Members {
        /// How many seats there are.
        found: usize,
        /// How many members there are.
        members: u16,
    },
    /// The roster is empty, or names a member that does not exist.
    #[error("the roster is not one of a group of {members}")]
    Roster {
        /// How many members there are.
        members: u16,
    },
}

impl Durable {
    /// Whether a member of a group of this size can start from this.
    ///
    /// # Errors
    /// What is wrong first.
    pub fn check(&self, members: u16) -> Result<(), BrokenLog> {
        let mut tip = Tip::new(members, Kept::default(), &self.base);
        for entry in &self.entries {
            let (slot, after) = (entry.sequence.slot, tip.slot);
            tip.follow(entry).map_err(|_| BrokenLog::DoesNotFollow { slot, after })?;
        }
        let seats = self.base.members.seats.len();
        let is_empty = self.accepted.counter == 0;
        if seats != if is_empty { 0 } else { usize::from(members) } {
            return Err(BrokenLog::Members { found: seats, members });
        }
        if tip.epoch > self.accepted {
            return Err(BrokenLog::BeyondAccepted { last: tip.epoch, accepted: self.accepted });
        }
        let seats_exist =
            self.roster.is_empty() == is_empty && self.roster.iter().all(|seat| seat.member.0 < members);
        if seats_exist { Ok(()) } else { Err(BrokenLog::Roster { members }) }
    }

    /// What an empty disk holds: this member knows of no group yet.
    #[must_use]
    pub fn empty(disk: DiskId, incarnation: Incarnation) -> Self {
        let nothing = Epoch { counter: 0, coordinator: MemberId(0) };
        let members = Arc::new(MemberList::none());
        Durable {
            disk,
            bound: None,
            incarnation,
            promised: nothing,
            accepted: nothing,
            roster: Vec::new(),
            base: Base { slot: Slot(0), epoch: nothing, time_ms: 0, sequenced: BTreeMap::new(), members },
            entries: Vec::new(),
            applied: Slot(0),
            applied_epoch: nothing,
        }
    }

    /// What the disk of a founder holds once the group is founded with these disks, in the order of their members, all in their
    /// first incarnation.
    #[must_use]
    pub fn founded(me: MemberId, disks: &[DiskId]) -> Self {
        let (group, disk) = (disks.first(), disks.get(usize::from(me.0)));
        let (group, disk) = (group.copied().unwrap_or_default(), disk.copied().unwrap_or_default());
        let seat = |(member, _)| RosterEntry { member: MemberId(member), incarnation: Incarnation(1) };
        let base = Base::founded(MemberList::founded(group, disks));
        Durable {
            promised: base.epoch,
            accepted: base.epoch,
            roster: (0..).zip(disks).map(seat).collect(),
            applied_epoch: base.epoch,
            base,
            ..Durable::empty(disk, Incarnation(1))
        }
    }
}

impl Base {
    /// What the log of a group starts from that was founded with this list.
    #[must_use]
    pub fn founded(members: MemberList) -> Base {
        let members = Arc::new(members);
        Base { slot: Slot(0), epoch: Epoch::FOUNDING, time_ms: 0, sequenced: BTreeMap::new(), members }
    }
}

/// Names a call of `Input::Propose` to whoever made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProposalId(pub u64);

/// Names a call of `Input::Read` to whoever made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// Numbers the `Output::Persist`s of one start, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersistId(pub u64);

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// A message arrived. `from` is whom the transport knows to have sent it.
    Receive {
        /// The peer.
        from: MemberId,
        /// What it said.
        message: Message,
    },
    /// Commands of clients that waited together. They become one request.
    Propose {
        /// How the outputs name it.
        proposal: ProposalId,
        /// Not empty.
        commands: Vec<Bytes>,
    },
    /// Reads that waited together want the slot up to which the state must be applied.
    Read {
        /// How the outputs name it.
        read: ReadId,
    },
    /// All `Persist`s up to and including this one are durable.
    Persisted {
        /// The last of them.
        upto: PersistId,
    },
    /// The state store is durable up to this slot: the log below may be purged when the protocol sees fit.
    StateDurable {
        /// The last slot that it covers.
        slot: Slot,
    },
    /// The state of a peer, whole, is installed and durable in the state store: the answer to `Output::NeedSnapshot`. Or the
    /// state here covered all of it already.
    SnapshotInstalled {
        /// Who gave it.
        from: MemberId,
        /// The accepted epoch of the peer when it gave `base`: both as its `Member::base_at` told.
        epoch: Epoch,
        /// What the state covers.
        base: Base,
    },
    /// The state is being given to a peer, or was just given as a whole: the log above it is kept for the peer. Said again, now
    /// and then, while it goes on.
    GivesSnapshot {
        /// Who takes it.
        to: MemberId,
        /// What the state covers: `Member::base_at` told its base.
        slot: Slot,
    },
    /// A hint: the connection from this peer broke, or none can be made.
    PeerLost {
        /// The peer.
        peer: MemberId,
    },
    /// Time has passed: due when `next_wakeup` says, harmless at any time.
    Tick,
}

/// Something is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// Send it to one peer.
    Send {
        /// Never this member itself.
        to: MemberId,
        /// The message.
        message: Message,
    },
    /// Send it to every other member.
    SendAll {
        /// The message: the same for all, so it is encoded once.
        message: Message,
    },
    /// Make these durable, all or nothing and in this order, and report it with `Input::Persisted`.
    Persist {
        /// In steps of one.
        id: PersistId,
        /// What to write.
        writes: Vec<Write>,
    },
    /// A committed slot: apply it.
    Deliver(Delivery),
    /// A proposal became this request. It is answered when a delivery lists it.
    Proposed {
        /// The proposal.
        proposal: ProposalId,
        /// The request that it became.
        request: RequestId,
    },
    /// A proposal was not taken. Nothing happened.
    ProposalRefused {
        /// The proposal.
        proposal: ProposalId,
        /// Why.
        why: Refused,
    },
    /// Reads may be answered from the state once this slot is applied.
    ReadReady {
        /// The read.
        read: ReadId,
        /// The read slot.
        slot: Slot,
    },
    /// A read was given up. Repeat it here or elsewhere.
    ReadRefused {
        /// The read.
        read: ReadId,
        /// Why.
        why: Refused,
    },
    /// This member has taken a seat, and sends its requests in this incarnation from now on. Those that it sent before, if it
    /// had the seat before, may never be delivered here: their outcome is not known.
    Incarnation(Incarnation),
    /// The peers no longer have the log entries that this member misses: fetch the whole state from a peer, install it
    /// durably, and report `Input::SnapshotInstalled`. Said again, now and then, until that comes.
    NeedSnapshot {
        /// A peer that can give one.
        from: MemberId,
    },
}

/// Why a proposal or a read was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// Too much is under way: back-pressure.
    Overloaded,
    /// The commands together exceed `Config::max_request_bytes`, or there are none.
    NotARequest,
    /// This member can't reach a majority, or only learns.
    Unavailable,
}

/// A change of what is durable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    /// `promised` becomes this epoch.
    Promise(Epoch),
    /// `accepted` and the roster become these; `promised` is at least this epoch from then on.
    Accept {
        /// The epoch.
        epoch: Epoch,
        /// Its roster.
        roster: Vec<RosterEntry>,
    },
    /// Entries at the end of the log, contiguous with it.
    Append(Vec<Entry>),
    /// This member tells this founder that it knows of no group, and from then on joins no other new one.
    Bind(DiskId),
    /// This member took a seat: its incarnation is raised to this one.
    Incarnation(Incarnation),
    /// Everything above this slot is dropped from the log.
    TruncateAfter(Slot),
    /// The log below and including the base is dropped; the state store covers it. After a snapshot the base may lie beyond
    /// the last entry: then the log is empty and goes on after the base.
    Purge(Base),
}

/// A committed slot with its contents.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Delivery {
    /// Slots are delivered in order, without holes.
    pub slot: Slot,
    /// The epoch in which the slot was assigned.
    pub epoch: Epoch,
    /// The slot's time in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// What to apply, in order; nothing if the slot only changes the list of members.
    pub requests: Vec<Arc<Request>>,
    /// The change of the list of members.
    pub change: Option<ListChange>,
}
