//! The log's writer as a task: it writes and syncs as the thread does, and takes simulated time for it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::executor;
use crate::raft::{Change, Gathered, LogCache, LogDisk};

/// How long a write, and a sync, takes at most; now and then the disk is slower.
const FAST: Duration = Duration::from_millis(3);
const SLOW: Duration = Duration::from_millis(400);
const SLOW_ONE_IN: u32 = 200;

type Queue = dyn Fn(Change) -> Result<(), Change> + Send + Sync;

/// The queue of a writer, if a simulation runs.
pub(crate) fn spawn(log: &Arc<dyn LogDisk>, cache: &Arc<RwLock<LogCache>>) -> Option<Box<Queue>> {
    if !executor::is_running() {
        return None;
    }
    let (changes, queue) = mpsc::unbounded_channel();
    executor::spawn(run(Arc::clone(log), Arc::clone(cache), queue));
    Some(Box::new(move |change| changes.send(change).map_err(|unsent| unsent.0)))
}

async fn run(
    log: Arc<dyn LogDisk>,
    cache: Arc<RwLock<LogCache>>,
    mut queue: mpsc::UnboundedReceiver<Change>,
) {
    let mut committed = None;
    while let Some(first) = queue.recv().await {
        let mut next = Some(first);
        while let Some(first) = next.take() {
            let gathered;
            (gathered, next) = Gathered::of(first, || queue.try_recv().ok(), &mut committed);
            let Some(gathered) = gathered else { continue };
            let (batch, waiting) = gathered.into_parts();
            take_time().await;
            let mut outcome = log.write(batch);
            if outcome.is_ok() {
                take_time().await;
                outcome = log.sync();
            }
            waiting.conclude(&cache, outcome);
        }
    }
}

async fn take_time() {
    let slow = executor::draw(|random| rand::Rng::random_ratio(random, 1, SLOW_ONE_IN)).unwrap_or(false);
    if let Some(time) = executor::random_below(if slow { SLOW } else { FAST })
        && time > FAST / 3
    {
        sleep(time).await;
    }
}
