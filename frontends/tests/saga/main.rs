//! The purchase saga, on real processes: killed at each of its steps, and with a financial service that does all that it
//! should not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// The cluster and the client are those of the REST tests, which use more of them.
#[allow(dead_code)]
#[path = "../rest/api.rs"]
mod api;
#[allow(dead_code)]
#[path = "../rest/cluster.rs"]
mod cluster;

mod books;
mod crash_matrix;
mod other_card;
mod payments;
mod points;
mod two_runs;
