//! kill -9 in the middle of writing, again and again: what was acknowledged is there each time, and nothing is torn.
//!
//! A process of its own writes to the log of a data directory, and says after each sync how far it has come. `AGORA_KILLS`
//! says how often it is killed: `AGORA_KILLS=200 cargo test -p agora-storage --test crash -- --nocapture`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use agora_storage::{Directory, Identity, LogBatch};

/// Set in the process that writes: where to.
const WRITER: &str = "AGORA_CRASH_TEST_DIRECTORY";
const KILLS: &str = "AGORA_KILLS";
const KILLS_IF_NOT_SET: u32 = 5;
/// Entries that the log keeps, about; what is older is purged.
const KEEP: u64 = 500;

fn open(path: &Path) -> Directory {
    let identity = Identity { cluster: "agora".into(), node: "product-1".into(), database: "product".into() };
    Directory::open(path, &identity).unwrap()
}

/// An entry that tells whether it is torn, some of them of several pieces. A position has another entry each time that it
/// is written anew, so that `round` is part of it.
fn entry(position: u64, round: u64) -> Vec<u8> {
    let length = 16 + (position * 7919 % 20_000) as usize;
    let mut bytes: Vec<u8> = [position, round].iter().flat_map(|number| number.to_be_bytes()).collect();
    bytes.resize(length, (position ^ round) as u8);
    bytes
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().unwrap())
}

/// What the writing process does until it is killed.
fn write_until_killed(path: &Path) -> ! {
    let directory = open(path);
    let log = directory.log();
    let round = log.meta("round").map_or(0, |bytes| number(&bytes)) + 1;
    let mut next = log.last().or(log.purged()).unwrap_or(0) + 1;
    // As after a change of leaders: some of the last entries are replaced by others.
    let first_new = next.saturating_sub(3).max(log.first().unwrap_or(next)).max(2);
    let meta = vec![("round", Some(round.to_be_bytes().to_vec()))];
    log.write(LogBatch { meta, truncate_after: Some(first_new - 1), ..LogBatch::default() }).unwrap();
    log.sync().unwrap();
    next = next.min(first_new.max(log.last().or(log.purged()).unwrap_or(0) + 1));
    for turn in 0_u64.. {
        let count = 1 + turn % 7;
        let append = (next..next + count).map(|position| (position, entry(position, round))).collect();
        let purge_upto = (turn % 16 == 0 && next > KEEP).then(|| next - KEEP);
        log.write(LogBatch { append, purge_upto, ..LogBatch::default() }).unwrap();
        log.sync().unwrap();
        next += count;
        println!("durable {} {round}", next - 1);
    }
    unreachable!()
}

#[test]
fn the_log_is_intact_after_each_kill_9() {
    if let Some(path) = std::env::var_os(WRITER) {
        write_until_killed(Path::new(&path));
    }
    let kills = std::env::var(KILLS).map_or(KILLS_IF_NOT_SET, |text| text.parse().unwrap());
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("node");
    let mut reached = 0;
    for kill in 0..kills {
        let (last, round) = run_and_kill(&path, kill);
        let directory = open(&path);
        let log = directory.log();
        let (first, found) = (log.first().unwrap(), log.last().unwrap());
        assert!(found >= last, "kill {kill}: {last} was durable, but the log ends at {found}");
        let entries = log.read(.., usize::MAX).unwrap();
        assert_eq!(entries.len() as u64, found - first + 1, "kill {kill}: no gap");
        let mut newest = 0;
        for (position, bytes) in entries {
            let of_round = number(&bytes[8..16]);
            assert_eq!(bytes, entry(position, of_round), "kill {kill}: position {position}");
            assert!(
                of_round >= newest,
                "kill {kill}: position {position} came back from before a truncation"
            );
            newest = of_round;
        }
        assert_eq!(newest, round, "kill {kill}: the last round's entries");
        reached = found;
    }
    println!("{kills} kills, {reached} positions written: the log was intact each time");
}

/// Lets a process write, kills it at some moment, and returns the last position that it said was durable, and its round.
fn run_and_kill(path: &Path, kill: u32) -> (u64, u64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--nocapture", "--exact", "the_log_is_intact_after_each_kill_9"])
        .env(WRITER, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let durable = |line: String| {
        let (position, round) = line.split_once("durable ")?.1.split_once(' ')?;
        Some((position.parse().ok()?, round.parse().ok()?))
    };
    let mut last = said.by_ref().find_map(durable).unwrap();
    // Another moment each time, so that all phases of a write are met.
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_micros(u64::from(kill * 7919 % 40) * 997));
        child.kill().unwrap();
        child.wait().unwrap();
    });
    for line in said {
        last = durable(line).unwrap_or(last);
    }
    killer.join().unwrap();
    last
}
