//! The model check: every order in which messages, disks, crashes, suspicions and competing epochs can come in a group of three,
//! within bounds; all of it over the step function of production. And it notices broken rules within the same bounds.
//!
//! `cargo run --release -p agora-broadcast --example model_check -- --help` goes further.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model;

use agora_broadcast::Rule;
use model::{Bounds, EVERYONE, Group, Whom};
use stateright::{Checker, HasDiscoveries, Model};

const NONE: Bounds = Bounds { proposals: 0, reads: 0, crashes: 0, suspicions: 0, epochs: 0, waits: 0 };

/// Nothing within the bounds hurts an invariant, and what the bounds are meant to reach is reached.
fn holds(bounds: Bounds, whom: Whom) {
    holds_within(usize::MAX, bounds, whom);
}

/// The same, of all that can happen in so many steps.
fn holds_within(steps: usize, bounds: Bounds, whom: Whom) {
    let checker = Group::new(bounds, whom, None).checker();
    let checker = checker.threads(2).target_max_depth(steps).spawn_bfs().join();
    println!(
        "{bounds:?}: {} different states, {} steps between them, up to {} in a row",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth()
    );
    for story in model::counterexamples(&checker) {
        println!("{story}");
    }
    checker.assert_properties();
}

/// With a rule that nobody keeps, something within the bounds hurts an invariant.
fn notices(rule: Rule, bounds: Bounds) {
    let group = Group::new(bounds, EVERYONE, Some(rule));
    let checker = group.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let states = checker.unique_state_count();
    let stories = model::counterexamples(&checker);
    let Some(story) = stories.first() else {
        panic!("{rule:?} is not kept, and nothing is noticed in {states} states");
    };
    println!("{rule:?} is not kept, and that is found after {states} states: {story}");
}

#[test]
fn two_requests_in_any_order() {
    holds(Bounds { proposals: 2, ..NONE }, EVERYONE);
}

#[test]
fn a_read_beside_a_request_while_members_are_suspected() {
    holds(Bounds { proposals: 1, reads: 1, suspicions: 1, ..NONE }, Whom { suspected: 0b010, ..EVERYONE });
}

#[test]
fn a_request_while_the_epoch_changes() {
    holds(Bounds { proposals: 1, suspicions: 1, epochs: 1, ..NONE }, EVERYONE);
}

#[test]
fn a_request_while_a_member_crashes_and_is_taken_in_again() {
    holds(Bounds { proposals: 1, crashes: 1, epochs: 1, ..NONE }, EVERYONE);
}

#[test]
fn two_epochs_that_compete() {
    holds(Bounds { suspicions: 2, epochs: 2, ..NONE }, EVERYONE);
}

#[test]
fn a_request_while_two_epochs_compete() {
    let bounds = Bounds { proposals: 1, suspicions: 2, epochs: 2, ..NONE };
    holds_within(22, bounds, Whom { proposing: 0b010, suspected: 0b010, ..EVERYONE });
}

#[test]
fn two_requests_while_the_first_owner_crashes() {
    holds(Bounds { proposals: 2, crashes: 1, ..NONE }, Whom { crashing: 0b010, ..EVERYONE });
}

#[test]
fn a_request_while_time_passes() {
    holds(Bounds { proposals: 1, waits: 2, ..NONE }, EVERYONE);
}

#[test]
fn a_request_and_two_crashes() {
    holds(Bounds { proposals: 1, crashes: 2, ..NONE }, EVERYONE);
}

const ONE_CHANGE: Bounds = Bounds { proposals: 1, suspicions: 1, epochs: 1, ..NONE };

#[test]
fn broken_rules_of_acknowledgements_and_commits_are_noticed() {
    notices(Rule::DurableBeforeAcknowledged, ONE_CHANGE);
    notices(Rule::CommitByMajority, ONE_CHANGE);
    notices(Rule::AcknowledgedInThisEpoch, ONE_CHANGE);
}

#[test]
fn broken_rules_of_turns_are_noticed() {
    notices(Rule::OnlyTheOwnerAssigns, Bounds { proposals: 2, ..NONE });
    notices(Rule::TurnsOfIncarnations, Bounds { proposals: 2, crashes: 1, ..NONE });
}

#[test]
fn broken_rules_of_promises_are_noticed() {
    notices(Rule::DurableBeforePromised, ONE_CHANGE);
    notices(Rule::NothingStoredAfterPromise, ONE_CHANGE);
    notices(Rule::PromisesOfMajority, Bounds { waits: 1, ..ONE_CHANGE });
}

#[test]
fn broken_rules_of_new_epochs_are_noticed() {
    notices(Rule::NeverClaimWithLess, ONE_CHANGE);
    notices(Rule::DurableBeforeClaimed, ONE_CHANGE);
}
