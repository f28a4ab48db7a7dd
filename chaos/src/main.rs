//! The program `chaos`. Started under another name, it is the process of a cluster that goes by that name.

use std::process::ExitCode;

fn main() -> ExitCode {
    agora_cluster::dispatch().unwrap_or_else(agora_chaos::run)
}
