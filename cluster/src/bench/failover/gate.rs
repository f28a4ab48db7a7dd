//! A gate before calls: closing it waits until nobody is inside.

use std::sync::Arc;

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// Everyone may be inside at once, or nobody.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    lock: Arc<RwLock<()>>,
    closed: Arc<parking_lot::Mutex<Option<OwnedRwLockWriteGuard<()>>>>,
}

impl Gate {
    /// A gate that is closed.
    pub fn closed() -> Self {
        let lock = Arc::new(RwLock::new(()));
        let guard = Arc::clone(&lock).try_write_owned().ok();
        Gate { lock, closed: Arc::new(parking_lot::Mutex::new(guard)) }
    }

    /// Waits until it is open; inside until the pass is dropped.
    pub async fn pass(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.lock).read_owned().await
    }

    /// Lets nobody in any more, and waits until everyone is out. Does nothing if it is closed.
    pub async fn close(&self) {
        if self.closed.lock().is_none() {
            let guard = Arc::clone(&self.lock).write_owned().await;
            *self.closed.lock() = Some(guard);
        }
    }

    pub fn open(&self) {
        *self.closed.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_closed_gate_lets_nobody_in_and_closes_only_behind_the_last() {
        let gate = Gate::closed();
        assert!(gate.pass().now_or_never().is_none());
        gate.open();
        let (one, other) = (gate.pass().await, gate.pass().await);
        drop(one);
        assert!(gate.close().now_or_never().is_none());
        drop(other);
        gate.close().await;
        gate.close().await;
        assert!(gate.pass().now_or_never().is_none());
    }
}
