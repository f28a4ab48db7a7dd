//! Linearizability: each operation took effect at one moment between its call and its answer, and every answer is the one that
//! follows from what took effect before. An operation of unknown outcome may have taken effect at any moment after its call, or
//! never.
//!
//! A history of many things is linearizable exactly if the part about each thing is (Herlihy and Wing's locality), so each is
//! searched for itself. The search (`search`) is the one of Wing and Gong, just in time and with Lowe's pruning of equal
//! configurations: it goes through calls and answers in the order of time, and keeps the set of all configurations (state, and
//! operations that took effect but were not answered yet) that explain the answers so far. It needs memory for operations that
//! overlap and not for the whole history, so histories of a million operations are no matter.
//!
//! - G. Lowe, *Testing for linearizability*, 2017. J. Wing, C. Gong, *Testing and verifying concurrent objects*, 1993.
//! - A. Horn, D. Kroening, *Faster linearizability checking via P-compositionality*, 2015.

mod configurations;
mod explain;
mod search;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::hash::Hash;

pub(super) use explain::explain;

/// What a thing of one kind does: its states, and what an operation makes of a state.
pub(super) trait Model {
    /// A state; equal states behave equally.
    type State: Clone + Eq + Hash + Debug;
    /// An operation together with its answer, as far as that is known.
    type Op;

    /// The state before anything happened.
    fn initial(&self) -> Self::State;

    /// The state after the operation; `None` if its answer is not the one that it gets in this state.
    fn step(&self, state: &Self::State, op: &Self::Op) -> Option<Self::State>;

    /// Whether the operation leaves every state as it is.
    fn is_read(&self, op: &Self::Op) -> bool;

    /// A state as people read it.
    fn tell(&self, state: &Self::State) -> String {
        format!("{state:?}")
    }
}

/// An operation on one thing, and when it was called and answered.
#[derive(Clone, Debug)]
pub(super) struct Operation<O> {
    pub op: O,
    /// Where it is in the history.
    pub index: usize,
    pub start_ns: u64,
    /// `None`: it may take effect at any later moment, or never.
    pub end_ns: Option<u64>,
}

/// What a search has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is an order that explains all answers.
    Linearizable,
    /// There is none.
    Violation(Evidence),
    /// There were more possibilities than could be looked at.
    Undecided,
}

/// The shortest part of a history that was found to have no explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Evidence {
    /// The states that were possible when the part began.
    pub before: Vec<String>,
    /// The operations that made these states, and then those of the part: places in the history.
    pub operations: Vec<usize>,
    /// The operation at whose answer nothing was left that explains it.
    pub last: usize,
}
