//! What becomes of a cluster from which more is asked than it can do: calls that come at a fixed rate, answered or not, at rates
//! below and above the capacity.
//!
//! Nobody repeats a call here, because it is the servers that are looked at: what they refuse, how soon, and how much they
//! still do.
//!
//! - `requests`, `wire`: what is sent, and how.
//! - `step`: calls at one rate.
//! - `curve`: all steps, and what they say of the promise; `chart`: the same as a picture.

mod chart;
mod curve;
mod requests;
mod step;
mod wire;

pub(crate) use curve::{Curve, Verdict};
pub(crate) use requests::Requests;
pub(crate) use step::{Frontends, Step, capacity, step};
