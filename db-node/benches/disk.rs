//! How much disk a product node uses for its data in an hour of writes: everything in its directory, the log among it, as a
//! multiple of the records of its state. It ends with an error if that is ever more than three.
//!
//! `cargo bench -p agora-db-node --bench disk`; `AGORA_MINUTES` (60), `AGORA_RATE` (800 writes a second; what they answered is
//! remembered for a day and bounded, so ten times as many would be refused in the end), `AGORA_ITEMS` (a million) and
//! `AGORA_SEED` set what is done, `TMPDIR` the disk. All three members run in this process, over loopback and real disks.

// A benchmark that can't go on stops.
#![allow(clippy::expect_used, clippy::panic)]

mod group;
mod items;

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use agora_storage::StateStore;
use group::{MEMBERS, addresses, fill, leader, member, open, setting};
use items::{CATEGORIES, change, keyed, register};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Writes of so much time are begun at once.
const TICK: Duration = Duration::from_millis(100);
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(60);
const RATIO_MAX: f64 = 3.0;

#[tokio::main]
async fn main() -> ExitCode {
    let (items, seed) = (setting("AGORA_ITEMS", 1_000_000), setting("AGORA_SEED", 1));
    let (minutes, rate) = (setting("AGORA_MINUTES", 60), setting("AGORA_RATE", 800));
    let root = tempfile::tempdir().expect("a directory");
    let addresses = addresses().await;
    let mut group = Vec::new();
    let directories: Vec<_> = (0..MEMBERS).map(|me| open(root.path(), me, &addresses)).collect();
    let state = directories[0].state();
    for (me, directory) in directories.into_iter().enumerate() {
        group.push(member(directory, me, &addresses).await);
    }
    let writer = group[leader(&group).await].handle.clone();
    let (mut random, mut numbers) = (StdRng::seed_from_u64(seed), vec![0; CATEGORIES as usize]);
    fill(&writer, (0..items).map(|at| keyed(at, register(&mut random, &mut numbers)))).await;
    println!("{items} items, seed {seed}; {rate} changes of prices a second for {minutes} minutes");

    let (begun, mut next, mut looked, mut most) = (Instant::now(), items, 0, 0.0_f64);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while begun.elapsed() < Duration::from_secs(60 * minutes) {
        ticks.tick().await;
        let due = items + (begun.elapsed().as_secs_f64() * rate as f64) as u64;
        fill(&writer, (next..due).map(|at| keyed(at, change(&mut random, &numbers)))).await;
        next = next.max(due);
        if begun.elapsed() >= LOOK_EVERY * (looked + 1) {
            looked += 1;
            let ratio = look(root.path(), &state, looked, next - items).await;
            most = most.max(ratio);
        }
    }
    for member in group {
        member.kill().await;
    }
    println!("at most {most:.2} times the live data");
    if most <= RATIO_MAX { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints what each member has on its disk, and returns the most, as a multiple of the live data.
async fn look(root: &Path, state: &StateStore, minute: u32, writes: u64) -> f64 {
    let (root, state) = (root.to_owned(), state.clone());
    let looked = tokio::task::spawn_blocking(move || {
        let record = |record: Result<(Vec<u8>, Vec<u8>), _>| {
            let (key, value) = record.expect("a record");
            (key.len() + value.len()) as u64
        };
        let live: u64 = state.records().map(record).sum();
        let used: Vec<u64> = (0..MEMBERS).map(|me| used(&root.join(me.to_string()))).collect();
        (live, used)
    });
    let (live, used) = looked.await.expect("a look");
    let mib = |bytes: &u64| format!("{} MiB", bytes >> 20);
    let ratio = used.iter().copied().max().unwrap_or(0) as f64 / live.max(1) as f64;
    let disks: Vec<String> = used.iter().map(mib).collect();
    println!(
        "minute {minute}, {writes} writes: {} live, {} on disk, {ratio:.2} times",
        mib(&live),
        disks.join(", ")
    );
    ratio
}

/// What a directory and those in it take. Files come and go meanwhile.
fn used(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => used(&entry.path()),
        Ok(metadata) => 512 * metadata.blocks(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
