//! The demonstration, as a newcomer runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod common;

use std::process::{Command, Stdio};

use common::{PROGRAM, text};

#[test]
fn the_demonstration_tells_its_story_keeps_every_promise_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["demo", "--ready-within", "2m"]).env("TMPDIR", temporary.path()).stdin(Stdio::null());
    let output = command.output().unwrap();
    let story = text(&output.stdout);
    assert!(output.status.success(), "{story}\n{}", text(&output.stderr));
    for told in [
        "19 processes are ready",
        "kill -9 buyer-1",
        "kill -9 seller-1",
        "kill -9 product-leader",
        "kill -9 customer-sequencer",
        "kill -9 of all of them: 10 nodes",
        "both pay at the same time, and one gets it",
        "the bank charged every purchase, once, and nothing else",
        "all replicas of the customer database hold the same",
        "all replicas of the product database hold the same",
        "every promise kept",
    ] {
        assert!(story.contains(told), "{told:?} is missing:\n{story}");
    }
    assert!(!story.contains('✗'), "{story}");
    let left: Vec<_> = std::fs::read_dir(temporary.path()).unwrap().collect();
    assert!(left.is_empty(), "files are left: {left:?}");
    assert_eq!(processes_with(temporary.path().to_str().unwrap()), [] as [String; 0]);
}

/// The command lines of all processes that mention this.
fn processes_with(mention: &str) -> Vec<String> {
    let command_line = |entry: std::io::Result<std::fs::DirEntry>| {
        let line = std::fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    };
    let lines = std::fs::read_dir("/proc").into_iter().flatten().filter_map(command_line);
    lines.filter(|line| line.contains(mention)).collect()
}
