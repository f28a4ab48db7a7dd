//! Breaks a cluster on purpose and checks what it promised.
//!
//! A run: start a cluster; let real buyers and sellers work on it through the client library; kill and restart its processes by
//! a plan drawn from a seed; stop that, wait until all is well; read what there is; check it against the history.
//!
//! Invariants:
//! - Checkers ([`check`]) read the history and the final readings, and nothing else. They know no cluster and no clock.
//! - The workload does not know of the faults, nor the faults of the workload.
//! - At no time is more taken down than the marketplace promises to survive.

pub mod check;
mod cli;
pub mod faults;
pub mod history;
pub mod readings;
pub mod report;
mod run;
mod say;
pub mod subject;
pub mod workload;

pub use cli::run;
