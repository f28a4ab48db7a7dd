//! The seeded simulator: whole groups under all kinds of faults, in virtual time. Every invariant is checked at every step;
//! once the faults stop, everything that was proposed and not lost with its proposer must be delivered everywhere.
//!
//! `AGORA_SEED=n` replays one schedule and prints its last events; `AGORA_SEEDS=n` runs that many fresh ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "other tests use more of it")]
mod world;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};

use agora_broadcast::Rule;
use world::schedule::run;
use world::trace::Detail;

const DEFAULT_SEEDS: u64 = 300;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// For experiments: AGORA_BREAK names a rule that nobody keeps.
fn rule_to_break() -> Option<Rule> {
    let name = std::env::var("AGORA_BREAK").ok()?;
    Some(*Rule::ALL.iter().find(|rule| format!("{rule:?}") == name).expect("AGORA_BREAK names a rule"))
}

fn replay(seed: u64) {
    let detail = if std::env::var("AGORA_TRACE").is_ok() { Detail::Everything } else { Detail::Nothing };
    run(seed, detail, rule_to_break());
}

#[test]
fn any_schedule_of_faults_keeps_every_promise() {
    if let Some(seed) = number("AGORA_SEED") {
        return replay(seed);
    }
    let seeds = number("AGORA_SEEDS").unwrap_or(DEFAULT_SEEDS);
    let first: u64 = rand::random::<u64>() >> 16;
    println!("seeds {first} to {}", first + seeds - 1);
    let (next, slots, epochs, reads, snapshots) =
        (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= seeds {
                break;
            }
            let seed = first + index;
            match std::panic::catch_unwind(AssertUnwindSafe(|| run(seed, Detail::Nothing, rule_to_break()))) {
                Ok(world) => {
                    slots.fetch_add(world.checker.last_delivered().0, Ordering::Relaxed);
                    epochs.fetch_add(world.highest_epoch.counter, Ordering::Relaxed);
                    reads.fetch_add(world.reads_answered, Ordering::Relaxed);
                    snapshots.fetch_add(world.snapshots_installed, Ordering::Relaxed);
                }
                Err(_) => {
                    next.store(seeds, Ordering::Relaxed);
                    panic!(
                        "this schedule fails; replay it with AGORA_SEED={seed} (and AGORA_TRACE=1), or shrink it: \
                         cargo run --release -p agora-broadcast --example simulate -- --seed {seed}"
                    );
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    println!("{slots:?} slots, {epochs:?} epochs, {reads:?} reads, {snapshots:?} snapshots");
    assert!(slots.into_inner() > 0 && reads.into_inner() > 0);
}
