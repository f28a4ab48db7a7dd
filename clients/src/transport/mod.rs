//! Calls over several frontends: attempts, repeats, and when to give up. Knows HTTP, and nothing of the marketplace.
//!
//! Invariants:
//! - All attempts of a call carry the same idempotency key and the same token.
//! - A call ends at its deadline, whatever servers do.
//! - A call of which any attempt may have taken effect never ends as "certainly not done".
//! - Repeats are paid from a budget, so that many clients in trouble do not make a storm.

mod attempt;
mod backoff;
mod budget;
mod call;
mod frontends;
mod request;

pub(crate) use call::Transport;
pub(crate) use request::{Answer, Pace, Request};
