//! What clients did to one counter, and whether one counter could have answered so.
//!
//! Each addition adds one and answers the new value, so the value that an addition answered is its place in the order of
//! all of them. Places without an answer must be those of additions whose outcome is unknown. Then it is enough to give each
//! addition the earliest time that it can have: if that is too late for it, or for a read that saw it, there is no order.

use std::collections::BTreeMap;

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Add,
    Read,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Answered(u64),
    /// It certainly did not happen.
    Refused,
    Unknown,
}

/// A call, with the times when it began and ended: no two times of a history are equal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) call: Call,
    pub(super) outcome: Outcome,
    pub(super) begun: u64,
    pub(super) ended: u64,
}

/// When something can have happened: after the first, before the second.
#[derive(Clone, Copy, Debug)]
struct Span {
    after: u64,
    before: u64,
}

impl Span {
    const ANY: Span = Span { after: 0, before: u64::MAX };

    fn narrow(&mut self, after: u64, before: u64) {
        self.after = self.after.max(after);
        self.before = self.before.min(before);
    }
}

/// Why a history is not linearizable; none if it is.
pub(super) fn violation(history: &[Operation]) -> Option<String> {
    let mut added: BTreeMap<u64, Operation> = BTreeMap::new();
    let mut reads: BTreeMap<u64, Vec<Operation>> = BTreeMap::new();
    let mut unknown: Vec<Operation> = Vec::new();
    for operation in history {
        match (operation.call, operation.outcome) {
            (Call::Add, Outcome::Answered(value)) => {
                if let Some(other) = added.insert(value, *operation) {
                    return Some(format!("two additions made it {value}: {other:?} and {operation:?}"));
                }
            }
            (Call::Add, Outcome::Unknown) => unknown.push(*operation),
            (Call::Read, Outcome::Answered(value)) => reads.entry(value).or_default().push(*operation),
            _ => {}
        }
    }
    unknown.sort_by_key(|operation| operation.begun);
    let mut unknown = unknown.into_iter();
    let highest = added.keys().chain(reads.keys()).max().copied().unwrap_or(0);
    // Reads of a value come after the addition that made it, and before the next one.
    let mut earliest = 0;
    for value in 0..=highest {
        let mut span = Span::ANY;
        match added.get(&value) {
            Some(addition) => span.narrow(addition.begun, addition.ended),
            None if value == 0 => {}
            // The one that began first leaves the most to those after it.
            None => match unknown.next() {
                Some(addition) => span.narrow(addition.begun, u64::MAX),
                None => return Some(format!("no addition can have made it {value}")),
            },
        }
        for read in value.checked_sub(1).and_then(|before| reads.get(&before)).into_iter().flatten() {
            span.narrow(read.begun, u64::MAX);
        }
        for read in reads.get(&value).into_iter().flatten() {
            span.narrow(0, read.ended);
        }
        earliest = span.after.max(earliest);
        if earliest > span.before {
            return Some(format!(
                "it became {value} not before {earliest}, and not after {}: {:?}, read by {:?}, and before by {:?}",
                span.before,
                added.get(&value),
                reads.get(&value),
                value.checked_sub(1).and_then(|before| reads.get(&before)),
            ));
        }
    }
    None
}

mod tests {
    use super::*;

    fn operation(call: Call, outcome: Outcome, (begun, ended): (u64, u64)) -> Operation {
        Operation { call, outcome, begun, ended }
    }

    fn added(value: u64, time: (u64, u64)) -> Operation {
        operation(Call::Add, Outcome::Answered(value), time)
    }

    fn read(value: u64, time: (u64, u64)) -> Operation {
        operation(Call::Read, Outcome::Answered(value), time)
    }

    fn unknown(begun: u64) -> Operation {
        operation(Call::Add, Outcome::Unknown, (begun, begun + 1))
    }

    #[test]
    fn one_after_the_other_and_at_the_same_time_are_fine() {
        assert_eq!(violation(&[added(1, (1, 2)), read(1, (3, 4)), added(2, (5, 6)), read(2, (7, 8))]), None);
        assert_eq!(violation(&[added(2, (1, 5)), added(1, (2, 6)), read(0, (3, 7)), read(2, (4, 8))]), None);
    }

    #[test]
    fn a_stale_read_is_found() {
        assert!(violation(&[added(1, (1, 2)), read(0, (3, 4))]).is_some());
        assert!(violation(&[added(1, (1, 9)), read(1, (2, 3)), read(0, (4, 5))]).is_some());
    }

    #[test]
    fn a_lost_and_a_repeated_addition_are_found() {
        assert!(violation(&[added(1, (1, 2)), added(1, (3, 4))]).is_some());
        assert!(violation(&[added(1, (1, 2)), added(3, (3, 4))]).is_some());
        let refused = operation(Call::Add, Outcome::Refused, (3, 4));
        assert!(violation(&[added(1, (1, 2)), refused, read(2, (5, 6))]).is_some());
    }

    #[test]
    fn an_unknown_addition_may_have_happened_late_or_never_but_not_early() {
        assert_eq!(violation(&[unknown(1), added(1, (3, 4)), read(1, (5, 6)), read(2, (7, 8))]), None);
        assert_eq!(violation(&[unknown(1), added(1, (3, 4))]), None);
        assert!(violation(&[read(1, (1, 2)), unknown(3)]).is_some());
        assert!(violation(&[unknown(1), added(2, (3, 4)), added(4, (5, 6))]).is_some());
    }
}
