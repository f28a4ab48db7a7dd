//! A whole run of the program: a cluster, clients, faults, checks; and what it writes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "each test program uses a part of it")]
#[path = "../../cluster/tests/common/tool.rs"]
mod tool;

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use agora_cluster::{Cluster, Ports, StartOptions};
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tool::{Tool, told_to_hurry};

fn chaos(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chaos")).args(args).output().unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn promises_hold_while_frontends_and_product_nodes_are_killed() {
    let directory = tempfile::tempdir().unwrap();
    let (history, reports) = (directory.path().join("history.jsonl"), directory.path().join("reports"));
    let seed = seed();
    let output = chaos(&[
        "run",
        "--plan",
        "replica-kill",
        "--seconds",
        "6",
        "--seed",
        &seed,
        "--history",
        history.to_str().unwrap(),
        "--report",
        reports.to_str().unwrap(),
        "--data",
        directory.path().join("data").to_str().unwrap(),
    ]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("Every promise was kept") && text.contains(&format!("Seed {seed}")), "{text}");

    let report = json(&reports.join("report.json"));
    assert_eq!(report["ending"], "held");
    let happened = |what: &str| {
        report["timeline"].as_array().unwrap().iter().filter(|entry| entry["what"] == what).count()
    };
    assert!(happened("began") > 0 && happened("began") == happened("ready"), "{report:#}");
    let checks = report["checks"].as_array().unwrap();
    assert!(
        checks.len() == 11 && checks.iter().all(|check| check["examined"].as_u64().unwrap() > 0),
        "{checks:#?}"
    );

    let page = std::fs::read_to_string(reports.join("report.html")).unwrap();
    assert!(
        page.contains("Every promise was kept") && page.contains("<svg") && page.contains("product term")
    );
    assert!(
        !page.contains("http://") || page.matches("http://").count() == page.matches("www.w3.org").count()
    );

    let lines = std::fs::read_to_string(&history).unwrap();
    let mut operations = 0;
    for line in lines.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let outcome = event["outcome"].as_str().unwrap();
        assert!(["ok", "fail", "info"].contains(&outcome), "{line}");
        assert_eq!(event["end_ns"].is_null(), outcome == "info", "{line}");
        assert!(
            event["end_ns"].is_null() || event["end_ns"].as_u64() >= event["start_ns"].as_u64(),
            "{line}"
        );
        assert!(event["client"].is_u64() && event["op"].is_string() && event["key"].is_string(), "{line}");
        operations += 1;
    }
    assert!(operations > 100 && operations >= report["availability"]["operations"].as_u64().unwrap());

    let program = &report["program"];
    let armed = program["armed"].as_bool().unwrap();
    let again = report["again"].as_str().unwrap();
    assert!(again.starts_with("cargo run") && again.contains(" -p chaos") && text.contains(again), "{again}");
    assert_eq!(again.contains("--features sabotage"), armed);
    assert_eq!(report["customer_nodes"], "spared");
    a_kept_history_is_judged_again(&history);
}

/// As it is, with a price that nobody set, without its end, and not at all.
fn a_kept_history_is_judged_again(history: &Path) {
    let judge = |histories: &[&Path]| {
        let output = Command::new(env!("CARGO_BIN_EXE_chaos")).arg("check").args(histories).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = judge(&[history]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Every promise was kept, as far as the history alone shows it"), "{said}");

    let whole = std::fs::read_to_string(history).unwrap();
    let spoiled = history.with_extension("spoiled");
    let is_read = |line: &&str| line.contains("\"get_item\"") && line.contains("\"outcome\":\"ok\"");
    let line = whole.lines().find(is_read).unwrap();
    let mut event: Value = serde_json::from_str(line).unwrap();
    event["result"]["price"] = "99999.99".into();
    std::fs::write(&spoiled, whole.replace(line, &event.to_string())).unwrap();
    let (code, said) = judge(&[history, &spoiled]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("A promise was broken") && said.contains("99999.99"), "{said}");

    let cut = history.with_extension("cut");
    std::fs::write(&cut, &whole[..whole.len() - 20]).unwrap();
    assert_eq!(judge(&[history, &cut]).0, Some(2));
    assert_eq!(judge(&[&spoiled, &cut]).0, Some(1));
    std::fs::write(&cut, "").unwrap();
    assert_eq!(judge(&[&cut]).0, Some(2), "there is nothing to check");
    assert_eq!(judge(&[]).0, Some(2));
}

#[test]
fn a_hundred_clients_see_no_error_while_frontends_die_one_after_the_other() {
    let directory = tempfile::tempdir().unwrap();
    let report = directory.path().join("report.json");
    let seed = seed();
    let run = ["run", "--plan", "frontends", "--clients", "100", "--seconds", "6", "--seed", &seed];
    let output = chaos(&[&run[..], &["--json", report.to_str().unwrap()]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let report = json(&report);
    let figures = &report["availability"];
    assert_eq!((&figures["failed"], &figures["unknown"]), (&0.into(), &0.into()), "{text}");
    assert_eq!(report["call_errors"].as_object().unwrap().len(), 0, "{text}");
    assert!(figures["ok"].as_u64().unwrap() > 100 && text.contains("killed"), "{text}");
}

/// The short runs here have few faults. This one's kill somebody; others are drawn by `AGORA_SEED`.
fn seed() -> String {
    let seed = std::env::var("AGORA_SEED").unwrap_or_else(|_| "21".to_owned());
    println!("AGORA_SEED={seed}");
    seed
}

/// Twice, because the second run finds what the first one has left.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_runs_is_broken_and_runs_on() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut options = StartOptions::standard(&data, Ports::Free).unwrap();
    options.program = Some(env!("CARGO_BIN_EXE_chaos").into());
    let cluster = Cluster::start(options).await.unwrap();
    agora_cluster::serve_control(cluster.clone(), CancellationToken::new()).unwrap();

    let seed = seed();
    let run = |plan: &'static str, seconds: &'static str| {
        let (data, seed) = (data.clone(), seed.clone());
        tokio::task::spawn_blocking(move || {
            let cluster = ["--cluster", data.to_str().unwrap(), "--seed", &seed];
            chaos(&[&["run", "--plan", plan, "--seconds", seconds][..], &cluster].concat())
        })
    };
    for _ in 0..2 {
        let output = run("replica-kill", "6").await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("Every promise was kept") && text.contains("is killed"), "{text}");
    }
    assert_eq!(run("partitions", "1").await.unwrap().status.code(), Some(2), "its links are out of reach");
    cluster.wait_ready(Duration::from_secs(30)).await.unwrap();
    cluster.stop().await;
    assert_eq!(run("replica-kill", "1").await.unwrap().status.code(), Some(2), "it runs no more");
}

#[test]
fn a_run_that_is_told_to_stop_once_or_again_leaves_nothing_behind() {
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chaos"));
        command.args(["run", "--plan", "replica-kill", "--seconds", "60", "--seed", &seed()]);
        let mut tool = Tool::start(command);
        tool.wait_until_it_says(" is killed");
        assert_eq!(tool.files().len(), 1, "it keeps its data somewhere");
        tool
    };
    let mut tool = run();
    assert_eq!(tool.told_twice_at_once([Signal::SIGINT, Signal::SIGTERM]), Some(2), "{}", tool.output());
    // What there is by then is told.
    assert!(tool.output().contains("Interrupted: not everything could be checked"), "{}", tool.output());
    let (code, said) = told_to_hurry(run);
    assert_eq!(code, Some(2), "{said}");
}

/// It says so, and no fault is inflicted on clients that do nothing any more.
#[test]
fn a_run_ends_when_there_are_operations_enough() {
    let directory = tempfile::tempdir().unwrap();
    let report = directory.path().join("report.json");
    let seed = seed();
    let run = ["run", "--plan", "replica-kill", "--seconds", "600", "--operations", "400", "--seed", &seed];
    let output = chaos(&[&run[..], &["--json", report.to_str().unwrap()]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("there were 400 operations, which is enough"), "{text}");
    let report = json(&report);
    assert!(report["cut_short"].as_str().unwrap().contains("there were 400 operations"), "{report:#}");
    assert!(report["seconds"].as_f64().unwrap() < 60.0, "{text}");
    // Whether a fault had come by then is chance.
    let (ending, code) = (report["ending"].as_str().unwrap(), output.status.code());
    assert!([("held", Some(0)), ("vacuous", Some(2))].contains(&(ending, code)), "{text}");
}

/// A disk that is full spoils the history and the reports, and not the verdict.
#[test]
fn a_run_of_which_nothing_can_be_kept_is_judged_nevertheless() {
    let seed = seed();
    let run = ["run", "--plan", "frontends", "--seconds", "4", "--seed", &seed];
    let output = chaos(&[&run[..], &["--history", "/dev/full", "--json", "/dev/full"]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("the history could not be written")
            && text.contains("no acknowledged item, unit or price is lost"),
        "{text}"
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("can't write /dev/full"));
}

#[test]
fn what_can_not_be_run_is_told_with_status_2() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("precious"), "data").unwrap();
    let output = chaos(&["run", "--seconds", "1", "--data", directory.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not empty"));
    let nothing = directory.path().join("nothing");
    assert_eq!(
        chaos(&["run", "--seconds", "1", "--cluster", nothing.to_str().unwrap()]).status.code(),
        Some(2)
    );
    assert_eq!(chaos(&["run", "--seconds", "0"]).status.code(), Some(2));
    assert_eq!(chaos(&["run", "--plan", "nonsense"]).status.code(), Some(2));
    // Before anything is started: what is found must have a place to go.
    let unwritable = nothing.join("report.json");
    let output = chaos(&["run", "--seconds", "1", "--json", unwritable.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty() && String::from_utf8_lossy(&output.stderr).contains("can't create"));
}
