//! Measures a cluster: how much it does, how fast, and what a failure costs.
//!
//! - `latency`: distributions of response times.
//! - `draw`: how charts look.
//! - `site`: the cluster that is measured, its own or one that runs already.
//! - `load`: one kind of call, as many as will go.
//! - `overload`: more calls than can be done.
//! - `scenarios`: every call of sellers and buyers, while processes die.
//! - `failover`: how long nothing succeeds when the member that matters dies.
//! - `soak`: memory and disk at full load while a node is down.

pub(crate) mod draw;
pub(crate) mod failover;
pub(crate) mod latency;
pub(crate) mod load;
pub(crate) mod overload;
pub(crate) mod scenarios;
pub(crate) mod site;
pub(crate) mod soak;
