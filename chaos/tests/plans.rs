//! Each plan in short, with all of its faults, on a cluster that keeps its promises. The plans that only a build with the feature
//! `sabotage` has are here too; frontends and replica-kill, which need none, are in `run.rs`.
//! `cargo test -p chaos --features sabotage --test plans`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::time::Duration;

use agora_chaos::faults::{CustomerNodes, Fault, Kind, Plan, Reach, Target};
use serde_json::Value;

/// What begins within this time was done at once.
const AT_ONCE_NS: u64 = 100_000_000;

/// The seed to begin with: one unless another is asked for, since what is new is for longer runs to find.
fn seed() -> u64 {
    let seed = std::env::var("AGORA_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(21);
    println!("AGORA_SEED={seed}");
    seed
}

/// Runs the plan for so many seconds: long enough for its beginning, which has each of its faults once.
fn holds(plan: &str, seconds: u64, faults: &[&str], more: &[&str]) {
    holds_with(plan, seconds, seed(), faults, more);
}

/// The same with the first seed from which the plan begins with each of these faults on these targets.
fn holds_hitting(kind: Kind, plan: &str, seconds: u64, faults: &[&str], hits: &[(&[Fault], Target)]) {
    let length = Duration::from_secs(seconds);
    let begins_with_all = |seed: &u64| {
        let drawn = Plan::draw(kind, *seed, length, CustomerNodes::Spared, Reach::Everything);
        let opening: Vec<_> = drawn.steps.into_iter().filter(|step| step.patient).collect();
        hits.iter().all(|(faults, target)| {
            opening.iter().any(|step| faults.contains(&step.fault) && step.target == *target)
        })
    };
    let seed = (seed()..).take(1_000_000).find(begins_with_all).unwrap();
    let report = holds_with(plan, seconds, seed, faults, &[]);
    let begun: BTreeSet<&str> = told(&report, "began").map(|entry| text(&entry["part"])).collect();
    for (_, target) in hits {
        assert!(begun.contains(target.to_string().as_str()), "{target} was not hit: {begun:?}");
    }
}

fn holds_with(plan: &str, seconds: u64, seed: u64, faults: &[&str], more: &[&str]) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let seed = seed.to_string();
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
    let report = directory.path().join("report.json");
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    really_happened(&report, faults, &text);
    enough_stayed(&report);
    report
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// The entries of the timeline of this kind.
fn told<'a>(report: &'a Value, what: &'a str) -> impl DoubleEndedIterator<Item = &'a Value> {
    report["timeline"].as_array().unwrap().iter().filter(move |entry| entry["what"] == what)
}

/// Never three of five nodes of a database were out at a time, nor the last frontend of a kind, but for what hits a whole group; and
/// what hits a minority hit two.
fn enough_stayed(report: &Value) {
    let whole = |part: &str| part.starts_with("all ") || part == "everything";
    let bars: Vec<(&str, &str, u64, u64)> = report["bars"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|bar| !whole(text(&bar["part"])))
        .map(|bar| {
            let ns = |field: &str| bar[field].as_u64().unwrap();
            (text(&bar["process"]), text(&bar["part"]), ns("from_ns"), ns("ready_ns"))
        })
        .collect();
    for (process, part, from, _) in &bars {
        let kind = process.split('-').next().unwrap();
        let out: BTreeSet<&str> = bars
            .iter()
            .filter(|(other, _, begun, ready)| other.starts_with(kind) && begun <= from && from < ready)
            .map(|(other, ..)| *other)
            .collect();
        let most = BTreeMap::from([("customer", 2), ("product", 2), ("buyer", 3), ("seller", 3)]);
        assert!(out.len() <= most.get(kind).copied().unwrap_or(1), "out at {from} ns: {out:?}");
        if part.starts_with("a minority") {
            let together = bars
                .iter()
                .filter(|(_, other, begun, _)| other == part && begun.abs_diff(*from) < AT_ONCE_NS);
            assert_eq!(together.count(), 2, "{part} at {from} ns");
        }
    }
}

/// Whether these faults began, those and the power cut at the end only, and whether all that they hit was ready again.
fn really_happened(report: &Value, faults: &[&str], output: &str) {
    let hits = |what: &'static str| {
        let mut hits: Vec<(&str, &str)> =
            told(report, what).map(|entry| (text(&entry["fault"]), text(&entry["process"]))).collect();
        hits.sort_unstable();
        hits
    };
    let began: BTreeSet<&str> = hits("began").into_iter().map(|(fault, _)| fault).collect();
    let expected: BTreeSet<&str> = faults.iter().copied().chain(["kill-everything"]).collect();
    assert_eq!(began, expected, "{output}");
    assert_eq!(hits("began"), hits("ready"), "{output}");
    let power_cut = told(report, "began").rev().take_while(|entry| entry["fault"] == "kill-everything");
    assert!(power_cut.count() >= 19, "everything was killed at the end: {output}");
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
    let minority: &[Fault] = &[Fault::Isolate, Fault::Disconnect];
    holds_hitting(Kind::Partitions, "partitions", 15, &faults, &[(minority, Target::CustomerMinority)]);
}

#[test]
fn disks_may_be_slow_or_full_or_gone() {
    let faults =
        ["wipe", "kill", "kill-all", "roll", "kill-everything", "slow-disk", "stuck-disk", "full-disk"];
    let hits = [(&[Fault::KillAll][..], Target::ProductGroup)];
    holds_hitting(Kind::Disks, "disks", 25, &faults, &hits);
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
    let hits: [(&[Fault], Target); 3] = [
        (&[Fault::Kill, Fault::Terminate, Fault::Pause], Target::Financial),
        (&[Fault::Kill, Fault::Pause, Fault::Isolate], Target::ProductMinority),
        (&[Fault::KillAll], Target::CustomerGroup),
    ];
    let faults = [&processes[..], &links, &machines].concat();
    holds_hitting(Kind::Everything, "everything", 45, &faults, &hits);
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
