//! What clients did and what they were told, operation by operation: all that the checkers know of a run, besides the final
//! readings.

mod action;
mod answer;
mod event;
mod kept;
mod recorder;
mod text;

pub use action::{Action, Offer, Units};
pub use answer::{Answer, CartSeen, ItemSeen, PurchaseSeen};
pub use event::{Event, Outcome};
pub use kept::{KeptError, read};
pub use recorder::{EVENTS_MAX, Recorder};
