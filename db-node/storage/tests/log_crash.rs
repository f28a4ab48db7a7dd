//! What a crash leaves of the log, and what is no crash but damage.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::path::{Path, PathBuf};

use agora_storage::{Directory, Identity, Log, LogBatch, StorageError};
use proptest::prelude::*;
use proptest::sample::Index;

fn open(root: &Path) -> Result<Log, StorageError> {
    let identity = Identity { cluster: "c".into(), node: "n".into(), database: "d".into() };
    Directory::open(root, &identity).map(|directory| directory.log())
}

fn append(entries: impl IntoIterator<Item = (u64, usize)>) -> LogBatch {
    let append = entries.into_iter().map(|(position, bytes)| (position, vec![position as u8 | 1; bytes]));
    LogBatch { append: append.collect(), ..LogBatch::default() }
}

fn segment(root: &Path, number: u64) -> PathBuf {
    root.join("log").join(format!("{number:016x}.log"))
}

/// Of a frame, before its payload.
const HEADER_BYTES: usize = 20;

/// Where the frames of a segment end. (The zeros behind them don't tell: a frame may end with some.)
fn end(path: &Path) -> usize {
    let bytes = fs::read(path).unwrap();
    let mut end = 0;
    while bytes[end..].starts_with(b"agl1") {
        let length = u32::from_be_bytes(bytes[end + 4..end + 8].try_into().unwrap());
        end += HEADER_BYTES + length as usize;
    }
    end
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// A log of as many segments as that, with entries of a megabyte, all of them synced.
fn with_segments(root: &Path, segments: u64) -> Log {
    let log = open(root).unwrap();
    let mut position = 1;
    while !segment(root, segments).exists() {
        log.write(append([(position, 1 << 20)])).unwrap();
        position += 1;
    }
    log.sync().unwrap();
    log
}

fn refused_as_damaged(root: &Path) -> String {
    let refused = open(root).unwrap_err();
    assert!(matches!(refused, StorageError::Damaged { .. }), "{refused}");
    assert!(refused.to_string().contains(&root.display().to_string()), "{refused}");
    refused.to_string()
}

#[test]
fn a_changed_byte_of_what_was_durable_is_damage_and_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let log = open(root.path()).unwrap();
    for position in 1..4 {
        log.write(append([(position, 20_000)])).unwrap();
        log.sync().unwrap();
    }
    drop(log);
    let path = segment(root.path(), 1);
    let good = fs::read(&path).unwrap();
    for at in [0, 10, 100, 5_000, 21_000, 40_000] {
        change(&path, |bytes| bytes[at] ^= 1);
        refused_as_damaged(root.path());
        assert_eq!(fs::read(&path).unwrap().len(), good.len());
        fs::write(&path, &good).unwrap();
    }
    assert_eq!(open(root.path()).unwrap().last(), Some(3));
}

#[test]
fn an_entry_that_changes_under_an_open_log_is_reported_and_not_served() {
    let root = tempfile::tempdir().unwrap();
    let log = open(root.path()).unwrap();
    log.write(append((1..4).map(|position| (position, 20_000)))).unwrap();
    change(&segment(root.path(), 1), |bytes| bytes[30_000] ^= 1);
    assert_eq!(log.read(1..2, usize::MAX).unwrap().len(), 1, "the entry before it is sound");
    let refused = log.read(.., usize::MAX).unwrap_err();
    assert!(matches!(refused, StorageError::Damaged { .. }), "{refused}");
    assert!(refused.to_string().contains("log position 2"), "{refused}");
}

#[test]
fn a_lost_segment_is_damage() {
    let root = tempfile::tempdir().unwrap();
    drop(with_segments(root.path(), 4));
    for lost in 1..=4 {
        let (path, kept) = (segment(root.path(), lost), root.path().join("kept"));
        fs::rename(&path, &kept).unwrap();
        refused_as_damaged(root.path());
        fs::rename(&kept, &path).unwrap();
    }
    open(root.path()).unwrap();
    fs::write(root.path().join("log/notes.txt"), "what is this?").unwrap();
    assert!(refused_as_damaged(root.path()).contains("notes.txt"));
}

#[test]
fn a_crash_while_a_segment_is_begun_costs_nothing() {
    let root = tempfile::tempdir().unwrap();
    let log = with_segments(root.path(), 2);
    let last = log.last().unwrap();
    drop(log);
    // The third segment was created, and part of its first frame is there.
    let first_frame = fs::read(segment(root.path(), 2)).unwrap();
    for bytes in [0, 5, 30] {
        fs::write(segment(root.path(), 3), &first_frame[..bytes]).unwrap();
        let log = open(root.path()).unwrap();
        assert_eq!(log.last(), Some(last));
        assert!(!segment(root.path(), 3).exists());
    }
    // Of the second one only its first frame is there, and the first does not yet say that it follows.
    let first = segment(root.path(), 1);
    let said = end(&first);
    change(&first, |bytes| bytes[said - 21..].fill(0));
    open(root.path()).unwrap();
}

#[test]
fn segments_go_when_their_entries_are_purged_and_the_rest_is_as_it_was() {
    let root = tempfile::tempdir().unwrap();
    let log = open(root.path()).unwrap();
    let meta = vec![("vote", Some(b"v1".to_vec()))];
    log.write(LogBatch { meta, ..append([(1, 10)]) }).unwrap();
    for position in 2..200 {
        log.write(append([(position, 1 << 20)])).unwrap();
        if position % 10 == 0 {
            log.write(LogBatch {
                truncate_after: Some(position - 3),
                ..append([(position - 2, 7), (position - 1, 7), (position, 7)])
            })
            .unwrap();
        }
        if position > 40 {
            log.write(LogBatch { purge_upto: Some(position - 30), ..LogBatch::default() }).unwrap();
        }
        assert!(log.disk_bytes() < 70 << 20, "{}", log.disk_bytes());
    }
    assert!(!segment(root.path(), 1).exists());
    let found = (log.first(), log.last(), log.purged(), log.meta("vote"));
    let entries = log.read(.., usize::MAX).unwrap();
    assert_eq!(found, (Some(170), Some(199), Some(169), Some(b"v1".to_vec())));
    drop(log);
    let log = open(root.path()).unwrap();
    assert_eq!((log.first(), log.last(), log.purged(), log.meta("vote")), found);
    assert!(log.read(.., usize::MAX).unwrap() == entries);
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<usize>),
    Replace(usize),
    Purge(u64),
    Sync,
}

/// What happens to what was not durable.
#[derive(Clone, Debug)]
enum Crash {
    CutAt(Index),
    ZeroesFrom(Index, Index),
    Flip(Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => proptest::collection::vec(0_usize..3000, 1..4).prop_map(Step::Append),
        1 => (0_usize..500).prop_map(Step::Replace),
        1 => (0_u64..4).prop_map(Step::Purge),
        2 => Just(Step::Sync),
    ]
}

fn crash() -> impl Strategy<Value = Crash> {
    prop_oneof![
        any::<Index>().prop_map(Crash::CutAt),
        any::<(Index, Index)>().prop_map(|(from, to)| Crash::ZeroesFrom(from, to)),
        any::<Index>().prop_map(Crash::Flip),
    ]
}

type Content = (Option<u64>, Vec<(u64, Vec<u8>)>);

fn content(log: &Log) -> Content {
    (log.purged(), log.read(.., usize::MAX).unwrap())
}

fn batch(log: &Log, step: &Step) -> LogBatch {
    let next = log.last().max(log.purged()).map_or(1, |last| last + 1);
    match step {
        Step::Append(sizes) => append((next..).zip(sizes.iter().copied())),
        Step::Replace(bytes) => match log.last() {
            Some(last) => LogBatch { truncate_after: Some(last - 1), ..append([(last, *bytes)]) },
            None => append([(next, *bytes)]),
        },
        Step::Purge(beyond) => {
            LogBatch { purge_upto: Some(log.purged().unwrap_or(0) + beyond), ..LogBatch::default() }
        }
        Step::Sync => LogBatch::default(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever becomes of what was not durable: each batch is there as a whole or not at all, none without those before
    /// it, and all that were synced are there; and the log goes on from there.
    #[test]
    fn a_crash_leaves_a_prefix_with_all_that_was_synced(
        steps in proptest::collection::vec(step(), 1..20),
        crash in crash(),
    ) {
        let root = tempfile::tempdir().unwrap();
        let log = open(root.path()).unwrap();
        let path = segment(root.path(), 1);
        // What may be found after the crash: the first is what was durable.
        let mut possible = vec![content(&log)];
        let mut durable = end(&path);
        for step in &steps {
            if let Step::Sync = step {
                log.sync().unwrap();
                possible = vec![content(&log)];
                durable = end(&path);
            } else {
                log.write(batch(&log, step)).unwrap();
                possible.push(content(&log));
            }
        }
        drop(log);
        let written = end(&path);
        let place = |index: &Index| durable + index.index(written - durable + 1);
        change(&path, |bytes| match &crash {
            Crash::CutAt(at) => bytes.truncate(place(at)),
            Crash::ZeroesFrom(from, to) => {
                let (from, to) = (place(from), place(to));
                bytes[from.min(to)..from.max(to)].fill(0);
            }
            Crash::Flip(at) if written > durable => bytes[place(at).min(written - 1)] ^= 8,
            Crash::Flip(_) => {}
        });
        let log = open(root.path()).unwrap();
        let found = content(&log);
        prop_assert!(possible.contains(&found), "{found:?}");
        log.write(batch(&log, &Step::Append(vec![5, 6]))).unwrap();
        let further = content(&log);
        drop(log);
        prop_assert!(content(&open(root.path()).unwrap()) == further);
    }
}
