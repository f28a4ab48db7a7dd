//! The simulator notices when a safety rule is not kept: without that, it would show nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "the scenarios use more of it")]
mod world;

use std::panic::AssertUnwindSafe;

use agora_broadcast::Rule;
use world::schedule::run;
use world::trace::Detail;

/// Far more than it has ever taken.
const MOST_SCHEDULES: u64 = 20_000;

/// Runs fresh schedules until an invariant is hurt.
fn is_noticed(rule: Rule) {
    let first: u64 = rand::random::<u64>() >> 16;
    let hurts = |seed: &u64| {
        std::panic::catch_unwind(AssertUnwindSafe(|| run(*seed, Detail::Nothing, Some(rule)))).is_err()
    };
    match (first..first + MOST_SCHEDULES).find(hurts) {
        Some(seed) => println!("{rule:?}: noticed by schedule {}", seed - first + 1),
        None => {
            panic!("{rule:?} is not kept, and {MOST_SCHEDULES} schedules from seed {first} on notice nothing")
        }
    }
}
