//! Simulations, by their seeds.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rand::Rng;
use tracing_subscriber::EnvFilter;

use super::disks::Disks;
use super::world::{Summary, World};
use super::{executor, faults};
use crate::handle::Failure;

/// So many seeds are tried if the environment does not say.
const SEEDS: u64 = 24;
const CLIENTS: usize = 4;
const FAULTS: usize = 14;
/// A simulation takes a fraction of a second. One that takes this long turns in a circle in which it sees no time pass.
const TAKES_MAX: Duration = Duration::from_secs(180);

/// Runs the simulation of a seed. Returns what it has seen, and a hash of all that happened.
fn simulate(seed: u64, disks: Disks) -> (Summary, u64) {
    let (over, is_over) = channel::<()>();
    std::thread::spawn(move || {
        if is_over.recv_timeout(TAKES_MAX) == Err(RecvTimeoutError::Timeout) {
            // Nothing ends the thread that runs it but the end of the process, and then nobody prints what tests have said.
            let _ = writeln!(std::io::stderr(), "AGORA_SEED={seed} replays a simulation that never ends");
            std::process::abort();
        }
    });
    let seen = simulate_to_its_end(seed, disks);
    drop(over);
    seen
}

fn simulate_to_its_end(seed: u64, disks: Disks) -> (Summary, u64) {
    executor::run(seed, async move {
        let count = executor::draw(|random| [3, 3, 5][random.random_range(0..3)]).unwrap_or(3);
        let world = World::new(count, disks).await;
        for _ in 0..CLIENTS {
            world.spawn_client();
        }
        faults::happen(&world, FAULTS).await;
        world.settle().await
    })
}

fn number_from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn groups_keep_their_promises_whatever_happens_to_them() {
    // AGORA_LOG=info shows what a group does; all that goes wrong on purpose is of no interest otherwise.
    let filter = EnvFilter::try_from_env("AGORA_LOG").unwrap_or_else(|_| EnvFilter::new("off"));
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    let seeds = match number_from_environment("AGORA_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = rand::rng().random_range(0..1 << 40);
            first..first + number_from_environment("AGORA_SEEDS").unwrap_or(SEEDS)
        }
    };
    println!("seeds {seeds:?}");
    let (mut operations, mut answered, mut states, mut added, mut removed) = (0, 0, 0, 0, 0);
    for seed in seeds {
        let outcome = catch_unwind(AssertUnwindSafe(|| simulate(seed, Disks::Honest)));
        match outcome {
            Ok((seen, _)) => {
                operations += seen.operations;
                answered += seen.answered;
                states += seen.states;
                added += seen.added;
                removed += seen.removed;
            }
            Err(panic) => {
                println!("AGORA_SEED={seed} replays what went wrong");
                resume_unwind(panic);
            }
        }
    }
    println!("{answered} of {operations} calls answered, states compared at {states} places");
    println!("{added} members added, {removed} removed");
    assert!(answered * 4 > operations, "the group hardly ever answered");
}

#[test]
fn a_seed_decides_everything() {
    let seed = rand::rng().random_range(0..1 << 40);
    println!("seed {seed}");
    let first = simulate(seed, Disks::Honest);
    let again = std::thread::spawn(move || simulate(seed, Disks::Honest)).join().unwrap();
    assert_eq!(first, again);
    assert_ne!(first.1, simulate(seed + 1, Disks::Honest).1);
}

#[test]
fn reads_under_way_are_refused_when_a_member_stops() {
    let seed = rand::rng().random_range(0..1 << 40);
    println!("seed {seed}");
    executor::run(seed, async {
        let world = World::new(3, Disks::Honest).await;
        world.settle().await;
        // The one that is left has nobody who could confirm that it reads the latest.
        world.kill(1);
        world.kill(2);
        let left = world.handle(0).unwrap();
        let read = executor::spawn_on(None, async move { left.query("a".into()).await });
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.stop(0).await;
        assert!(matches!(read.await, Ok(Err(Failure::Unavailable(_)))));
    });
}

#[test]
fn disks_that_only_pretend_to_sync_are_found_out() {
    let first = rand::rng().random_range(0..1 << 40);
    println!("seeds from {first}");
    let found_out =
        (first..first + SEEDS).find(|seed| catch_unwind(|| simulate(*seed, Disks::Pretending)).is_err());
    assert!(found_out.is_some(), "what was acknowledged got lost, and nobody noticed");
}
