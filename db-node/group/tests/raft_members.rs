//! Members that are added to a group and removed from it, while it goes on.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

#[path = "support/raft_group.rs"]
mod raft_group;
#[path = "support/relay.rs"]
mod relay;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use agora_group::raft::{Changed, SeatChange};
use agora_group::{Failure, GroupHandle, Protocol};
use raft_group::{Group, add_one, eventually};
use support::add;
use tokio::task::JoinHandle;

/// Waits until a member has its seat for certain.
async fn serves(group: &Group, member: usize) {
    eventually("the member votes", async || {
        let status = group.handle(member).status();
        let votes = matches!(status.protocol, Some(Protocol::Raft { role: "leader" | "follower", .. }));
        (status.not_ready_because.is_none() && votes).then_some(())
    })
    .await;
}

/// Who votes, and who learns, as a member knows.
fn seats(group: &Group, member: usize) -> (Vec<usize>, Vec<usize>) {
    match group.handle(member).status().protocol {
        Some(Protocol::Raft { voters, learners, .. }) => (voters, learners),
        other => panic!("{other:?}"),
    }
}

async fn all_know(group: &Group, members: &[usize]) {
    eventually("all know who the members are", async || {
        members.iter().all(|at| seats(group, *at) == (members.to_vec(), vec![])).then_some(())
    })
    .await;
}

/// Writes at these members, one after the other, until it is told to stop.
struct Writer {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    task: JoinHandle<u64>,
}

impl Writer {
    fn at(handles: Vec<GroupHandle>) -> Writer {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&acknowledged));
        let task = tokio::spawn(async move {
            let mut attempts = 0;
            while !stopped.load(Ordering::Relaxed) {
                attempts += add_one(&handles, "a").await;
                counted.fetch_add(1, Ordering::Relaxed);
            }
            attempts
        });
        Writer { stop, acknowledged, task }
    }

    /// Waits until it has written something more.
    async fn goes_on(&self) {
        let before = self.acknowledged.load(Ordering::Relaxed);
        eventually("writes go on", async || {
            (self.acknowledged.load(Ordering::Relaxed) > before + 1).then_some(())
        })
        .await;
    }

    /// Stops it, and checks the counter where it is to be read.
    async fn ends_well(self, group: &Group, at: &[usize]) {
        self.stop.store(true, Ordering::Relaxed);
        let (attempts, acknowledged) = (self.task.await.unwrap(), self.acknowledged.load(Ordering::Relaxed));
        for at in at {
            let value = group.value(*at, "a").await;
            let possible = acknowledged..=attempts;
            assert!(possible.contains(&value), "{value} at {at}, {acknowledged} of {attempts} acknowledged");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_are_added_under_load_and_hold_the_group_when_two_old_ones_die() {
    let mut group = Group::start(3).await;
    let leader = group.leader().await;
    let (other, third) = ((leader + 1) % 3, (leader + 2) % 3);
    let writer = Writer::at(vec![group.handle(other)]);
    for (via, seat) in [(other, 3), (leader, 4)] {
        assert_eq!(group.start_new().await, seat);
        // Nobody has asked for it: it is nobody's, whatever its file says.
        assert!(group.handle(seat).status().not_ready_because.is_some());
        assert_eq!(group.ask_to_add(via, seat).await, Changed::Learning);
        serves(&group, seat).await;
        assert_eq!(group.ask_to_add(via, seat).await, Changed::Done);
        writer.goes_on().await;
    }
    all_know(&group, &[0, 1, 2, 3, 4]).await;
    // Three of the five voters are left, and two of them are new.
    group.kill(leader).await;
    group.kill(third).await;
    writer.goes_on().await;
    writer.ends_well(&group, &[other, 3, 4]).await;
    // One that was away comes back with the file of the old days, and finds the new ones by its log, or is found by them.
    group.restart(leader).await;
    serves(&group, leader).await;
    add_one(&[group.handle(leader)], "a").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_is_removed_under_load_and_its_old_disk_disturbs_nobody() {
    let mut group = Group::start(4).await;
    let leader = group.leader().await;
    let staying: Vec<usize> = (0..4).filter(|at| *at != leader).collect();
    let writer = Writer::at(staying.iter().map(|at| group.handle(*at)).collect());
    writer.goes_on().await;
    assert_eq!(group.ask_to_remove(staying[0], leader).await, Changed::Done);
    assert_eq!(group.ask_to_remove(staying[1], leader).await, Changed::Done);
    writer.goes_on().await;
    all_know(&group, &staying).await;
    removed(&group, leader).await;
    let read = group.handle(leader).query("a".into()).await;
    assert!(matches!(read, Err(Failure::Unavailable(_))), "{read:?}");

    // It turns up again with its old disk and its old file, while the others have a leader, and while they have none.
    group.stop(leader).await;
    group.restart(leader).await;
    removed(&group, leader).await;
    let term = term(&group, staying[0]);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(term_of(&group.handle(staying[0])), term, "there was an election for one that was removed");
    writer.goes_on().await;
    writer.ends_well(&group, &staying).await;
}

fn term(group: &Group, member: usize) -> u64 {
    term_of(&group.handle(member))
}

fn term_of(handle: &GroupHandle) -> u64 {
    match handle.status().protocol {
        Some(Protocol::Raft { term, .. }) => term,
        other => panic!("{other:?}"),
    }
}

async fn removed(group: &Group, member: usize) {
    eventually("it knows that it was removed", async || {
        group.handle(member).status().not_ready_because.filter(|why| why.contains("was removed"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_leave_a_group_that_can_not_go_on_is_refused() {
    let mut group = Group::start(4).await;
    let leader = group.leader().await;
    let others: Vec<usize> = (0..4).filter(|at| *at != leader).collect();
    group.handle(leader).execute(add("a", 1)).await.unwrap();
    group.kill(others[2]).await;
    // Of the four three are there. Without one of these, two of three are left: enough.
    assert_eq!(group.ask_to_remove(leader, others[1]).await, Changed::Done);
    let refused = group.ask_to_remove(leader, others[2]).await;
    assert!(
        matches!(&refused, Changed::Refused(why) if why.contains("2 voters would be left")),
        "{refused:?}"
    );

    // A new one is needed first; then the dead one may go, and it need not be asked for that.
    let new = group.start_new().await;
    let wrong = group.address(others[0]);
    assert_eq!(group.ask_to_add(others[0], new).await, Changed::Learning);
    serves(&group, new).await;
    let taken = SeatChange::Add { seat: 9, name: "x".into(), address: wrong };
    let refused = group.ask(leader, taken).await;
    assert!(matches!(&refused, Changed::Refused(why) if why.contains("has seat")), "{refused:?}");
    // Somebody takes one of those that vote for one of his own, which never got that seat.
    let mistaken = SeatChange::Remove { seat: new, name: "spare".into(), address: None };
    let refused = group.ask(others[0], mistaken).await;
    assert!(matches!(&refused, Changed::Refused(why) if why.contains("is that of")), "{refused:?}");
    assert_eq!(group.ask_to_remove(leader, others[2]).await, Changed::Done);
    let mut left = vec![leader, others[0], new];
    left.sort_unstable();
    all_know(&group, &left).await;
    assert_eq!(group.value(new, "a").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_refused_while_most_of_those_that_would_be_left_do_not_answer() {
    let mut group = Group::start(5).await;
    let leader = group.leader().await;
    let others: Vec<usize> = (0..5).filter(|at| *at != leader).collect();
    group.kill(others[0]).await;
    group.kill(others[1]).await;
    let refused = group.ask_to_remove(leader, others[2]).await;
    assert!(matches!(&refused, Changed::Refused(why) if why.contains("only 2 answer")), "{refused:?}");
    // Nothing has happened: three of five still are a majority.
    add_one(&[group.handle(others[3])], "a").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_the_leader_does_not_say_what_is_true_no_more() {
    let (group, network) = Group::start_relayed(4).await;
    let old = group.leader().await;
    let others: Vec<usize> = (0..4).filter(|at| *at != old).collect();
    for other in &others {
        network.cut(old, *other);
        network.cut(*other, old);
    }
    // By all that it knows, that one has its seat, so that nobody can be added there.
    let asked = group.ask_to_add(old, others[2]);
    let meanwhile = async {
        eventually("the others remove it", async || {
            (group.ask_to_remove(others[0], others[2]).await == Changed::Done).then_some(())
        })
        .await;
        network.mend();
    };
    let (asked, ()) = tokio::join!(asked, meanwhile);
    assert!(matches!(asked, Changed::Learning | Changed::NotNow(_)), "{asked:?}");
}

#[tokio::test]
async fn who_asks_for_too_much_at_once_is_told_so() {
    let group = Group::start(3).await;
    group.leader().await;
    let asked = (0..100).map(|_| group.ask_to_remove(0, 1));
    let changed = futures::future::join_all(asked).await;
    let overloaded = changed.iter().filter(|changed| **changed == Changed::Overloaded).count();
    assert_eq!(overloaded, 100 - 8, "{changed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_one_catches_up_from_a_snapshot() {
    let mut group = Group::start(3).await;
    let leader = group.leader().await;
    for _ in 0..20 {
        add_one(&[group.handle(leader)], "a").await;
    }
    group.running[leader].as_ref().unwrap().running.compact().await.unwrap();
    let new = group.start_new().await;
    assert_eq!(group.ask_to_add(leader, new).await, Changed::Learning);
    serves(&group, new).await;
    assert!(group.handle(new).status().first > 1, "it has the log from the beginning");
    assert_eq!(group.value(new, "a").await, 20);
}
