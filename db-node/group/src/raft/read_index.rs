//! Confirms, for all reads that wait, that this node still leads, and says up to where they must see the log.

use std::sync::Arc;

use openraft::LogIdOptionExt;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::types::Raft;
use crate::runtime;

/// Who may wait for a confirmation; more are told that there is none.
const WAITING_MAX: usize = 4096;
/// Confirmations under way at a time: a read that came too late for one need not wait for its end.
const UNDER_WAY: usize = 2;

/// Asks for confirmations. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ReadIndex {
    queue: mpsc::Sender<oneshot::Sender<Option<u64>>>,
}

impl ReadIndex {
    /// A confirmer, and its task, which ends when all clones of the confirmer are dropped.
    pub(crate) fn new(raft: Raft) -> (ReadIndex, impl Future<Output = ()>) {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        (ReadIndex { queue }, run(raft, waiting))
    }

    /// The index up to which a state must be applied to answer a read that began before this call. None if this node
    /// does not lead, or can't make sure that it does.
    pub(crate) async fn confirm(&self) -> Option<u64> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(answer).ok()?;
        answered.await.ok()?
    }
}

async fn run(raft: Raft, mut waiting: mpsc::Receiver<oneshot::Sender<Option<u64>>>) {
    let under_way = Arc::new(Semaphore::new(UNDER_WAY));
    while let Some(first) = waiting.recv().await {
        let Ok(permit) = Arc::clone(&under_way).acquire_owned().await else { return };
        let mut sharing = vec![first];
        while let Ok(next) = waiting.try_recv() {
            sharing.push(next);
        }
        let raft = raft.clone();
        runtime::spawn(async move {
            let confirmed = raft.get_read_log_id().await;
            drop(permit);
            let index = confirmed.ok().map(|(log_id, _)| log_id.next_index().saturating_sub(1));
            for one in sharing {
                // Whoever no longer waits needs no answer.
                let _ = one.send(index);
            }
        });
    }
}
