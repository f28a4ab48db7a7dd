//! The search against a search through all orders, and at its own on long histories: what is right passes, what was spoiled
//! does not.

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

use super::{Evidence, Model, Operation, Verdict, explain};

/// A number that can be written, read, and added to.
#[derive(Clone, Copy, Debug)]
struct Number;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Write(u32),
    Read(u32),
    /// With the number that it told, if it told one.
    Add(u32, Option<u32>),
}

impl Model for Number {
    type State = u32;
    type Op = Op;

    fn initial(&self) -> u32 {
        0
    }

    fn step(&self, state: &u32, op: &Op) -> Option<u32> {
        match *op {
            Op::Write(value) => Some(value),
            Op::Read(seen) => (*state == seen).then_some(*state),
            Op::Add(units, told) => {
                let sum = state.wrapping_add(units);
                (told.is_none_or(|told| told == sum)).then_some(sum)
            }
        }
    }

    fn is_read(&self, op: &Op) -> bool {
        matches!(op, Op::Read(_))
    }
}

fn seed() -> u64 {
    let seed = std::env::var("AGORA_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| rand::random::<u32>().into());
    println!("AGORA_SEED={seed}");
    seed
}

fn op(op: Op, start_ns: u64, end_ns: impl Into<Option<u64>>) -> Operation<Op> {
    Operation { op, index: 0, start_ns, end_ns: end_ns.into() }
}

fn verdict(mut operations: Vec<Operation<Op>>) -> Verdict {
    for (index, operation) in operations.iter_mut().enumerate() {
        operation.index = index;
    }
    explain(&Number, &operations)
}

fn evidence(operations: Vec<Operation<Op>>) -> Evidence {
    match verdict(operations) {
        Verdict::Violation(evidence) => evidence,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_read_sees_the_last_write_or_one_under_way() {
    let history = |seen| vec![op(Op::Write(1), 0, 1), op(Op::Write(2), 2, 6), op(Op::Read(seen), 3, 4)];
    assert_eq!(verdict(history(1)), Verdict::Linearizable);
    assert_eq!(verdict(history(2)), Verdict::Linearizable);
    assert_eq!(evidence(history(0)).last, 2);
}

#[test]
fn two_reads_do_not_go_back_in_time() {
    let history =
        |first, second| vec![op(Op::Write(1), 0, 9), op(Op::Read(first), 2, 3), op(Op::Read(second), 4, 5)];
    assert_eq!(verdict(history(0, 1)), Verdict::Linearizable);
    assert_eq!(evidence(history(1, 0)).operations, [0, 1, 2]);
}

#[test]
fn a_write_of_unknown_outcome_takes_effect_late_or_never_but_not_twice_and_not_before() {
    let late = |seen: &[u32]| {
        let reads = seen.iter().zip(1..).map(|(seen, n)| op(Op::Read(*seen), 10 * n, 10 * n + 1));
        let add = op(Op::Add(5, None), 5, None);
        verdict([add].into_iter().chain(reads).collect())
    };
    assert_eq!(late(&[0, 0, 0]), Verdict::Linearizable);
    assert_eq!(late(&[0, 5, 5]), Verdict::Linearizable);
    assert!(matches!(late(&[0, 5, 0]), Verdict::Violation(_)));
    assert!(matches!(late(&[0, 5, 10]), Verdict::Violation(_)));
    let before = vec![op(Op::Read(5), 0, 1), op(Op::Add(5, None), 2, None)];
    assert!(matches!(verdict(before), Verdict::Violation(_)));
}

#[test]
fn the_evidence_is_what_made_the_state_and_what_contradicts_it() {
    let mut history: Vec<Operation<Op>> = Vec::new();
    for n in 0..100 {
        history.push(op(Op::Write(n), u64::from(n) * 10, u64::from(n) * 10 + 2));
        history.push(op(Op::Read(n), u64::from(n) * 10 + 4, u64::from(n) * 10 + 6));
    }
    history.push(op(Op::Read(98), 2_000, 2_001));
    let evidence = evidence(history);
    assert_eq!(
        (evidence.before, evidence.operations, evidence.last),
        (vec!["99".into()], vec![198, 200], 200)
    );
}

#[test]
fn a_write_that_explains_nothing_is_no_evidence_and_one_that_explains_another_answer_is() {
    let needless = vec![op(Op::Write(1), 0, 9), op(Op::Add(3, Some(3)), 1, 9), op(Op::Read(7), 2, 3)];
    assert_eq!(evidence(needless).operations, [2]);
    let explains = vec![op(Op::Write(1), 0, 9), op(Op::Read(1), 2, 3), op(Op::Read(0), 4, 5)];
    assert_eq!(evidence(explains).operations, [0, 1, 2]);
}

#[test]
fn a_write_is_left_out_only_if_it_would_explain_nothing_whenever_it_took_effect() {
    let history = vec![
        op(Op::Add(10, None), 0, 9),
        op(Op::Write(5), 1, 2),
        op(Op::Write(7), 3, 4),
        op(Op::Read(5), 5, 6),
    ];
    // What is read was overwritten; had it been written later, it could be read.
    assert_eq!(evidence(history).operations, [1, 2, 3]);
}

/// Tries all orders of all subsets that hold what was answered.
fn any_order_explains(operations: &[Operation<Op>]) -> bool {
    fn go(operations: &[Operation<Op>], done: &mut Vec<bool>, state: u32) -> bool {
        let open = |n: usize, done: &[bool]| !done[n] && operations[n].end_ns.is_some();
        if (0..operations.len()).all(|n| !open(n, done)) {
            return true;
        }
        (0..operations.len()).any(|n| {
            let may = !done[n]
                && (0..operations.len()).all(|other| {
                    !open(other, done) || operations[other].end_ns >= Some(operations[n].start_ns)
                });
            let Some(next) = may.then(|| Number.step(&state, &operations[n].op)).flatten() else {
                return false;
            };
            done[n] = true;
            let found = go(operations, done, next);
            done[n] = false;
            found
        })
    }
    go(operations, &mut vec![false; operations.len()], 0)
}

#[test]
fn on_small_histories_it_agrees_with_trying_all_orders() {
    let mut rng = StdRng::seed_from_u64(seed());
    let (mut right, mut wrong) = (0, 0);
    for _ in 0..20_000 {
        let count = rng.random_range(1..=6);
        let operations: Vec<Operation<Op>> = (0..count)
            .map(|_| {
                let start = rng.random_range(0..12);
                let value = rng.random_range(0..3);
                let answered = rng.random_bool(0.75);
                let what = match rng.random_range(0..3) {
                    0 => Op::Write(value),
                    1 => Op::Add(value, answered.then(|| rng.random_range(0..4))),
                    _ => Op::Read(value),
                };
                let reads = matches!(what, Op::Read(_));
                op(what, start, (answered || reads).then(|| start + rng.random_range(0..6)))
            })
            .collect();
        let expected = any_order_explains(&operations);
        let found = verdict(operations.clone());
        assert_eq!(found == Verdict::Linearizable, expected, "{operations:#?} {found:?}");
        if expected { right += 1 } else { wrong += 1 }
    }
    assert!(right > 1_000 && wrong > 1_000, "{right} right, {wrong} wrong");
}

/// A history as it comes about: clients that work at the same time on one number, each call taking effect at one moment.
fn random_history(rng: &mut StdRng, clients: u64, count: usize, unknown: f64) -> Vec<Operation<Op>> {
    struct Call {
        start: u64,
        effect: u64,
        end: u64,
        what: u32,
    }
    let mut calls = Vec::new();
    for client in 0..clients {
        let mut now = client;
        for n in 0..count / clients as usize {
            let start = now + rng.random_range(1..20);
            let end = start + rng.random_range(1..40);
            let effect = rng.random_range(start..=end);
            // Values that are written are unique.
            calls.push(Call { start, effect, end, what: n as u32 * clients as u32 + client as u32 });
            now = end;
        }
    }
    calls.sort_by_key(|call| call.effect);
    let mut state = 0;
    let mut history: Vec<Operation<Op>> = calls
        .into_iter()
        .map(|Call { start, effect, end, what }| {
            let kind = rng.random_range(0..10);
            let lost = kind < 4 && rng.random_bool(unknown);
            let happens = !lost || rng.random();
            let what = match kind {
                0 | 1 => Op::Write(1_000_000 + what * 1_000),
                2 | 3 => Op::Add(1, None),
                _ => Op::Read(state),
            };
            if happens {
                state = Number.step(&state, &what).unwrap();
            }
            let told = match what {
                Op::Add(units, _) if !lost => Op::Add(units, Some(state)),
                what => what,
            };
            let _ = effect;
            op(told, start, (!lost).then_some(end))
        })
        .collect();
    history.sort_by_key(|operation| operation.start_ns);
    history
}

#[test]
fn random_histories_that_came_about_rightly_pass() {
    let mut rng = StdRng::seed_from_u64(seed());
    for round in 0..200 {
        let unknown = if round % 2 == 0 { 0.0 } else { 0.03 };
        let history = random_history(&mut rng, 2 + round % 7, 400, unknown);
        assert_eq!(verdict(history), Verdict::Linearizable, "round {round}");
    }
}

#[test]
fn random_histories_with_one_wrong_answer_are_caught_and_the_evidence_is_short() {
    let mut rng = StdRng::seed_from_u64(seed());
    for round in 0..200 {
        let mut history = random_history(&mut rng, 2 + round % 5, 400, 0.0);
        let (spoiled, kind) = spoil(&mut rng, &mut history);
        let evidence = evidence(history.clone());
        assert!(evidence.operations.contains(&evidence.last), "round {round}: {kind}");
        assert!(evidence.operations.len() <= 40, "round {round}: {} operations", evidence.operations.len());
        let _ = spoiled;
    }
}

/// Makes one answer impossible; says where and how.
fn spoil(rng: &mut StdRng, history: &mut [Operation<Op>]) -> (usize, &'static str) {
    let mut places: Vec<usize> = (0..history.len()).collect();
    places.shuffle(rng);
    let kind = *["a value that nobody wrote", "a stale value", "an addition that counted twice"]
        .choose(rng)
        .unwrap();
    for at in places {
        let spoiled = match (kind, history[at].op) {
            ("a value that nobody wrote", Op::Read(_)) => Some(Op::Read(u32::MAX)),
            ("a stale value", Op::Read(_)) => overwritten_before(history, at).map(Op::Read),
            ("an addition that counted twice", Op::Add(units, Some(told))) => {
                // Odd thousands are nowhere near any sum that can be.
                Some(Op::Add(units, Some(told + 500)))
            }
            _ => None,
        };
        if let Some(spoiled) = spoiled {
            history[at].op = spoiled;
            return (at, kind);
        }
    }
    panic!("nothing to spoil");
}

/// A value whose successor was written, and answered, before this operation began.
fn overwritten_before(history: &[Operation<Op>], at: usize) -> Option<u32> {
    let start = history[at].start_ns;
    let written: Vec<&Operation<Op>> = history
        .iter()
        .filter(|o| matches!(o.op, Op::Write(_)) && o.end_ns.is_some_and(|end| end < start))
        .collect();
    let first = written.iter().find(|first| written.iter().any(|then| Some(then.start_ns) > first.end_ns))?;
    match first.op {
        Op::Write(value) => Some(value),
        _ => None,
    }
}
