//! What becomes of a cluster from which more is asked than it can do: calls that come at a fixed rate, answered or not, at rates
//! below and above the capacity.
//!
//! Nobody repeats a call here, because it is the servers that are looked at: what they refuse, how soon, and how much they
//! still do.
//!
//! The callers share the machine with the cluster. What they take of it, and how long they wait for it, is told with the rest, so
//! that it can be judged; the promise is judged as if they took nothing.
//!
//! - `requests`, `wire`: what is sent, and how.
//! - `callers`: who sends it.
//! - `step`: calls at one rate.
//! - `curve`: all steps, and what they say of the promise; `chart`: the same as a picture.

mod callers;
mod chart;
mod curve;
mod requests;
mod step;
mod wire;

pub(crate) use callers::Callers;
pub(crate) use curve::Curve;
pub(crate) use requests::Requests;
pub(crate) use step::{Step, capacity, step};
