//! Searches the parts of a history, each about one thing, and tells what it found.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::Check;
use super::linear::{Model, Operation, Verdict, explain};
use crate::history::Event;

/// The operations on each thing.
pub(super) type Parts<K, O> = BTreeMap<K, Vec<Operation<O>>>;

/// An operation that the event at this place of the history stands for.
pub(super) fn operation<O>(index: usize, event: &Event, op: O) -> Operation<O> {
    let end_ns = if event.is_ok() { event.end_ns } else { None };
    Operation { op, index, start_ns: event.start_ns, end_ns }
}

/// The same of an operation that was refused: the refusal says something of the state, too.
pub(super) fn refusal<O>(index: usize, event: &Event, op: O) -> Operation<O> {
    Operation { op, index, start_ns: event.start_ns, end_ns: event.end_ns }
}

/// Searches all parts.
pub(super) fn check_parts<K: Ord + Display, M: Model>(
    check: &mut Check,
    model: &M,
    history: &[Event],
    parts: &Parts<K, M::Op>,
) where
    M::Op: Clone,
{
    for (key, operations) in parts {
        check.examined += operations.len() as u64;
        match explain(model, operations) {
            Verdict::Linearizable => {}
            Verdict::Undecided => check.undecided.push(key.to_string()),
            Verdict::Violation(evidence) => {
                let before = evidence.before.join(" or ");
                let what =
                    format!("{key}: no order of these calls explains the answers; before, it was {before}");
                let events = evidence.operations.iter().filter_map(|index| history.get(*index));
                check.violate_at(what, events, history.get(evidence.last));
            }
        }
    }
}
