//! Simulates as many schedules as one likes, and shrinks the first that fails to a short one.
//!
//! `cargo run --release -p agora-broadcast --example simulate -- --seeds 100000`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "the scenarios use more of it")]
#[path = "../tests/world/mod.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use agora_broadcast::Rule;
use clap::Parser;
use world::plan::Plan;
use world::schedule::{go_through, prepare};
use world::shrink::{shrink, try_plan};
use world::trace::Detail;

/// Simulates whole groups under all kinds of faults, in virtual time, and checks every invariant at every step.
///
/// The first schedule that fails is shrunk: what it does not need in order to fail is left out. Then it is told, step by step.
/// Ctrl-C ends it at any moment; nothing is left behind.
#[derive(Parser)]
struct Arguments {
    /// How many schedules.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first seed; the others follow it. Without it, a random one.
    #[arg(long)]
    first: Option<u64>,
    /// Just this schedule: `--seeds 1 --first SEED`.
    #[arg(long, conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
    /// How many threads; without it, one per core.
    #[arg(long)]
    threads: Option<usize>,
    /// A safety rule that nobody keeps, as `rules.rs` calls it, to see how that fails.
    #[arg(long, value_parser = rule)]
    broken: Option<Rule>,
    /// Tell all that arrives and what disks do, too.
    #[arg(long)]
    everything: bool,
}

fn rule(name: &str) -> Result<Rule, String> {
    let names = || Rule::ALL.map(|rule| format!("{rule:?}")).join(", ");
    let found = Rule::ALL.into_iter().find(|rule| format!("{rule:?}") == name);
    found.ok_or_else(|| format!("the rules are {}", names()))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (first, seeds) = match arguments.seed {
        Some(seed) => (seed, 1),
        None => (arguments.first.unwrap_or_else(|| rand::random::<u64>() >> 16), arguments.seeds),
    };
    // A schedule that fails panics; what it says is told in the end.
    let tell_panics = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    eprintln!("schedules of the seeds {first} to {}", first.saturating_add(seeds.saturating_sub(1)));
    let Some(failing) = find_failing(&arguments, first, seeds) else { return ExitCode::SUCCESS };
    println!("the schedule of seed {failing} fails; it is shrunk");
    let plan = Plan::of(failing);
    let Some(shrunk) = shrink(&plan, arguments.broken) else {
        println!("it does not fail when it is run again: the simulator is not deterministic");
        return ExitCode::FAILURE;
    };
    println!(
        "of {} deeds {} are left, and of what chance did {}, after {} schedules:\n\n{}",
        plan.deeds.len(),
        shrunk.plan.deeds.len(),
        shrunk.plan.quirks.iter().flatten().count(),
        shrunk.tried,
        shrunk.plan,
    );
    std::panic::set_hook(tell_panics);
    let detail = if arguments.everything { Detail::Everything } else { Detail::Story };
    let mut world = prepare(&shrunk.plan, detail, arguments.broken);
    let _ = catch_unwind(AssertUnwindSafe(|| go_through(&mut world, &shrunk.plan)));
    ExitCode::FAILURE
}

/// Runs the schedules on all cores until one fails.
fn find_failing(arguments: &Arguments, first: u64, seeds: u64) -> Option<u64> {
    const NONE: u64 = u64::MAX;
    let (next, done, failing) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(NONE));
    let start = Instant::now();
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= seeds || failing.load(Ordering::Relaxed) != NONE {
                break;
            }
            let seed = first.wrapping_add(index);
            if try_plan(&Plan::of(seed), arguments.broken).0.is_some() {
                failing.fetch_min(seed, Ordering::Relaxed);
            }
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..arguments.threads.unwrap_or(cores).max(1)).map(|_| scope.spawn(work)).collect();
        let mut told = Instant::now();
        while workers.iter().any(|worker| !worker.is_finished()) {
            std::thread::sleep(Duration::from_millis(20));
            if told.elapsed() > Duration::from_secs(5) {
                told = Instant::now();
                tell_progress(done.load(Ordering::Relaxed), start);
            }
        }
    });
    tell_progress(done.load(Ordering::Relaxed), start);
    Some(failing.into_inner()).filter(|seed| *seed != NONE)
}

fn tell_progress(done: u64, start: Instant) {
    let per_minute = done as f64 * 60.0 / start.elapsed().as_secs_f64();
    eprintln!("{done} schedules, {per_minute:.0} a minute");
}
