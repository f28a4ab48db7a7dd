//! What is done now and then: maintenance commands, and snapshots before the log grows too large.

use std::time::Duration;

use agora_machine::{StateMachine, Timestamp};
use tokio::time::{MissedTickBehavior, interval};

use super::log_store::LogStore;
use super::proposer::{Proposed, Proposer};
use super::view::{Metrics, View};
use crate::replica::Replica;
use crate::runtime;

const INTERVAL: Duration = Duration::from_secs(1);
/// A snapshot is due when so many bytes were appended since the last one, besides openraft's count of entries.
const SNAPSHOT_BYTES: u64 = 64 << 20;

/// Whether a snapshot would cover more than the last one does: openraft takes a second one of the same for a bug.
pub(crate) fn is_worth_a_snapshot(metrics: &Metrics) -> bool {
    metrics.last_applied > metrics.snapshot
}

/// Runs until openraft stops.
pub(crate) async fn run<M: StateMachine>(view: View, log: LogStore, replica: Replica<M>, proposer: Proposer) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if view.metrics().running_state.is_err() {
            return;
        }
        let is_due = log.unsnapshotted_bytes() >= SNAPSHOT_BYTES && is_worth_a_snapshot(&view.metrics());
        if is_due && view.raft.trigger().snapshot().await.is_err() {
            return;
        }
        if !view.leads() {
            continue;
        }
        let (replica, now) = (replica.clone(), Timestamp(view.now_ms()));
        let due = runtime::blocking(move || replica.maintenance(now)).await;
        if let Ok(Some(command)) = due {
            // While one is under way no other is due, so it is waited for.
            match proposer.propose(vec![command]).await {
                Proposed::Applied(_) => {}
                not_applied => tracing::debug!(?not_applied, "maintenance will be tried again"),
            }
        }
    }
}
