//! What members say to each other.

use std::sync::Arc;

use crate::history::History;
use crate::ids::{DiskId, Epoch, Incarnation, MemberId, RosterEntry, Slot};
use crate::members::MemberList;
use crate::port::{Entry, Request, Sequence};

/// A message: what it says, and what its sender says of itself whatever it says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// Where the sender stands.
    pub envelope: Envelope,
    /// What it says.
    pub body: Body,
}

/// Travels with every message, so that whatever is sent acknowledges, announces and warns at no cost of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Envelope {
    /// The group that the sender belongs to, named by the disk of its founder; 0 if it knows of none.
    pub group: DiskId,
    /// The disk that the sender speaks from.
    pub disk: DiskId,
    /// The sender's incarnation.
    pub incarnation: Incarnation,
    /// The epoch that the sender has accepted.
    pub epoch: Epoch,
    /// The highest epoch that it has promised.
    pub promised: Epoch,
    /// The cumulative acknowledgement: in `epoch`, all slots up to this one are on its disk. 0 if it acknowledges nothing.
    pub acknowledged: Slot,
    /// The last local_seq that the sender has given to a request of this incarnation. Who has not got it asks for it.
    pub sent: u64,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// Nothing but the envelope's acknowledgement.
    Ack,
    /// The sender lives.
    Heartbeat {
        /// Its clock, in milliseconds since the Unix epoch.
        wall_ms: u64,
        /// Whether it may take turns.
        health: Health,
    },
    /// Requests of the sender, on their way to be sequenced.
    Requests(Vec<Arc<Request>>),
    /// The owner of a slot assigns it; requests of its own that nobody knows yet come along.
    Sequence {
        /// The assignment.
        sequence: Arc<Sequence>,
        /// In the order of their local_seq.
        requests: Vec<Arc<Request>>,
    },
    /// A negative acknowledgement: these requests of yours have not come.
    AskRequests {
        /// The incarnation whose requests are asked for.
        incarnation: Incarnation,
        /// The first local_seq.
        from: u64,
        /// The last.
        upto: u64,
    },
    /// A negative acknowledgement: these slots of this epoch's history have not come.
    AskEntries {
        /// The accepted epoch in whose history the slots are meant.
        history: Epoch,
        /// The first slot.
        from: Slot,
        /// The last.
        upto: Slot,
    },
    /// Slots of an epoch's history, contiguous, as many as fit.
    Entries {
        /// The epoch that the sender has accepted.
        history: Epoch,
        /// What the sender's log starts after. If this is not below the slot asked for, only a snapshot helps.
        base: Slot,
        /// The slots.
        entries: Vec<Entry>,
    },
    /// A read round: what have you accepted, and what is your last slot?
    ReadQuery {
        /// Numbers the reader's rounds within its incarnation.
        round: u64,
    },
    /// The answer; the accepted epoch is in the envelope.
    ReadAnswer {
        /// The reader's incarnation: an answer to an earlier one is worth nothing.
        reader: Incarnation,
        /// The round.
        round: u64,
        /// The last slot that the answerer has stored or found in the epoch when it accepted it.
        slot: Slot,
    },
    /// Pre-vote: shall there be another epoch?
    AskChange {
        /// Numbers the questions of this incarnation.
        question: u64,
        /// Why.
        reason: Reason,
        /// Where the asker's log ends, so that who is far behind does not coordinate.
        last: Slot,
    },
    /// The answer to a pre-vote.
    AnswerChange {
        /// The asker's incarnation.
        asker: Incarnation,
        /// The question.
        question: u64,
        /// Whether the answerer sees it the same way.
        opinion: Opinion,
    },
    /// The sender coordinates this epoch: promise it.
    Prepare {
        /// The new epoch.
        epoch: Epoch,
    },
    /// The sender, durably, stores, acknowledges and assigns nothing of a lower epoch.
    Promise {
        /// The new epoch.
        epoch: Epoch,
        /// The epoch that it had accepted when it promised.
        accepted: Epoch,
        /// The shape of its log then, all of it durable.
        history: History,
        /// The list of members at the end of that log.
        members: Arc<MemberList>,
        /// Whether it may take turns.
        health: Health,
    },
    /// The epoch begins.
    StartEpoch {
        /// The epoch.
        epoch: Epoch,
        /// Who takes turns.
        roster: Vec<RosterEntry>,
        /// The log that everyone has before it claims to have accepted the epoch.
        history: History,
        /// The list of members at the start of the sender's log. If that is the log's very start, an empty member has all it
        /// needs to store the log.
        members: Arc<MemberList>,
        /// Why its coordinator began it, if the sender knows. It is told to people, and decides nothing.
        why: Option<Reason>,
    },
    /// The sender is to found the group, and knows of none: do you know of one?
    AskEmpty,
    /// The answer of who knows of none. It, durably, joins no group that another disk founds, unless this founder does.
    Empty {
        /// The disk of the founder that asked.
        founder: DiskId,
    },
    /// Which epoch are you in? Asked by who sees that it is behind; answered with StartEpoch.
    AskEpoch,
}

/// Whether a member may take turns. Who may not still votes and stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Health {
    /// It may.
    Healthy,
    /// Its disk takes too long.
    SlowDisk,
    /// Its clock is far from those of its peers.
    SkewedClock,
}

/// The answer to a pre-vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opinion {
    /// The answerer sees it the same way.
    Agree,
    /// It does not, or has agreed with someone else just now.
    Disagree,
}

/// Why there should be another epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A roster member started again: the incarnation in the roster is gone.
    IncarnationGone {
        /// The member.
        member: MemberId,
        /// Its new incarnation.
        incarnation: Incarnation,
    },
    /// A roster member speaks from another disk than the one that has its seat, so that one is lost.
    DiskLost {
        /// The member.
        member: MemberId,
    },
    /// A roster member is silent, or its connections broke.
    Silent {
        /// The member.
        member: MemberId,
    },
    /// A roster member does not assign the slot that it owns though requests wait.
    HoldsUpSlot {
        /// The owner.
        member: MemberId,
        /// The slot.
        slot: Slot,
    },
    /// A roster member says of itself that it is not healthy.
    Unhealthy {
        /// The member.
        member: MemberId,
    },
    /// The asker promised an epoch that never began, and can't go back.
    NeverBegan {
        /// The promised epoch.
        promised: Epoch,
    },
    /// The asker has caught up and wants to take turns.
    WantsIn,
}
