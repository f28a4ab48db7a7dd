//! Groups of three members in one process, over loopback: what is acknowledged stays, whoever stops.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may fail")]

#[path = "support/raft_group.rs"]
mod raft_group;
#[path = "support/relay.rs"]
mod relay;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use agora_group::{Failure, GroupHandle};
use raft_group::{Group, add_one, eventually};
use support::{LOCAL_NOW, add, is_now, number};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_member_takes_commands_and_reads_its_own_writes_and_others() {
    let group = Group::start(3).await;
    for round in 0..20 {
        for writer in 0..3 {
            let response = group.handle(writer).execute(add("a", 1)).await.unwrap();
            assert_eq!(number(&response), round * 3 + writer as u64 + 1);
            for reader in 0..3 {
                assert_eq!(
                    group.value(reader, "a").await,
                    number(&response),
                    "member {reader} after {writer}"
                );
            }
        }
    }
    let refused = group.handle(0).execute("nonsense".into()).await;
    assert!(matches!(refused, Err(Failure::Malformed(_))), "{refused:?}");
    let refused = group.handle(1).query(vec![0xff].into()).await;
    assert!(matches!(refused, Err(Failure::Malformed(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_has_the_time_of_now_however_long_ago_the_last_command_was() {
    let group = Group::start(3).await;
    for member in 0..3 {
        assert!(is_now(group.value(member, LOCAL_NOW).await));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_at_once_are_each_answered_once() {
    let group = Group::start(3).await;
    let callers = (0..300).map(|caller| {
        let handle = group.handle(caller % 3);
        tokio::spawn(async move { number(&handle.execute(add("shared", 1)).await.unwrap()) })
    });
    let mut seen = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        seen.push(caller.await.unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=300).collect::<Vec<_>>());
    let last = group.handle(0).status().last;
    assert!(last < 250, "{last} entries for 300 commands: they did not travel together");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_leaders_die_under_load() {
    let mut group = Group::start(3).await;
    let (acknowledged, attempted) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    for round in 0..3 {
        let leader = group.leader().await;
        let survivors: Vec<GroupHandle> =
            group.alive().filter(|at| *at != leader).map(|at| group.handle(at)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..16)
            .map(|_| {
                let (handles, stop) = (survivors.clone(), Arc::clone(&stop));
                let (acknowledged, attempted) = (Arc::clone(&acknowledged), Arc::clone(&attempted));
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        attempted.fetch_add(add_one(&handles, "a").await, Ordering::Relaxed);
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        drop(survivors);
        let goal = acknowledged.load(Ordering::Relaxed) + 100;
        eventually("writes", async || (acknowledged.load(Ordering::Relaxed) >= goal).then_some(())).await;
        group.kill(leader).await;
        let goal = acknowledged.load(Ordering::Relaxed) + 100;
        eventually("writes after the leader's death", async || {
            (acknowledged.load(Ordering::Relaxed) >= goal).then_some(())
        })
        .await;
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.await.unwrap();
        }
        group.restart(leader).await;
        for member in 0..3 {
            let value = group.value(member, "a").await;
            let bounds = acknowledged.load(Ordering::Relaxed)..=attempted.load(Ordering::Relaxed);
            assert!(
                bounds.contains(&value),
                "round {round}: member {member} has {value}, not one of {bounds:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_may_stop_at_once_and_come_back_with_everything() {
    let mut group = Group::start(3).await;
    for round in 1..=3_u64 {
        for _ in 0..10 {
            group.handle(1).execute(add("a", 1)).await.unwrap();
        }
        for member in 0..3 {
            match round {
                2 => group.stop(member).await,
                _ => group.kill(member).await,
            }
        }
        for member in 0..3 {
            group.restart(member).await;
        }
        let value = number(&group.handle(2).query("a".into()).await.unwrap());
        assert_eq!(value, round * 10);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_away_catches_up_and_states_are_equal() {
    let mut group = Group::start(3).await;
    let leader = group.leader().await;
    let away = (leader + 1) % 3;
    group.kill(away).await;
    for at in 0..50 {
        group.handle(leader).execute(add(&format!("n{at}"), at)).await.unwrap();
    }
    group.restart(away).await;
    assert_eq!(group.value(away, "n49").await, 49);
    let sums = async || {
        let mut sums = Vec::new();
        for member in 0..3 {
            sums.push(group.handle(member).checksum().await.unwrap());
        }
        sums.windows(2).all(|pair| pair[0] == pair[1]).then_some(())
    };
    eventually("equal checksums at equal positions", sums).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_behind_the_log_is_brought_up_by_a_snapshot_and_keeps_it() {
    let mut group = Group::start(3).await;
    let leader = group.leader().await;
    let away = (leader + 1) % 3;
    group.kill(away).await;
    // Some pieces' worth of records.
    let names: Vec<String> = (0..3000).map(|at| format!("{at:0>300}")).collect();
    let handle = group.handle(leader);
    for write in futures::future::join_all(names.iter().map(|name| handle.execute(add(name, 7)))).await {
        write.unwrap();
    }
    drop(handle);
    for member in [leader, (leader + 2) % 3] {
        group.running[member].as_ref().unwrap().running.compact().await.unwrap();
        eventually("a shortened log", async || (group.handle(member).status().first > 0).then_some(())).await;
    }
    group.restart(away).await;
    assert_eq!(group.value(away, &names[2999]).await, 7);
    eventually("a log that begins with the snapshot", async || {
        (group.handle(away).status().first > 0).then_some(())
    })
    .await;
    group.handle(away).execute(add("after", 1)).await.unwrap();
    assert_eq!(group.value(away, "after").await, 1, "and now it is applied there, too");
    let sum = group.handle(away).checksum().await.unwrap();
    // What was installed survives a restart, and so does a leader whose log begins with a snapshot.
    for member in 0..3 {
        group.kill(member).await;
    }
    for member in 0..3 {
        group.restart(member).await;
    }
    assert_eq!(group.value(away, "after").await, 1);
    assert_eq!(group.handle(away).checksum().await.unwrap().1, sum.1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minority_answers_nothing() {
    let mut group = Group::start(3).await;
    let leader = group.leader().await;
    let handle = group.handle(leader);
    handle.execute(add("a", 1)).await.unwrap();
    group.kill((leader + 1) % 3).await;
    group.kill((leader + 2) % 3).await;
    let read = handle.query("a".into()).await;
    assert!(matches!(read, Err(Failure::Unavailable(_))), "{read:?}");
    let write = handle.execute(add("a", 1)).await;
    assert!(matches!(write, Err(Failure::OutcomeUnknown(_) | Failure::Unavailable(_))), "{write:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn maintenance_is_proposed_while_it_is_worth_while() {
    let group = Group::start(3).await;
    group.handle(0).execute(add("wants-maintenance", 2)).await.unwrap();
    eventually("maintenance", async || (group.value(1, "maintained").await == 2).then_some(())).await;
}
