//! How quick the product database's state machine is, with a million items by default: searches of every kind, commands,
//! loading, and the clone that a snapshot is made of.
//!
//! `cargo bench -p agora-product`; `AGORA_ITEMS` and `AGORA_SEED` set the number of items and the randomness.

// A benchmark that can't go on stops.
#![allow(clippy::expect_used, clippy::panic)]

mod fill;
mod queries;

use std::time::{Duration, Instant};

use agora_machine::{Record, StateMachine, Timestamp};
use agora_product::ProductDb;
use hdrhistogram::Histogram;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Commands that are applied before the changes are taken, as a group does.
const BATCH: usize = 256;

fn main() {
    let items = setting("AGORA_ITEMS", 1_000_000);
    let seed = setting("AGORA_SEED", 1);
    println!("{items} items, seed {seed}\n");
    let mut random = StdRng::seed_from_u64(seed);
    let market = fill::Market::new(&mut random);

    let before = resident_bytes();
    let mut db = ProductDb::default();
    let commands: Vec<Vec<u8>> = (1..=items).map(|at| market.register(at, &mut random)).collect();
    applied("register items", &mut db, &commands);
    drop(commands);
    println!(
        "{:<44} {:>10.0} bytes an item, its answer included",
        "memory",
        (resident_bytes() - before) / items as f64
    );

    let commands: Vec<Vec<u8>> =
        (1..=200_000).map(|at| market.change(items + at, &db, &mut random)).collect();
    applied("change prices and stock", &mut db, &commands);

    snapshot(&mut db, &market, items + 200_000, &mut random);
    load(&db);

    println!(
        "\n{:<44} {:>8} {:>8} {:>8} {:>8} {:>6}",
        "search, one page, µs", "p50", "p99", "max", "mean", "items"
    );
    for kind in queries::KINDS {
        let histogram = searched(&db, &market, kind, &mut random);
        let (latency, shown) = histogram;
        println!(
            "{:<44} {:>8.1} {:>8.1} {:>8.1} {:>8.1} {:>6.1}",
            kind.name,
            micros(latency.value_at_quantile(0.5)),
            micros(latency.value_at_quantile(0.99)),
            micros(latency.max()),
            latency.mean() / 1000.0,
            shown
        );
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1000.0
}

fn report(what: &str, count: usize, took: Duration) {
    let each = took.as_secs_f64() * 1e6 / count as f64;
    println!("{what:<44} {:>10.0} /s {each:>10.2} µs each {:>10.3} s", 1e6 / each, took.as_secs_f64());
}

fn applied(what: &str, db: &mut ProductDb, commands: &[Vec<u8>]) {
    let (mut longest, start) = (Duration::ZERO, Instant::now());
    for batch in commands.chunks(BATCH) {
        let start = Instant::now();
        for command in batch {
            std::hint::black_box(db.apply(Timestamp(1), command));
        }
        std::hint::black_box(db.take_changes());
        longest = longest.max(start.elapsed());
    }
    report(what, commands.len(), start.elapsed());
    println!("{:<44} {longest:>10.2?}", format!("  longest batch of {BATCH}"));
}

fn snapshot(db: &mut ProductDb, market: &fill::Market, next: u64, random: &mut StdRng) {
    let start = Instant::now();
    let clone = db.clone();
    println!("{:<44} {:>10.2?}", "clone for a snapshot", start.elapsed());
    let commands: Vec<Vec<u8>> = (1..=100_000).map(|at| market.change(next + at, db, random)).collect();
    applied("change prices and stock beside the clone", db, &commands);
    let start = Instant::now();
    drop(clone);
    println!("{:<44} {:>10.2?}", "drop the clone", start.elapsed());
}

fn load(db: &ProductDb) {
    let start = Instant::now();
    let records: Vec<Record> = db.records().collect();
    report("all records", records.len(), start.elapsed());
    let start = Instant::now();
    let count = records.len();
    let loaded = ProductDb::load(records.clone().into_iter()).expect("its own records");
    report("load all records", count, start.elapsed());
    drop(loaded);
    // What is left when the answers are forgotten: the items alone.
    let items: Vec<Record> = records.into_iter().filter(|record| record.key[0] != 1).collect();
    let (count, start) = (items.len(), Instant::now());
    let loaded = ProductDb::load(items.into_iter()).expect("its own records");
    report("load all records but remembered answers", count, start.elapsed());
    drop(loaded);
}

fn searched(
    db: &ProductDb,
    market: &fill::Market,
    kind: &queries::Kind,
    random: &mut StdRng,
) -> (Histogram<u64>, f64) {
    let mut latency = Histogram::<u64>::new(3).expect("three digits");
    let mut shown = 0;
    let deadline = Instant::now() + Duration::from_secs(2);
    while latency.len() < 20_000 && Instant::now() < deadline {
        let mut search = (kind.make)(market, random);
        // Every page of a walk counts; what leads to a page does not count twice.
        for _ in 0..kind.pages {
            let query = fill::query(&search);
            let start = Instant::now();
            let answer = db.query(&query).expect("a search");
            latency.record(start.elapsed().as_nanos() as u64).expect("below the histogram's bound");
            let page = fill::page(&answer);
            shown += page.items.len();
            match page.next_search {
                Some(next) => search.after = Some(next),
                None => break,
            }
        }
    }
    let mean = shown as f64 / latency.len() as f64;
    (latency, mean)
}

/// Memory of this process, in bytes; 0 where the system doesn't tell.
fn resident_bytes() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let resident = pages.and_then(|text| text.split(' ').nth(1)?.parse::<f64>().ok());
    resident.map_or(0.0, |pages| pages * 4096.0)
}
