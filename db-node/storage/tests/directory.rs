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
        state.put_meta("name", b"value").unwrap();
        state.sync().unwrap();
    }
    let directory = open(&path).unwrap();
    let log = directory.log();
    assert_eq!((log.first(), log.last(), log.purged()), (Some(6), Some(8), Some(5)));
    assert_eq!(log.read(.., usize::MAX).unwrap(), (6..9).map(entry).collect::<Vec<_>>());
    assert_eq!(log.meta("vote").unwrap().as_deref(), Some(&b"v1"[..]));
    assert_eq!(log.meta("other").unwrap(), None);
    let state = directory.state();
    assert_eq!(state.position().unwrap().as_deref(), Some(&b"p2"[..]));
    assert_eq!(state.records().map(Result::unwrap).collect::<Vec<_>>(), [(b"b".to_vec(), b"2".to_vec())]);
    assert_eq!(state.meta("name").unwrap().as_deref(), Some(&b"value"[..]));
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
    for lost in ["identity", "log", "state", "log/db", "state/db"] {
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
    fs::remove_dir_all(root.path().join("state")).unwrap();
    let directory = open(root.path()).unwrap();
    assert_eq!(directory.log().last(), None);
    assert!(fs::read_to_string(&path).unwrap().contains("phase = complete"));
}

#[test]
fn a_damaged_entry_is_reported_and_not_served() {
    let root = tempfile::tempdir().unwrap();
    {
        let log = open(root.path()).unwrap().log();
        let append = (1..4).map(|position| (position, vec![b'x'; 20_000])).collect();
        log.write(LogBatch { append, ..LogBatch::default() }).unwrap();
        log.sync().unwrap();
    }
    for damage in [damage_a_byte, lose_a_piece, lose_an_entry] {
        let copy = tempfile::tempdir().unwrap();
        copy_all(root.path(), copy.path());
        damage(&copy.path().join("log"));
        let log = open(copy.path()).unwrap().log();
        assert_eq!(log.read(1..2, usize::MAX).unwrap().len(), 1, "the entry before it is sound");
        let refused = log.read(.., usize::MAX).unwrap_err();
        assert!(matches!(refused, StorageError::Damaged { .. }), "{refused}");
        assert!(refused.to_string().contains("log position 2"), "{refused}");
    }
}

fn second_piece_of_second_entry(log: &sled::Db) -> sled::IVec {
    log.scan_prefix([b'e', 0, 0, 0, 0, 0, 0, 0, 2]).keys().nth(1).unwrap().unwrap()
}

fn damage_a_byte(path: &Path) {
    let log = sled::open(path).unwrap();
    let key = second_piece_of_second_entry(&log);
    let mut value = log.get(&key).unwrap().unwrap().to_vec();
    value[100] ^= 1;
    log.insert(key, value).unwrap();
}

fn lose_a_piece(path: &Path) {
    let log = sled::open(path).unwrap();
    log.remove(second_piece_of_second_entry(&log)).unwrap();
}

fn lose_an_entry(path: &Path) {
    let log = sled::open(path).unwrap();
    for key in log.scan_prefix([b'e', 0, 0, 0, 0, 0, 0, 0, 2]).keys() {
        log.remove(key.unwrap()).unwrap();
    }
}

fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&to).unwrap();
            copy_all(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
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
