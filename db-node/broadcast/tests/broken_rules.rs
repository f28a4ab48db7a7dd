//! The simulator notices when a safety rule is not kept: without that, its silence would show nothing.
//!
//! Most rules are noticed by random schedules within seconds. Seven are hurt so rarely that a story makes sure of it; told with all
//! rules kept, each story ends well.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "the scenarios use more of it")]
mod world;

use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use agora_broadcast::{Body, MemberId, Rule, Standing};
use bytes::Bytes;
use world::World;
use world::plan::Plan;
use world::shrink::{Failure, failure, try_plan};

/// Far more than it has ever taken.
const MOST_SCHEDULES: u64 = 20_000;

/// Runs fresh schedules until an invariant of safety is hurt, which the same schedule does not hurt when the rule is kept.
fn schedules_notice(rule: Rule) {
    schedules_from_notice(rand::random::<u64>() >> 16, rule);
}

fn schedules_from_notice(first: u64, rule: Rule) {
    let hurts = |seed: u64| {
        let failure = try_plan(&Plan::of(seed), Some(rule)).0.filter(Failure::is_of_safety)?;
        Some((seed, failure))
    };
    let Some((seed, Failure(how))) = (first..first + MOST_SCHEDULES).find_map(hurts) else {
        panic!("{rule:?} is not kept, and {MOST_SCHEDULES} schedules from seed {first} on notice nothing")
    };
    println!("{rule:?}: noticed by schedule {}, of seed {seed}: {how}", seed - first + 1);
    assert_eq!(try_plan(&Plan::of(seed), None).0, None, "seed {seed} fails with all rules kept, too");
}

macro_rules! schedules_notice {
    ($($test:ident: $rule:ident,)*) => {
        $(
            #[test]
            fn $test() {
                schedules_notice(Rule::$rule);
            }
        )*
    };
}

schedules_notice! {
    an_acknowledgement_before_the_disk: DurableBeforeAcknowledged,
    a_commit_without_a_majority: CommitByMajority,
    acknowledgements_of_other_epochs: AcknowledgedInThisEpoch,
    storing_after_a_promise: NothingStoredAfterPromise,
    a_claim_without_the_log: NeverClaimWithLess,
    a_claim_before_the_disk: DurableBeforeClaimed,
    keeping_what_differs: DropWhatDiffers,
    turns_after_a_restart: TurnsOfIncarnations,
    assigning_out_of_turn: OnlyTheOwnerAssigns,
    forgetting_what_was_dropped: DroppedIsPendingAgain,
    reads_without_a_majority: ReadByMajority,
    reads_that_overlook_what_an_epoch_began_with: ReadFloorAtEpochStart,
    votes_of_the_forgetful: OnlyListedDisksCount,
    founding_a_group_beside_another: FoundedByAll,
    a_time_that_goes_back: TimeNeverGoesBack,
    leaving_out_what_a_sender_sent_before: InTheSendersOrder,
    sequencing_what_is_superseded: SupersededNeverSequenced,
    starting_again_in_the_same_incarnation: RaisedAtEachStart,
}

#[test]
fn taking_a_snapshot_of_a_later_epoch() {
    // It takes thousands of schedules, a minute and more, to come upon one that notices. This one did.
    schedules_from_notice(191_604_292_821_961, Rule::SnapshotOfNoLaterEpoch);
}

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

fn group(members: u16, broken: Option<Rule>) -> World {
    let mut world = World::new(members, 1, move |config| config.broken = broken);
    world.sync_takes_all = true;
    world.network.are_buffers_kept = true;
    world.run_for(ms(100));
    world
}

fn cut(world: &mut World, one: MemberId, other: MemberId) {
    world.network.cut(one, other);
    world.network.cut(other, one);
}

fn propose(world: &mut World, at: MemberId, command: &'static str) {
    world.propose(at, vec![Bytes::from_static(command.as_bytes())]);
}

/// No member was to drop what is committed. (That a member refused to is as good a sign as that it did.)
fn assert_nothing_impossible(world: &World) {
    for member in world.nodes.iter().filter_map(|node| node.member.as_ref()) {
        assert_eq!(member.status().counters.impossible, 0, "an epoch was to start without what is committed");
    }
}

fn only_a_broken_rule_hurts(rule: Rule, story: fn(Option<Rule>)) {
    story(None);
    let begun = Instant::now();
    let Err(noticed) = catch_unwind(|| story(Some(rule))) else {
        panic!("{rule:?} is not kept, and nothing is noticed");
    };
    let Failure(how) = failure(noticed.as_ref());
    println!("{rule:?}: noticed by a story within {:.0?}: {how}", begun.elapsed());
}

/// m2 promises epoch 2, forgets it in a crash, and helps to commit a slot in epoch 1 that epoch 2 does not know.
fn a_promise_is_forgotten(broken: Option<Rule>) {
    let [m0, m1, m2] = [0, 1, 2].map(MemberId);
    let mut world = group(3, broken);
    cut(&mut world, m0, m1);
    world.lose_peer(m0, m1, ms(0));
    world.lose_peer(m2, m1, ms(0));
    world.network.loses = Some(Box::new(move |_, to, body| {
        to == m2 && matches!(body, Body::StartEpoch { .. } | Body::Entries { .. })
    }));
    world.node_mut(m2).sync_time = ms(1000);
    world.run_for(ms(60));
    let applied = world.node(m2).disk.applied;
    world.crash_keeping(m2, 0, applied);
    world.node_mut(m2).sync_time = ms(1);
    world.network.cut(m0, m2);
    world.restart(m2);
    propose(&mut world, m1, "a");
    world.run_for(ms(5));
    world.network.heal();
    world.network.loses = None;
    world.run_for(ms(2000));
    assert_nothing_impossible(&world);
    assert_eq!(world.checker.last_delivered().0, 1);
}

/// m4 alone has slot 4 from epoch 1; the others have another one from epoch 2. Then m4 takes part in the choice of a log.
fn a_log_of_a_lower_epoch_is_as_long(broken: Option<Rule>) {
    let [m0, m3, m4] = [0, 3, 4].map(MemberId);
    let mut world = group(5, broken);
    for command in ["a", "b", "c"] {
        propose(&mut world, m0, command);
        world.run_for(ms(20));
    }
    for other in world.members().filter(|other| *other != m4) {
        cut(&mut world, m4, other);
        world.lose_peer(other, m4, ms(0));
    }
    propose(&mut world, m4, "only m4 knows this");
    world.run_for(ms(60));
    propose(&mut world, m0, "committed");
    world.run_for(ms(20));
    assert_eq!(world.checker.last_delivered().0, 4);
    world.network.heal();
    world.network.loses = Some(Box::new(move |from, to, body| match body {
        Body::StartEpoch { .. } => to == m4,
        Body::Requests(_) => from == m4,
        _ => false,
    }));
    world.run_for(ms(60));
    world.crash(m3);
    for other in world.members().filter(|other| *other != m3) {
        world.lose_peer(other, m3, ms(0));
    }
    world.run_for(ms(100));
    world.network.loses = None;
    world.run_for(ms(2000));
    assert_nothing_impossible(&world);
}

/// m2 asks in its first incarnation, and gets the answers in its second, in which it has asked the same again.
fn an_answer_comes_late(broken: Option<Rule>) {
    let [m0, m1, m2] = [0, 1, 2].map(MemberId);
    let mut world = group(3, broken);
    world.network.delay = ms(20)..ms(20);
    world.read(m2);
    world.run_for(ms(21));
    world.network.delay = ms(1)..ms(1);
    world.network.cut(m0, m2);
    world.network.cut(m1, m2);
    propose(&mut world, m1, "a");
    world.run_for(ms(6));
    assert_eq!(world.checker.last_delivered().0, 1);
    world.crash_keeping(m2, 0, agora_broadcast::Slot(0));
    world.restart(m2);
    world.read(m2);
    world.run_for(ms(20));
    world.network.heal();
    world.run_for(ms(2000));
    assert_eq!(world.reads_answered, 1);
}

/// m0 asks for an epoch, but nobody gets its Prepare; the others go on without it.
fn nobody_promises(broken: Option<Rule>) {
    let [m0, m1, m2] = [0, 1, 2].map(MemberId);
    let mut world = group(3, broken);
    world.network.loses = Some(Box::new(move |from, to, body| match body {
        Body::Prepare { .. } | Body::StartEpoch { .. } => from == m0,
        Body::Sequence { .. } | Body::Entries { .. } => to == m0,
        _ => false,
    }));
    world.lose_peer(m0, m2, ms(0));
    world.lose_peer(m1, m2, ms(0));
    world.run_for(ms(10));
    propose(&mut world, m1, "a");
    world.run_for(ms(50));
    assert_eq!(world.checker.last_delivered().0, 1);
    world.network.loses = None;
    world.run_for(ms(2000));
    assert_nothing_impossible(&world);
}

/// m0 founds a group, and loses its disk before anybody hears of that but m1, to whom the news is on its way for long. Meanwhile all
/// tell m0's new disk that they know of none.
fn the_founder_is_lost(broken: Option<Rule>) {
    let [m0, m1, m2] = [0, 1, 2].map(MemberId);
    let mut world = World::empty(3, 1, move |config| config.broken = broken);
    world.sync_takes_all = true;
    world.network.are_buffers_kept = true;
    world.members().for_each(|id| world.start(id));
    world.network.loses = Some(Box::new(move |from, to, body| {
        from == m0 && to != m1 && matches!(body, Body::StartEpoch { .. })
    }));
    world.run_for(Duration::from_micros(2000));
    world.network.delay = ms(50)..ms(50);
    world.run_for(Duration::from_micros(1500));
    assert_eq!(world.node(m0).member.as_ref().unwrap().status().epoch.counter, 1, "m0 has founded a group");
    world.network.delay = ms(1)..ms(1);
    for peer in [m1, m2] {
        world.lose_peer(peer, m0, ms(0));
    }
    world.lose_disk(m0);
    world.run_for(Duration::from_micros(2500));
    // Both have answered the new disk, which waits for what they said. m1 starts again, and hears nothing but the late news.
    let applied = world.node(m1).disk.applied;
    world.crash_keeping(m1, 0, applied);
    cut(&mut world, m0, m1);
    cut(&mut world, m1, m2);
    world.restart(m1);
    world.run_for(ms(60));
    world.network.heal();
    world.network.loses = None;
    world.run_for(ms(3000));
    for node in &world.nodes {
        let status = node.member.as_ref().unwrap().status();
        assert_eq!(status.standing, Standing::Serving, "{}", node.id);
        assert_eq!(status.members.group, world.node(m0).disk.durable.disk, "{} is in another group", node.id);
    }
}

/// m0 alone takes turns, since the clocks of the others are wrong. m3 and m4 lose their disks, and m0 hears only the new ones. Then
/// m0 and m4 are cut off, and m3's old disk turns up again.
fn two_seats_change_hands(broken: Option<Rule>) {
    let [m0, m1, m2, m3, m4] = [0, 1, 2, 3, 4].map(MemberId);
    let mut world = group(5, broken);
    for (who, ahead) in [(m1, 5000), (m2, -5000), (m3, 9000), (m4, -9000)] {
        world.node_mut(who).clock_offset_ms = ahead;
    }
    world.run_for(ms(3000));
    let roster = world.node(m0).member.as_ref().unwrap().status().roster;
    assert_eq!(roster.iter().map(|seat| seat.member).collect::<Vec<_>>(), [m0]);
    for (one, other) in [(m0, m1), (m0, m2), (m3, m1), (m3, m2), (m4, m1), (m4, m2)] {
        cut(&mut world, one, other);
    }
    for (who, other) in [(m3, m4), (m4, m3)] {
        world.lose_peer(m0, who, ms(0));
        world.lose_peer(other, who, ms(0));
        world.lose_disk(who);
    }
    world.run_for(ms(1500));
    propose(&mut world, m0, "of those who forgot");
    world.run_for(ms(100));
    world.network.heal();
    for one in [m0, m4] {
        for other in [m1, m2, m3] {
            cut(&mut world, one, other);
        }
    }
    world.return_disk(m3);
    world.run_for(ms(3000));
    propose(&mut world, m1, "of those who remember");
    world.run_for(ms(100));
    assert!(world.checker.last_delivered().0 > 0);
    world.network.heal();
    world.run_for(ms(3000));
    assert_nothing_impossible(&world);
}

/// The owner of the first slot has a clock that jumped ahead by a day.
fn a_clock_jumps(broken: Option<Rule>) {
    let m1 = MemberId(1);
    let mut world = group(3, broken);
    world.node_mut(m1).clock_offset_ms = 86_400_000;
    propose(&mut world, m1, "a");
    world.run_for(ms(20));
    assert_eq!(world.checker.last_delivered().0, 1);
    let true_time = world.clock(MemberId(0)).wall_ms;
    assert!(world.checker.last_time_ms() <= true_time + 1000, "time has jumped");
}

#[test]
fn helping_to_found_two_groups() {
    only_a_broken_rule_hurts(Rule::FoundersAreBound, the_founder_is_lost);
}

#[test]
fn two_changes_of_the_list_at_once() {
    only_a_broken_rule_hurts(Rule::OneListChangeAtATime, two_seats_change_hands);
}

#[test]
fn a_time_far_ahead_of_all_clocks() {
    only_a_broken_rule_hurts(Rule::TimeNearTheMedian, a_clock_jumps);
}

#[test]
fn an_epoch_without_a_majority() {
    only_a_broken_rule_hurts(Rule::PromisesOfMajority, nobody_promises);
}

#[test]
fn read_answers_to_an_earlier_incarnation() {
    only_a_broken_rule_hurts(Rule::ReadOfThisIncarnation, an_answer_comes_late);
}

#[test]
fn a_promise_before_the_disk() {
    only_a_broken_rule_hurts(Rule::DurableBeforePromised, a_promise_is_forgotten);
}

#[test]
fn the_longest_log_whatever_its_epoch() {
    only_a_broken_rule_hurts(Rule::HighestEpochFirst, a_log_of_a_lower_epoch_is_as_long);
}
