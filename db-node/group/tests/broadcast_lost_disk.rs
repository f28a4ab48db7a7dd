//! Members that lose their data directory while the group serves: they come back as learners, are brought up to date, are taken in
//! again by themselves, and then count like any other.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[path = "support/broadcast_group.rs"]
mod broadcast_group;
mod support;

use std::time::Duration;

use agora_broadcast::Bounds;
use agora_group::broadcast::LinkFaults;
use agora_group::{GroupStatus, Protocol};
use broadcast_group::{Group, Outcome};

/// The disk that a member speaks from, and whose disks have seats.
fn disks(status: &GroupStatus) -> (String, Vec<Option<String>>) {
    match &status.protocol {
        Some(Protocol::Broadcast { disk, seats, .. }) => (disk.clone(), seats.clone()),
        _ => (String::new(), Vec::new()),
    }
}

/// Waits until a member serves, with a seat.
async fn until_it_serves(group: &Group, index: usize) {
    group.until(index, "serving", |status| status.not_ready_because.is_none()).await;
    let (disk, seats) = disks(&group.handle(index).status());
    assert_eq!(seats[index].as_ref(), Some(&disk));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_directory_is_deleted_is_taken_in_again_and_then_counts() {
    let mut group = Group::start(5).await;
    let mut sum = 0;
    // One of them founded the group; by then it has no part in that any more.
    for lost in [3, 0] {
        let before = disks(&group.handle(lost).status()).0;
        group.stop(lost).await;
        group.delete(lost);
        for _ in 0..10 {
            sum += 1;
            assert_eq!(group.add(1, "a", 1).await, Outcome::Done(sum));
        }
        group.restart(lost).await;
        until_it_serves(&group, lost).await;
        assert_ne!(disks(&group.handle(lost).status()).0, before);
        assert_eq!(group.value(lost, "a").await, sum);
    }
    // Of the five any three do: so both that were taken in are needed now.
    group.stop(1).await;
    group.stop(2).await;
    assert_eq!(group.add(4, "a", 1).await, Outcome::Done(sum + 1));
    assert_eq!(group.add(0, "a", 1).await, Outcome::Done(sum + 2));
    group.restart(1).await;
    group.restart(2).await;
    group.agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_without_a_directory_gets_the_state_when_the_logs_begin_later() {
    let bounds = Bounds { keep_log_slots: 20, keep_log_bytes: 4096, ..Bounds::default() };
    let mut group = Group::start_with(3, LinkFaults::default(), bounds).await;
    group.stop(1).await;
    group.delete(1);
    let mut sum = 0;
    while [0, 2].iter().any(|index| group.handle(*index).status().first <= 1) {
        sum += 1;
        assert_eq!(group.add(2, "a", 1).await, Outcome::Done(sum));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    group.restart(1).await;
    until_it_serves(&group, 1).await;
    group.stop(0).await;
    assert_eq!(group.add(1, "a", 1).await, Outcome::Done(sum + 1));
    group.restart(0).await;
    group.agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_group_is_founded_while_one_member_does_not_answer() {
    let mut group = Group::start(3).await;
    assert_eq!(group.add(0, "a", 1).await, Outcome::Done(1));
    for index in 0..3 {
        group.stop(index).await;
    }
    // Two disks of three are lost: what the third has can't be known to be all there was, but it must not be forgotten.
    group.delete(0);
    group.delete(1);
    group.restart(0).await;
    group.restart(1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    for index in [0, 1] {
        let status = group.handle(index).status();
        assert!(disks(&status).1.is_empty(), "{status:?}");
        assert!(status.not_ready_because.unwrap().contains("knows of no group"));
    }
}
