//! How long writes stand still while a snapshot of a million items is built at the leader and at a follower, and while
//! one is installed at a follower that has lost its disk.
//!
//! `cargo bench -p agora-db-node --bench snapshot`; `AGORA_ITEMS` and `AGORA_SEED` set the number of items and the
//! randomness, `TMPDIR` the disk. All three members run in this process, over loopback and real disks. One client changes
//! prices, one after the other; the longest that it waits is printed, and beside it the longest at other times.

// A benchmark that can't go on stops.
#![allow(clippy::expect_used, clippy::panic)]

mod items;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use agora_group::raft::{RaftOptions, Running, start};
use agora_group::{GroupHandle, Protocol};
use agora_product::ProductDb;
use agora_storage::{Directory, Identity};
use bytes::Bytes;
use items::{CATEGORIES, change, keyed, register};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::transport::server::TcpIncoming;

const MEMBERS: usize = 3;
/// Items that are listed at the same time while the market is filled.
const AT_ONCE: usize = 1024;
/// For how long writes are watched while nothing else happens.
const QUIET: Duration = Duration::from_secs(5);

struct Member {
    handle: GroupHandle,
    running: Running,
    server: tokio::task::JoinHandle<()>,
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::main]
async fn main() {
    let (items, seed) = (setting("AGORA_ITEMS", 1_000_000), setting("AGORA_SEED", 1));
    let root = tempfile::tempdir().expect("a directory");
    let addresses = addresses().await;
    let mut group = Vec::new();
    for me in 0..MEMBERS {
        group.push(member(root.path(), me, &addresses).await);
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
    let Member { handle, running, server } = group.remove(lost);
    running.abandon().await;
    drop(handle);
    server.abort();
    // Its end is of no interest, only that it has let go.
    let _ = server.await;
    std::fs::remove_dir_all(root.path().join(lost.to_string())).expect("a lost disk");
    report("a follower dies", begun);
    let begun = Instant::now();
    group.insert(lost, member(root.path(), lost, &addresses).await);
    while !votes(&group[lost].handle) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    report("it is brought up by a snapshot", begun);
    writes.abort();
}

async fn addresses() -> Vec<(String, SocketAddr)> {
    let mut listeners = Vec::new();
    for at in 0..MEMBERS {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listeners.push((format!("m{at}"), listener));
    }
    let address = |(name, listener): (String, TcpListener)| (name, listener.local_addr().expect("its port"));
    listeners.into_iter().map(address).collect()
}

async fn member(root: &Path, me: usize, members: &[(String, SocketAddr)]) -> Member {
    let listener = TcpListener::bind(members[me].1).await.expect("its port");
    let identity =
        Identity { cluster: "bench".into(), node: members[me].0.clone(), database: "product".into() };
    let directory = Directory::open(root.join(me.to_string()), &identity).expect("a directory");
    let options = RaftOptions { cluster: "bench".into(), me, members: members.to_vec(), directory };
    let (handle, service, running) = start::<ProductDb>(options).await.expect("a member");
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = tokio::spawn(async move {
        let served = tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming);
        served.await.expect("a server");
    });
    Member { handle, running, server }
}

/// The leader, once there is one.
async fn leader(group: &[Member]) -> usize {
    loop {
        if let Some(Protocol::Raft { leader: Some(leader), .. }) = group[0].handle.status().protocol {
            return leader;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn votes(handle: &GroupHandle) -> bool {
    let status = handle.status();
    status.not_ready_because.is_none()
        && matches!(status.protocol, Some(Protocol::Raft { role: "leader" | "follower", .. }))
}

async fn fill(handle: &GroupHandle, commands: impl Iterator<Item = Bytes>) {
    let mut under_way = JoinSet::new();
    for command in commands {
        if under_way.len() >= AT_ONCE {
            under_way.join_next().await;
        }
        let handle = handle.clone();
        under_way.spawn(async move { handle.execute(command).await.expect("a write") });
    }
    while let Some(done) = under_way.join_next().await {
        done.expect("a write");
    }
}
