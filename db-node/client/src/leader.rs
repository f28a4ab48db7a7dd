//! Who leads the group, and who belongs to it: found out by asking nodes for their status, now and then and when commands fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agora_proto::database::database_client::DatabaseClient;
use agora_proto::database::{RaftStatus, StatusRequest, status_reply};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::node::Node;
use crate::nodes::Nodes;

/// How often a group that works is asked, and how soon one that does not.
const ASK_AGAIN: Duration = Duration::from_secs(1);
const ASK_SOON: Duration = Duration::from_millis(50);
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
const NOBODY: usize = usize::MAX;

/// What is known of the leader. A wrong hint costs a hop, not correctness.
pub(crate) struct Leader {
    index: AtomicUsize,
    doubted: Notify,
}

impl Leader {
    pub(crate) fn unknown() -> Self {
        Leader { index: AtomicUsize::new(NOBODY), doubted: Notify::new() }
    }

    pub(crate) fn index(&self) -> Option<usize> {
        Some(self.index.load(Ordering::Relaxed)).filter(|index| *index != NOBODY)
    }

    /// A command to this node failed: it may have lost its lead.
    pub(crate) fn doubt(&self, index: usize) {
        let forgot = self.index.compare_exchange(index, NOBODY, Ordering::Relaxed, Ordering::Relaxed);
        if forgot.is_ok() {
            self.doubted.notify_one();
        }
    }

    fn learn(&self, index: Option<usize>) {
        self.index.store(index.unwrap_or(NOBODY), Ordering::Relaxed);
    }
}

/// Asks for who leads, and who the members are, until told to stop: one node after the other, so that a dead one does not block
/// the view. `came` is told of nodes that are new.
pub(crate) async fn watch(
    leader: Arc<Leader>,
    nodes: Arc<Nodes>,
    connect_timeout: Duration,
    came: impl Fn(Arc<Node>),
    stop: CancellationToken,
) {
    let watched = async {
        for turn in 0_usize.. {
            let all = nodes.all();
            let present: Vec<_> = all.iter().filter(|node| !node.was_let_go()).collect();
            let node = present.get(turn % present.len().max(1));
            let told = match node.map(|node| node.channel(connect_timeout)) {
                Some(Ok(channel)) => ask(channel).await,
                _ => None,
            };
            let mut found = None;
            if let Some(raft) = told {
                nodes.learn(raft.members_since, &raft.members).into_iter().for_each(&came);
                found = nodes.place_of(&raft.leader);
            }
            leader.learn(found);
            let pause = if found.is_some() { ASK_AGAIN } else { ASK_SOON };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = leader.doubted.notified() => tokio::time::sleep(ASK_SOON).await,
            }
        }
    };
    tokio::select! {
        () = watched => {}
        () = stop.cancelled() => {}
    }
}

async fn ask(channel: Channel) -> Option<RaftStatus> {
    let mut client = DatabaseClient::new(channel);
    let asked = client.status(StatusRequest { checksum: false });
    let status = tokio::time::timeout(ANSWER_WITHIN, asked).await.ok()?.ok()?.into_inner();
    match status.group {
        Some(status_reply::Group::Raft(raft)) => Some(raft),
        _ => None,
    }
}
