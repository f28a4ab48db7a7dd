//! Founds the group, once: the first member does so when all members answer, and none of them has anything yet.
//!
//! All, not a majority: a member that has lost its disk is empty, too, and those that can't be asked may be the ones that
//! remember. It waits to be brought up to date. The members are those of the cluster file, this once; the first one is that
//! with the lowest seat. A node that is added later finds in its file some that are founded.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use agora_proto::raft as pb;
use agora_proto::raft::raft_reply::Body as Reply;
use agora_proto::raft::raft_request::Body as Request;
use futures::future::join_all;
use openraft::error::{InitializeError, RaftError};
use tokio::time::{sleep, timeout};

use super::seats::Seats;
use super::types::{Member, NodeId};
use super::view::View;

const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
/// A pause between attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// Founds the group if that is this node's to do, and if there is none.
pub(crate) async fn run(view: View, members: Seats) {
    if members.keys().next() != Some(&view.me.seat()) {
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
async fn all_if_empty(view: &View, members: &Seats) -> Option<BTreeMap<NodeId, Member>> {
    let links = view.links.all();
    let probes = links.iter().map(|link| timeout(PROBE_TIMEOUT, link.request(Request::Probe(pb::Probe {}))));
    let mut nodes = BTreeSet::from([view.me]);
    for reply in join_all(probes).await {
        match reply {
            Ok(Ok(Reply::Probe(reply))) if !reply.founded => nodes.insert(NodeId::from(reply.node)),
            _ => return None,
        };
    }
    let seats = nodes.iter().map(|node| node.seat());
    let about =
        |(name, address): &(String, SocketAddr)| Member { name: name.clone(), address: address.to_string() };
    let nodes = members.values().zip(&nodes).map(|(member, node)| (*node, about(member)));
    seats.eq(members.keys().copied()).then(|| nodes.collect())
}
