//! The broadcast group over real connections and disks: commands through any member, reads that see them, members that stop
//! and come back, links that lose.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[path = "support/broadcast_group.rs"]
mod broadcast_group;
mod support;

use std::time::Duration;

use agora_broadcast::Bounds;
use agora_group::Failure;
use agora_group::broadcast::LinkFaults;
use broadcast_group::{Group, Outcome, execute, value};
use bytes::Bytes;
use support::{LOCAL_NOW, add, is_now};

/// Many clients at all running members, each adding 1 to its own counter and to a shared one, and checking that a read
/// elsewhere sees it.
async fn busy_clients(group: &Group, clients: usize, rounds: u64) -> (u64, u64) {
    let members: Vec<_> = group.running().map(|index| group.handle(index)).collect();
    let client = |client: usize| {
        let (here, there) =
            (members[client % members.len()].clone(), members[(client + 1) % members.len()].clone());
        tokio::spawn(async move {
            let (mut done, mut unknown) = (0, 0);
            for _ in 0..rounds {
                match execute(&here, add("shared", 1)).await {
                    Outcome::Done(after) => {
                        done += 1;
                        assert!(
                            value(&there, "shared").await >= after,
                            "a read missed what was acknowledged before"
                        );
                    }
                    Outcome::Unknown => unknown += 1,
                }
            }
            (done, unknown)
        })
    };
    let (mut done, mut unknown) = (0, 0);
    for client in (0..clients).map(client).collect::<Vec<_>>() {
        let of_one = client.await.unwrap();
        (done, unknown) = (done + of_one.0, unknown + of_one.1);
    }
    (done, unknown)
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_through_any_member_are_applied_once_and_seen_by_all() {
    for members in [1, 3, 5] {
        let group = Group::start(members).await;
        let (done, unknown) = busy_clients(&group, 12, 20).await;
        assert_eq!((done, unknown), (240, 0));
        for index in 0..members {
            assert_eq!(group.value(index, "shared").await, 240);
        }
        group.agree().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_command_or_no_query_is_refused_and_changes_nothing() {
    let group = Group::start(3).await;
    for member in 0..3 {
        assert_eq!(group.value(member, "a").await, 0, "each has joined the group");
    }
    let malformed = |result| matches!(result, Err(Failure::Malformed(_)));
    assert!(malformed(group.handle(0).execute(Bytes::from_static(b"\xff")).await));
    assert!(malformed(group.handle(1).query(Bytes::from_static(b"\xff")).await));
    assert_eq!(group.add(2, "a", 1).await, Outcome::Done(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_has_the_time_of_now_however_long_ago_the_last_command_was() {
    let group = Group::start(3).await;
    group.add(0, "a", 1).await;
    for member in 0..3 {
        assert!(is_now(group.value(member, LOCAL_NOW).await));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_lose_double_and_delay_slow_a_group_but_do_not_stop_it() {
    let seed =
        std::env::var("AGORA_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("AGORA_SEED={seed}");
    let faults = LinkFaults { loss: 0.2, duplication: 0.1, delay_max: Duration::from_millis(3), seed };
    let group = Group::start_with(5, faults, Bounds::default()).await;
    let (done, unknown) = busy_clients(&group, 10, 10).await;
    assert_eq!((done, unknown), (100, 0));
    assert_eq!(group.value(4, "shared").await, 100);
    group.agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_all_stop_and_start_again() {
    let mut group = Group::start(5).await;
    let mut acknowledged = 0;
    for _ in 0..3 {
        let (done, unknown) = busy_clients(&group, 10, 10).await;
        assert_eq!(unknown, 0);
        acknowledged += done;
        for index in 0..5 {
            group.stop(index).await;
        }
        for index in 0..5 {
            group.restart(index).await;
        }
        assert_eq!(group.value(3, "shared").await, acknowledged);
    }
    group.agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_minority_may_be_away_and_catches_up_when_it_is_back() {
    let mut group = Group::start(5).await;
    let (mut sum, _) = busy_clients(&group, 10, 5).await;
    for pair in [[0, 1], [2, 3], [4, 0]] {
        for index in pair {
            group.stop(index).await;
        }
        let (done, _) = busy_clients(&group, 9, 5).await;
        sum += done;
        for index in pair {
            group.restart(index).await;
        }
        for index in pair {
            assert_eq!(group.value(index, "shared").await, sum, "a read through a member that is back");
        }
    }
    group.agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_without_a_majority_answers_nothing_and_says_so() {
    let mut group = Group::start(3).await;
    assert_eq!(group.add(0, "a", 1).await, Outcome::Done(1));
    group.stop(1).await;
    group.stop(2).await;
    group.until(0, "cut off", |status| status.not_ready_because.is_some()).await;
    let query = group.handle(0).query(Bytes::from_static(b"a")).await;
    assert!(matches!(query, Err(Failure::Unavailable(_))), "{query:?}");
    group.restart(1).await;
    assert_eq!(group.value(0, "a").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_the_log_no_longer_helps_gets_the_state() {
    let bounds = Bounds { keep_log_slots: 20, keep_log_bytes: 4096, ..Bounds::default() };
    let mut group = Group::start_with(3, LinkFaults::default(), bounds).await;
    assert_eq!(group.add(0, "a", 1).await, Outcome::Done(1));
    group.stop(2).await;
    let away_since = group.handle(0).status().applied;
    // Until the logs of both others begin beyond what the third one has.
    let mut sum = 1;
    while (0..2).any(|index| group.handle(index).status().first <= away_since + 1) {
        for _ in 0..10 {
            sum += 1;
            assert_eq!(group.add(1, "a", 1).await, Outcome::Done(sum));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    group.restart(2).await;
    assert_eq!(group.value(2, "a").await, sum);
    group.agree().await;
    assert_eq!(group.add(2, "a", 1).await, Outcome::Done(sum + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_that_is_due_is_proposed_once() {
    let group = Group::start(3).await;
    assert_eq!(group.add(1, "wants-maintenance", 2).await, Outcome::Done(2));
    let mut maintained = 0;
    while maintained < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        maintained = group.value(2, "maintained").await;
    }
    assert_eq!(maintained, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_machine_that_panics_ends_its_node_and_leaves_nobody_waiting() {
    let mut group = Group::start(3).await;
    assert_eq!(group.add(0, "a", 1).await, Outcome::Done(1));
    let callers = (0..30).map(|caller| {
        let handle = group.handle(caller % 3);
        tokio::spawn(async move {
            match caller {
                7 => handle.execute(add(support::BUG, 1)).await,
                _ if caller % 2 == 0 => handle.execute(add("a", 1)).await,
                _ => handle.query(Bytes::from_static(b"a")).await,
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        // Whatever it is told, it is told.
        let _ = tokio::time::timeout(Duration::from_secs(30), caller).await.unwrap().unwrap();
    }
    for index in 0..3 {
        let why = group.failed(index).await;
        assert!(
            why.contains("applier thread panicked") && why.contains("a bug in the state machine"),
            "{why}"
        );
        group.stop(index).await;
    }
}
