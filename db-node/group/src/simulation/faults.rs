//! What happens to a simulated group: drawn by lot, one after the other, and undone at the end.

use std::rc::Rc;
use std::time::Duration;

use rand::Rng;
use tokio::time::sleep;

use super::executor;
use super::network::DELAYS_MAX;
use super::world::World;

/// How much time passes between two of them at most.
const PAUSE_MAX: Duration = Duration::from_millis(2500);
/// How far a clock is set wrong at most.
const CLOCK_MS_MAX: i64 = 7_200_000;

#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill(usize),
    KillAll,
    Stop(usize),
    Start(usize),
    LoseDisk(usize),
    Pause(usize),
    Resume(usize),
    /// Nothing gets from the one to the other.
    Cut(usize, usize),
    /// Nothing gets to a member, or from it, or both.
    Isolate {
        at: usize,
        to_it: bool,
        from_it: bool,
    },
    Mend,
    Compact(usize),
    Weather(usize),
    Clock(usize, i64),
    Add,
    Remove(usize),
}

fn drawn(count: usize) -> Fault {
    executor::draw(|random| {
        let (at, other) = (random.random_range(0..count), random.random_range(1..count));
        match random.random_range(0..32) {
            0..=3 => Fault::Kill(at),
            4 => Fault::KillAll,
            5 => Fault::Stop(at),
            6..=9 => Fault::Start(at),
            10 => Fault::LoseDisk(at),
            11 => Fault::Pause(at),
            12..=13 => Fault::Resume(at),
            14 => Fault::Cut(at, (at + other) % count),
            15..=16 => {
                let (to_it, from_it) =
                    [(true, true), (true, false), (false, true)][random.random_range(0..3)];
                Fault::Isolate { at, to_it, from_it }
            }
            17..=19 => Fault::Mend,
            20..=25 => Fault::Compact(at),
            26 => Fault::Weather(random.random_range(0..DELAYS_MAX.len())),
            27 => Fault::Clock(at, random.random_range(-CLOCK_MS_MAX..CLOCK_MS_MAX)),
            28..=29 => Fault::Add,
            _ => Fault::Remove(at),
        }
    })
    .unwrap_or(Fault::Mend)
}

/// Has so many faults happen, and undoes them.
pub(super) async fn happen(world: &Rc<World>, faults: usize) {
    for _ in 0..faults {
        sleep(executor::random_below(PAUSE_MAX).unwrap_or(PAUSE_MAX)).await;
        let fault = drawn(world.count());
        tracing::info!(?fault, "what happens");
        inflict(world, fault).await;
        world.compare_states().await;
    }
    world.network.mend();
    world.network.set_day(0);
    for at in 0..world.count() {
        executor::resume(at);
        executor::set_clock_ahead(at, 0);
        if !world.is_up(at) {
            world.start(at).await;
        }
    }
}

async fn inflict(world: &Rc<World>, fault: Fault) {
    let others = |at: usize| (0..world.count()).filter(move |other| *other != at);
    match fault {
        Fault::Kill(at) => world.kill(at),
        Fault::KillAll => (0..world.count()).for_each(|at| world.kill(at)),
        Fault::Stop(at) if executor::is_paused(at) => {}
        Fault::Stop(at) => world.stop(at).await,
        Fault::Start(at) if world.is_up(at) => {}
        Fault::Start(at) => world.start(at).await,
        // The promise is for one at a time: all others have their disks, and their seats for certain.
        Fault::LoseDisk(at) if world.is_member(at) && world.all_serve() => world.lose_disk(at),
        Fault::LoseDisk(_) => {}
        Fault::Pause(at) if !world.is_up(at) => {}
        Fault::Pause(at) => executor::pause(at),
        Fault::Resume(at) => executor::resume(at),
        Fault::Cut(from, to) => world.network.cut(from, to),
        Fault::Isolate { at, to_it, from_it } => {
            others(at).filter(|_| to_it).for_each(|other| world.network.cut(other, at));
            others(at).filter(|_| from_it).for_each(|other| world.network.cut(at, other));
        }
        Fault::Mend => world.network.mend(),
        Fault::Compact(at) => world.compact(at),
        Fault::Weather(day) => world.network.set_day(day),
        Fault::Clock(at, ms) => executor::set_clock_ahead(at, ms),
        Fault::Add => world.add().await,
        Fault::Remove(at) => world.remove(at),
    }
}
