//! Chaos can fail: databases that break one promise each are found out, within a stated time of faults. Needs the feature
//! `sabotage`, without which no process breaks a promise on demand:
//! `cargo test -p chaos --features sabotage --test it_can_fail`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;
use std::time::Duration;

use agora_chaos::faults::{CustomerNodes, Fault, Kind, Plan, Reach};
use serde_json::Value;

/// Runs, each with its own seed, before a breach counts as overlooked.
const TRIES: usize = 3;

/// Runs chaos on a sabotaged cluster for so many seconds, and gives the names of the checks that found something.
fn found(breach: &str, plan: &str, seconds: u64) -> Vec<String> {
    found_with(breach, plan, seconds, seed(), &[])
}

fn seed() -> u64 {
    let seed = std::env::var("AGORA_SEED").ok().and_then(|seed| seed.parse().ok());
    // One seed unless another is asked for.
    let seed = seed.unwrap_or(21);
    println!("AGORA_SEED={seed}");
    seed
}

/// The checks that find the breach. On a machine that is busy otherwise too little may happen in the time: then another seed has its
/// turn, up to three.
fn found_with(breach: &str, plan: &str, seconds: u64, seed: u64, more: &[&str]) -> Vec<String> {
    let mut tries = (seed..).take(TRIES).map(|seed| run(breach, plan, seconds, seed, more));
    let found = tries.find_map(|tried| tried.inspect_err(|text| println!("{text}")).ok());
    found.unwrap_or_else(|| panic!("{breach} was not found in {TRIES} runs"))
}

/// What found it, or what chaos said if nothing did.
fn run(breach: &str, plan: &str, seconds: u64, seed: u64, more: &[&str]) -> Result<Vec<String>, String> {
    let (code, text, report) = run_sabotaged(Some(breach), plan, seconds, seed, more);
    match code {
        Some(1) => {}
        Some(0) => return Err(format!("{breach} was not found with seed {seed}: {text}")),
        // With the promise broken, the clients may not even get so far that faults can begin.
        Some(2) => return Err(format!("{breach}, seed {seed}: chaos could not run: {text}")),
        other => panic!("{breach}, seed {seed}: chaos ended with {other:?}: {text}"),
    }
    let broken = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["violations"] != Value::from([0; 0]));
    Ok(broken.map(|check| check["name"].as_str().unwrap().to_owned()).collect())
}

/// Runs chaos on a cluster that breaks this promise, or none: its exit status, what it said, and its report.
fn run_sabotaged(
    breach: Option<&str>,
    plan: &str,
    seconds: u64,
    seed: u64,
    more: &[&str],
) -> (Option<i32>, String, Value) {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .env("AGORA_SABOTAGE", breach.unwrap_or_default())
        .args([
            "run",
            "--plan",
            plan,
            "--seconds",
            &seconds.to_string(),
            "--seed",
            &seed.to_string(),
            "--rivals",
            "6",
            "--ready-within",
            "15",
        ])
        .args(more)
        .arg("--data")
        .arg(directory.path().join("data"))
        .arg("--report")
        .arg(directory.path().join("report"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let text = text + &String::from_utf8_lossy(&output.stderr);
    let report = std::fs::read(directory.path().join("report/report.json")).unwrap_or_default();
    (output.status.code(), text, serde_json::from_slice(&report).unwrap_or_default())
}

fn has_one_of(found: &[String], expected: &[&str]) -> bool {
    expected.iter().any(|expected| found.iter().any(|found| found == expected))
}

#[test]
fn stale_reads_are_found_within_twenty_seconds() {
    let found = found("stale-reads", "leaders", 20);
    assert!(has_one_of(&found, &["prices", "units", "votes"]), "{found:?}");
}

#[test]
fn stale_reads_of_customer_nodes_are_found_within_twenty_seconds() {
    let found = found("stale-customer-reads", "sequencers", 20);
    assert!(has_one_of(&found, &["carts", "sessions"]), "{found:?}");
}

#[test]
fn answers_before_the_fsync_are_found_within_fifteen_seconds_of_power_cuts() {
    let (seconds, killed_together) =
        (15, |plan: &Plan| plan.steps.iter().filter(|step| is_power_cut(step.fault)).count());
    let length = Duration::from_secs(seconds);
    let draw = |seed| Plan::draw(Kind::Disks, seed, length, CustomerNodes::Killed, Reach::Everything);
    let seed = (seed()..).find(|seed| killed_together(&draw(*seed)) >= 3).unwrap();
    let found = found_with("no-fsync", "disks", seconds, seed, &[]);
    assert!(
        has_one_of(&found, &["prices", "units", "votes", "carts", "sessions", "items", "purchases"]),
        "{found:?}"
    );
}

#[test]
fn repeats_that_take_effect_again_are_found_within_twenty_seconds() {
    let found = found("no-dedup", "frontends", 20);
    assert!(has_one_of(&found, &["units", "carts", "books", "items", "purchases"]), "{found:?}");
}

#[test]
fn units_that_are_not_given_back_are_found_within_ten_seconds() {
    // A node that starts with such books notices itself, and ends: these are to be read by the checker.
    let found = found_with("no-release", "frontends", 10, seed(), &["--no-power-cut"]);
    assert!(has_one_of(&found, &["books"]), "{found:?}");
}

fn is_power_cut(fault: Fault) -> bool {
    matches!(fault, Fault::KillAll | Fault::KillEverything)
}

/// Who leads the next epoch with half of the last one can't be followed by those who know that the other half was committed: the
/// group stands still for good. A machine that is too slow would look the same: so with one of the seeds the breach must be found,
/// and all must be well without it.
#[test]
fn epochs_that_are_claimed_without_their_log_are_found_within_twenty_seconds_and_fifteen_to_recover() {
    let (plan, seconds) = ("sequencers", 20);
    let is_found_and_nothing_else = |seed: &u64| {
        let found = match run("half-epochs", plan, seconds, *seed, &[]) {
            Ok(found) => found,
            Err(text) => {
                println!("{text}");
                return false;
            }
        };
        assert!(
            has_one_of(&found, &["processes", "recovery", "carts", "sessions", "purchases"]),
            "{found:?}"
        );
        let (code, text, _) = run_sabotaged(None, plan, seconds, *seed, &[]);
        println!("without the breach, seed {seed} ends with {code:?}");
        if code != Some(0) {
            println!("{text}");
        }
        code == Some(0)
    };
    assert!((seed()..).take(TRIES).any(|seed| is_found_and_nothing_else(&seed)), "or found without it, too");
}
