//! What a leader does to stay one, and to leave in good order: it speaks up at short intervals, and before it stops it hands
//! over.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::election::Election;
use super::proposer::Proposer;
use super::types::NodeId;
use super::view::View;

/// How often a leader speaks up. To a follower that has not answered yet it does so when the answer has come, or is given
/// up: a leader that hears nobody is soon a silent one, too, and is replaced.
const HEARTBEAT: Duration = Duration::from_millis(100);

/// Speaks up while this node leads, until openraft stops.
pub(crate) async fn run(view: View) {
    let mut ticks = interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if view.leads() && view.raft.trigger().heartbeat().await.is_err() {
            return;
        }
    }
}

/// Lets the most up-to-date follower lead, if this node does. Commands wait meanwhile, and are then told who leads.
pub(crate) async fn hand_over(view: &View, election: &Election, proposer: &Proposer) {
    if !view.leads() {
        return;
    }
    // Released at the end of this function.
    let _nothing_under_way = proposer.pause().await;
    if let Some(successor) = successor(view) {
        election.hand_over_to(successor).await;
    }
}

/// The voter that can be reached and has the most of the log.
fn successor(view: &View) -> Option<NodeId> {
    let metrics = view.metrics();
    let progress = metrics.replication.as_ref()?;
    let reachable = metrics.membership_config.voter_ids().filter(|voter| view.links.is_up(*voter));
    reachable.max_by_key(|voter| progress.get(voter).copied().flatten())
}
