//! The log against a model in a plain vector: random appends, truncations, purges and reopenings.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use agora_storage::{Directory, Identity, LogBatch, StorageError};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<usize>),
    Replace { keep: usize, sizes: Vec<usize> },
    Purge(usize),
    PurgeBeyond { before: Vec<usize>, beyond: u64, after: Vec<usize> },
    Gap(u64),
    Reopen,
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    let size = prop_oneof![8 => 0_usize..40, 8 => 8000_usize..20_000, 1 => Just(3_000_000)];
    proptest::collection::vec(size, 0..6)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => sizes().prop_map(Step::Append),
        2 => (0_usize..8, sizes()).prop_map(|(keep, sizes)| Step::Replace { keep, sizes }),
        2 => (0_usize..8).prop_map(Step::Purge),
        2 => (sizes(), 0_u64..20, sizes())
            .prop_map(|(before, beyond, after)| Step::PurgeBeyond { before, beyond, after }),
        1 => (1_u64..9).prop_map(Step::Gap),
        2 => Just(Step::Reopen),
    ]
}

#[derive(Default)]
struct Model {
    next: u64,
    purged: Option<u64>,
    entries: Vec<(u64, Vec<u8>)>,
    writes: u32,
}

impl Model {
    fn append(&mut self, sizes: &[usize]) -> Vec<(u64, Vec<u8>)> {
        let mut appended = Vec::new();
        for size in sizes {
            let salt = self.writes as usize;
            appended.push((self.next, (0..*size).map(|at| (at * 31 + salt) as u8).collect()));
            self.next += 1;
        }
        self.entries.extend(appended.iter().cloned());
        appended
    }

    fn purge(&mut self, upto: u64) {
        self.purged = self.purged.max(Some(upto));
        self.entries.retain(|(position, _)| *position > upto);
        self.next = self.next.max(upto + 1);
    }
}

fn identity() -> Identity {
    Identity { cluster: "c".into(), node: "n".into(), database: "d".into() }
}

/// A fresh seed, printed with a failure, or the one that AGORA_SEED asks for.
fn config() -> ProptestConfig {
    let given = std::env::var("AGORA_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| std::process::id().into());
    println!("replay with AGORA_SEED={seed}");
    ProptestConfig {
        cases: 40,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_log_does_what_a_vector_does(steps in proptest::collection::vec(step(), 1..25)) {
        let root = tempfile::tempdir().unwrap();
        let mut directory = Directory::open(root.path(), &identity()).unwrap();
        let mut model = Model { next: 1, ..Model::default() };
        for step in steps {
            model.writes += 1;
            let log = directory.log();
            let meta = vec![("writes", Some(model.writes.to_be_bytes().to_vec()))];
            match step {
                Step::Append(sizes) => {
                    let append = model.append(&sizes);
                    log.write(LogBatch { meta, append, ..LogBatch::default() }).unwrap();
                },
                Step::Replace { keep, sizes } => {
                    let start = model.next - model.entries.len() as u64;
                    let after = start + (keep.min(model.entries.len())) as u64 - 1;
                    model.entries.retain(|(position, _)| *position <= after);
                    model.next = after + 1;
                    let append = model.append(&sizes);
                    log.write(LogBatch { meta, truncate_after: Some(after), append, purge_upto: None }).unwrap();
                },
                Step::Purge(count) => {
                    let upto = model.next - 1 - (model.entries.len().saturating_sub(count)) as u64;
                    model.purge(upto);
                    log.write(LogBatch { meta, purge_upto: Some(upto), ..LogBatch::default() }).unwrap();
                },
                Step::PurgeBeyond { before, beyond, after } => {
                    // Three writes folded into one batch: what the purge takes along need not be there.
                    let mut append = model.append(&before);
                    let upto = model.next + beyond;
                    model.purge(upto);
                    append.extend(model.append(&after));
                    log.write(LogBatch { meta, append, purge_upto: Some(upto), ..LogBatch::default() }).unwrap();
                },
                Step::Gap(gap) => {
                    model.writes -= 1;
                    if model.entries.is_empty() && model.purged.is_none() {
                        // An unused log may start anywhere.
                        continue;
                    }
                    let append = vec![(model.next + gap, vec![])];
                    let refused = log.write(LogBatch { meta, append, ..LogBatch::default() });
                    let told = matches!(refused, Err(StorageError::Gap { .. }));
                    prop_assert!(told, "a gap was not refused");
                },
                Step::Reopen => {
                    model.writes -= 1;
                    drop((log, directory));
                    directory = Directory::open(root.path(), &identity()).unwrap();
                },
            }
            check(&directory, &model)?;
        }
    }
}

fn check(directory: &Directory, model: &Model) -> Result<(), TestCaseError> {
    let log = directory.log();
    prop_assert_eq!(log.first(), model.entries.first().map(|entry| entry.0));
    prop_assert_eq!(log.last(), model.entries.last().map(|entry| entry.0));
    prop_assert_eq!(log.purged(), model.purged);
    prop_assert!(log.read(.., usize::MAX).unwrap() == model.entries);
    if let Some((first, bytes)) = model.entries.first() {
        prop_assert!(log.read(first.., 0).unwrap() == vec![(*first, bytes.clone())], "at least one entry");
        prop_assert!(log.read(first + 1.., usize::MAX).unwrap() == model.entries[1..]);
    }
    let writes = log.meta("writes").map(|bytes| u32::from_be_bytes(bytes.try_into().unwrap()));
    prop_assert_eq!(writes.unwrap_or(0), model.writes);
    Ok(())
}
