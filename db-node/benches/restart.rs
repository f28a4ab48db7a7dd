//! How long a product node takes to read its store, with a million items by default: after it was killed at the end of a
//! busy time, and then again and again.
//!
//! `cargo bench -p agora-db-node --bench restart`; `AGORA_ITEMS` and `AGORA_SEED` set the number of items and the
//! randomness, `TMPDIR` the disk. Each life of the node is a process of its own, which ends as by kill -9.

// A benchmark that can't go on stops.
#![allow(clippy::expect_used, clippy::panic)]

mod items;

use std::path::Path;
use std::process::{Command, exit};
use std::time::Instant;

use agora_group::Replica;
use agora_machine::Timestamp;
use agora_product::ProductDb;
use agora_proto::product::command;
use agora_storage::{Directory, Identity};
use items::{CATEGORIES, change, keyed, register};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Commands of one log entry, about as many as under load.
const BATCH: u64 = 256;
const RESTARTS: usize = 3;
/// Says what a process of this program is to do, and where.
const DIRECTORY: &str = "AGORA_RESTART_DIRECTORY";
const LIFE: &str = "AGORA_RESTART_LIFE";

fn main() {
    if let (Some(directory), Ok(life)) = (std::env::var_os(DIRECTORY), std::env::var(LIFE)) {
        live(directory.as_ref(), life == "fill");
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("node");
    run(&path, "fill");
    (0..RESTARTS).for_each(|_| run(&path, "open"));
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn run(directory: &Path, life: &str) {
    let program = std::env::current_exe().expect("this program");
    let ended = Command::new(program).env(DIRECTORY, directory).env(LIFE, life).status().expect("a process");
    assert!(ended.code() == Some(KILLED), "{life}: {ended}");
}

const KILLED: i32 = 7;

/// One life of the node. It does not close its store: as far as that knows, the process is killed.
fn live(path: &Path, fills: bool) -> ! {
    let identity = Identity { cluster: "bench".into(), node: "product-1".into(), database: "product".into() };
    let begun = Instant::now();
    let directory = Directory::open(path, &identity).expect("a directory");
    let opened = begun.elapsed();
    let replica: Replica<ProductDb> = Replica::open(directory.state()).expect("a replica");
    if fills {
        fill(&replica);
    } else {
        println!("restart: {:.2?}, of which to open the databases {opened:.2?}", begun.elapsed());
    }
    let disk = directory.disk_bytes().expect("its size") >> 20;
    println!("{disk} MiB on disk");
    exit(KILLED)
}

fn fill(replica: &Replica<ProductDb>) {
    let (items, seed) = (setting("AGORA_ITEMS", 1_000_000), setting("AGORA_SEED", 1));
    println!("{items} items and as many changes of them, seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let begun = Instant::now();
    let mut numbers = vec![0; CATEGORIES as usize];
    let mut applied = 0;
    let mut apply = |replica: &Replica<ProductDb>, commands: Vec<command::Body>| {
        let batch = commands.into_iter().map(|body| {
            applied += 1;
            (Timestamp(applied), keyed(applied, body))
        });
        let batch: Vec<_> = batch.collect();
        replica.apply(&batch, applied.to_be_bytes().to_vec()).expect("the store");
    };
    for _ in 0..items / BATCH {
        let commands = (0..BATCH).map(|_| register(&mut random, &mut numbers)).collect();
        apply(replica, commands);
    }
    for _ in 0..items / BATCH {
        let commands = (0..BATCH).map(|_| change(&mut random, &numbers)).collect();
        apply(replica, commands);
    }
    replica.sync().expect("the store");
    println!("filled in {:.1?}", begun.elapsed());
}
