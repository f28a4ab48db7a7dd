//! Members that have lost their disk: they vouch for nothing, and the group takes them in as new ones by itself.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[path = "support/raft_group.rs"]
mod raft_group;
#[path = "support/relay.rs"]
mod relay;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use agora_group::{Failure, Protocol};
use raft_group::{Group, add_one, eventually};
use support::{add, number};

/// Waits until a member has its seat for certain.
async fn taken_in(group: &Group, member: usize) {
    eventually("the new member votes", async || {
        let status = group.handle(member).status();
        let role = match &status.protocol {
            Some(Protocol::Raft { role, .. }) => *role,
            _ => "unknown",
        };
        (status.not_ready_because.is_none() && matches!(role, "leader" | "follower")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_a_lost_disk_and_an_absent_member_had_is_not_voted_away() {
    let mut group = Group::start(3).await;
    let leader = group.leader().await;
    let (lost, behind) = ((leader + 1) % 3, (leader + 2) % 3);
    group.handle(leader).execute(add("a", 1)).await.unwrap();
    group.kill(behind).await;
    // Durable at the leader and at the one whose disk is about to be lost.
    group.handle(leader).execute(add("a", 1)).await.unwrap();
    group.kill(leader).await;
    group.lose_disk(lost).await;

    // Two of three run, but one of them knows nothing: together they are no majority.
    group.restart(behind).await;
    group.restart(lost).await;
    let read = group.handle(behind).query("a".into()).await;
    assert!(matches!(read, Err(Failure::Unavailable(_))), "{read:?}");
    let read = group.handle(lost).query("a".into()).await;
    assert!(matches!(read, Err(Failure::Unavailable(_))), "{read:?}");

    group.restart(leader).await;
    taken_in(&group, lost).await;
    for member in 0..3 {
        assert_eq!(group.value(member, "a").await, 2, "member {member}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_lost_disk_after_the_other_is_replaced_while_writes_go_on() {
    let mut group = Group::start(3).await;
    let (acknowledged, attempted) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    // The leader's disk first.
    let first = group.leader().await;
    for turn in 0..3 {
        let lost = (first + turn) % 3;
        let survivors: Vec<_> = group.alive().filter(|at| *at != lost).map(|at| group.handle(at)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let writer = {
            let stop = Arc::clone(&stop);
            let (acknowledged, attempted) = (Arc::clone(&acknowledged), Arc::clone(&attempted));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    attempted.fetch_add(add_one(&survivors, "a").await, Ordering::Relaxed);
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        group.lose_disk(lost).await;
        group.restart(lost).await;
        taken_in(&group, lost).await;
        stop.store(true, Ordering::Relaxed);
        writer.await.unwrap();
    }
    // Nobody who was there at first is there any more, and nothing is lost.
    let bounds = acknowledged.load(Ordering::Relaxed)..=attempted.load(Ordering::Relaxed);
    for member in 0..3 {
        let value = group.value(member, "a").await;
        assert!(bounds.contains(&value), "member {member} has {value}, not one of {bounds:?}");
    }
    // The new members vote: any two of them are a majority.
    group.kill(group.leader().await).await;
    let alive: Vec<_> = group.alive().map(|at| group.handle(at)).collect();
    add_one(&alive, "a").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_disk_is_filled_by_a_snapshot_where_the_log_no_longer_begins_at_the_beginning() {
    let mut group = Group::start(3).await;
    let leader = group.leader().await;
    let lost = (leader + 1) % 3;
    for at in 0..200 {
        group.handle(leader).execute(add(&format!("n{at}"), at)).await.unwrap();
    }
    for member in [leader, (leader + 2) % 3] {
        group.running[member].as_ref().unwrap().running.compact().await.unwrap();
    }
    group.lose_disk(lost).await;
    group.restart(lost).await;
    taken_in(&group, lost).await;
    assert_eq!(number(&group.handle(lost).query("n199".into()).await.unwrap()), 199);
    let sums = async || {
        let mut sums = Vec::new();
        for member in 0..3 {
            sums.push(group.handle(member).checksum().await.unwrap());
        }
        sums.windows(2).all(|pair| pair[0] == pair[1]).then_some(())
    };
    eventually("equal checksums at equal positions", sums).await;
}
