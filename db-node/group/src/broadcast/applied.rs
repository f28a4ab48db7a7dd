//! How far the state is applied: read by anyone, waited for by the threads that answer queries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agora_broadcast::Slot;
use parking_lot::{Condvar, Mutex};

/// The applied slot, and whether it will still move. All clones are the same.
#[derive(Clone)]
pub(super) struct Applied {
    inner: Arc<Inner>,
}

struct Inner {
    slot: AtomicU64,
    over: Mutex<bool>,
    moved: Condvar,
}

/// The slot will never be applied here: the node is stopping.
pub(super) struct Over;

/// See [`Applied::ends_with_holder`].
pub(super) struct End(Applied);

impl Drop for End {
    fn drop(&mut self) {
        *self.0.inner.over.lock() = true;
        self.0.inner.moved.notify_all();
    }
}

impl Applied {
    pub(super) fn new(slot: Slot) -> Self {
        let inner = Inner { slot: AtomicU64::new(slot.0), over: Mutex::new(false), moved: Condvar::new() };
        Applied { inner: Arc::new(inner) }
    }

    pub(super) fn slot(&self) -> Slot {
        Slot(self.inner.slot.load(Ordering::Acquire))
    }

    /// The state has come this far.
    pub(super) fn advance(&self, slot: Slot) {
        self.inner.slot.fetch_max(slot.0, Ordering::AcqRel);
        // The lock keeps a waiter from falling asleep between its look at the slot and its wait.
        drop(self.inner.over.lock());
        self.inner.moved.notify_all();
    }

    /// It will come no further once this is dropped, which happens however its holder ends.
    pub(super) fn ends_with_holder(&self) -> End {
        End(self.clone())
    }

    /// Blocks until the state has come this far.
    pub(super) fn wait(&self, slot: Slot) -> Result<(), Over> {
        if self.slot() >= slot {
            return Ok(());
        }
        let mut over = self.inner.over.lock();
        while self.slot() < slot {
            if *over {
                return Err(Over);
            }
            self.inner.moved.wait(&mut over);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_woken_by_the_slot_or_by_the_end() {
        let applied = Applied::new(Slot(4));
        assert!(applied.wait(Slot(4)).is_ok());
        let (early, late) = (applied.clone(), applied.clone());
        let reached = std::thread::spawn(move || early.wait(Slot(6)).is_ok());
        let ended = std::thread::spawn(move || late.wait(Slot(9)).is_ok());
        applied.advance(Slot(5));
        applied.advance(Slot(7));
        assert!(reached.join().unwrap());
        drop(applied.ends_with_holder());
        assert!(!ended.join().unwrap());
    }
}
