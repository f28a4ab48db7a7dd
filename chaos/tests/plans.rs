//! Each plan in short, with all of its faults, on a cluster that keeps its promises. The plans that only a build with the feature
//! `sabotage` has are here too; frontends and replica-kill, which need none, are in `run.rs`.
//! `cargo test -p chaos --features sabotage --test plans`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// Runs the plan for so many seconds: long enough for its beginning, which has each of its faults once.
fn holds(plan: &str, seconds: u32, faults: &[&str], more: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    // One seed unless another is asked for: what is new is for longer runs to find.
    let seed = std::env::var("AGORA_SEED").unwrap_or_else(|_| "21".to_owned());
    println!("AGORA_SEED={seed}");
    let output = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(["run", "--plan", plan, "--seconds", &seconds.to_string(), "--seed", &seed])
        .args(more)
        .arg("--data")
        .arg(directory.path().join("data"))
        .arg("--json")
        .arg(directory.path().join("report.json"))
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
    really_happened(&directory.path().join("report.json"), faults, &text);
}

/// Whether these faults began, those and the power cut at the end only, and whether all that they hit was ready again.
fn really_happened(report: &Path, faults: &[&str], text: &str) {
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let timeline = report["timeline"].as_array().unwrap();
    let told = |what: &str| -> Vec<(&str, &str)> {
        let entries = timeline.iter().filter(|entry| entry["what"] == what);
        let mut told: Vec<(&str, &str)> = entries
            .map(|entry| (entry["fault"].as_str().unwrap(), entry["process"].as_str().unwrap()))
            .collect();
        told.sort_unstable();
        told
    };
    let began: BTreeSet<&str> = told("began").into_iter().map(|(fault, _)| fault).collect();
    let expected: BTreeSet<&str> = faults.iter().copied().chain(["kill-everything"]).collect();
    assert_eq!(began, expected, "{text}");
    assert_eq!(told("began"), told("ready"), "{text}");
    let power_cut: Vec<&Value> = timeline
        .iter()
        .rev()
        .filter(|entry| entry["what"] == "began")
        .take_while(|entry| entry["fault"] == "kill-everything")
        .collect();
    assert!(power_cut.len() >= 19, "everything was killed at the end: {text}");
}

#[test]
fn leaders_may_die() {
    holds("leaders", 12, &["kill", "terminate", "pause"], &["--customer-nodes"]);
}

#[test]
fn sequencers_may_die() {
    holds("sequencers", 12, &["kill", "terminate", "pause"], &[]);
}

#[test]
fn links_may_break() {
    let faults = ["isolate", "disconnect", "deafen", "mute", "slow", "cut-link", "cut-one-way", "bad-links"];
    holds("partitions", 15, &faults, &[]);
}

#[test]
fn disks_may_be_slow_or_full_or_gone() {
    let faults =
        ["wipe", "kill", "kill-all", "roll", "kill-everything", "slow-disk", "stuck-disk", "full-disk"];
    holds("disks", 25, &faults, &[]);
}

#[test]
fn clocks_may_be_wrong() {
    holds("clocks", 10, &["clock-ahead", "clock-behind"], &[]);
}

#[test]
fn everything_may_happen() {
    let processes = ["kill", "terminate", "pause", "wipe", "kill-all", "kill-everything", "roll"];
    let links = ["isolate", "disconnect", "deafen", "mute", "slow", "cut-link", "cut-one-way", "bad-links"];
    let machines = ["clock-ahead", "clock-behind", "slow-disk", "stuck-disk", "full-disk"];
    holds("everything", 45, &[&processes[..], &links, &machines].concat(), &[]);
}

/// A machine that can't be sabotaged says nothing of the marketplace: no promise was broken, but the plan was not carried out.
#[test]
fn what_chaos_itself_can_not_do_is_no_broken_promise() {
    let directory = tempfile::tempdir().unwrap();
    let (data, report) = (directory.path().join("data"), directory.path().join("report.json"));
    let mut chaos = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(["run", "--plan", "clocks", "--seconds", "4", "--seed", "21"])
        .arg("--data")
        .arg(&data)
        .arg("--json")
        .arg(&report)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // Its cluster is starting; where orders to the processes' machines belong there is something else.
    while !data.join("logs").exists() && chaos.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::fs::write(data.join("sabotage"), "no directory").unwrap();
    assert_eq!(chaos.wait().unwrap().code(), Some(2));
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_eq!(report["ending"], "failed");
    assert!(
        report["failure"].as_str().unwrap().contains("can't sabotage the machine"),
        "{}",
        report["failure"]
    );
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.iter().all(|check| check["violations"].as_array().unwrap().is_empty()), "{checks:#?}");
}
