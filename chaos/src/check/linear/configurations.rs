//! Sets of configurations, from which those are left out that can't explain anything that another one can't explain.

use std::collections::HashMap;
use std::hash::Hash;

/// One possibility of what has happened so far. Operations are told by their numbers, in order.
#[derive(Clone, Debug)]
pub(super) struct Configuration<S> {
    pub state: S,
    /// Took effect, but were not answered yet.
    pub done: Vec<u32>,
    /// Of those with unknown outcome, the ones that took effect.
    pub used: Vec<u32>,
    /// The last operation that changed the state.
    pub by: Option<u32>,
}

impl<S: Clone> Configuration<S> {
    pub fn initial(state: S) -> Self {
        Configuration { state, done: Vec::new(), used: Vec::new(), by: None }
    }
}

pub(super) fn insert(set: &mut Vec<u32>, number: u32) {
    if let Err(at) = set.binary_search(&number) {
        set.insert(at, number);
    }
}

pub(super) fn remove(set: &mut Vec<u32>, number: u32) -> bool {
    set.binary_search(&number).map(|at| set.remove(at)).is_ok()
}

pub(super) fn contains(set: &[u32], number: u32) -> bool {
    set.binary_search(&number).is_ok()
}

/// A set of configurations. Of two that differ only in that one used more operations of unknown outcome, only the other is
/// kept: it can still use them, and need not.
#[derive(Clone, Debug)]
pub(super) struct Configurations<S> {
    by_state: HashMap<(S, Vec<u32>), Vec<Used>>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Used {
    used: Vec<u32>,
    by: Option<u32>,
}

impl<S: Clone + Eq + Hash> Configurations<S> {
    pub fn new() -> Self {
        Configurations { by_state: HashMap::new(), len: 0 }
    }

    /// True if it is worth keeping.
    pub fn insert(&mut self, configuration: Configuration<S>) -> bool {
        let Configuration { state, done, used, by } = configuration;
        let kept = self.by_state.entry((state, done)).or_default();
        if kept.iter().any(|other| is_subset(&other.used, &used)) {
            return false;
        }
        let before = kept.len();
        kept.retain(|other| !is_subset(&used, &other.used));
        self.len -= before - kept.len();
        kept.push(Used { used, by });
        self.len += 1;
        true
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn into_vec(self) -> Vec<Configuration<S>> {
        let mut all = Vec::with_capacity(self.len);
        for ((state, done), kept) in self.by_state {
            for Used { used, by } in kept {
                all.push(Configuration { state: state.clone(), done: done.clone(), used, by });
            }
        }
        all
    }
}

fn is_subset(small: &[u32], large: &[u32]) -> bool {
    small.len() <= large.len() && small.iter().all(|number| contains(large, *number))
}
