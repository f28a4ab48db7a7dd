//! What a leader does to stay one, or to leave in good order.
//!
//! It speaks up at short intervals, and it stops leading when no majority has answered for a while: if its words are
//! heard but no answer reaches it, nobody else would take its place. Before it stops for good it hands over.

use std::time::Duration;

use openraft::ServerState;
use tokio::time::{MissedTickBehavior, interval};

use super::election::Election;
use super::proposer::Proposer;
use super::types::NodeId;
use super::view::View;

/// How often a leader speaks up.
const HEARTBEAT: Duration = Duration::from_millis(100);
/// A majority that has not answered for so long is a silent one.
const SILENT: Duration = Duration::from_millis(500);
/// Who speaks up so often to a silent majority leads no longer. Counted, so that a leader that had no time itself, rather
/// than no followers, does not give up.
const UNANSWERED_MAX: u32 = 20;

/// Speaks up while this node leads, until openraft stops.
pub(crate) async fn run(view: View, election: Election) {
    let mut unanswered = 0;
    let mut ticks = interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (leads, since_answer) = {
            let metrics = view.metrics();
            if metrics.running_state.is_err() {
                return;
            }
            (metrics.state == ServerState::Leader, metrics.millis_since_quorum_ack)
        };
        if !leads {
            unanswered = 0;
            continue;
        }
        if view.raft.trigger().heartbeat().await.is_err() {
            return;
        }
        let is_silent = since_answer.is_none_or(|ms| Duration::from_millis(ms) > SILENT);
        unanswered = if is_silent { unanswered + 1 } else { 0 };
        if unanswered > UNANSWERED_MAX {
            election.abdicate().await;
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
