//! How quick the product database's state machine is, with a million items by default: searches of every kind, commands,
//! loading, and the clone that a snapshot is made of.
//!
//! `cargo bench -p agora-product --bench search`; `AGORA_ITEMS` and `AGORA_SEED` set the number of items and the randomness.

// A benchmark that can't go on stops.
#![allow(clippy::expect_used, clippy::panic)]

mod fill;
mod queries;
mod watch;

use std::time::{Duration, Instant};

use agora_machine::{Record, StateMachine, Timestamp};
use agora_product::ProductDb;
use hdrhistogram::Histogram;
use rand::SeedableRng;
use rand::rngs::StdRng;
use watch::{Elapsed, Watch};

/// Commands that are applied before the changes are taken, as a group does.
const BATCH: usize = 256;
/// Commands that are made before they are applied.
const MADE: u64 = 25_600;
/// A kind of search is measured so often, or for so long.
const SEARCHES: u64 = 10_000;
const LONGEST: Duration = Duration::from_secs(2);

fn main() {
    let items = setting("AGORA_ITEMS", 1_000_000);
    let seed = setting("AGORA_SEED", 1);
    println!("{items} items, seed {seed}\n");
    let random = &mut StdRng::seed_from_u64(seed);
    let market = fill::Market::new(random);
    let mut db = ProductDb::default();

    let before = resident_bytes();
    applied("register items", &mut db, 1..items + 1, |at, _| market.register(at, random));
    let memory = (resident_bytes() - before) / items as f64;
    println!("{:<44} {memory:>10.0} bytes of memory an item, its remembered answer included", "");
    applied("change prices and stock", &mut db, items + 1..items + 200_001, |at, db| {
        market.change(at, db, random)
    });

    let watch = Watch::of_thread();
    let clone = db.clone();
    watch.elapsed().report("clone for a snapshot", 1);
    let keys = items + 200_001..items + 300_001;
    applied("change prices and stock beside the clone", &mut db, keys, |at, db| {
        market.change(at, db, random)
    });
    drop(clone);

    load(&db);
    search(&db, &market, random);
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn applied(
    what: &str,
    db: &mut ProductDb,
    keys: std::ops::Range<u64>,
    mut command: impl FnMut(u64, &ProductDb) -> Vec<u8>,
) {
    let (mut all, mut longest) = (Elapsed::default(), Elapsed::default());
    for start in keys.clone().step_by(MADE as usize) {
        let made = start..keys.end.min(start + MADE);
        let commands: Vec<Vec<u8>> = made.map(|key| command(key, db)).collect();
        for batch in commands.chunks(BATCH) {
            let watch = Watch::of_thread();
            for command in batch {
                std::hint::black_box(db.apply(Timestamp(1), command));
            }
            std::hint::black_box(db.take_changes());
            let elapsed = watch.elapsed();
            all.add(elapsed);
            if elapsed.processor > longest.processor {
                longest = elapsed;
            }
        }
    }
    all.report(what, keys.count());
    longest.report(&format!("  the longest batch of {BATCH}"), BATCH);
}

fn load(db: &ProductDb) {
    let watch = Watch::of_thread();
    let records: Vec<Record> = db.records().collect();
    watch.elapsed().report("encode all records", records.len());
    // What is left when the answers are forgotten: the items alone.
    let items: Vec<Record> = records.iter().filter(|record| record.key[0] != 7).cloned().collect();
    for (what, records) in [("load all records", records), ("load all records but remembered answers", items)]
    {
        let (count, watch) = (records.len(), Watch::of_process());
        let loaded = ProductDb::load(records.into_iter()).expect("its own records");
        watch.elapsed().report(what, count);
        drop(loaded);
    }
}

fn search(db: &ProductDb, market: &fill::Market, random: &mut StdRng) {
    println!("\n{:<44} {:^23} {:^31}", "search, one page, µs", "on the wall", "processor");
    let quantiles = format!("{:>7} {:>7} {:>7}", "p50", "p99", "max");
    println!("{:<44} {quantiles} {quantiles} {:>7} {:>6}", "", "mean", "items");
    for kind in queries::KINDS {
        let (wall, processor, items) = searched(db, market, kind, random);
        let row = |latency: &Histogram<u64>| {
            let quantile = |at| latency.value_at_quantile(at) as f64 / 1000.0;
            format!("{:>7.1} {:>7.1} {:>7.1}", quantile(0.5), quantile(0.99), quantile(1.0))
        };
        let mean = processor.mean() / 1000.0;
        println!("{:<44} {} {} {mean:>7.1} {items:>6.1}", kind.name, row(&wall), row(&processor));
    }
}

/// Time on the wall and of the processor, and items a page.
fn searched(
    db: &ProductDb,
    market: &fill::Market,
    kind: &queries::Kind,
    random: &mut StdRng,
) -> (Histogram<u64>, Histogram<u64>, f64) {
    let histogram = || Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).expect("a minute in ns");
    let (mut wall, mut processor, mut items) = (histogram(), histogram(), 0);
    let deadline = Instant::now() + LONGEST;
    while wall.len() < SEARCHES && Instant::now() < deadline {
        let mut search = (kind.make)(market, random);
        for _ in 0..kind.pages {
            let query = fill::query(&search);
            let watch = Watch::of_thread();
            let answer = db.query(Timestamp(0), &query).expect("a search");
            let elapsed = watch.elapsed();
            wall.saturating_record(elapsed.wall.as_nanos() as u64);
            processor.saturating_record(elapsed.processor.as_nanos() as u64);
            let page = fill::page(&answer);
            items += page.items.len();
            match page.next_search {
                Some(next) => search.after = Some(next),
                None => break,
            }
        }
    }
    let items = items as f64 / wall.len() as f64;
    (wall, processor, items)
}

/// Memory of this process, in bytes; 0 where the system doesn't tell.
fn resident_bytes() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let resident = pages.and_then(|text| text.split(' ').nth(1)?.parse::<f64>().ok());
    resident.map_or(0.0, |pages| pages * 4096.0)
}
