//! Compaction: writes the state anew, densely, when its files have grown too large for what is in them.
//!
//! The new generation's base is made of the current generation's records as they are found on the way. All changes that are
//! made meanwhile go into both generations, so the new one has them, whatever its base says. Nobody waits for this but for
//! a moment: while some changes are read, and while the new generation becomes current.

use std::sync::Arc;

use super::generation::Generation;
use super::recent::{Changes, Recent};
use super::staged::StagedState;
use super::steps::Step;
use super::{StateStore, room};
use crate::error::StorageError;

/// Less than this is never too much.
const FLOOR_BYTES: u64 = 64 << 20;
/// After so many bytes it is asked whether to go on.
const PIECE_BYTES: u64 = 1 << 20;

/// How large the files of a state are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Its base, which is dense.
    pub(super) base: u64,
    /// What has changed since, which is not.
    pub(super) recent: u64,
}

impl Sizes {
    /// Whether the state is to be written anew. While it is, the disk has the old base, what changed, and the new base: at most
    /// two and a half times what is live, if that is large.
    pub(super) fn are_worth_compaction(self) -> bool {
        self.recent > FLOOR_BYTES.max(self.base / 2)
    }
}

/// A generation that takes all changes that the current one takes.
#[derive(Debug)]
pub(super) struct Follower {
    number: u64,
    recent: Recent,
    failed: Option<StorageError>,
}

impl Follower {
    /// Takes changes. If it can't it is of no use any more, but whoever makes them need not know.
    pub(super) fn apply(&mut self, changes: Changes) {
        if self.failed.is_none() {
            self.failed = self.recent.apply(changes).err();
        }
    }
}

/// What became of a compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compaction {
    /// It is done.
    Done {
        /// Bytes of the state's files before.
        before: u64,
        /// And afterwards.
        after: u64,
    },
    /// It was to stop.
    Stopped,
    /// Another state was installed meanwhile.
    Overtaken,
}

impl StateStore {
    /// Whether [`StateStore::compact`] is worth while.
    ///
    /// # Errors
    /// The file system refused.
    pub fn is_worth_compaction(&self) -> Result<bool, StorageError> {
        Ok(self.sizes()?.are_worth_compaction())
    }

    fn sizes(&self) -> Result<Sizes, StorageError> {
        let generation = self.generation();
        let base = generation.base.as_ref().map_or(0, |base| base.bytes());
        Ok(Sizes { base, recent: generation.recent.bytes()? })
    }

    /// Writes the state anew, densely, while changes go on. Blocks for as long as that takes; the caller is asked on the way
    /// whether to go on, and may take its time to answer. One at a time.
    ///
    /// # Errors
    /// The disk failed, or is too full; the old state stays.
    pub fn compact(&self, goes_on: &mut dyn FnMut() -> bool) -> Result<Compaction, StorageError> {
        let before = self.sizes()?;
        let path = &self.inner.held.path;
        let has_room =
            |bytes| room::make_sure_of(bytes, path).map_err(StorageError::io(path, "compact the state"));
        has_room(before.base)?;
        let mut staged = self.stage()?;
        let from = staged.follow()?;
        let mut bytes = 0;
        for record in self.records_of(&from) {
            let (key, value) = record?;
            staged.put(&key, &value)?;
            bytes += (key.len() + value.len()) as u64;
            if bytes >= PIECE_BYTES {
                bytes = 0;
                has_room(PIECE_BYTES)?;
                staged.reached(Step::Piece)?;
                if !goes_on() {
                    return Ok(Compaction::Stopped);
                }
                if !staged.is_followed()? {
                    return Ok(Compaction::Overtaken);
                }
            }
        }
        if !staged.take_over()? {
            return Ok(Compaction::Overtaken);
        }
        let after = self.sizes()?;
        Ok(Compaction::Done { before: before.base + before.recent, after: after.base + after.recent })
    }
}

impl StagedState {
    /// Has all changes from here on made in this one, too, and returns the generation as it is.
    fn follow(&self) -> Result<Arc<Generation>, StorageError> {
        let mut current = self.store.inner.current();
        if let Some(position) = current.generation.recent.position()? {
            let mut changes = Changes::default();
            changes.set_position(&position);
            self.recent.apply(changes)?;
        }
        let follower = Follower { number: self.number, recent: self.recent.clone(), failed: None };
        current.follower = Some(follower);
        Ok(Arc::clone(&current.generation))
    }

    /// Whether it has all changes; not if another state was installed.
    fn is_followed(&self) -> Result<bool, StorageError> {
        self.check(&mut self.store.inner.current().follower)
    }

    fn check(&self, follower: &mut Option<Follower>) -> Result<bool, StorageError> {
        match follower.take_if(|follower| follower.number == self.number && follower.failed.is_some()) {
            Some(Follower { failed: Some(failed), .. }) => Err(failed),
            _ => Ok(follower.as_ref().is_some_and(|follower| follower.number == self.number)),
        }
    }

    /// Makes it durable and current if it has all changes.
    fn take_over(mut self) -> Result<bool, StorageError> {
        let generation = self.complete()?;
        let store = self.store.clone();
        let mut current = store.inner.current();
        if !self.check(&mut current.follower)? {
            return Ok(false);
        }
        // What was changed since it was completed; there is not much of it.
        self.recent.sync()?;
        let old = self.switch(&mut current, generation)?;
        drop(current);
        self.discard(&old)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worth(base_mib: u64, recent_mib: u64) -> bool {
        Sizes { base: base_mib << 20, recent: recent_mib << 20 }.are_worth_compaction()
    }

    #[test]
    fn a_small_state_is_left_alone() {
        assert!(!worth(0, 0) && !worth(0, 64) && !worth(1, 64) && !worth(128, 64));
        assert!(worth(0, 65) && worth(1, 65) && worth(128, 65));
    }

    #[test]
    fn a_large_one_is_written_anew_when_its_changes_take_half_of_its_base() {
        assert!(!worth(1000, 500) && worth(1000, 501));
        assert!(!worth(4000, 2000) && worth(4000, 2001));
    }

    #[test]
    fn with_the_new_base_beside_it_a_large_state_never_takes_three_times_its_base() {
        for base in [128_u64, 200, 1000, 10_000] {
            let recent = (0..).find(|recent| worth(base, *recent)).unwrap();
            assert!(base + recent + base < 3 * base, "{base} MiB, and {recent} of changes");
        }
    }
}
