//! How long writes stand still while a snapshot of a million items is built at the leader and at a follower, and while
//! one is installed at a follower that has lost its disk.
//!
//! `cargo bench -p agora-db-node --bench snapshot`; `AGORA_ITEMS` and `AGORA_SEED` set the number of items and the
//! randomness, `TMPDIR` the disk. All three members run in this process, over loopback and real disks. One client changes
//! prices, one after the other; the longest that it waits is printed, and beside it the longest at other times.

// A benchmark that can't go on stops.
#![allow(clippy::expect_used, clippy::panic)]

mod group;
mod items;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use agora_group::{GroupHandle, Protocol};
use group::{MEMBERS, addresses, fill, leader, member, open, setting};
use items::{CATEGORIES, change, keyed, register};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// For how long writes are watched while nothing else happens.
const QUIET: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() {
    let (items, seed) = (setting("AGORA_ITEMS", 1_000_000), setting("AGORA_SEED", 1));
    let root = tempfile::tempdir().expect("a directory");
    let addresses = addresses().await;
    let mut group = Vec::new();
    for me in 0..MEMBERS {
        group.push(member(open(root.path(), me, &addresses), me, &addresses).await);
    }
    let leader = leader(&group).await;
    let lost = (leader + 1) % MEMBERS;
    let writer = group[leader].handle.clone();
    let (mut random, mut numbers) = (StdRng::seed_from_u64(seed), vec![0; CATEGORIES as usize]);
    let begun = Instant::now();
    fill(&writer, (0..items).map(|at| keyed(at, register(&mut random, &mut numbers)))).await;
    println!("{items} items, seed {seed}, in {:.1?}", begun.elapsed());

    let longest = Arc::new(AtomicU64::new(0));
    let watched = Arc::clone(&longest);
    let writes = tokio::spawn(async move {
        for at in items.. {
            let begun = Instant::now();
            writer.execute(keyed(at, change(&mut random, &numbers))).await.expect("a write");
            let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            watched.fetch_max(took, Ordering::Relaxed);
        }
    });
    let report = |what: &str, begun: Instant| {
        let longest = Duration::from_micros(longest.swap(0, Ordering::Relaxed));
        println!("{what}: writes waited {longest:.1?} at the longest, in {:.1?}", begun.elapsed());
    };
    let begun = Instant::now();
    tokio::time::sleep(QUIET).await;
    report("nothing else", begun);
    for at in [leader, lost, (leader + 2) % MEMBERS] {
        let begun = Instant::now();
        group[at].running.compact().await.expect("a snapshot");
        report(if at == leader { "a snapshot at the leader" } else { "a snapshot at a follower" }, begun);
    }
    let begun = Instant::now();
    group.remove(lost).kill().await;
    std::fs::remove_dir_all(root.path().join(lost.to_string())).expect("a lost disk");
    report("a follower dies", begun);
    let begun = Instant::now();
    group.insert(lost, member(open(root.path(), lost, &addresses), lost, &addresses).await);
    while !votes(&group[lost].handle) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    report("it is brought up by a snapshot", begun);
    writes.abort();
}

fn votes(handle: &GroupHandle) -> bool {
    let status = handle.status();
    status.not_ready_because.is_none()
        && matches!(status.protocol, Some(Protocol::Raft { role: "leader" | "follower", .. }))
}
