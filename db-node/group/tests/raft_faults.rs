//! Links that are cut, and leaders that leave: while a majority can talk, commands are carried out, and no member ever answers
//! a read from before a write that was acknowledged.
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
use support::{add, number};
use tokio::task::JoinHandle;

/// Writes and reads that go on all the time, and check each other.
struct Load {
    acknowledged: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    /// Writes through these members, reads through those.
    fn start(writers: &[GroupHandle], readers: &[GroupHandle]) -> Load {
        let (acknowledged, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let mut tasks = Vec::new();
        let (handles, count, until) = (writers.to_vec(), Arc::clone(&acknowledged), Arc::clone(&stop));
        tasks.push(tokio::spawn(async move {
            while !until.load(Ordering::Relaxed) {
                add_one(&handles, "a").await;
                count.fetch_add(1, Ordering::SeqCst);
            }
        }));
        for reader in readers {
            let (reader, count, until) = (reader.clone(), Arc::clone(&acknowledged), Arc::clone(&stop));
            tasks.push(tokio::spawn(async move {
                while !until.load(Ordering::Relaxed) {
                    let before = count.load(Ordering::SeqCst);
                    match reader.query("a".into()).await {
                        Ok(value) => {
                            let value = number(&value);
                            assert!(value >= before, "read {value} after {before} were acknowledged");
                        }
                        Err(Failure::Unavailable(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                    tokio::task::yield_now().await;
                }
            }));
        }
        Load { acknowledged, stop, tasks }
    }

    async fn some_more(&self) {
        let goal = self.acknowledged.load(Ordering::SeqCst) + 20;
        eventually("more writes", async || (self.acknowledged.load(Ordering::SeqCst) >= goal).then_some(()))
            .await;
    }

    async fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

/// Which of a leader's links are cut, seen from it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    Outgoing,
    Incoming,
    Both,
}

async fn a_cut_off_leader_is_replaced(cut: Cut) {
    let (group, network) = Group::start_relayed(3).await;
    let leader = group.leader().await;
    let others = [(leader + 1) % 3, (leader + 2) % 3];
    let load = Load::start(&others.map(|at| group.handle(at)), &[0, 1, 2].map(|member| group.handle(member)));
    load.some_more().await;
    for other in others {
        if cut != Cut::Incoming {
            network.cut(leader, other);
        }
        if cut != Cut::Outgoing {
            network.cut(other, leader);
        }
    }
    load.some_more().await;
    network.mend();
    load.some_more().await;
    load.finish().await;
    let value = group.value(others[0], "a").await;
    assert_eq!(group.value(leader, "a").await, value, "who was cut off is there again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_is_replaced_and_answers_nothing_old() {
    a_cut_off_leader_is_replaced(Cut::Both).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_nobody_hears_is_replaced_and_answers_nothing_old() {
    a_cut_off_leader_is_replaced(Cut::Outgoing).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_hears_nobody_is_replaced_and_answers_nothing_old() {
    a_cut_off_leader_is_replaced(Cut::Incoming).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_was_cut_off_disturbs_nobody_when_it_is_back() {
    let (group, network) = Group::start_relayed(3).await;
    let leader = group.leader().await;
    let away = (leader + 1) % 3;
    let term = || match group.handle(leader).status().protocol {
        Some(agora_group::Protocol::Raft { term, .. }) => term,
        _ => panic!("no Raft group"),
    };
    group.handle(leader).execute(add("a", 1)).await.unwrap();
    let before = term();
    for other in [leader, (leader + 2) % 3] {
        network.cut(other, away);
        network.cut(away, other);
    }
    // A read there fails for want of a leader, after which it has asked for elections for seconds.
    let read = group.handle(away).query("a".into()).await;
    assert!(matches!(read, Err(Failure::Unavailable(_))), "{read:?}");
    network.mend();
    group.handle(leader).execute(add("a", 1)).await.unwrap();
    eventually("it is up to date again", async || {
        (group.handle(away).query("a".into()).await == Ok("2".into())).then_some(())
    })
    .await;
    assert_eq!((group.leader().await, term()), (leader, before), "nobody else was elected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_hands_over_leaves_nobody_without_an_answer() {
    let group = Group::start(3).await;
    for _ in 0..5 {
        let leader = group.leader().await;
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..3)
            .map(|member| {
                let (handle, stop) = (group.handle(member), Arc::clone(&stop));
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        handle.execute(add("a", 1)).await.unwrap();
                    }
                })
            })
            .collect();
        eventually("another leader", async || {
            group.running[leader].as_ref().unwrap().running.hand_over().await;
            (group.leader().await != leader).then_some(())
        })
        .await;
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.await.unwrap();
        }
    }
}
