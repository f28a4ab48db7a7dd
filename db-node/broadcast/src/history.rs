//! The shape of a log: which slots were assigned in which epoch. Enough to find where two logs part.
//!
//! It rests on the prefix property: two logs that have a slot assigned in the same epoch agree in it and in all below.

use crate::ids::{Epoch, Slot};

/// The shape of a log: its base, and per epoch, in order, the last slot assigned in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct History {
    base: (Epoch, Slot),
    runs: Vec<(Epoch, Slot)>,
}

/// A list of runs that no log can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("epochs and slots of a history must rise")]
pub struct NotAHistory;

/// Where two logs part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// Up to this slot both are the same; beyond they differ, or one ends.
    After(Slot),
    /// The first one ends, or differs, below the base of the second: only a snapshot helps.
    BelowBase,
    /// They differ in what at least one of them has as committed. It can't be, if all keep the protocol.
    Impossible,
}

impl History {
    /// The history of an empty log above a base.
    #[must_use]
    pub fn empty(epoch: Epoch, slot: Slot) -> Self {
        History { base: (epoch, slot), runs: Vec::new() }
    }

    /// A history from its parts, checked.
    ///
    /// # Errors
    /// The epochs or the slots do not rise.
    pub fn new(base: (Epoch, Slot), runs: Vec<(Epoch, Slot)>) -> Result<Self, NotAHistory> {
        let first_fits = runs.first().is_none_or(|&(epoch, slot)| epoch >= base.0 && slot > base.1);
        let rises = runs.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1);
        if first_fits && rises { Ok(History { base, runs }) } else { Err(NotAHistory) }
    }

    /// What the log starts after: the epoch in which that slot was assigned, and the slot.
    #[must_use]
    pub fn base(&self) -> (Epoch, Slot) {
        self.base
    }

    /// Per epoch, in order, the last slot assigned in it.
    #[must_use]
    pub fn runs(&self) -> &[(Epoch, Slot)] {
        &self.runs
    }

    /// The last slot.
    #[must_use]
    pub fn last(&self) -> Slot {
        self.runs.last().map_or(self.base.1, |run| run.1)
    }

    /// The epoch in which the last slot was assigned.
    #[must_use]
    pub fn last_epoch(&self) -> Epoch {
        self.runs.last().map_or(self.base.0, |run| run.0)
    }

    /// The epoch in which a slot was assigned; none below the base or beyond the end.
    #[must_use]
    pub fn epoch_at(&self, slot: Slot) -> Option<Epoch> {
        if slot == self.base.1 {
            return Some(self.base.0);
        }
        if slot < self.base.1 {
            return None;
        }
        let run = self.runs.partition_point(|run| run.1 < slot);
        self.runs.get(run).map(|run| run.0)
    }

    /// Adds a slot at the end.
    pub(crate) fn push(&mut self, epoch: Epoch, slot: Slot) {
        debug_assert_eq!(slot, self.last().next());
        debug_assert!(epoch >= self.last_epoch());
        match self.runs.last_mut() {
            Some(run) if run.0 == epoch => run.1 = slot,
            _ => self.runs.push((epoch, slot)),
        }
    }

    /// Drops all beyond a slot, which is not below the base.
    pub(crate) fn truncate_after(&mut self, slot: Slot) {
        debug_assert!(slot >= self.base.1);
        let whole = self.runs.partition_point(|run| run.1 <= slot);
        let cut = self.runs.get(whole).map(|run| run.0);
        let whole_end = whole.checked_sub(1).map_or(self.base.1, |last| self.runs[last].1);
        self.runs.truncate(whole);
        if let Some(epoch) = cut
            && slot > whole_end
        {
            self.runs.push((epoch, slot));
        }
    }

    /// Raises the base to a slot of the log.
    pub(crate) fn purge_upto(&mut self, epoch: Epoch, slot: Slot) {
        self.base = (epoch, slot);
        self.runs.retain(|run| run.1 > slot);
    }

    /// The part up to a slot, which is not below the base.
    #[must_use]
    pub(crate) fn prefix(&self, slot: Slot) -> History {
        let mut prefix = self.clone();
        prefix.truncate_after(slot);
        prefix
    }

    /// Where `mine` parts from `theirs`.
    #[must_use]
    pub fn fork(mine: &History, theirs: &History) -> Fork {
        let mut slot = mine.last().min(theirs.last());
        loop {
            match (mine.epoch_at(slot), theirs.epoch_at(slot)) {
                (Some(a), Some(b)) if a == b => return Fork::After(slot),
                // The log with the later epoch has nothing of it in common with the other.
                (Some(a), Some(b)) if a > b => {
                    if slot == mine.base.1 {
                        return Fork::Impossible;
                    }
                    slot = mine.before_run_of(slot);
                }
                (Some(_), Some(_)) => {
                    if slot == theirs.base.1 {
                        return Fork::BelowBase;
                    }
                    slot = theirs.before_run_of(slot);
                }
                (Some(_), None) => return Fork::BelowBase,
                (None, _) => return Fork::Impossible,
            }
        }
    }

    /// The slot before the run that holds this one.
    fn before_run_of(&self, slot: Slot) -> Slot {
        let run = self.runs.partition_point(|run| run.1 < slot);
        run.checked_sub(1).map_or(self.base.1, |before| self.runs[before].1)
    }
}
