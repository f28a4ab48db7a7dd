//! Founds the group, once: the first member does so when all members answer, and none of them has anything yet.
//!
//! All, not a majority: a member that has lost its disk is empty, too, and those that can't be asked may be the ones that
//! remember. It waits to be brought up to date.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use agora_proto::raft as pb;
use agora_proto::raft::raft_reply::Body as Reply;
use agora_proto::raft::raft_request::Body as Request;
use futures::future::join_all;
use openraft::BasicNode;
use openraft::error::{InitializeError, RaftError};
use tokio::time::{sleep, timeout};

use super::types::NodeId;
use super::view::View;

/// The member that founds the group.
const FOUNDER: usize = 0;
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
/// A pause between attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// Founds the group if that is this node's to do, and if there is none.
pub(crate) async fn run(view: View, members: Vec<(String, SocketAddr)>) {
    if view.me.seat() != FOUNDER {
        return;
    }
    loop {
        match view.raft.is_initialized().await {
            Ok(false) => {}
            // It is there, or openraft has stopped.
            Ok(true) | Err(_) => return,
        }
        if let Some(nodes) = all_if_empty(&view, &members).await {
            match view.raft.initialize(nodes).await {
                Ok(()) => tracing::info!(members = members.len(), "founded the group"),
                // Between the question and now a leader has come.
                Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
                Err(error) => tracing::error!(%error, "can't found the group"),
            }
            return;
        }
        sleep(PAUSE).await;
    }
}

/// All nodes, if all answer and none has anything.
async fn all_if_empty(view: &View, members: &[(String, SocketAddr)]) -> Option<BTreeMap<NodeId, BasicNode>> {
    let probes =
        view.links.all().map(|link| timeout(PROBE_TIMEOUT, link.request(Request::Probe(pb::Probe {}))));
    let mut nodes = BTreeSet::from([view.me]);
    for reply in join_all(probes).await {
        match reply {
            Ok(Ok(Reply::Probe(reply))) if !reply.founded => nodes.insert(NodeId::from(reply.node)),
            _ => return None,
        };
    }
    let seats = nodes.iter().map(|node| node.seat());
    let nodes = members.iter().zip(&nodes).map(|((_, address), node)| (*node, BasicNode::new(address)));
    seats.eq(0..members.len()).then(|| nodes.collect())
}
