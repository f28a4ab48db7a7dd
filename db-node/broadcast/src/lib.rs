//! Rotating-sequencer atomic broadcast as a pure state machine.
//!
//! It contains no sockets, no disk, no clock, no randomness and no async code: whoever drives it hands in what happened
//! ([`Input`]) and what time it is ([`Now`]), and does what comes out ([`Output`]). So the production shell, the
//! simulator and the model check drive the very same step function.

mod ids;
mod port;

pub use ids::{Epoch, Incarnation, MemberId, RequestId, RosterEntry, Slot};
pub use port::{
    Base, Delivery, Durable, Entry, Input, Now, Output, PersistId, ProposalId, ReadId, Refused, Request, Sequence, Write,
};
