//! Rotating-sequencer atomic broadcast as a pure state machine.
//!
//! It contains no sockets, no disk, no clock, no source of randomness and no async code: whoever drives it hands in what
//! happened ([`Input`]) and what time it is ([`Now`]), and does what comes out ([`Output`]). So the production shell, the
//! simulator and the model check drive the very same step function.

mod acks;
mod config;
mod disk;
mod epoch_change;
mod founding;
mod gaps;
mod history;
mod holds;
mod ids;
mod invariants;
mod log;
mod member;
mod members;
mod message;
mod own;
mod peers;
mod pending;
mod port;
mod random;
mod reads;
mod rules;
mod sequenced;
mod sequencing;
mod state_hash;
mod status;

pub use config::{Bounds, Config, NoSuchMember, Timing};
pub use history::{Fork, History, NotAHistory};
pub use ids::{DiskId, Epoch, Incarnation, MemberId, RequestId, RosterEntry, Slot};
pub use member::Member;
pub use members::{ListChange, MemberList, Seat};
pub use message::{Body, Envelope, Health, Message, Opinion, Reason};
pub use port::{
    Base, BrokenLog, Delivery, Durable, Entry, Input, Now, Output, PersistId, ProposalId, ReadId, Refused,
    Request, Sequence, Write,
};
pub use rules::Rule;
pub use status::{CatchUp, Counters, Means, Outside, Standing, Status};
