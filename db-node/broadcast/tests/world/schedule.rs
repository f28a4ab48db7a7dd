//! Runs a schedule. At the end the faults stop, and everything must come to an end.

use std::time::Duration;

use agora_broadcast::{Config, Member, MemberId, Rule, Slot, Standing};
use bytes::Bytes;

use super::marketplace;
use super::plan::{Deed, Founded, Plan, ms};
use super::quirks::Quirks;
use super::trace::{Detail, To};
use super::{Node, World};

/// Once the faults stop, the group has this long to settle: who was put out again and again stays out for up to half a minute.
const SETTLE: Duration = Duration::from_secs(60);

/// Runs the schedule of a seed, in a group whose members do not keep one of the rules, if one is given.
pub fn run(seed: u64, detail: Detail, broken: Option<Rule>) -> World {
    let plan = Plan::of(seed);
    let mut world = prepare(&plan, detail, broken);
    go_through(&mut world, &plan);
    world
}

/// The group of a plan, before anything happens.
pub fn prepare(plan: &Plan, detail: Detail, broken: Option<Rule>) -> World {
    let temper = plan.temper;
    let configure = move |config: &mut Config| {
        config.broken = broken;
        temper.configure(config);
    };
    let mut world = match plan.founded {
        Founded::Before => World::new(plan.members, plan.seed, configure),
        Founded::Here => World::empty(plan.members, plan.seed, configure),
    };
    if let Some(quirks) = &plan.quirks {
        world.quirks = Quirks::given(plan.seed, quirks.clone());
    }
    world.trace.detail = detail;
    world.trace.to = To::Stdout;
    world.network.lost_permille = temper.lost_permille;
    world.network.doubled_permille = temper.doubled_permille;
    world.network.late_permille = temper.late_permille;
    world.network.delay.end += temper.delay;
    world.ambush_permille = temper.ambush_permille;
    world.snapshot_ms = temper.snapshot_ms;
    world
}

/// Does all that is planned, and lets the group settle.
pub fn go_through(world: &mut World, plan: &Plan) {
    let start = world.now;
    for (at, deed) in &plan.deeds {
        world.run_until(start + *at);
        act(world, deed);
    }
    world.run_until(start + plan.end);
    settle(world, &plan.absent);
}

fn act(world: &mut World, deed: &Deed) {
    match deed {
        Deed::Propose { at, calls } => {
            world.propose(*at, calls.iter().copied().map(marketplace::command).collect());
        }
        Deed::Read { at } => world.read(*at),
        Deed::SyncStates => world.members().for_each(|member| world.sync_state(member)),
        Deed::Crash { who, heard } => {
            world.crash(*who);
            heard.iter().for_each(|(peer, after)| world.lose_peer(*peer, *who, *after));
        }
        Deed::Restart { who } => world.restart(*who),
        Deed::Bounce { who } => world.bounce(*who),
        Deed::LoseDisk { who } if world.may_lose_disk(*who) => world.lose_disk(*who),
        Deed::ReturnDisk { who } if world.may_return_disk(*who) => world.return_disk(*who),
        Deed::LoseDisk { .. } | Deed::ReturnDisk { .. } => {}
        Deed::Cut { links } => links.iter().for_each(|(from, to)| world.network.cut(*from, *to)),
        Deed::Heal => world.network.heal(),
        Deed::Pause { who, time } => world.node_mut(*who).paused_until = world.now + *time,
        Deed::SlowDisk { who, sync } => world.node_mut(*who).sync_time = *sync,
        Deed::WrongClock { who, ahead_ms } => world.node_mut(*who).clock_offset_ms = *ahead_ms,
        Deed::Disconnect { who, from } => {
            if who != from {
                world.lose_peer(*who, *from, ms(0));
            }
        }
    }
}

/// The faults stop, but some members stay away: what the others want must come to an end. Then those are back, and everything must.
fn settle(world: &mut World, absent: &[MemberId]) {
    world.network.heal();
    world.network.delay.end = world.network.delay.start + ms(1);
    (world.network.lost_permille, world.network.doubled_permille, world.network.late_permille) = (0, 0, 0);
    world.ambush_permille = 0;
    world.quirks.stop();
    for member in world.members() {
        let node = world.node_mut(member);
        node.sync_time = ms(1);
        node.clock_offset_ms = 0;
        node.paused_until = Duration::ZERO;
    }
    if world.may_be_absent(absent) {
        absent.iter().for_each(|member| world.crash(*member));
        let present: Vec<_> = world.members().filter(|member| !absent.contains(member)).collect();
        come_to_an_end(world, &present);
    }
    let all: Vec<_> = world.members().collect();
    come_to_an_end(world, &all);
    let seats = world.nodes.iter().map(Node::seat);
    for slot in 1..=world.checker.last_delivered().0 {
        world.checker.check_durable(Slot(slot), seats.clone());
    }
    let mut states = world.nodes.iter().map(|node| node.replica.records());
    let first = states.next();
    assert!(
        states.all(|state| Some(&state) == first.as_ref()),
        "databases that have applied the same differ"
    );
}

/// These members are up, take turns, and have nothing left to do; then once more after they were given something.
fn come_to_an_end(world: &mut World, present: &[MemberId]) {
    present.iter().for_each(|member| world.restart(*member));
    let deadline = world.now + SETTLE;
    let mut proposed = false;
    let refused = |world: &World| world.nodes.iter().map(|node| node.refused).sum::<u64>();
    let mut refused_before = 0;
    loop {
        world.run_for(ms(50));
        if !is_settled(world, present) {
            assert!(world.now < deadline, "liveness: the group does not settle\n{}", describe(world));
            continue;
        }
        if proposed {
            break;
        }
        (proposed, refused_before) = (true, refused(world));
        for member in present {
            world.propose(*member, vec![Bytes::from_static(b"last")]);
            world.read(*member);
        }
    }
    assert_eq!(refused(world), refused_before, "liveness: a group that has settled refuses writes or reads");
}

fn is_settled(world: &World, present: &[MemberId]) -> bool {
    let last = world.checker.last_delivered();
    present.iter().map(|member| world.node(*member)).all(|node| {
        let Some(member) = &node.member else { return false };
        let status = member.status();
        assert_eq!(status.counters.impossible, 0, "an epoch was to start without what is committed");
        let takes_turns = status.roster.iter().any(|seat| seat.member == node.id);
        let has_all = node.unanswered.is_empty() && status.delivered == last && world.reads.is_empty();
        has_all && takes_turns && status.standing == Standing::Serving
    })
}

fn describe(world: &World) -> String {
    let members = world.nodes.iter().map(|node| {
        let status = node.member.as_ref().map(Member::status);
        format!("{} unanswered {:?} {status:#?}", node.id, node.unanswered)
    });
    members.collect::<Vec<_>>().join("\n")
}
