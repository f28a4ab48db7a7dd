//! Publishes what a node knows of its group: at once when the leader changes, otherwise now and then.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::ServerState;
use tokio::sync::watch;
use tokio::time::sleep;

use super::log_store::LogStore;
use super::types::{Member, Membership, NodeId};
use super::view::{Metrics, SILENCE, View};
use crate::handle::{GroupStatus, Protocol, RaftMember};
use crate::runtime;

/// How long positions may be out of date.
const INTERVAL: Duration = Duration::from_millis(100);

/// After this time without an answer from a majority a leader does not count on it.
const UNANSWERED_MAX: Duration = Duration::from_secs(2);

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

fn why_not_ready(view: &View, metrics: &Metrics) -> Option<String> {
    if let Err(error) = &metrics.running_state {
        return Some(error.to_string());
    }
    if view.is_removed() {
        return Some("this node was removed from the group, or another one has its seat".into());
    }
    match metrics.current_leader {
        None if metrics.membership_config.voter_ids().next().is_none() => {
            Some("the group is not founded yet, or has not taken this node in yet".into())
        }
        None => Some("no leader is known".into()),
        Some(leader) if leader != view.me && !view.links.is_up(leader) => {
            Some("the leader can't be reached".into())
        }
        Some(leader) if leader == view.me && unanswered(metrics) => {
            Some("no majority follows this leader".into())
        }
        Some(_) => why_not_in_its_seat(view, metrics),
    }
}

fn unanswered(metrics: &Metrics) -> bool {
    metrics.millis_since_quorum_ack.is_some_and(|ms| Duration::from_millis(ms) > UNANSWERED_MAX)
}

/// Until a new node has its seat for certain, another disk that gets lost may be one too many.
fn why_not_in_its_seat(view: &View, metrics: &Metrics) -> Option<String> {
    let (me, membership) = (view.me, &metrics.membership_config);
    if membership.membership().get_node(&me).is_none() && view.silence() >= SILENCE {
        return Some("the group does not know this node: it was removed, or has to be added first".into());
    }
    if membership.voter_ids().all(|voter| voter != me) {
        return Some("this node is new in the group and learns what it missed".into());
    }
    let has_predecessor = membership.voter_ids().any(|voter| voter != me && voter.seat() == me.seat());
    (has_predecessor || metrics.last_applied < *membership.log_id())
        .then(|| "the group is being told that this node is a member of it".into())
}

fn protocol(metrics: &Metrics) -> Protocol {
    let stored = &metrics.membership_config;
    let applied = *stored.log_id() <= metrics.last_applied;
    let members_since = stored.log_id().filter(|_| applied).map_or(0, |id| id.index + 1);
    // While a node takes its predecessor's place both are there, in one seat.
    let seats = |nodes: &mut dyn Iterator<Item = NodeId>| {
        nodes.map(NodeId::seat).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    let membership = metrics.membership_config.membership();
    Protocol::Raft {
        term: metrics.current_term,
        leader: metrics.current_leader.map(NodeId::seat),
        role: match metrics.state {
            ServerState::Leader => "leader",
            ServerState::Follower => "follower",
            ServerState::Candidate => "candidate",
            ServerState::Learner => "learner",
            ServerState::Shutdown => "shutdown",
        },
        voters: seats(&mut membership.voter_ids()),
        learners: seats(&mut membership.learner_ids()),
        members: members(membership),
        members_since,
    }
}

fn members(membership: &Membership) -> Vec<RaftMember> {
    let voters: BTreeSet<usize> = membership.voter_ids().map(NodeId::seat).collect();
    let of_seat = |(node, about): (&NodeId, &Member)| {
        let seat = node.seat();
        let Member { name, address } = about.clone();
        (seat, RaftMember { seat, name, address, votes: voters.contains(&seat) })
    };
    membership.nodes().map(of_seat).collect::<BTreeMap<_, _>>().into_values().collect()
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
        runtime::select! {
            changed = changes.changed() => match changed {
                Ok(()) => {
                    let leader = *changes.borrow_and_update();
                    tracing::info!(term = leader.term, leader = leader.node.map(tracing::field::display), "the group's leader is another one");
                },
                Err(_) => break,
            },
            () = sleep(INTERVAL) => {},
        }
    }
    if let Err(openraft::error::Fatal::StorageError(error)) = &view.metrics().running_state {
        tracing::error!(%error, "this member can't go on");
    }
    let mut last = current(&view, &log, &applied);
    // openraft does not say so itself if it has panicked.
    last.not_ready_because.get_or_insert_with(|| "this member has ended".into());
    if let Some(Protocol::Raft { role, .. }) = &mut last.protocol {
        *role = "shutdown";
    }
    status.send_replace(last);
}
