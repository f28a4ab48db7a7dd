//! How other programs steer a running launcher: JSON lines over a Unix socket in its data directory.
//!
//! Everything goes through the launcher, because it is the parent of all processes: it alone can start one again, and
//! knows for sure which of them live. The socket lies in a directory that only its owner may enter.

mod client;
mod running;
mod server;

use std::path::{Path, PathBuf};

use agora_process::Role;
use serde::{Deserialize, Serialize};

use crate::cluster::run_directory;
use crate::status::ClusterStatus;

pub use client::{ControlError, call};
pub use running::RunningCluster;
pub use server::serve;

/// A wish, one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub enum Request {
    /// Tell what is known of each process.
    Status {
        /// Also the checksums of the databases' states.
        #[serde(default)]
        checksums: bool,
    },
    /// End a process at once.
    Kill {
        /// Its name, or an alias.
        name: String,
    },
    /// Tell a process to stop, and wait until it has.
    Terminate {
        /// Its name, or an alias.
        name: String,
    },
    /// Make a process stand still.
    Pause {
        /// Its name, or an alias.
        name: String,
    },
    /// Let a process go on.
    Resume {
        /// Its name.
        name: String,
    },
    /// Start a process again, and do not wait until it is ready.
    Start {
        /// Its name.
        name: String,
    },
    /// Start a process again and wait until it is ready.
    Restart {
        /// Its name, or an alias.
        name: String,
    },
    /// Start a database node with an empty data directory, and wait until its group has taken it in.
    #[serde(rename = "replace-node")]
    ReplaceNode {
        /// Its name, or an alias.
        name: String,
    },
    /// Add a node to a database, and wait until it has caught up and votes.
    #[serde(rename = "add-node")]
    AddNode {
        /// Which database.
        database: Role,
        /// What it is to be called, if that matters.
        #[serde(default)]
        name: Option<String>,
    },
    /// Remove a database node: its group lets it go, it is stopped, and what it had is set aside.
    #[serde(rename = "remove-node")]
    RemoveNode {
        /// Its name, or an alias.
        name: String,
    },
    /// Stop the whole cluster, and the launcher.
    Stop,
}

/// The answer, one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Response {
    /// To a status request.
    Status(ClusterStatus),
    /// Done, to the process of this name.
    Done(String),
    /// Not done, and why.
    Error(String),
}

/// The socket of the launcher of a data directory.
fn socket_path(data: &Path) -> PathBuf {
    run_directory(data).join("control.sock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_plain_json() {
        let line = r#"{"do":"kill","name":"product-leader"}"#;
        let request: Request = serde_json::from_str(line).unwrap();
        assert_eq!(request, Request::Kill { name: "product-leader".into() });
        assert_eq!(serde_json::to_string(&request).unwrap(), line);
        let status: Request = serde_json::from_str(r#"{"do":"status"}"#).unwrap();
        assert_eq!(status, Request::Status { checksums: false });
        assert!(serde_json::from_str::<Request>(r#"{"do":"dance"}"#).is_err());
    }
}
