//! A schedule that fails is made much shorter, and still fails in the same way: what is left tells why.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "the scenarios use more of it")]
mod world;

use agora_broadcast::Rule;
use world::plan::Plan;
use world::shrink::{Shrunk, shrink, try_plan};

/// A schedule with a good many deeds in which the broken rule hurts an invariant. (That nothing moves on any more takes long to see.)
fn long_failing_plan(rule: Rule) -> Plan {
    // One seed unless another is asked for: how short the shortest is, is a schedule's own affair.
    let first: u64 = std::env::var("AGORA_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("seeds from {first} on");
    let is_long = |plan: &Plan| (50..500).contains(&plan.deeds.len());
    let hurts = |plan: &Plan| try_plan(plan, Some(rule)).0.is_some_and(|failure| failure.is_of_safety());
    let mut plans = (first..first + 20_000).map(Plan::of).filter(is_long);
    plans.find(hurts).expect("a schedule notices the broken rule")
}

#[test]
fn a_failing_schedule_shrinks_to_a_short_one_that_fails_alike() {
    let rule = Rule::DropWhatDiffers;
    let plan = long_failing_plan(rule);
    let shrunk = shrink(&plan, Some(rule)).expect("it fails again");
    let Shrunk { plan: short, failure, tried } = &shrunk;
    println!("of {} deeds these are left, after {tried} schedules:\n{short}", plan.deeds.len());
    assert_eq!(try_plan(short, Some(rule)).0.as_ref(), Some(failure));
    assert_eq!(try_plan(short, None).0, None, "without the broken rule it is as harmless as any other");
    assert!(short.deeds.len() * 4 <= plan.deeds.len());
    for index in 0..short.deeds.len() {
        let mut shorter = short.clone();
        let (_, deed) = shorter.deeds.remove(index);
        assert_ne!(try_plan(&shorter, Some(rule)).0.as_ref(), Some(failure), "“{deed}” is not needed");
    }
}

#[test]
fn a_schedule_that_does_not_fail_is_not_shrunk() {
    let plan = Plan::of(1);
    assert!(shrink(&plan, None).is_none());
}
