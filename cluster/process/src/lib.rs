//! What every process of a cluster does alike: read the cluster file, log, stop when told. And ports for a whole cluster.
//!
//! It knows neither the databases nor the marketplace.

mod cluster_file;
mod free_ports;
mod lifeline;
mod logging;
mod runtime;
mod shutdown;

pub use cluster_file::{
    Admission, ClusterFile, ClusterFileError, DATABASE_NODES_MAX, Endpoint, Financial, Links, Log, Role,
    Seats, standard_cluster,
};
pub use free_ports::FreePorts;
pub use lifeline::{LIFELINE_VARIABLE, watch_lifeline};
pub use logging::init_logging;
pub use runtime::runtime;
pub use shutdown::{Shutdown, shutdown_signal};
