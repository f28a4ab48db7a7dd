//! Tells the program which commit it is built from, for its reports. Without git, or outside of a clone, it does not know.

use std::path::Path;
use std::process::Command;

/// All that is compiled into the program.
const SOURCES: [&str; 6] = ["chaos", "clients", "cluster", "db-node", "frontends", "proto"];

fn main() {
    for folder in SOURCES {
        println!("cargo:rerun-if-changed=../{folder}");
    }
    // A line is added to it with every commit.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo:rerun-if-changed={log}");
    }
    if let Some(commit) = git(&["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]) {
        println!("cargo:rustc-env=AGORA_COMMIT={commit}");
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
