//! What crashes, failing disks and others who write at the same time leave of a state that is being replaced.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::steps::{Step, watch};
use super::{Compaction, StateStore, generation};
use crate::{Directory, Identity, StorageError};

type Content = (BTreeMap<Vec<u8>, Vec<u8>>, Option<Vec<u8>>);

/// Enough for a few pieces of a compaction.
const RECORDS: u64 = 6000;
const STEPS: [Step; 6] =
    [Step::Begun, Step::Piece, Step::Durable, Step::Prepared, Step::Current, Step::Removed];

fn open(root: &Path) -> StateStore {
    let identity = Identity { cluster: "c".into(), node: "n".into(), database: "d".into() };
    Directory::open(root, &identity).unwrap().state()
}

fn content(state: &StateStore) -> Content {
    (state.records().map(Result::unwrap).collect(), state.position().unwrap())
}

fn key(at: u64) -> Vec<u8> {
    at.to_be_bytes().to_vec()
}

fn value(at: u64, round: u64) -> Vec<u8> {
    [at, round].iter().flat_map(|number| number.to_be_bytes()).cycle().take(1000).collect()
}

/// Writes every third record anew, and removes every seventh.
fn change(state: &StateStore, round: u64) {
    let every = |nth, at: &u64| (at + round).is_multiple_of(nth);
    let touched = (0..RECORDS).filter(|at| every(3, at) || every(7, at));
    let changes = touched.map(|at| (key(at), (!every(7, &at)).then(|| value(at, round))));
    state.commit(changes, &key(round)).unwrap();
}

/// A state with a base and much that has changed since.
fn filled(root: &Path) -> StateStore {
    let state = open(root);
    state.install((0..RECORDS).map(|at| (key(at), value(at, 0))), &key(0)).unwrap();
    for round in 1..4 {
        change(&state, round);
    }
    state.sync().unwrap();
    state
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => assert!(fs::copy(entry.path(), to).is_ok()),
        }
    }
}

/// Does it, and returns what a crash after each of its steps would leave.
fn crashed_after_each_step(root: &Path, act: impl FnOnce()) -> BTreeMap<Step, PathBuf> {
    let left = Rc::new(RefCell::new(BTreeMap::new()));
    let (directory, leaving) = (root.to_owned(), Rc::clone(&left));
    let watching = watch(move |step| {
        let to = directory.with_extension(format!("{step:?}"));
        if leaving.borrow_mut().insert(step, to.clone()).is_none() {
            copy(&directory, &to);
        }
        Ok(())
    });
    act();
    drop(watching);
    left.take()
}

#[test]
fn a_crash_after_any_step_of_an_installation_leaves_the_old_state_or_the_new_one() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("node");
    let state = filled(&path);
    let old = content(&state);
    let new: BTreeMap<_, _> = (0..3000).map(|at| (key(at), value(at, 9))).collect();
    let left = crashed_after_each_step(&path, || state.install(new.clone().into_iter(), b"new").unwrap());
    let new = (new, Some(b"new".to_vec()));
    let steps = STEPS.into_iter().filter(|step| *step != Step::Piece);
    assert!(left.keys().copied().eq(steps), "{:?}", left.keys());
    for (step, path) in left {
        let state = open(&path);
        let expected = if step < Step::Current { &old } else { &new };
        assert!(content(&state) == *expected, "{step:?}");
        assert_eq!(generation::all(&path).unwrap().len(), 1, "{step:?}");
    }
    assert!(content(&state) == new);
}

#[test]
fn a_crash_after_any_step_of_a_compaction_changes_nothing_and_the_next_one_succeeds() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("node");
    let state = filled(&path);
    let before = content(&state);
    let left = crashed_after_each_step(&path, || {
        assert!(matches!(state.compact(&mut || true), Ok(Compaction::Done { .. })));
    });
    assert_eq!(left.keys().copied().collect::<Vec<_>>(), STEPS);
    for (step, path) in left {
        let state = open(&path);
        assert!(content(&state) == before, "{step:?}");
        assert_eq!(generation::all(&path).unwrap().len(), 1, "{step:?}");
        change(&state, 5);
        let changed = content(&state);
        assert!(matches!(state.compact(&mut || true), Ok(Compaction::Done { .. })), "{step:?}");
        assert!(content(&state) == changed, "{step:?}");
        drop(state);
        assert!(content(&open(&path)) == changed, "{step:?}");
    }
}

#[test]
fn a_disk_that_fails_on_the_way_leaves_the_old_state_in_use_and_no_litter() {
    let root = tempfile::tempdir().unwrap();
    let state = filled(root.path());
    for fails_at in [Step::Begun, Step::Piece, Step::Durable, Step::Prepared] {
        let before = content(&state);
        let full = move |step| if step == fails_at { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) };
        let watching = watch(full);
        let failed = state.compact(&mut || true);
        assert!(matches!(failed, Err(StorageError::Io { .. })), "{fails_at:?}: {failed:?}");
        drop(watching);
        assert!(content(&state) == before, "{fails_at:?}");
        assert_eq!(generation::all(root.path()).unwrap().len(), 1, "{fails_at:?}");
        change(&state, 10 + fails_at as u64);
    }
    let before = content(&state);
    assert!(matches!(state.compact(&mut || true), Ok(Compaction::Done { .. })));
    drop(state);
    assert!(content(&open(root.path())) == before);
}

#[test]
fn if_nobody_knows_which_state_is_current_nothing_is_written_until_a_restart_has_told() {
    let root = tempfile::tempdir().unwrap();
    let state = filled(root.path());
    let before = content(&state);
    let watching = watch(|step| match step {
        Step::Current => Err(io::Error::other("the directory can't be synced")),
        _ => Ok(()),
    });
    assert!(state.compact(&mut || true).is_err());
    drop(watching);
    assert!(state.commit([(b"k", Some(b"v"))].into_iter(), b"p").is_err());
    assert!(state.sync().is_err());
    assert!(state.compact(&mut || true).is_err());
    drop(state);
    let state = open(root.path());
    assert!(content(&state) == before);
    change(&state, 5);
}

#[test]
fn changes_during_a_compaction_are_in_both_the_old_state_and_the_new_one() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("node");
    let state = filled(&path);
    let mut round = 10;
    let left = crashed_after_each_step(&path, || {
        let compacted = state.compact(&mut || {
            round += 1;
            change(&state, round);
            state.sync().unwrap();
            true
        });
        assert!(matches!(compacted, Ok(Compaction::Done { .. })));
    });
    assert!(round > 12, "changes before, at and behind the place that the compaction was at: {}", round - 10);
    let after = content(&state);
    for step in [Step::Durable, Step::Prepared, Step::Current, Step::Removed] {
        assert!(content(&open(&left[&step])) == after, "{step:?}");
    }
    let expected = open(&root.path().join("without"));
    expected.install((0..RECORDS).map(|at| (key(at), value(at, 0))), &key(0)).unwrap();
    (1..4).chain(11..=round).for_each(|round| change(&expected, round));
    assert!(content(&expected) == after);
}

#[test]
fn what_was_durable_in_the_old_state_at_the_last_moment_is_durable_in_the_new_one() {
    let root = tempfile::tempdir().unwrap();
    let (path, crashed) = (root.path().join("node"), root.path().join("crashed"));
    let state = filled(&path);
    let (changing, from, to) = (state.clone(), path.clone(), crashed.clone());
    let watching = watch(move |step| {
        match step {
            Step::Durable => {
                change(&changing, 50);
                changing.sync().unwrap();
            }
            Step::Current => copy(&from, &to),
            _ => {}
        }
        Ok(())
    });
    assert!(matches!(state.compact(&mut || true), Ok(Compaction::Done { .. })));
    drop(watching);
    assert!(content(&open(&crashed)) == content(&state));
}

#[test]
fn a_state_that_is_installed_during_a_compaction_stays() {
    let root = tempfile::tempdir().unwrap();
    let state = filled(root.path());
    let mut installed = false;
    let overtaken = state.compact(&mut || {
        if !std::mem::replace(&mut installed, true) {
            state.install([(b"only", b"one")].into_iter(), b"new").unwrap();
        }
        true
    });
    assert!(matches!(overtaken, Ok(Compaction::Overtaken)), "{overtaken:?}");
    assert_eq!(generation::all(root.path()).unwrap().len(), 1);
    state.commit([(b"more", Some(b"1"))].into_iter(), b"newer").unwrap();
    drop(state);
    let expected = BTreeMap::from([(b"only".to_vec(), b"one".to_vec()), (b"more".to_vec(), b"1".to_vec())]);
    assert_eq!(content(&open(root.path())), (expected, Some(b"newer".to_vec())));
}

#[test]
fn a_compaction_that_is_to_stop_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let state = filled(root.path());
    let before = content(&state);
    assert!(matches!(state.compact(&mut || false), Ok(Compaction::Stopped)));
    assert_eq!(generation::all(root.path()).unwrap().len(), 1);
    change(&state, 5);
    assert!(content(&state) != before);
}

#[test]
fn a_state_without_a_position_has_none_afterwards() {
    let root = tempfile::tempdir().unwrap();
    let state = open(root.path());
    assert!(matches!(state.compact(&mut || true), Ok(Compaction::Done { .. })));
    assert_eq!(content(&state), (BTreeMap::new(), None));
}

#[test]
fn records_that_come_out_of_order_are_all_there() {
    let root = tempfile::tempdir().unwrap();
    let state = open(root.path());
    let scattered = || (0..RECORDS).map(|at| (key(at * 7919 % RECORDS), value(at, 0)));
    state.install(scattered(), b"p").unwrap();
    let expected: Content = (scattered().collect(), Some(b"p".to_vec()));
    assert!(content(&state) == expected);
    assert!(matches!(state.compact(&mut || true), Ok(Compaction::Done { .. })));
    assert!(content(&state) == expected);
}

#[test]
fn disk_use_stays_bounded_however_often_the_same_records_are_written() {
    let root = tempfile::tempdir().unwrap();
    let state = filled(root.path());
    let live = |state: &StateStore| {
        content(state).0.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() as u64
    };
    for rewritten in 0..3 {
        for round in 0..8 {
            change(&state, rewritten * 8 + round);
            state.sync().unwrap();
        }
        let (before, live) = (state.disk_bytes().unwrap(), live(&state));
        assert!(before > 2 * live, "sled gave the space back itself: {before} bytes for {live}");
        assert!(matches!(state.compact(&mut || true), Ok(Compaction::Done { .. })));
        let on_disk = state.disk_bytes().unwrap();
        // What sled takes for a database with nothing in it is no part of the comparison.
        assert!(on_disk < live + live / 20 + (2 << 20), "{on_disk} bytes for {live}");
    }
}

/// What format 3 wrote: one database, in which a state that was installed had a tree of its own.
fn of_format_3(root: &Path, tree_number: Option<u64>) {
    drop(open(root));
    fs::remove_dir_all(generation::path(root, super::FIRST_GENERATION)).unwrap();
    let identity = fs::read_to_string(root.join("identity")).unwrap();
    let (body, _) = identity.split_once("checksum").unwrap();
    let body = body.replace("format = 4", "format = 3").replace("state = 1\n", "");
    fs::write(root.join("identity"), format!("{body}checksum = {:08x}\n", crc32fast::hash(body.as_bytes())))
        .unwrap();
    let database = sled::open(root.join("state")).unwrap();
    database.insert(b"\0agora", "n").unwrap();
    if let Some(number) = tree_number {
        database.insert("generation", &number.to_be_bytes()).unwrap();
    }
    let tree = database.open_tree(format!("state-{}", tree_number.unwrap_or(0))).unwrap();
    for at in 0..RECORDS {
        tree.insert([&b"r"[..], &key(at)].concat(), value(at, 0)).unwrap();
    }
    tree.insert(b"p", b"old").unwrap();
    database.flush().unwrap();
}

#[test]
fn a_directory_of_format_3_is_opened_as_it_is_and_becomes_one_of_format_4_when_it_is_compacted() {
    for tree_number in [None, Some(3)] {
        let root = tempfile::tempdir().unwrap();
        of_format_3(root.path(), tree_number);
        let mut expected: Content =
            ((0..RECORDS).map(|at| (key(at), value(at, 0))).collect(), Some(b"old".to_vec()));
        let identity = || fs::read_to_string(root.path().join("identity")).unwrap();
        let state = open(root.path());
        assert!(content(&state) == expected);
        state.commit([(key(7), None::<&[u8]>)].into_iter(), b"new").unwrap();
        expected.0.remove(&key(7));
        expected.1 = Some(b"new".to_vec());
        state.sync().unwrap();
        drop(state);
        assert!(identity().contains("format = 3"), "nothing that the earlier version could not read");
        let state = open(root.path());
        assert!(content(&state) == expected);
        assert!(matches!(state.compact(&mut || true), Ok(Compaction::Done { .. })));
        drop(state);
        assert!(identity().contains("format = 4") && !root.path().join("state").exists());
        assert!(content(&open(root.path())) == expected);
    }
}
