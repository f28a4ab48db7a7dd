//! What a node does for its peers: the other end of their links.

use std::pin::Pin;
use std::sync::Arc;

use agora_proto::raft as pb;
use agora_proto::raft::forward_reply::Outcome;
use agora_proto::raft::raft_peer_server::{RaftPeer, RaftPeerServer};
use agora_proto::raft::raft_reply::Body as Reply;
use agora_proto::raft::raft_request::Body as Request;
use futures::stream::{Stream, StreamExt};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request as Call, Response, Status, Streaming};

use super::clock;
use super::election::Election;
use super::proposer::{Proposed, Proposer};
use super::read_index::ReadIndex;
use super::roster::Roster;
use super::seat_change;
use super::snapshot_receiver::SnapshotReceiver;
use super::types::NodeId;
use super::view::View;
use super::wire;
use crate::runtime;

/// The service that peers' links end at, to be mounted beside a node's other services.
pub type RaftPeerService = RaftPeerServer<PeerService>;

/// Requests of one peer that are handled at a time; while there are more, no further ones are read.
const UNDER_WAY: usize = 512;
/// Replies that wait to be written to the stream.
const OUTGOING: usize = 256;

/// Handles the requests of peers. Cheap to clone.
#[derive(Clone)]
pub struct PeerService {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) cluster: String,
    pub(crate) view: View,
    pub(crate) election: Election,
    pub(crate) roster: Roster,
    pub(crate) proposer: Proposer,
    pub(crate) read_index: ReadIndex,
    pub(crate) snapshots: SnapshotReceiver,
    pub(crate) stop: CancellationToken,
}

impl std::fmt::Debug for PeerService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PeerService of node {}", self.inner.view.me)
    }
}

#[tonic::async_trait]
impl RaftPeer for PeerService {
    type LinkStream = Pin<Box<dyn Stream<Item = Result<pb::RaftReply, Status>> + Send>>;

    async fn link(
        &self,
        call: Call<Streaming<pb::RaftRequest>>,
    ) -> Result<Response<Self::LinkStream>, Status> {
        let replies = self.answer(call.into_inner());
        Ok(Response::new(Box::pin(ReceiverStream::new(replies))))
    }
}

impl PeerService {
    /// Answers a stream of requests, until it ends or this node stops.
    pub(crate) fn answer(
        &self,
        requests: impl Stream<Item = Result<pb::RaftRequest, Status>> + Send + Unpin + 'static,
    ) -> mpsc::Receiver<Result<pb::RaftReply, Status>> {
        let (replies, outgoing) = mpsc::channel(OUTGOING);
        let service = self.clone();
        runtime::spawn(async move {
            let stop = service.inner.stop.clone();
            runtime::select! {
                () = stop.cancelled() => {},
                () = service.serve(requests, replies) => {},
            }
        });
        outgoing
    }

    async fn serve(
        &self,
        mut requests: impl Stream<Item = Result<pb::RaftRequest, Status>> + Send + Unpin,
        replies: mpsc::Sender<Result<pb::RaftReply, Status>>,
    ) {
        let from = match self.greet(&mut requests, &replies).await {
            Ok(from) => from,
            Err(why) => {
                tracing::warn!(why, "refused a peer");
                return;
            }
        };
        let _incoming = self.inner.view.links.incoming(from);
        let under_way = Arc::new(Semaphore::new(UNDER_WAY));
        loop {
            let request = match requests.next().await {
                Some(Ok(request)) => request,
                None => return,
                Some(Err(status)) => {
                    tracing::debug!(peer = %from, %status, "the link from a peer broke");
                    return;
                }
            };
            let Ok(permit) = Arc::clone(&under_way).acquire_owned().await else { return };
            let (inner, replies, stop) = (Arc::clone(&self.inner), replies.clone(), self.inner.stop.clone());
            runtime::spawn(async move {
                let id = request.id;
                let handled = runtime::select! {
                    () = stop.cancelled() => return,
                    handled = inner.handle(request) => handled,
                };
                let body = handled.unwrap_or_else(Reply::Failed);
                // If it fails, the link is broken, and the peer knows.
                let _ = replies.send(Ok(reply(id, body))).await;
                drop(permit);
            });
        }
    }

    /// Lets in a peer of the same group that means this node.
    async fn greet(
        &self,
        requests: &mut (impl Stream<Item = Result<pb::RaftRequest, Status>> + Send + Unpin),
        replies: &mpsc::Sender<Result<pb::RaftReply, Status>>,
    ) -> Result<NodeId, String> {
        let first = requests.next().await.transpose().map_err(|status| status.to_string())?;
        let Some(pb::RaftRequest { id, body: Some(Request::Hello(hello)) }) = first else {
            let _ = replies.send(Err(Status::failed_precondition("the first request must be a hello"))).await;
            return Err("a peer did not begin with a hello".into());
        };
        let refused_because = self.inner.refusal(&hello);
        let body = Reply::Hello(pb::HelloReply {
            refused_because: refused_because.clone(),
            node: self.inner.view.me.to_bits(),
        });
        replies.send(Ok(reply(id, body))).await.map_err(|_| "it left".to_string())?;
        if refused_because.is_empty() { Ok(NodeId::from(hello.from)) } else { Err(refused_because) }
    }
}

fn reply(id: u64, body: Reply) -> pb::RaftReply {
    pb::RaftReply { id, body: Some(body), clock_ms: clock::own_ms() }
}

impl Inner {
    /// Why a peer can't be let in; empty if it can.
    fn refusal(&self, hello: &pb::Hello) -> String {
        let (me, from) = (self.view.me.seat(), NodeId::from(hello.from).seat());
        if hello.cluster != self.cluster {
            return format!("this node belongs to cluster {:?}, not {:?}", self.cluster, hello.cluster);
        }
        if hello.to != me as u64 {
            return format!("this node is member {me}, not {}: the cluster files differ", hello.to);
        }
        // Any other may be a member that this node has not heard of yet.
        if from == me {
            return format!("this node has seat {me} itself: the cluster files differ");
        }
        String::new()
    }

    async fn handle(&self, request: pb::RaftRequest) -> Result<Reply, String> {
        match request.body.ok_or("a request without a body")? {
            Request::Append(request) => self.append(request).await.map(Reply::Append),
            Request::Vote(request) => {
                let request = wire::vote_request(request).map_err(|malformed| malformed.0)?;
                let reply = self.view.raft.vote(request).await.map_err(|error| error.to_string())?;
                Ok(Reply::Vote(wire::vote_reply_to_pb(&reply)))
            }
            Request::Snapshot(chunk) => {
                let _listening = chunk.vote.and_then(|vote| self.view.listen(wire::vote(vote)));
                self.snapshots.receive(&self.view.raft, chunk).await.map(Reply::Snapshot)
            }
            Request::Forward(forward) => Ok(Reply::Forward(self.forwarded(forward).await)),
            Request::ReadIndex(_) => {
                let index = self.read_index.confirm().await;
                Ok(Reply::ReadIndex(pb::ReadIndexReply { index }))
            }
            Request::PreVote(request) => Ok(Reply::PreVote(self.election.answer(request))),
            Request::Release(request) => Ok(Reply::Release(self.election.release(request).await)),
            Request::TakeOver(request) => {
                self.election.take_over(request).await;
                Ok(Reply::TakeOver(pb::Blank {}))
            }
            Request::ChangeSeat(request) => {
                let changed = self.roster.lead_for_peer(&seat_change::from_request(request)?).await;
                Ok(Reply::ChangeSeat(seat_change::reply(changed)))
            }
            Request::Probe(_) => {
                let founded = self.view.raft.is_initialized().await.map_err(|error| error.to_string())?;
                Ok(Reply::Probe(pb::ProbeReply { founded, node: self.view.me.to_bits() }))
            }
            Request::Hello(_) => Err("a second hello".into()),
        }
    }

    async fn append(&self, request: pb::AppendEntries) -> Result<pb::AppendReply, String> {
        let request = wire::append(request).map_err(|malformed| malformed.0)?;
        let _listening = self.view.listen(request.vote);
        let reply = self.view.raft.append_entries(request).await.map_err(|error| error.to_string())?;
        Ok(wire::append_reply_to_pb(reply))
    }

    async fn forwarded(&self, forward: pb::Forward) -> pb::ForwardReply {
        let (outcome, responses) = match self.proposer.propose(forward.commands).await {
            Proposed::Applied(responses) => (Outcome::Applied, responses),
            Proposed::NotLeader => (Outcome::NotLeader, Vec::new()),
            Proposed::Overloaded => (Outcome::Overloaded, Vec::new()),
            Proposed::Unknown(_) => (Outcome::Unknown, Vec::new()),
        };
        pb::ForwardReply { outcome: outcome.into(), responses }
    }
}
