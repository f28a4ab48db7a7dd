//! The `cluster` program; and, called by another name, any process of a cluster.

use std::process::ExitCode;

fn main() -> ExitCode {
    agora_cluster::dispatch().unwrap_or_else(agora_cluster::run)
}
