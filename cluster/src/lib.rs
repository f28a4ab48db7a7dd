//! Launches, watches, steers and measures a whole Agora cluster.
//!
//! [`Cluster`] is a running cluster: all of its processes that belong on this machine. They are started from the program
//! that runs now, which is why that program's `main` begins with [`dispatch`]. The commands of the `cluster` program build on it, and so
//! can any other program that needs a cluster to measure or to break.
//!
//! What it never knows: what the databases hold, and how they agree. It speaks to them as any client does.

mod bench;
mod cli;
mod cluster;
mod control;
mod demo;
mod dispatch;
mod endpoints;
mod error;
mod logs;
mod names;
mod options;
mod plan;
mod prober;
mod process;
mod status;
mod verify;

pub use cli::run;
pub use cluster::{Cluster, GRACE};
pub use control::{ControlError, RunningCluster, serve as serve_control};
pub use dispatch::dispatch;
pub use endpoints::Endpoints;
pub use error::{ClusterError, Taken};
pub use names::Alias;
pub use options::{READY_WITHIN, StartOptions};
pub use plan::{Ports, STANDARD_BASE, standard};
pub use prober::Checksums;
pub use process::{Exit, Life, Wanted};
pub use status::{ClusterStatus, Condition, ProcessStatus};
pub use verify::{Verdict, compare};
