//! kill -9 in the middle of the installation or the compaction of a state, again and again: the state is the old one or the new
//! one, as a whole.
//!
//! A process of its own installs one state after the other over what is there, says after each that it is in, and compacts it.
//! `AGORA_KILLS=200 cargo test -p agora-storage --test install_crash -- --nocapture`
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use agora_storage::{Directory, Identity, StateStore};

/// Set in the process that installs: where to.
const INSTALLER: &str = "AGORA_INSTALL_TEST_DIRECTORY";
const KILLS: &str = "AGORA_KILLS";
const KILLS_IF_NOT_SET: u32 = 5;
/// Records of a state: enough for several batches.
const RECORDS: u64 = 4000;
const RECORD_BYTES: usize = 200;

fn open(path: &Path) -> Directory {
    let identity = Identity { cluster: "agora".into(), node: "product-1".into(), database: "product".into() };
    Directory::open(path, &identity).unwrap()
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().unwrap())
}

fn round_of(state: &StateStore) -> u64 {
    state.position().unwrap().map_or(0, |position| number(&position))
}

/// A record of a round's state; rounds have different numbers of records, so that none covers another one.
fn record(round: u64, at: u64) -> ([u8; 8], Vec<u8>) {
    (at.to_be_bytes(), round.to_be_bytes().repeat(RECORD_BYTES / 8))
}

fn count(round: u64) -> u64 {
    RECORDS + round % 7 * 100
}

/// What the installing process does until it is killed.
fn install_until_killed(path: &Path) -> ! {
    let directory = open(path);
    let state = directory.state();
    let first = round_of(&state) + 1;
    for round in first.. {
        let records = (0..count(round)).map(|at| record(round, at));
        state.install(records, &round.to_be_bytes()).unwrap();
        println!("installed {round}");
        // Written anew, so that there is something to be merged with what was installed.
        let again =
            (0..count(round)).step_by(3).map(|at| record(round, at)).map(|(key, value)| (key, Some(value)));
        state.commit(again, &round.to_be_bytes()).unwrap();
        state.compact(&mut || true).unwrap();
    }
    unreachable!()
}

#[test]
fn the_state_is_whole_after_each_kill_9_in_the_middle_of_an_installation() {
    if let Some(path) = std::env::var_os(INSTALLER) {
        install_until_killed(Path::new(&path));
    }
    let kills = std::env::var(KILLS).map_or(KILLS_IF_NOT_SET, |text| text.parse().unwrap());
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("node");
    let mut reached = 0;
    for kill in 0..kills {
        let installed = run_and_kill(&path, kill);
        let directory = open(&path);
        let state = directory.state();
        let round = round_of(&state);
        assert!(round >= installed, "kill {kill}: {installed} was in, but {round} is there");
        let mut found = 0;
        for (at, entry) in state.records().enumerate() {
            let (key, value) = entry.unwrap();
            let (expected_key, expected) = record(round, at as u64);
            assert!(key == expected_key && value == expected, "kill {kill}: record {at} is not of {round}");
            found += 1;
        }
        assert_eq!(found, count(round), "kill {kill}: the records of {round}");
        reached = round;
    }
    println!("{kills} kills, {reached} installations: the state was whole each time");
}

/// Lets a process install, kills it at some moment, and returns the last round that it said was in.
fn run_and_kill(path: &Path, kill: u32) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--nocapture", "--exact"])
        .arg("the_state_is_whole_after_each_kill_9_in_the_middle_of_an_installation")
        .env(INSTALLER, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let installed = |line: String| line.split_once("installed ")?.1.parse().ok();
    let mut last = said.by_ref().find_map(installed).unwrap();
    // Another moment each time, so that all steps of an installation are met.
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_micros(u64::from(kill * 7919 % 60) * 997));
        child.kill().unwrap();
        child.wait().unwrap();
    });
    for line in said {
        last = installed(line).unwrap_or(last);
    }
    killer.join().unwrap();
    last
}
