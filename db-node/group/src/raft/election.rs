//! When and by whom a new leader is elected.
//!
//! openraft's own timers wait long, so that nothing is disturbed on a busy machine. What makes a change of leaders fast is
//! this: a broken connection to the leader is noticed at once, by all. The followers then try in turn, some milliseconds
//! apart. A candidate first asks whether an election is worth while (a pre-vote). A peer grants that if it, too, finds the
//! leader lost and if the candidate's log is not behind its own; with it, it gives up its loyalty to the old leader, which
//! openraft would otherwise make it keep until a lease has run out. With a majority of grants the candidate is elected by
//! openraft's usual rules: nothing here is needed for safety, it only makes votes likely to be granted.
//!
//! Giving up the loyalty is done by raising the vote: as if the candidate, not yet elected, had sent a snapshot of nothing.
//! In Raft a higher vote may always be adopted, and being adopted so does not count as granted: that it is only when the
//! candidate's real vote request has come, with which the logs are compared again.

use std::sync::Arc;
use std::time::Duration;

use agora_machine::Record;
use agora_proto::raft as pb;
use agora_proto::raft::raft_reply::Body as Reply;
use agora_proto::raft::raft_request::Body as Request;
use futures::stream::{FuturesUnordered, StreamExt};
use openraft::ServerState;
use rand::Rng;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::log_store::LogStore;
use super::types::{NodeId, RecordSource, Snapshot, SnapshotData, SnapshotMeta, SnapshotRecords, Vote};
use super::view::{SILENCE, View};
use super::wire;

/// How often the leader's signs of life are looked at, besides when a connection breaks.
const TICK: Duration = Duration::from_millis(50);
/// How long a pre-vote may take.
const PRE_VOTE_TIMEOUT: Duration = Duration::from_millis(150);
/// How long a candidate waits for openraft's election to end.
const ELECTION_TIMEOUT: Duration = Duration::from_millis(150);
/// By how much later each further follower in turn begins.
const TURN: Duration = Duration::from_millis(15);

/// Takes part in elections.
#[derive(Clone)]
pub(crate) struct Election {
    pub(crate) view: View,
    pub(crate) log: LogStore,
}

impl Election {
    /// Watches the leader, and tries to become it when it is lost, until openraft stops.
    pub(crate) async fn run(self) {
        let mut changes = self.view.leader_changes();
        let mut links: FuturesUnordered<_> =
            self.view.links.all().map(|link| next_change(link.changes())).collect();
        let mut patience = patience();
        loop {
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                Some(link) = links.next() => links.push(next_change(link)),
                () = sleep(TICK) => {},
            }
            if !self.is_due(patience) {
                continue;
            }
            sleep(self.turn()).await;
            if !self.is_due(patience) {
                continue;
            }
            if self.pre_vote().await {
                tracing::info!(node = %self.view.me, "standing for election");
                if self.view.raft.trigger().elect().await.is_err() {
                    return;
                }
                // Whoever is elected: its name ends the wait.
                let elected = changes.wait_for(|leader| leader.node.is_some());
                let _ = timeout(ELECTION_TIMEOUT, elected).await;
            }
            patience = self::patience();
            sleep(random(TURN * 2)).await;
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

    /// Asks all voters whether an election is worth while.
    async fn pre_vote(&self) -> bool {
        let (term, voters) = {
            let metrics = self.view.metrics();
            (metrics.current_term + 1, metrics.membership_config.voter_ids().collect::<Vec<_>>())
        };
        let majority = voters.len() / 2 + 1;
        let request = pb::PreVote {
            candidate: self.view.me.to_bits(),
            term,
            last: self.log.last().map(wire::log_id_to_pb),
        };
        let ask = |voter: NodeId| {
            let (links, request) = (self.view.links.clone(), Request::PreVote(request));
            async move { timeout(PRE_VOTE_TIMEOUT, links.request(voter, request)).await }
        };
        let mut replies: FuturesUnordered<_> =
            voters.into_iter().filter(|voter| *voter != self.view.me).map(ask).collect();
        let mut granted = 1;
        while granted < majority {
            match replies.next().await {
                Some(Ok(Ok(Reply::PreVote(reply)))) if reply.granted => granted += 1,
                Some(Ok(Ok(Reply::PreVote(reply)))) => self.catch_up(reply.vote).await,
                Some(_) => {}
                None => return false,
            }
        }
        true
    }

    /// Raises this node's vote to one that a peer has seen, so that the next election is for a term that can be won.
    async fn catch_up(&self, seen: Option<pb::Vote>) {
        if let Some(seen) = seen
            && NodeId::from(seen.node) != self.view.me
            && seen.term > self.view.metrics().current_term
        {
            self.adopt(Vote::new(seen.term, seen.node.into())).await;
        }
    }

    async fn adopt(&self, vote: Vote) -> bool {
        let records = SnapshotRecords::Machine(Arc::new(Nothing));
        let snapshot = Box::new(SnapshotData { position: Vec::new(), records });
        let nothing = Snapshot { meta: SnapshotMeta::default(), snapshot };
        let reply = self.view.raft.install_full_snapshot(vote, nothing).await;
        reply.is_ok_and(|reply| reply.vote == vote)
    }

    /// Answers a candidate that asks whether an election is worth while.
    pub(crate) async fn answer(&self, request: pb::PreVote) -> pb::PreVoteReply {
        let candidate = NodeId::from(request.candidate);
        let asked = Vote::new(request.term, candidate);
        let mine = self.view.metrics().vote;
        let refusal = pb::PreVoteReply { granted: false, vote: Some(wire::vote_to_pb(mine)) };
        let leads = self.view.leads();
        if leads || candidate == self.view.me || !self.view.leader_is_lost(SILENCE) {
            return refusal;
        }
        if request.last.map(wire::log_id) < self.log.last() {
            return refusal;
        }
        if mine != asked && (asked <= mine || !self.adopt(asked).await) {
            return refusal;
        }
        pb::PreVoteReply { granted: true, vote: Some(wire::vote_to_pb(asked)) }
    }
}

/// The records of a snapshot that covers nothing, and that is therefore never installed.
struct Nothing;

impl RecordSource for Nothing {
    fn records(&self) -> Box<dyn Iterator<Item = Record> + '_> {
        Box::new(std::iter::empty())
    }
}

/// How long this node bears a silent leader: longer than it takes to help others, and not equally long everywhere.
fn patience() -> Duration {
    SILENCE + random(SILENCE)
}

fn random(below: Duration) -> Duration {
    rand::rng().random_range(Duration::ZERO..below)
}

/// Resolves when one of the connections with a peer has changed.
async fn next_change(mut link: watch::Receiver<bool>) -> watch::Receiver<bool> {
    if link.changed().await.is_err() {
        // The link is no more: the node is stopping.
        std::future::pending::<()>().await;
    }
    link
}
