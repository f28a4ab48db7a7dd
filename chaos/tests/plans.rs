//! Each plan in short, with all of its faults, on a cluster that keeps its promises. The plans that only a build with the feature
//! `sabotage` has are here too; frontends and replica-kill, which need none, are in `run.rs`.
//! `cargo test -p chaos --features sabotage --test plans`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;

fn holds(plan: &str, more: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    // One seed unless another is asked for: what is new is for longer runs to find.
    let seed = std::env::var("AGORA_SEED").unwrap_or_else(|_| "21".to_owned());
    println!("AGORA_SEED={seed}");
    let output = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(["run", "--plan", plan, "--seconds", "12", "--seed", &seed])
        .args(more)
        .arg("--data")
        .arg(directory.path().join("data"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let log = String::from_utf8_lossy(&output.stderr);
    if output.status.code() != Some(0) {
        // Whoever looks for the reason needs the logs of the processes.
        println!("kept: {}", directory.keep().display());
        panic!("{plan} with seed {seed} ended with {}: {text}{log}", output.status);
    }
    assert!(text.contains("Every promise was kept"), "{text}");
}

#[test]
fn leaders_may_die() {
    holds("leaders", &["--customer-nodes"]);
}

#[test]
fn sequencers_may_die() {
    holds("sequencers", &[]);
}

#[test]
fn links_may_break() {
    holds("partitions", &[]);
}

#[test]
fn disks_may_be_slow_or_full_or_gone() {
    holds("disks", &[]);
}

#[test]
fn clocks_may_be_wrong() {
    holds("clocks", &[]);
}

#[test]
fn everything_may_happen() {
    holds("everything", &[]);
}
