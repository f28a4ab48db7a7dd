//! What happens to a data directory that is reopened, foreign, damaged or in use.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::path::Path;

use agora_storage::{Directory, Identity, LogBatch, StorageError};

fn identity(node: &str) -> Identity {
    Identity { cluster: "agora".into(), node: node.into(), database: "product".into() }
}

fn open(path: &Path) -> Result<Directory, StorageError> {
    Directory::open(path, &identity("product-1"))
}

fn entry(position: u64) -> (u64, Vec<u8>) {
    (position, format!("entry {position}").into_bytes())
}

#[test]
fn what_was_written_is_there_after_reopening() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("node");
    {
        let directory = open(&path).unwrap();
        let log = directory.log();
        let meta = vec![("vote", Some(b"v1".to_vec())), ("other", Some(b"x".to_vec()))];
        log.write(LogBatch { meta, append: (5..9).map(entry).collect(), ..LogBatch::default() }).unwrap();
        log.write(LogBatch { meta: vec![("other", None)], purge_upto: Some(5), ..LogBatch::default() })
            .unwrap();
        log.sync().unwrap();
        let state = directory.state();
        state.commit([(b"a", Some(b"1")), (b"b", Some(b"2"))].into_iter(), b"p1").unwrap();
        state.commit([(b"a", None::<&[u8]>)].into_iter(), b"p2").unwrap();
        state.sync().unwrap();
    }
    let directory = open(&path).unwrap();
    let log = directory.log();
    assert_eq!((log.first(), log.last(), log.purged()), (Some(6), Some(8), Some(5)));
    assert_eq!(log.read(.., usize::MAX).unwrap(), (6..9).map(entry).collect::<Vec<_>>());
    assert_eq!(log.meta("vote").as_deref(), Some(&b"v1"[..]));
    assert_eq!(log.meta("other"), None);
    let state = directory.state();
    assert_eq!(state.position().unwrap().as_deref(), Some(&b"p2"[..]));
    assert_eq!(state.records().map(Result::unwrap).collect::<Vec<_>>(), [(b"b".to_vec(), b"2".to_vec())]);
}

#[test]
fn a_directory_keeps_its_disk_id_and_its_successor_gets_another() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("node");
    let first = open(&path).unwrap().disk();
    assert_eq!(open(&path).unwrap().disk(), first);
    fs::remove_dir_all(&path).unwrap();
    assert_ne!(open(&path).unwrap().disk(), first);
}

#[test]
fn a_directory_is_open_once_at_a_time() {
    let root = tempfile::tempdir().unwrap();
    let directory = open(root.path()).unwrap();
    let log = directory.log();
    drop(directory);
    let refused = open(root.path()).unwrap_err();
    assert!(matches!(refused, StorageError::InUse { .. }), "{refused}");
    assert!(refused.to_string().contains(&root.path().display().to_string()), "{refused}");
    drop(log);
    open(root.path()).unwrap();
}

#[test]
fn another_nodes_directory_is_refused_and_left_alone() {
    let root = tempfile::tempdir().unwrap();
    drop(open(root.path()).unwrap());
    let refused = Directory::open(root.path(), &identity("product-2")).unwrap_err();
    assert!(matches!(refused, StorageError::Foreign { .. }), "{refused}");
    let text = refused.to_string();
    assert!(text.contains("product-1") && text.contains("product-2"), "{text}");
    open(root.path()).unwrap();
}

#[test]
fn a_directory_of_other_things_is_refused_and_left_alone() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("thesis.tex"), "precious").unwrap();
    let refused = open(root.path()).unwrap_err();
    assert!(matches!(refused, StorageError::NotADataDirectory { .. }), "{refused}");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn a_lost_identity_or_database_is_damage_and_never_a_fresh_start() {
    for lost in ["identity", "log", "state-1", "log/0000000000000001.log", "state-1/db", "state-1/base"] {
        let root = tempfile::tempdir().unwrap();
        drop(open(root.path()).unwrap());
        let path = root.path().join(lost);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            fs::remove_file(path).unwrap()
        }
        let refused = open(root.path()).unwrap_err();
        let told = matches!(refused, StorageError::Damaged { .. } | StorageError::NotADataDirectory { .. });
        assert!(told, "without {lost}: {refused}");
    }
}

#[test]
fn a_creation_that_was_cut_off_is_begun_again() {
    let root = tempfile::tempdir().unwrap();
    drop(open(root.path()).unwrap());
    let path = root.path().join("identity");
    let complete = fs::read_to_string(&path).unwrap();
    let (body, _) = complete.split_once("checksum").unwrap();
    let body = body.replace("phase = complete", "phase = creating");
    fs::write(&path, format!("{body}checksum = {:08x}\n", crc32fast::hash(body.as_bytes()))).unwrap();
    fs::remove_dir_all(root.path().join("state-1")).unwrap();
    let directory = open(root.path()).unwrap();
    assert_eq!(directory.log().last(), None);
    assert!(fs::read_to_string(&path).unwrap().contains("phase = complete"));
}

#[test]
fn a_state_is_replaced_as_a_whole_or_not_at_all() {
    let root = tempfile::tempdir().unwrap();
    let records = |state: &agora_storage::StateStore| state.records().map(Result::unwrap).collect::<Vec<_>>();
    {
        let state = open(root.path()).unwrap().state();
        state.commit([(b"old", Some(b"1"))].into_iter(), b"p1").unwrap();
        state.sync().unwrap();
        let mut cut_off = state.stage().unwrap();
        cut_off.put(b"never", b"seen").unwrap();
    }
    {
        let state = open(root.path()).unwrap().state();
        assert_eq!(records(&state), [(b"old".to_vec(), b"1".to_vec())]);
        let new = (0..5000_u32).map(|number| (number.to_be_bytes(), [7; 100]));
        state.install(new, b"p9").unwrap();
    }
    let state = open(root.path()).unwrap().state();
    assert_eq!(state.position().unwrap().as_deref(), Some(&b"p9"[..]));
    assert_eq!(records(&state).len(), 5000);
    state.commit([(b"more", Some(b"1"))].into_iter(), b"p10").unwrap();
    assert_eq!(records(&state).len(), 5001);
}
