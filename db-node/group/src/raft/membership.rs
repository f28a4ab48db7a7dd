//! Keeps the group's nodes those that are there: the leader takes in who is new in a seat, and lets go who was there before.
//!
//! A node that starts with an empty directory in a group that lives is new, whatever its seat (see `node_id`). It first
//! learns, without a vote, and its predecessor keeps the seat's vote until it has caught up; then it takes its
//! predecessor's place by joint consensus. One step at a time: each is looked for in the membership as it then is, so
//! that a new leader goes on where an old one stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::{BasicNode, ChangeMembers};
use tokio::time::{sleep, timeout};

use super::types::{Membership, NodeId};
use super::view::View;

/// How often it is looked whether there is something to do.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long a step may take before it is looked at anew. openraft finishes or drops it by itself.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// Who lacks no more entries than this has caught up: as many as are under way on a busy group.
const LAG_MAX: u64 = 256;

/// A change to the membership.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Leave the joint consensus that a change is in.
    Finish(BTreeSet<NodeId>),
    /// Let a new node learn.
    TakeIn(NodeId, String),
    /// Make these the voters: one of them is new, and has caught up.
    Replace(BTreeSet<NodeId>),
    /// Forget learners that are gone.
    Forget(BTreeSet<NodeId>),
}

/// Looks after the membership while this node leads, until openraft stops.
pub(crate) async fn run(view: View) {
    loop {
        sleep(INTERVAL).await;
        if view.metrics().running_state.is_err() {
            return;
        }
        if !view.leads() {
            continue;
        }
        if let Some(step) = look(&view) {
            tracing::info!(?step, "changing the group's membership");
            match timeout(STEP_TIMEOUT, take(&view, step)).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => tracing::warn!(why, "the change of membership will be looked at again"),
                Err(_) => tracing::warn!("a change of membership takes long"),
            }
        }
    }
}

fn look(view: &View) -> Option<Step> {
    let present = view.links.present();
    let metrics = view.metrics();
    let progress = metrics.replication.as_ref()?;
    let last = metrics.last_log_index.unwrap_or_default();
    let caught_up = |node: NodeId| {
        let matching = progress.get(&node).copied().flatten();
        matching.is_some_and(|id| id.index + LAG_MAX >= last)
    };
    next_step(metrics.membership_config.membership(), &present, caught_up)
}

/// What to do next, given which peers are there, and where.
fn next_step(
    membership: &Membership,
    present: &BTreeMap<NodeId, String>,
    caught_up: impl Fn(NodeId) -> bool,
) -> Option<Step> {
    let configs = membership.get_joint_config();
    let voters = configs.last()?;
    if configs.len() > 1 {
        return Some(Step::Finish(voters.clone()));
    }
    let holder = |seat: usize| voters.iter().copied().find(|voter| voter.seat() == seat);
    // A node that no seat's voter made way for was let go, and is not waited for.
    let stale =
        |node: &NodeId| !present.contains_key(node) && present.keys().any(|new| new.seat() == node.seat());
    let gone: BTreeSet<NodeId> = membership.learner_ids().filter(stale).collect();
    if !gone.is_empty() {
        return Some(Step::Forget(gone));
    }
    for (node, address) in present {
        if membership.get_node(node).is_none() {
            return Some(Step::TakeIn(*node, address.clone()));
        }
        if !voters.contains(node) && caught_up(*node) {
            let predecessor = holder(node.seat());
            let others = voters.iter().copied().filter(|voter| Some(*voter) != predecessor);
            return Some(Step::Replace(others.chain([*node]).collect()));
        }
    }
    None
}

async fn take(view: &View, step: Step) -> Result<(), String> {
    let changed = match step {
        Step::Finish(voters) | Step::Replace(voters) => {
            view.raft.change_membership(ChangeMembers::ReplaceAllVoters(voters), false).await
        }
        Step::TakeIn(node, address) => view.raft.add_learner(node, BasicNode::new(address), false).await,
        Step::Forget(nodes) => view.raft.change_membership(ChangeMembers::RemoveNodes(nodes), true).await,
    };
    changed.map(drop).map_err(|error| error.to_string())
}
