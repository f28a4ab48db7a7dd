//! What a node can't go on after: a disk that fails, a state that can't be written.
//!
//! A member that goes on without its disk would promise what it can't keep, so the first such failure ends the node.

use tokio::sync::watch;

/// Raises the alarm. All clones ring the same bell.
#[derive(Clone)]
pub(super) struct Fatal {
    bell: watch::Sender<Option<String>>,
}

impl Fatal {
    pub(super) fn new() -> (Self, watch::Receiver<Option<String>>) {
        let (bell, heard) = watch::channel(None);
        (Fatal { bell }, heard)
    }

    /// The first failure is the one that is told.
    pub(super) fn raise(&self, why: String) {
        tracing::error!(why, "this node can't go on");
        self.bell.send_if_modified(|told| {
            let first = told.is_none();
            told.get_or_insert(why);
            first
        });
    }
}
