//! openraft's RPCs over the links.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use agora_proto::raft::raft_reply::Body as Reply;
use agora_proto::raft::raft_request::Body as Request;
use openraft::error::{
    Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetwork, RaftNetworkFactory};

use super::adoption;
use super::link::{LinkError, Links};
use super::log_store::LogStore;
use super::snapshot_sender;
use super::types::{Member, NodeId, Raft, Snapshot, TypeConfig, Vote};
use super::wire;
use crate::runtime;

/// How long replication leaves a peer alone that can't be reached.
const BACKOFF: Duration = Duration::from_millis(50);

/// Makes openraft's clients of peers.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) me: NodeId,
    pub(crate) links: Links,
    pub(crate) log: LogStore,
    /// Set as soon as there is one.
    pub(crate) raft: Arc<OnceLock<Raft>>,
}

/// openraft's client of one peer.
pub(crate) struct Peer {
    network: Network,
    target: NodeId,
}

impl Peer {
    async fn ask(&self, request: Request) -> Result<Reply, LinkError> {
        self.network.links.request(self.target, request).await
    }

    /// Deals with a higher vote than that of a leader's replication. openraft would end the replication at once, and itself if,
    /// before it hears of the vote, it has anything more for that replication to do. So this member's own vote is raised
    /// first, and to the replication the peer is out of reach for as long as that takes.
    fn yield_to(&self, vote: Vote) -> Unreachable {
        if let Some(raft) = self.network.raft.get().cloned() {
            let vote = adoption::yielding_to(vote, self.network.me);
            runtime::spawn(async move { adoption::adopt(&raft, vote).await });
        }
        Unreachable::new(&LinkError::Failed(format!("it has the higher vote {vote}")))
    }
}

type RpcError = RPCError<NodeId, Member, RaftError<NodeId>>;

fn rpc_error(error: LinkError) -> RpcError {
    match error {
        // These are left alone for a moment.
        LinkError::Down | LinkError::Failed(_) => RPCError::Unreachable(Unreachable::new(&error)),
        LinkError::Broken => RPCError::Network(NetworkError::new(&error)),
    }
}

fn unexpected() -> LinkError {
    LinkError::Failed("it replied to something else".into())
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: NodeId, _: &Member) -> Peer {
        Peer { network: self.clone(), target }
    }
}

impl RaftNetwork<TypeConfig> for Peer {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, RpcError> {
        // After a higher vote the log may have been written anew, so that the entries do not follow what the request says
        // they follow. The answer is the one that the peer would give, and ends the replication.
        if let Some(vote) = self.network.log.vote().filter(|vote| *vote > request.vote) {
            return Ok(AppendEntriesResponse::HigherVote(vote));
        }
        let mut replications = self.network.log.replications();
        let reply = runtime::select! {
            reply = self.ask(Request::Append(wire::append_to_pb(&request))) => reply,
            // This one is about to be replaced. A leader waits for its end, and nobody hears of it while a silent peer does
            // not let it end.
            _ = replications.changed() => Err(LinkError::Down),
        };
        let Reply::Append(reply) = reply.map_err(rpc_error)? else { return Err(rpc_error(unexpected())) };
        match wire::append_reply(reply) {
            Ok(AppendEntriesResponse::HigherVote(vote)) => Err(RPCError::Unreachable(self.yield_to(vote))),
            Ok(reply) => Ok(reply),
            Err(malformed) => Err(rpc_error(LinkError::Failed(malformed.0))),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<NodeId>,
        _: RPCOption,
    ) -> Result<VoteResponse<NodeId>, RpcError> {
        let reply = self.ask(Request::Vote(wire::vote_request_to_pb(&request))).await;
        let Reply::Vote(reply) = reply.map_err(rpc_error)? else { return Err(rpc_error(unexpected())) };
        wire::vote_reply(reply).map_err(|malformed| rpc_error(LinkError::Failed(malformed.0)))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<NodeId>, StreamingError<TypeConfig, Fatal<NodeId>>> {
        runtime::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = snapshot_sender::send(&self.network.links, self.target, vote, snapshot) => match sent {
                Ok(higher) if higher > vote => Err(StreamingError::Unreachable(self.yield_to(higher))),
                Ok(vote) => Ok(SnapshotResponse { vote }),
                Err(error) => {
                    tracing::warn!(peer = %self.target, %error, "can't send a snapshot");
                    // Whatever it was, a moment's rest before the next attempt does no harm.
                    Err(StreamingError::Unreachable(Unreachable::new(&error)))
                },
            },
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(BACKOFF))
    }
}
