//! Who leads the group: found out by asking nodes for their status, now and then and when commands fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agora_proto::database::database_client::DatabaseClient;
use agora_proto::database::{StatusRequest, status_reply};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

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

/// A node's name and a channel to ask it by.
pub(crate) type Respondent = (String, Channel);

/// Keeps the hint fresh until told to stop: asks one node after the other, so that a dead one does not block the view.
pub(crate) async fn watch(leader: Arc<Leader>, nodes: Vec<Respondent>, stop: CancellationToken) {
    let watched = async {
        for (_, channel) in nodes.iter().cycle() {
            let found = ask(channel, &nodes).await;
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

async fn ask(channel: &Channel, nodes: &[Respondent]) -> Option<usize> {
    let mut client = DatabaseClient::new(channel.clone());
    let asked = client.status(StatusRequest { checksum: false });
    let status = tokio::time::timeout(ANSWER_WITHIN, asked).await.ok()?.ok()?.into_inner();
    let Some(status_reply::Group::Raft(raft)) = status.group else { return None };
    nodes.iter().position(|(name, _)| *name == raft.leader)
}
