//! A replica and its store: what is there after reopening, after an installation, and after a failed one.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use agora_group::{Replica, ReplicaError};
use agora_machine::{Record, StateMachine, Timestamp};
use agora_storage::{Compaction, Directory, Identity};
use support::{Counters, add, number};

fn open(path: &Path) -> Replica<Counters> {
    let identity = Identity { cluster: "c".into(), node: "n".into(), database: "d".into() };
    Replica::open(Directory::open(path, &identity).unwrap().state()).unwrap()
}

fn value(replica: &Replica<Counters>, name: &str) -> u64 {
    number(&replica.query(Timestamp(0), name.as_bytes()).unwrap())
}

#[test]
fn a_reopened_replica_is_where_it_was_synced() {
    let root = tempfile::tempdir().unwrap();
    let checksum = {
        let replica = open(root.path());
        assert_eq!(replica.position(), None);
        let batch: Vec<_> =
            (0..3000_u64).map(|at| (Timestamp(at), add(&format!("c{}", at % 1500), at))).collect();
        let responses = replica.apply(&batch, b"p1".to_vec()).unwrap();
        assert_eq!(number(&responses[2999]), 1499 + 2999);
        replica.apply(&[(Timestamp(9000), add("c0", 1))], b"p2".to_vec()).unwrap();
        assert_eq!(replica.sync().unwrap().as_deref(), Some(&b"p2"[..]));
        replica.checksum()
    };
    let replica = open(root.path());
    assert_eq!(replica.position().as_deref(), Some(&b"p2"[..]));
    assert_eq!(value(&replica, "c0"), 1501);
    assert_eq!(replica.checksum(), checksum);
}

#[test]
fn what_is_saved_on_the_way_is_a_state_between_two_batches() {
    let root = tempfile::tempdir().unwrap();
    let replica = open(root.path());
    let store = {
        for at in 1..=400_u64 {
            let batch = [(Timestamp(at), add("a", 1)), (Timestamp(at), add("b", 1))];
            replica.apply(&batch, at.to_be_bytes().to_vec()).unwrap();
        }
        drop(replica);
        open(root.path())
    };
    let position = store.position().map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()));
    assert_eq!((value(&store, "a"), value(&store, "b")), (position, position));
}

#[test]
fn an_installed_state_replaces_all_and_survives() {
    let root = tempfile::tempdir().unwrap();
    let mut other = Counters::default();
    for at in 0..5000 {
        other.apply(Timestamp(at), &add(&format!("n{at}"), at));
    }
    {
        let replica = open(root.path());
        replica.apply(&[(Timestamp(1), add("old", 1))], b"p1".to_vec()).unwrap();
        replica.install(other.records(), b"p7".to_vec()).unwrap();
        assert_eq!(value(&replica, "old"), 0);
        replica.apply(&[(Timestamp(9000), add("n7", 1))], b"p8".to_vec()).unwrap();
        replica.sync().unwrap();
    }
    let replica = open(root.path());
    assert_eq!(replica.position().as_deref(), Some(&b"p8"[..]));
    assert_eq!((value(&replica, "n7"), value(&replica, "n4999")), (8, 4999));
}

#[test]
fn a_store_that_is_compacted_while_commands_are_applied_has_them_all() {
    let root = tempfile::tempdir().unwrap();
    let checksum = {
        let identity = Identity { cluster: "c".into(), node: "n".into(), database: "d".into() };
        let store = Directory::open(root.path(), &identity).unwrap().state();
        let replica: Replica<Counters> = Replica::open(store.clone()).unwrap();
        let compactions = AtomicU64::new(0);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let compactor = scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let compacted = store.compact(&mut || true);
                    assert!(matches!(compacted, Ok(Compaction::Done { .. })), "{compacted:?}");
                    compactions.fetch_add(1, Ordering::Relaxed);
                }
            });
            let mut at = 0;
            while at < 200 || (compactions.load(Ordering::Relaxed) < 5 && !compactor.is_finished()) {
                at += 1;
                let command = |n: u64| (Timestamp(at), add(&format!("c{}", (at * 7919 + n) % 3000), n));
                let batch: Vec<_> = (0..50).map(command).collect();
                replica.apply(&batch, at.to_be_bytes().to_vec()).unwrap();
                if at % 3 == 0 {
                    replica.sync().unwrap();
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        replica.sync().unwrap();
        (replica.position(), replica.checksum())
    };
    let replica = open(root.path());
    assert_eq!((replica.position(), replica.checksum()), checksum);
}

#[test]
fn a_failed_installation_leaves_the_old_state() {
    let root = tempfile::tempdir().unwrap();
    {
        let replica = open(root.path());
        replica.apply(&[(Timestamp(1), add("old", 1))], b"p1".to_vec()).unwrap();
        let foreign = Record { key: vec![77].into(), value: vec![1].into() };
        let good: Vec<_> = Counters::default().records().collect();
        assert!(replica.install(good.iter().cloned().chain([foreign]), b"p2".to_vec()).is_err());
        let cut_off = good.into_iter().map(Ok).chain([Err("cut off")]);
        assert!(replica.try_install(cut_off, b"p2".to_vec()).is_err());
        assert_eq!(value(&replica, "old"), 1);
        replica.sync().unwrap();
    }
    let replica = open(root.path());
    assert_eq!(replica.position().as_deref(), Some(&b"p1"[..]));
    assert_eq!(value(&replica, "old"), 1);
}

#[test]
fn a_snapshot_does_not_change_with_what_is_applied_later() {
    let root = tempfile::tempdir().unwrap();
    let replica = open(root.path());
    replica.apply(&[(Timestamp(1), add("a", 1))], b"p1".to_vec()).unwrap();
    let (position, machine) = replica.snapshot();
    replica.apply(&[(Timestamp(2), add("a", 1))], b"p2".to_vec()).unwrap();
    assert_eq!((position.as_deref(), machine.value("a")), (Some(&b"p1"[..]), 1));
    assert_eq!(value(&replica, "a"), 2);
}

#[test]
fn what_a_state_machine_left_when_it_panicked_is_neither_seen_nor_saved() {
    let root = tempfile::tempdir().unwrap();
    {
        let replica = open(root.path());
        replica.apply(&[(Timestamp(1), add("a", 1))], b"p1".to_vec()).unwrap();
        let half = [(Timestamp(2), add("a", 1)), (Timestamp(2), add(support::BUG, 1))];
        let applied = catch_unwind(AssertUnwindSafe(|| replica.apply(&half, b"p2".to_vec())));
        assert!(applied.is_err());
        assert!(matches!(replica.sync(), Err(ReplicaError::Torn)));
        assert!(matches!(replica.apply(&half[..1], b"p2".to_vec()), Err(ReplicaError::Torn)));
        assert!(catch_unwind(AssertUnwindSafe(|| replica.query(Timestamp(0), b"a"))).is_err());
    }
    let replica = open(root.path());
    let position = replica.position();
    let saved = (position.as_deref(), value(&replica, "a"));
    assert!(saved == (Some(&b"p1"[..]), 1) || saved == (None, 0), "{saved:?}");
}
