//! What every replicated state machine of Agora is.
//!
//! A state machine is a pure function of its commands: `apply(state, command, time) → (state, response)`. It knows no disk,
//! no network, no clock and no other node; whoever replicates it (see the group crate), and whoever tests it, uses this
//! one trait. Its state lives in [`Table`]s, which remember what changed since it was last asked, so that a batch of
//! commands becomes one atomic write to the state store, and which can be cloned in constant time, so that a
//! snapshot stalls nobody.

mod answers;
mod record;
mod state_machine;
mod table;

pub use answers::{ANSWER_OVERHEAD_BYTES, ANSWERS_BYTES_MAX, Answers, AnswersLoader, Remembered};
pub use record::{Change, CorruptRecord, Record, TableId, decode, encode};
pub use state_machine::{Malformed, StateMachine, Timestamp};
pub use table::Table;
