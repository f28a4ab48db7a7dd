//! Links to the other members: one stream to each, on which this member sends. Kept open for as long as it runs.

use std::sync::Arc;
use std::time::Duration;

use agora_broadcast::MemberId;
use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::driver::Event;
use super::faults::{Fate, LinkFaults};
use super::outgoing::Outgoing;
use super::peers::{Peer, Peers};
use super::raw_codec::RawFrames;

const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// Pauses between attempts to connect: the first, and the longest.
const BACKOFF_FIRST: Duration = Duration::from_millis(10);
const BACKOFF_MOST: Duration = Duration::from_millis(500);
/// A link that lasted this long was a good one: when it breaks, the pauses begin anew.
const LASTED: Duration = Duration::from_secs(1);
/// A peer's machine that vanished is noticed when it answers no ping for this long.
const PING_AFTER: Duration = Duration::from_secs(2);
/// Flow control must not hold back what the protocol's own bounds allow.
const WINDOW_BYTES: u32 = 16 << 20;
/// Messages held back at a time, over all links, by faults that delay. Beyond it messages are lost.
const HELD_BACK: usize = 16_384;
const LINK: &str = "/agora.v1.broadcast.BroadcastPeer/Link";

/// The sending side of all links.
pub(super) struct Links {
    links: Vec<Option<Link>>,
    held_back: Arc<Semaphore>,
}

struct Link {
    outgoing: Outgoing,
    /// None: the link is as good as the network.
    fate: Option<Fate>,
}

impl Links {
    /// Starts a task for each peer. The tasks end when told to stop.
    pub(super) fn start(
        peers: &Peers,
        faults: &LinkFaults,
        events: &mpsc::Sender<Event>,
        stop: &CancellationToken,
    ) -> Self {
        let link = |(index, peer): (usize, &Peer)| {
            if index == peers.me {
                return None;
            }
            let outgoing = Outgoing::new();
            let keeper = Keeper { peer: peer.clone(), outgoing: outgoing.clone(), events: events.clone() };
            let request = peers.introduction(peer);
            let stop = stop.clone();
            tokio::spawn(async move { stop.run_until_cancelled(keeper.keep(request)).await });
            // A sabotaged process's links may go bad while it runs.
            let has_fate = agora_sabotage::ARMED || !faults.are_none();
            let fate = has_fate.then(|| Fate::new(faults.clone(), peers.me, index));
            Some(Link { outgoing, fate })
        };
        let links = peers.all.iter().enumerate().map(link).collect();
        Links { links, held_back: Arc::new(Semaphore::new(HELD_BACK)) }
    }

    /// Sends an encoded frame to one peer. It may be lost.
    pub(super) fn send(&mut self, to: MemberId, frame: &Bytes) {
        if let Some(Some(link)) = self.links.get_mut(usize::from(to.0)) {
            link.send(frame, &self.held_back);
        }
    }

    /// Sends an encoded frame to all peers.
    pub(super) fn send_all(&mut self, frame: &Bytes) {
        for link in self.links.iter_mut().flatten() {
            link.send(frame, &self.held_back);
        }
    }

    /// Frames dropped because a queue was full, since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.links.iter().flatten().map(|link| link.outgoing.dropped()).sum()
    }
}

impl Link {
    fn send(&mut self, frame: &Bytes, held_back: &Arc<Semaphore>) {
        let Some(fate) = self.fate.as_mut().filter(|fate| fate.is_fickle()) else {
            return self.outgoing.offer(frame.clone());
        };
        for delay in fate.next() {
            let Ok(place) = Arc::clone(held_back).try_acquire_owned() else { return };
            let (outgoing, frame) = (self.outgoing.clone(), frame.clone());
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                outgoing.offer(frame);
                drop(place);
            });
        }
    }
}

/// Keeps one link open.
struct Keeper {
    peer: Peer,
    outgoing: Outgoing,
    events: mpsc::Sender<Event>,
}

impl Keeper {
    async fn keep(self, introduction: Request<()>) {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(BACKOFF_FIRST)
            .with_max_delay(BACKOFF_MOST)
            .with_jitter()
            .without_max_times();
        let mut pauses = backoff.build();
        loop {
            let started = Instant::now();
            if let Ok(Ok(channel)) = timeout(CONNECT_WITHIN, connect(&self.peer)).await {
                self.run(channel, &introduction).await;
            }
            // The protocol makes of it what it likes: nobody waits for a driver that is stopping.
            let _ = self.events.send(Event::PeerLost(self.peer.id)).await;
            if started.elapsed() > LASTED {
                pauses = backoff.build();
            }
            tokio::time::sleep(pauses.next().unwrap_or(BACKOFF_MOST)).await;
        }
    }

    /// Runs until the connection breaks, or the peer refuses or closes the stream.
    async fn run(&self, channel: Channel, introduction: &Request<()>) {
        let peer = &self.peer.name;
        tracing::info!(peer, address = %self.peer.address, "connected to peer");
        let frames = self.outgoing.open().await;
        let mut request = Request::new(frames);
        *request.metadata_mut() = introduction.metadata().clone();
        match stream(channel, request).await {
            Ok(()) => tracing::info!(peer, "the peer closed the link"),
            Err(status) => {
                tracing::warn!(peer, code = ?status.code(), why = status.message(), "the link broke")
            }
        }
    }
}

/// Connects to a peer.
pub(super) async fn connect(peer: &Peer) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{}", peer.address))?
        .connect_timeout(CONNECT_WITHIN)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_AFTER)
        .keep_alive_while_idle(true);
    endpoint.connect().await
}

async fn stream(channel: Channel, request: Request<super::outgoing::Frames>) -> Result<(), Status> {
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    client.client_streaming(request, PathAndQuery::from_static(LINK), RawFrames).await.map(|_| ())
}
