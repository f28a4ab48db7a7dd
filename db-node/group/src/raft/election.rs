//! When and by whom a new leader is elected.
//!
//! openraft's own timers are off. What makes a change of leaders fast is this: a broken connection to the leader is noticed
//! at once, by all. The followers then try in turn, some milliseconds apart. A candidate goes three steps:
//!
//! 1. It asks all whether an election is worth while (a pre-vote). A peer agrees if it, too, finds the leader lost and if
//!    the candidate's log is not behind its own. This changes nothing, so that a node which is cut off, and asks again and
//!    again, disturbs nobody when it is back.
//! 2. With a majority it asks all to be free for it (a release): to give up their loyalty to the old leader, which openraft
//!    would otherwise make them keep until a lease has run out.
//! 3. With a majority it stands, and is elected by openraft's usual rules. Nothing before is needed for safety: it only
//!    makes votes likely to be granted.
//!
//! Giving up the loyalty is done by raising the vote to one for nobody (see `adoption`), which grants nothing: that is done when
//! the candidate's real vote request has come, with which the logs are compared again. It is not for the candidate because
//! openraft, which hears of a higher vote for itself that it has not cast, neither leads any longer nor follows.
//!
//! On a machine that has no time for its processes everything takes longer, elections too, and elections that cut each
//! other off would never end. So patience doubles with each election that brought nobody to power.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use agora_proto::raft as pb;
use agora_proto::raft::raft_reply::Body as Reply;
use agora_proto::raft::raft_request::Body as Request;
use futures::stream::{FuturesUnordered, StreamExt};
use openraft::ServerState;
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};

use super::adoption::{self, for_nobody};
use super::log_store::LogStore;
use super::types::{LogId, Membership, NodeId, Vote};
use super::view::{SILENCE, View};
use super::wire;
use crate::runtime;

/// How often the leader's signs of life are looked at, besides when a connection breaks.
const TICK: Duration = Duration::from_millis(50);
/// How long each of a candidate's steps may take, at first.
const STEP_TIMEOUT: Duration = Duration::from_millis(150);
/// By how much later each further follower in turn begins.
const TURN: Duration = Duration::from_millis(15);
/// So often patience doubles at most.
const DOUBLINGS_MAX: u32 = 4;

/// Takes part in elections.
#[derive(Clone)]
pub(crate) struct Election {
    view: View,
    log: LogStore,
    /// Whom this node, while it leads, has named as the next leader.
    successor: Arc<Mutex<Option<NodeId>>>,
    standing: Arc<tokio::sync::Mutex<()>>,
}

impl Election {
    pub(crate) fn new(view: View, log: LogStore) -> Election {
        Election { view, log, successor: Arc::default(), standing: Arc::default() }
    }

    /// Watches the leader, and tries to become it when it is lost, until openraft stops.
    pub(crate) async fn run(self) {
        let mut changes = self.view.leader_changes();
        let mut links = self.view.links.changes();
        let mut attempts = 0;
        let mut patience = patience(attempts);
        loop {
            runtime::select! {
                changed = changes.changed() => if changed.is_err() { return },
                // There is no error while there are links, which the view holds.
                _ = links.changed() => {},
                () = sleep(TICK) => {},
            }
            if self.view.metrics().running_state.is_err() {
                return;
            }
            if self.view.leader().is_some() && self.view.since_leader_change() > patience {
                attempts = 0;
            }
            if !self.is_due(patience) {
                continue;
            }
            sleep(self.turn()).await;
            if !self.is_due(patience) {
                continue;
            }
            let step = STEP_TIMEOUT * 2_u32.pow(attempts);
            if self.is_wanted(step).await {
                self.stand(step, || self.is_due(patience)).await;
                attempts = (attempts + 1).min(DOUBLINGS_MAX);
            }
            patience = self::patience(attempts);
            sleep(runtime::random_below(TURN * 2)).await;
        }
    }

    /// Whether this node should try to become leader.
    fn is_due(&self, patience: Duration) -> bool {
        // Where no leader is known an election is under way, or was a moment ago: it is given its time.
        let undisturbed = self.view.leader().is_some() || self.view.since_leader_change() >= patience / 2;
        self.may_stand() && undisturbed && self.view.leader_is_lost(patience)
    }

    /// Whether this node is a voter of a founded group and does not lead already.
    fn may_stand(&self) -> bool {
        let metrics = self.view.metrics();
        metrics.running_state.is_ok()
            && metrics.state != ServerState::Leader
            && !self.view.is_removed()
            && metrics.membership_config.voter_ids().any(|voter| voter == self.view.me)
    }

    /// How long to leave the others the precedence: the one behind the lost leader begins, the next ones follow.
    fn turn(&self) -> Duration {
        let metrics = self.view.metrics();
        let voters: Vec<NodeId> = metrics.membership_config.voter_ids().collect();
        let place = |node: NodeId| voters.iter().position(|voter| *voter == node);
        let (Some(mine), count) = (place(self.view.me), voters.len().max(1)) else { return Duration::ZERO };
        let turn = match metrics.current_leader.and_then(place) {
            Some(leader) => (mine + count - leader).saturating_sub(1) % count,
            None => mine,
        };
        TURN * u32::try_from(turn).unwrap_or(0)
    }

    /// Asks whether an election is worth while.
    async fn is_wanted(&self, limit: Duration) -> bool {
        let last = self.log.last().map(wire::log_id_to_pb);
        let (candidate, term) = (self.view.me.to_bits(), self.view.metrics().current_term + 1);
        self.ask_all(Request::PreVote(pb::PreVote { candidate, term, last }), limit).await
    }

    /// Asks all to be free for this node, and then for their votes. Waits until somebody is elected, but not for long.
    async fn stand(&self, limit: Duration, is_due: impl Fn() -> bool) {
        let _one_at_a_time = self.standing.lock().await;
        // Somebody may have been elected meanwhile.
        if !is_due() {
            return;
        }
        let (candidate, term) = (self.view.me.to_bits(), self.view.metrics().current_term + 1);
        if !self.ask_all(Request::Release(pb::Release { candidate, term }), limit).await {
            return;
        }
        tracing::info!(node = %self.view.me, "standing for election");
        let mut changes = self.view.leader_changes();
        if self.withdraw().await && self.view.raft.trigger().elect().await.is_ok() {
            // Whoever is elected: its name ends the wait.
            let elected = changes.wait_for(|leader| leader.term >= term && leader.node.is_some());
            let _ = timeout(limit, elected).await;
        }
    }

    /// Ends a candidacy of this node's that is still under way, also if it has just been elected by it: then the others have
    /// been released since, and follow it no more. Returns whether this node may begin another one.
    ///
    /// openraft lets a candidate whose last votes have just come stand again while it leads: it would write entries in its old
    /// term still, and others in their place as soon as it is elected for the new one.
    async fn withdraw(&self) -> bool {
        // By way of openraft's own queue, behind all that it was told before.
        match self.view.raft.with_raft_state(|state| *state.vote_ref()).await {
            Ok(vote) if vote.leader_id().voted_for() != Some(self.view.me) => true,
            Ok(vote) => self.adopt(for_nobody(vote.leader_id().term + 1)).await,
            // It has stopped.
            Err(_) => false,
        }
    }

    /// Asks all voters, and returns whether a majority agrees.
    async fn ask_all(&self, request: Request, limit: Duration) -> bool {
        let membership = self.view.metrics().membership_config.membership().clone();
        let ask = |voter: NodeId| {
            let (links, request) = (self.view.links.clone(), request.clone());
            async move { (voter, timeout(limit, links.request(voter, request)).await) }
        };
        let others: BTreeSet<NodeId> =
            membership.voter_ids().filter(|voter| *voter != self.view.me).collect();
        let mut replies: FuturesUnordered<_> = others.into_iter().map(ask).collect();
        let mut agreed = BTreeSet::from([self.view.me]);
        while !is_majority(&membership, &agreed) {
            let Some((voter, reply)) = replies.next().await else { return false };
            match reply {
                Ok(Ok(Reply::PreVote(reply) | Reply::Release(reply))) if reply.granted => {
                    agreed.insert(voter);
                }
                Ok(Ok(Reply::PreVote(reply))) if reply.removed => self.view.note_removal(),
                Ok(Ok(Reply::PreVote(reply) | Reply::Release(reply))) => self.catch_up(reply.vote).await,
                _ => {}
            }
        }
        true
    }

    /// Raises this node's vote to a term that a peer has seen, so that the next election is for a term that can be won.
    async fn catch_up(&self, seen: Option<pb::Vote>) {
        if let Some(seen) = seen
            && (self.view.metrics().current_term + 1..=wire::TERM_MAX).contains(&seen.term)
        {
            self.adopt(for_nobody(seen.term)).await;
        }
    }

    async fn adopt(&self, vote: Vote) -> bool {
        adoption::adopt(&self.view.raft, vote).await
    }

    /// Answers a candidate that asks whether an election is worth while.
    pub(crate) fn answer(&self, request: pb::PreVote) -> pb::PreVoteReply {
        let candidate = NodeId::from(request.candidate);
        let asked = Vote::new(request.term, candidate);
        let mine = self.view.metrics().vote;
        let granted = candidate != self.view.me
            && !self.view.leads()
            && self.view.leader_is_lost(SILENCE)
            && request.last.map(wire::log_id) >= self.log.last()
            && asked >= mine;
        let removed = self.knows_of_removal(candidate, request.last.map(wire::log_id));
        pb::PreVoteReply { granted, vote: Some(wire::vote_to_pb(mine)), removed }
    }

    /// Whether a node is no member any more by something that was committed after all that it has in its log.
    fn knows_of_removal(&self, node: NodeId, last: Option<LogId>) -> bool {
        let metrics = self.view.metrics();
        let membership = &metrics.membership_config;
        let is_committed = *membership.log_id() <= metrics.last_applied;
        is_committed && *membership.log_id() > last && membership.membership().get_node(&node).is_none()
    }

    /// Makes this node free for a candidate that a majority, or the leader itself, finds right.
    pub(crate) async fn release(&self, request: pb::Release) -> pb::PreVoteReply {
        let candidate = NodeId::from(request.candidate);
        let asked = for_nobody(request.term);
        let mine = self.view.metrics().vote;
        // Who leads knows better, unless it is by its own will.
        let free = !self.view.leads() || *self.successor.lock() == Some(candidate);
        let may_be = candidate != self.view.me && request.term <= wire::TERM_MAX;
        let granted = may_be && free && (asked == mine || (asked > mine && self.adopt(asked).await));
        let vote = Some(wire::vote_to_pb(self.view.metrics().vote));
        pb::PreVoteReply { granted, vote, removed: false }
    }

    /// Follows the leader's wish that this node lead in its place.
    pub(crate) async fn take_over(&self, request: pb::TakeOver) {
        // A wish from an earlier term has come too late.
        let is_due = || self.may_stand() && self.view.metrics().current_term == request.term;
        self.stand(STEP_TIMEOUT, is_due).await;
    }

    /// While this node leads: asks a follower to lead instead, and waits, but not for long, until another node does.
    pub(crate) async fn hand_over_to(&self, successor: NodeId) {
        let _named = Named::new(&self.successor, successor);
        let term = self.view.metrics().current_term;
        let mut changes = self.view.leader_changes();
        let asked = self.view.links.request(successor, Request::TakeOver(pb::TakeOver { term }));
        let done = async {
            if asked.await.is_ok() {
                // An error means that openraft has stopped.
                let _ = changes.wait_for(|leader| leader.term > term && leader.node.is_some()).await;
            }
        };
        let handed_over = timeout(STEP_TIMEOUT * 2, done).await.is_ok() && !self.view.leads();
        tracing::info!(%successor, handed_over, "asked a follower to lead");
    }
}

/// A successor is named for as long as this lives: also if whoever waits for the change of leaders gives up first.
struct Named<'a> {
    successor: &'a Mutex<Option<NodeId>>,
}

impl Named<'_> {
    fn new(successor: &Mutex<Option<NodeId>>, node: NodeId) -> Named<'_> {
        *successor.lock() = Some(node);
        Named { successor }
    }
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        *self.successor.lock() = None;
    }
}

/// Whether these nodes are a majority: while the membership changes, of the old and of the new voters.
fn is_majority(membership: &Membership, nodes: &BTreeSet<NodeId>) -> bool {
    membership.get_joint_config().iter().all(|config| config.intersection(nodes).count() > config.len() / 2)
}

/// How long this node bears a silent leader: longer than it takes to help others, not equally long everywhere, and longer
/// after elections that brought nobody to power.
fn patience(attempts: u32) -> Duration {
    (SILENCE + runtime::random_below(SILENCE)) * 2_u32.pow(attempts)
}
