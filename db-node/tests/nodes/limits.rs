//! Disks that are too small.

use std::path::Path;
use std::process::{Command, Stdio};

use agora_process::Role;

use super::Nodes;

/// Starts a node that has no room for much more than it has: the limit on the size of a file stands for a full disk. It needs no
/// rights, and a write beyond it fails as one there does.
pub fn without_room(nodes: &Nodes, role: Role, name: &str) -> Command {
    // Just above what the largest of its files has.
    let kib = largest_file(&nodes.file.data_of(name)) / 1024 + 64;
    let mut limited = Command::new("bash");
    let program = env!("CARGO_BIN_EXE_db-node");
    limited.args(["-c", &format!("trap '' XFSZ; ulimit -f {kib}; exec {program} \"$@\""), "bash"]);
    limited.args(nodes.arguments(role, name)).stdin(Stdio::null()).env("AGORA_LOG", "error");
    limited
}

fn largest_file(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { largest_file(&path) } else { path.metadata().unwrap().len() })
        .max()
        .unwrap_or(0)
}
