//! Publishes what a node knows of its group: at once when the leader changes, otherwise now and then.

use std::time::Duration;

use openraft::{RaftMetrics, ServerState};
use tokio::sync::watch;
use tokio::time::sleep;

use super::log_store::LogStore;
use super::types::NodeId;
use super::view::View;
use crate::handle::{GroupStatus, Protocol};

/// How long positions may be out of date.
const INTERVAL: Duration = Duration::from_millis(100);

/// The status at the moment.
pub(crate) fn current(view: &View, log: &LogStore, applied: &watch::Receiver<u64>) -> GroupStatus {
    let (first, last, committed) = log.positions();
    let applied = *applied.borrow();
    let metrics = view.metrics();
    GroupStatus {
        not_ready_because: why_not_ready(view, &metrics),
        applied,
        last,
        first,
        committed: committed.max(applied),
        protocol: Some(protocol(&metrics)),
    }
}

fn why_not_ready(view: &View, metrics: &RaftMetrics<NodeId, openraft::BasicNode>) -> Option<String> {
    if let Err(error) = &metrics.running_state {
        return Some(error.to_string());
    }
    match metrics.current_leader {
        None if metrics.membership_config.voter_ids().next().is_none() => {
            Some("the group is not founded yet".into())
        }
        None => Some("no leader is known".into()),
        Some(leader) if leader == view.me || view.links.is_up(leader) => None,
        Some(_) => Some("the leader can't be reached".into()),
    }
}

fn protocol(metrics: &RaftMetrics<NodeId, openraft::BasicNode>) -> Protocol {
    let index = |node: NodeId| usize::try_from(node).unwrap_or(usize::MAX);
    let membership = metrics.membership_config.membership();
    Protocol::Raft {
        term: metrics.current_term,
        leader: metrics.current_leader.map(index),
        role: match metrics.state {
            ServerState::Leader => "leader",
            ServerState::Follower => "follower",
            ServerState::Candidate => "candidate",
            ServerState::Learner => "learner",
            ServerState::Shutdown => "shutdown",
        },
        voters: membership.voter_ids().map(index).collect(),
        learners: membership.learner_ids().map(index).collect(),
    }
}

/// Publishes until openraft stops, and then that it has.
pub(crate) async fn run(
    view: View,
    log: LogStore,
    applied: watch::Receiver<u64>,
    status: watch::Sender<GroupStatus>,
) {
    let mut changes = view.leader_changes();
    loop {
        let now = current(&view, &log, &applied);
        status.send_if_modified(|status| {
            let changed = *status != now;
            *status = now;
            changed
        });
        tokio::select! {
            changed = changes.changed() => match changed {
                Ok(()) => {
                    let leader = *changes.borrow_and_update();
                    tracing::info!(term = leader.term, leader = leader.node, "the group's leader is another one");
                },
                Err(_) => break,
            },
            () = sleep(INTERVAL) => {},
        }
    }
    if let Err(openraft::error::Fatal::StorageError(error)) = &view.metrics().running_state {
        tracing::error!(%error, "this member can't go on");
    }
    status.send_replace(current(&view, &log, &applied));
}
