//! Which cluster to start, and how.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agora_process::{ClusterFile, FreePorts, Shutdown};

use crate::error::ClusterError;
use crate::plan::{self, Ports};

/// How long a cluster may take to get ready, unless told otherwise.
pub const READY_WITHIN: Duration = Duration::from_secs(30);

/// Which cluster to start, and how.
#[derive(Clone, Debug)]
pub struct StartOptions {
    /// Its processes, addresses, data directory and tuning.
    pub file: ClusterFile,
    /// What some of the processes, by their names, read instead of the file: the same cluster at other addresses, such as those
    /// of proxies in between.
    pub views: BTreeMap<String, ClusterFile>,
    /// The program that the processes are started from: one that begins with [`dispatch`](crate::dispatch).
    /// `None`: the program that runs now.
    pub program: Option<PathBuf>,
    /// The claim to the file's ports, if they are free ones.
    pub ports: Option<Arc<FreePorts>>,
    /// How long it may take to get ready.
    pub ready_within: Duration,
    /// What the caller is told meanwhile: to stop, and then the start ends and what was started is stopped; to hurry, and then
    /// [`Cluster::stop`](crate::Cluster::stop) kills instead of waiting.
    pub shutdown: Shutdown,
}

impl StartOptions {
    /// The standard cluster on this machine.
    ///
    /// # Errors
    /// There is no room for its ports.
    pub fn standard(data: impl Into<PathBuf>, ports: Ports) -> Result<Self, ClusterError> {
        match ports {
            Ports::Base(base) => Ok(Self::from_file(plan::standard(base, data.into())?)),
            Ports::Free => {
                let (file, claim) = plan::standard_on_free_ports(data.into())?;
                Ok(StartOptions { ports: Some(Arc::new(claim)), ..Self::from_file(file) })
            }
        }
    }

    /// The cluster of a cluster file: those of its processes whose addresses belong to this machine.
    pub fn from_file(file: ClusterFile) -> Self {
        StartOptions {
            file,
            views: BTreeMap::new(),
            program: None,
            ports: None,
            ready_within: READY_WITHIN,
            shutdown: Shutdown::default(),
        }
    }
}
