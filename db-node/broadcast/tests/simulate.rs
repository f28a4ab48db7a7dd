//! The seeded simulator: whole groups under all kinds of faults, in virtual time. Every invariant is checked at every step;
//! once the faults stop, everything that was proposed and not lost with its proposer must be delivered everywhere.
//!
//! `AGORA_SEED=n` replays one schedule and prints its last events; `AGORA_SEEDS=n` runs that many fresh ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "other tests use more of it")]
mod world;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agora_broadcast::{Member, MemberId, Rule};
use bytes::Bytes;
use world::World;
use world::schedule::run;
use world::trace::Detail;

const DEFAULT_SEEDS: u64 = 300;
/// A snapshot takes so long at most, in which logs are purged many times over.
const SNAPSHOT_MS: u64 = 1000;

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
    let (done, repeated) = (AtomicU64::new(0), AtomicU64::new(0));
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
                    done.fetch_add(world.answers.done, Ordering::Relaxed);
                    repeated.fetch_add(world.answers.repeated, Ordering::Relaxed);
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
    println!("{done:?} calls did what they were to do, {repeated:?} were repeats");
    assert!(slots.into_inner() > 0 && reads.into_inner() > 0);
    assert!(done.into_inner() > 0 && repeated.into_inner() > 0);
}

/// A group that purges its logs at once, and writes all the time. One was away for too long, and takes a snapshot meanwhile.
fn catches_up_under_load(seed: u64, hold_log_slots: u64) -> bool {
    let mut world = World::new(3, seed, move |config| {
        config.bounds.keep_log_slots = 8;
        config.bounds.max_roster_lag_slots = 8;
        config.bounds.max_future_slots = 4;
        config.bounds.hold_log_slots = hold_log_slots;
    });
    (world.trace.detail, world.snapshot_ms) = (Detail::Nothing, SNAPSHOT_MS);
    let (writers, away) = ([MemberId(0), MemberId(1)], MemberId(2));
    world.run_for(Duration::from_millis(100));
    world.crash(away);
    writers.iter().for_each(|writer| world.lose_peer(*writer, away, Duration::ZERO));
    for round in 0..2000 {
        if round == 100 {
            world.restart(away);
        }
        writers.iter().for_each(|writer| world.propose(*writer, vec![Bytes::from_static(b"x")]));
        writers.iter().for_each(|writer| world.sync_state(*writer));
        world.run_for(Duration::from_millis(5));
        let status = |member| world.node(member).member.as_ref().map(Member::status);
        let (Some(writer), Some(late)) = (status(writers[0]), status(away)) else { continue };
        let takes_turns = writer.roster.iter().any(|seat| seat.member == away) && writer.epoch == late.epoch;
        if takes_turns && late.delivered.0 + 8 >= writer.delivered.0 {
            assert!(world.snapshots_installed > 0, "it needed none");
            return true;
        }
    }
    false
}

#[test]
fn who_takes_a_snapshot_catches_up_while_writes_go_on() {
    let first = number("AGORA_SEED").unwrap_or_else(|| rand::random::<u64>() >> 16);
    println!("seeds {first} to {}", first + 9);
    for seed in first..first + 10 {
        assert!(catches_up_under_load(seed, 10_000), "AGORA_SEED={seed}");
    }
    let without = (first..first + 10).filter(|seed| !catches_up_under_load(*seed, 0)).count();
    assert!(without > 5, "it catches up as well if no log is kept for it, so this shows nothing");
}

#[test]
fn who_has_only_heard_the_lost_disk_leaves_the_seat_to_the_new_one() {
    let seed = number("AGORA_SEED").unwrap_or_else(|| rand::random::<u64>() >> 16);
    println!("seed {seed}");
    let mut world = World::new(5, seed, |_| ());
    world.trace.detail = Detail::Nothing;
    world.run_for(Duration::from_millis(100));
    let (lost, deaf) = (MemberId(1), MemberId(4));
    world.network.cut(lost, deaf);
    world.lose_disk(lost);
    [0, 2, 3].map(MemberId).into_iter().for_each(|peer| world.lose_peer(peer, lost, Duration::ZERO));
    for _ in 0..50 {
        world.propose(MemberId(0), vec![Bytes::from_static(b"x")]);
        world.run_for(Duration::from_millis(10));
    }
    let status = world.node(MemberId(0)).member.as_ref().map(Member::status).unwrap();
    assert_eq!(
        status.members.seats[1].disk,
        world.node(lost).member.as_ref().map(|member| member.status().disk)
    );
    assert_eq!(world.checker.taken_in, 1, "AGORA_SEED={seed}: the seat was taken from it again");
}
