//! Commands that start processes, told to stop once, twice, early and late: they leave nothing behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod common;
#[path = "common/tool.rs"]
mod tool;

use std::path::Path;
use std::process::Command;

use common::{PROGRAM, small_cluster, write};
use nix::sys::signal::Signal;
use tool::{Tool, told_to_hurry};

const INTERRUPTED: Option<i32> = Some(130);

fn tool(args: &[&str]) -> Tool {
    let mut command = Command::new(PROGRAM);
    command.args(args);
    Tool::start(command)
}

/// An `up` of a small cluster that is ready.
fn up(directory: &Path) -> Tool {
    let config = write(&small_cluster(&directory.join("data")), directory);
    let mut tool = tool(&["up", "--json", "--config", config.to_str().unwrap()]);
    tool.wait_until_it_says("\"ready\":true");
    assert_eq!(tool.processes().len(), 5);
    tool
}

#[test]
fn two_signals_at_once_are_one_wish_to_a_demonstration_when_it_plays_and_when_it_starts() {
    for (stage, signals) in [
        ("it starts", [Signal::SIGTERM, Signal::SIGINT]),
        ("it plays", [Signal::SIGINT, Signal::SIGTERM]),
        // A terminal that is closed tells its processes, and so does its shell.
        ("it plays", [Signal::SIGHUP, Signal::SIGTERM]),
    ] {
        let mut tool = tool(&["demo"]);
        match stage {
            "it starts" => tool.wait_until("starting", |tool| !tool.processes().is_empty()),
            _ => tool.wait_until_it_says("processes are ready"),
        }
        assert_eq!(tool.files().len(), 1, "it keeps its data somewhere");
        assert_eq!(tool.told_twice_at_once(signals), INTERRUPTED, "{stage}: {}", tool.output());
    }
}

#[test]
fn a_demonstration_that_is_told_again_kills_its_processes_and_clears_up() {
    let (code, said) = told_to_hurry(|| {
        let mut tool = tool(&["demo"]);
        tool.wait_until_it_says("processes are ready");
        assert_eq!(tool.files().len(), 1, "it keeps its data somewhere");
        tool
    });
    assert_eq!(code, INTERRUPTED, "{said}");
}

#[test]
fn a_cluster_ends_in_good_order_however_many_signals_say_so_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut tool = up(directory.path());
    assert_eq!(tool.told_twice_at_once([Signal::SIGINT, Signal::SIGTERM]), Some(0), "{}", tool.output());
    assert!(!tool.output().contains("had to be killed"), "{}", tool.output());
}

#[test]
fn a_cluster_that_is_told_again_is_killed_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let (code, said) = told_to_hurry(|| up(directory.path()));
    assert_eq!(code, INTERRUPTED, "{said}");
    assert!(said.contains("had to be killed: "), "{said}");
}

#[test]
fn a_benchmark_that_is_told_again_clears_up() {
    let (code, said) = told_to_hurry(|| {
        let mut tool = tool(&["bench", "soak", "--time", "60s", "--clients", "1", "--every", "200ms"]);
        tool.wait_until_it_says(" writes ");
        assert_eq!(tool.files().len(), 1, "it keeps its data somewhere");
        tool
    });
    assert_eq!(code, INTERRUPTED, "{said}");
}

#[test]
fn hangups_end_a_cluster_but_not_under_nohup() {
    // What this process ignores, because it runs under nohup itself, its children would; what it catches, they don't inherit.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let _caught = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).unwrap();
    for (ignored, caught) in [("", true), ("trap '' HUP;", false)] {
        let directory = tempfile::tempdir().unwrap();
        let config = write(&small_cluster(&directory.path().join("data")), directory.path());
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{ignored} exec \"$0\" \"$@\""), PROGRAM]);
        command.args(["up", "--json", "--config"]).arg(config);
        let mut tool = Tool::start(command);
        tool.wait_until_it_says("\"ready\":true");
        assert_eq!((tool.catches(Signal::SIGHUP), tool.catches(Signal::SIGTERM)), (caught, true));
        let signals =
            if caught { [Signal::SIGHUP, Signal::SIGHUP] } else { [Signal::SIGHUP, Signal::SIGTERM] };
        assert_eq!(tool.told_twice_at_once(signals), Some(0), "{}", tool.output());
    }
}
