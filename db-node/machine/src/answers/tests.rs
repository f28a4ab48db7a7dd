use std::collections::BTreeMap;

use proptest::prelude::*;

use super::run::check;
use super::*;

const TABLE: TableId = TableId(1);
const PLENTY: u64 = 1 << 30;

/// A hash that no other number has.
fn hash(number: u64) -> Hash {
    let mut hash = [0; 32];
    for (place, chunk) in (1_u64..).zip(hash.chunks_exact_mut(8)) {
        chunk.copy_from_slice(
            &number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(7).wrapping_mul(place).to_be_bytes(),
        );
    }
    hash
}

fn load(records: impl IntoIterator<Item = Record>, bytes_max: u64) -> Result<Answers, CorruptRecord> {
    let mut loader = AnswersLoader::new(TABLE, bytes_max);
    records.into_iter().try_for_each(|record| loader.load(&record))?;
    loader.finish()
}

fn some(count: u64) -> Answers {
    let mut answers = Answers::new(TABLE, PLENTY);
    for n in 0..count {
        answers.remember(Timestamp(1000 + n), hash(n), hash(!n), &vec![7; (n % 90) as usize]);
    }
    answers
}

#[test]
fn a_key_is_answered_once_refused_when_reused_and_forgotten_in_time() {
    let mut answers = Answers::new(TABLE, 2 * ANSWER_OVERHEAD_BYTES);
    let (a, b, c) = (hash(1), hash(2), hash(3));
    assert_eq!(answers.recall(&a, &[9; 32]), Remembered::New);
    answers.remember(Timestamp(100), a, [9; 32], b"first");
    assert_eq!(answers.recall(&a, &[9; 32]), Remembered::Answered(Bytes::from_static(b"first")));
    assert_eq!(answers.recall(&a, &[8; 32]), Remembered::Reused);
    answers.remember(Timestamp(200), b, [9; 32], b"second");
    assert_eq!(answers.recall(&c, &[9; 32]), Remembered::Full);
    assert_eq!(answers.forget_older(Timestamp(1100), 1000, 10), 0, "exactly as old is not older");
    assert_eq!(answers.forget_older(Timestamp(1101), 1000, 10), 1);
    assert_eq!(answers.recall(&a, &[9; 32]), Remembered::New);
    assert_eq!(answers.recall(&b, &[9; 32]), Remembered::Answered(Bytes::from_static(b"second")));
}

#[test]
fn the_bound_is_one_of_bytes() {
    let response = [7; 1000];
    let mut answers = Answers::new(TABLE, 10_000);
    let mut count = 0;
    while answers.recall(&hash(count), &hash(0)) == Remembered::New {
        answers.remember(Timestamp(1), hash(count), hash(0), &response);
        count += 1;
    }
    assert_eq!(count, 10_000_u64.div_ceil(1000 + ANSWER_OVERHEAD_BYTES));
    assert_eq!(answers.forget_older(Timestamp(1002), 1000, 1), 1);
    assert_eq!(answers.recall(&hash(0), &hash(0)), Remembered::New, "what is forgotten makes room");
}

#[test]
fn many_answers_share_a_record() {
    let mut answers = some(1000);
    let mut changes = Vec::new();
    answers.take_changes(&mut changes);
    assert!(changes.len() < 30, "{}", changes.len());
    changes.clear();
    answers.take_changes(&mut changes);
    assert!(changes.is_empty());
    answers.remember(Timestamp(5000), hash(5000), hash(0), b"one more");
    answers.take_changes(&mut changes);
    assert!(changes.len() <= 3, "only the last run changed: {}", changes.len());
}

#[test]
fn a_clone_answers_as_its_original_does() {
    let mut answers = some(300);
    let mut clone = answers.clone();
    answers.forget_older(Timestamp(3000), 1900, usize::MAX);
    assert_eq!(answers.recall(&hash(0), &hash(!0)), Remembered::New);
    for n in 0..300 {
        assert!(matches!(clone.recall(&hash(n), &hash(!n)), Remembered::Answered(_)), "{n}");
    }
    clone.remember(Timestamp(9999), hash(300), hash(0), b"");
    assert_eq!(answers.recall(&hash(300), &hash(0)), Remembered::New);
}

#[test]
fn answers_far_apart_keep_their_times() {
    let mut answers = Answers::new(TABLE, PLENTY);
    let later = 1 + (1 << 40);
    answers.remember(Timestamp(1), hash(1), hash(1), b"");
    answers.remember(Timestamp(later), hash(2), hash(1), b"");
    assert_eq!(answers.forget_older(Timestamp(later + 9), 9, 10), 1);
    assert_eq!(answers.forget_older(Timestamp(later + 10), 9, 10), 1);
}

#[test]
fn damaged_records_are_refused() {
    let mut answers = some(200);
    answers.forget_older(Timestamp(2000), 980, usize::MAX);
    let good: Vec<Record> = answers.records().collect();
    assert!(good.len() > 3);
    assert!(load(good.clone(), PLENTY).is_ok());
    for left_out in 0..good.len() {
        let mut records = good.clone();
        records.remove(left_out);
        // Without the run that grows, what is left is just what was there before it.
        assert_eq!(load(records, PLENTY).is_err(), left_out + 2 != good.len(), "{left_out}");
    }
    for (place, record) in good.iter().enumerate() {
        for cut in (0..record.value.len()).filter(|cut| check(&record.value[..*cut]).is_err()) {
            let mut records = good.clone();
            records[place].value = record.value.slice(..cut);
            assert!(load(records, PLENTY).is_err());
        }
    }
    for oldest in [(0_u64, 10_u64), (0, 0), (0, u64::MAX), (1, 9), (u64::MAX, 9)] {
        let mut records = good.clone();
        let last = records.len() - 1;
        records[last].value = encode(&oldest);
        assert!(load(records, PLENTY).is_err(), "{oldest:?}");
    }
}

/// What happens to answers.
#[derive(Clone, Copy, Debug)]
enum Step {
    Remember { key: u64, bytes: u16 },
    Forget { kept_ms: u8, most: u8 },
    Save,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..400_u64, 0..600_u16).prop_map(|(key, bytes)| Step::Remember { key, bytes }),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(kept_ms, most)| Step::Forget { kept_ms, most }),
        1 => Just(Step::Save),
    ];
    proptest::collection::vec(step, 0..400)
}

/// What is remembered, in plain collections: by order of arrival the time, the key and the response.
#[derive(Default)]
struct Model {
    rows: Vec<(u64, u64, Vec<u8>)>,
}

impl Model {
    fn forget(&mut self, now: u64, kept_ms: u64, most: usize) -> usize {
        let due = self.rows.iter().take_while(|(at, ..)| at + kept_ms < now).count().min(most);
        self.rows.drain(..due).count()
    }

    fn agrees_with(&self, answers: &mut Answers) -> Result<(), TestCaseError> {
        prop_assert_eq!(answers.len(), self.rows.len() as u64);
        let bytes: u64 = self.rows.iter().map(|(.., response)| counted(response)).sum();
        prop_assert_eq!(answers.bytes, bytes);
        for key in 0..400 {
            let expected = match self.rows.iter().find(|(_, known, _)| *known == key) {
                Some((.., response)) => Remembered::Answered(Bytes::copy_from_slice(response)),
                None => Remembered::New,
            };
            prop_assert_eq!(answers.recall(&hash(key), &hash(!key)), expected);
        }
        Ok(())
    }
}

fn save(answers: &mut Answers, store: &mut BTreeMap<Bytes, Bytes>) {
    let mut changes = Vec::new();
    answers.take_changes(&mut changes);
    for change in changes {
        match change.value {
            Some(value) => drop(store.insert(change.key, value)),
            None => drop(store.remove(&change.key)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens, what is remembered is what the model remembers; the changes lead to the records, and these to the
    /// same answers.
    #[test]
    fn it_is_a_queue_with_an_index(steps in steps()) {
        let (mut answers, mut model) = (Answers::new(TABLE, PLENTY), Model::default());
        let mut store = BTreeMap::new();
        for (now, step) in (1_u64..).zip(steps.into_iter().chain([Step::Save])) {
            match step {
                Step::Remember { key, bytes } => {
                    if answers.recall(&hash(key), &hash(!key)) == Remembered::New {
                        let response = vec![key as u8; bytes.into()];
                        answers.remember(Timestamp(now), hash(key), hash(!key), &response);
                        model.rows.push((now, key, response));
                    }
                }
                Step::Forget { kept_ms, most } => {
                    let forgotten = answers.forget_older(Timestamp(now), kept_ms.into(), most.into());
                    prop_assert_eq!(forgotten, model.forget(now, kept_ms.into(), most.into()));
                }
                Step::Save => {
                    save(&mut answers, &mut store);
                    let records: BTreeMap<_, _> = answers.records().map(|r| (r.key, r.value)).collect();
                    prop_assert_eq!(&records, &store);
                    let stored = store.iter().map(|(k, v)| Record { key: k.clone(), value: v.clone() });
                    let mut loaded = load(stored, PLENTY).unwrap();
                    model.agrees_with(&mut loaded)?;
                    prop_assert!(loaded.records().eq(answers.records()));
                    // The one that was loaded goes on where the other was.
                    answers = loaded;
                }
            }
        }
        model.agrees_with(&mut answers)?;
    }
}
