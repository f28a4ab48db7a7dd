//! A schedule: what clients do and what breaks, when, all decided by a seed. At the end the faults stop, and everything must
//! come to an end.

use std::time::Duration;

use agora_broadcast::{Config, Member, MemberId, Rule, Slot, Standing};
use bytes::Bytes;
use rand::Rng;
use rand::seq::IndexedRandom;

use super::World;
use super::trace::{Detail, To};

/// Once the faults stop, the group has this long to settle.
const SETTLE: Duration = Duration::from_secs(20);

fn ms(most: u64) -> Duration {
    Duration::from_millis(most)
}

/// What kinds of faults there are in this run, and how much of them.
#[derive(Clone, Copy, Debug)]
struct Temper {
    faults_per_second: u32,
    proposals_per_second: u32,
    lost_permille: u32,
    doubled_permille: u32,
    late_permille: u32,
    delay: Duration,
    ambush_permille: u32,
    snapshot_ms: u64,
    small_bounds: SmallBounds,
    patience: Patience,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SmallBounds {
    /// The defaults.
    No,
    /// So small that each is hit.
    Yes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// The default times.
    Usual,
    /// A tenth of them, so that ten times as much happens.
    Little,
}

fn temper(random: &mut impl Rng) -> Temper {
    Temper {
        faults_per_second: *[0, 5, 20, 50].choose(random).unwrap(),
        proposals_per_second: *[10, 20, 100, 400].choose(random).unwrap(),
        lost_permille: *[0, 0, 10, 100, 300].choose(random).unwrap(),
        doubled_permille: *[0, 0, 20, 200].choose(random).unwrap(),
        late_permille: *[0, 10, 200].choose(random).unwrap(),
        delay: *[ms(0), ms(1), ms(10)].choose(random).unwrap(),
        ambush_permille: *[0, 100, 500].choose(random).unwrap(),
        snapshot_ms: *[2, 50, 1000].choose(random).unwrap(),
        small_bounds: *[SmallBounds::No, SmallBounds::Yes].choose(random).unwrap(),
        patience: *[Patience::Usual, Patience::Little, Patience::Little].choose(random).unwrap(),
    }
}

fn configure(temper: Temper, broken: Option<Rule>) -> impl Fn(&mut Config) {
    move |config| {
        config.broken = broken;
        if temper.patience == Patience::Little {
            let timing = &mut config.timing;
            for time in [
                &mut timing.heartbeat,
                &mut timing.silence,
                &mut timing.first_contact,
                &mut timing.hold_up,
                &mut timing.change_timeout,
                &mut timing.join_delay,
                &mut timing.put_out,
                &mut timing.put_out_most,
                &mut timing.snapshot_retry,
            ] {
                *time /= 10;
            }
        }
        if temper.small_bounds == SmallBounds::Yes {
            config.bounds.max_unsequenced_requests = 8;
            config.bounds.max_slot_requests = 3;
            config.bounds.max_uncommitted_slots = 16;
            config.bounds.max_future_slots = 4;
            config.bounds.max_roster_lag_slots = 8;
            config.bounds.keep_log_slots = 8;
            config.bounds.max_resend_bytes = 500;
            config.bounds.max_waiting_reads = 4;
            config.bounds.max_read_rounds = 1;
        }
    }
}

/// Runs the schedule of a seed, in a group whose members do not keep one of the rules, if one is given.
pub fn run(seed: u64, detail: Detail, broken: Option<Rule>) -> World {
    let mut world = World::new(1, seed, |_| {});
    let members = *[1, 2, 3, 3, 4, 5, 5, 5].choose(&mut world.random).unwrap();
    let temper = temper(&mut world.random);
    let mut world = World::new(members, seed, configure(temper, broken));
    world.trace.detail = detail;
    world.trace.to = To::Stdout;
    world.network.lost_permille = temper.lost_permille;
    world.network.doubled_permille = temper.doubled_permille;
    world.network.late_permille = temper.late_permille;
    world.network.delay.end += temper.delay;
    world.ambush_permille = temper.ambush_permille;
    world.snapshot_ms = temper.snapshot_ms;
    let end = world.now + ms(world.random.random_range(500..6000));
    while world.now < end {
        let pause = 2_000_000 / u64::from(temper.proposals_per_second);
        let pause = Duration::from_micros(world.random.random_range(0..pause));
        world.run_for(pause);
        act(&mut world);
        let per_proposal = temper.faults_per_second * 1000 / temper.proposals_per_second;
        if world.random.random_ratio(per_proposal.min(1000), 1000) {
            break_something(&mut world);
        }
    }
    settle(&mut world);
    world
}

fn any_member(world: &mut World) -> MemberId {
    let members = world.nodes.len();
    MemberId(u16::try_from(world.random.random_range(0..members)).unwrap())
}

/// What clients and the driver do.
fn act(world: &mut World) {
    let who = any_member(world);
    match world.random.random_range(0..10) {
        0..6 => {
            let count = world.random.random_range(1..4);
            let command = |world: &mut World| Bytes::from(vec![b'x'; world.random.random_range(0..200)]);
            let commands = (0..count).map(|_| command(world)).collect();
            world.propose(who, commands);
        }
        6..9 => world.read(who),
        _ => {
            for member in world.members() {
                world.sync_state(member);
            }
        }
    }
}

fn break_something(world: &mut World) {
    let who = any_member(world);
    match world.random.random_range(0..15) {
        0 | 1 => crash(world, who),
        2..5 => {
            world.restart(who);
            world.read(who);
        }
        14 => world.bounce(who),
        5 => {
            for member in world.members() {
                crash(world, member);
            }
        }
        6 | 7 => partition(world),
        8 | 9 => world.network.heal(),
        10 => world.node_mut(who).paused_until = world.now + ms(world.random.random_range(0..1500)),
        11 => {
            let time = *[0, 1, 1, 20, 300, 1500].choose(&mut world.random).unwrap();
            world.node_mut(who).sync_time = ms(time);
        }
        12 => {
            let offset = *[0, 0, -500, 3000, -100_000].choose(&mut world.random).unwrap();
            world.node_mut(who).clock_offset_ms = offset;
        }
        _ => {
            let peer = any_member(world);
            if peer != who {
                world.lose_peer(who, peer, ms(0));
            }
        }
    }
}

/// A crash, of which the peers mostly hear by their connections.
fn crash(world: &mut World, who: MemberId) {
    world.crash(who);
    for member in world.members().filter(|member| *member != who) {
        if world.random.random_ratio(3, 4) {
            let after = Duration::from_micros(world.random.random_range(100..2000));
            world.lose_peer(member, who, after);
        }
    }
}

/// Some links are cut, in one direction or in both.
fn partition(world: &mut World) {
    let side: Vec<bool> = world.members().map(|_| world.random.random()).collect();
    let style = world.random.random_range(0..5);
    let alone = any_member(world);
    for from in world.members() {
        for to in world.members().filter(|to| *to != from) {
            let crosses = side[usize::from(from.0)] != side[usize::from(to.0)];
            let is_cut = match style {
                0 => crosses,
                1 => crosses && side[usize::from(from.0)],
                2 => from == alone,
                3 => from == alone || to == alone,
                _ => world.random.random_ratio(1, 4),
            };
            if is_cut {
                world.network.cut(from, to);
            }
        }
    }
}

/// The faults stop: everything must come to an end.
fn settle(world: &mut World) {
    world.network.heal();
    world.network.delay.end = world.network.delay.start + ms(1);
    (world.network.lost_permille, world.network.doubled_permille, world.network.late_permille) = (0, 0, 0);
    world.ambush_permille = 0;
    for member in world.members() {
        world.restart(member);
        let node = world.node_mut(member);
        node.sync_time = ms(1);
        node.clock_offset_ms = 0;
        node.paused_until = Duration::ZERO;
    }
    let deadline = world.now + SETTLE;
    let mut proposed = false;
    loop {
        world.run_for(ms(50));
        if !is_settled(world) {
            assert!(world.now < deadline, "liveness: the group does not settle\n{}", describe(world));
            continue;
        }
        if proposed {
            break;
        }
        proposed = true;
        for member in world.members() {
            world.propose(member, vec![Bytes::from_static(b"last")]);
            world.read(member);
        }
    }
    let disks = world.nodes.iter().map(|node| &node.disk);
    for slot in 1..=world.checker.last_delivered().0 {
        world.checker.check_durable(Slot(slot), disks.clone());
    }
}

fn is_settled(world: &World) -> bool {
    let last = world.checker.last_delivered();
    world.nodes.iter().all(|node| {
        let Some(member) = &node.member else { return false };
        let status = member.status();
        assert_eq!(status.counters.impossible, 0, "an epoch was to start without what is committed");
        node.unanswered.is_empty() && status.delivered == last && status.standing == Standing::Serving
    })
}

fn describe(world: &World) -> String {
    let members = world.nodes.iter().map(|node| {
        let status = node.member.as_ref().map(Member::status);
        format!("{} unanswered {:?} {status:#?}", node.id, node.unanswered)
    });
    members.collect::<Vec<_>>().join("\n")
}
