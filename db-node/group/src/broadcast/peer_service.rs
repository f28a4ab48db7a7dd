//! The receiving side of links: checks who speaks, and hands what was said to the driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agora_broadcast::MemberId;
use agora_proto::broadcast::broadcast_peer_server::{BroadcastPeer, BroadcastPeerServer};
use agora_proto::broadcast::{Frame, LinkClosed};
use agora_proto::snapshot::snapshots_server::SnapshotsServer;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use tonic::{Request, Response, Status, Streaming};

use super::driver::Event;
use super::peers::Peers;
use super::snapshot_give::{SnapshotService, Source};
use super::wire;

/// The largest frame that is taken from a peer. The protocol sends a megabyte at once, and one entry whatever its size.
const FRAME_BYTES: usize = 64 << 20;

/// The service that members mount for each other.
#[derive(Clone)]
pub struct BroadcastPeerService {
    shared: Arc<Shared>,
}

struct Shared {
    peers: Peers,
    events: mpsc::Sender<Event>,
    /// Per member, how many links it has opened: the end of a link that was replaced already is no news.
    opened: Vec<AtomicU64>,
    stop: CancellationToken,
    snapshots: SnapshotService,
}

impl BroadcastPeerService {
    pub(super) fn new(
        peers: Peers,
        source: impl Source,
        events: mpsc::Sender<Event>,
        stop: CancellationToken,
    ) -> Self {
        let snapshots = SnapshotService::new(peers.clone(), source, events.clone());
        let opened = peers.all.iter().map(|_| AtomicU64::new(0)).collect();
        BroadcastPeerService { shared: Arc::new(Shared { peers, events, opened, stop, snapshots }) }
    }

    /// Mounts it.
    pub fn add_to(&self, routes: &mut RoutesBuilder) {
        routes.add_service(BroadcastPeerServer::new(self.clone()).max_decoding_message_size(FRAME_BYTES));
        routes.add_service(SnapshotsServer::new(self.shared.snapshots.clone()));
    }
}

#[tonic::async_trait]
impl BroadcastPeer for BroadcastPeerService {
    async fn link(&self, request: Request<Streaming<Frame>>) -> Result<Response<LinkClosed>, Status> {
        let shared = &self.shared;
        let from = shared.peers.recognize(request.metadata()).inspect_err(|status| {
            tracing::warn!(remote = ?request.remote_addr(), why = status.message(), "refused a link");
        })?;
        let opened = shared.opened.get(usize::from(from.id.0));
        let opened = opened.ok_or_else(|| Status::internal("a member without a number"))?;
        let mine = opened.fetch_add(1, Ordering::Relaxed) + 1;
        let received = shared.stop.run_until_cancelled(shared.receive(from.id, request.into_inner())).await;
        if opened.load(Ordering::Relaxed) == mine {
            // Nobody waits for a driver that is stopping.
            let _ = shared.events.send(Event::PeerLost(from.id)).await;
        }
        match received {
            Some(Err(status)) => {
                tracing::warn!(peer = from.name, code = ?status.code(), why = status.message(), "a link from a peer broke");
                Err(status)
            }
            Some(Ok(())) | None => Ok(Response::new(LinkClosed {})),
        }
    }
}

impl Shared {
    async fn receive(&self, from: MemberId, mut frames: Streaming<Frame>) -> Result<(), Status> {
        while let Some(frame) = frames.message().await? {
            let message =
                wire::decode(frame).map_err(|malformed| Status::invalid_argument(malformed.to_string()))?;
            let received = Event::Received { from, message };
            // A driver that can't keep up holds the peer back by HTTP/2's flow control; the peer then drops.
            self.events.send(received).await.map_err(|_| Status::unavailable("this node is stopping"))?;
        }
        Ok(())
    }
}
