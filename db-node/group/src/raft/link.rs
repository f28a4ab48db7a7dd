//! A link to a peer: requests go out on one stream, replies come back matched by id, and a broken stream is made again.
//!
//! Whether a request may have reached the peer is always known: [`LinkError::Down`] says that it certainly did not. A link
//! leads to a seat; who sits there says so when the connection is made, and a request for another node is not sent. Which
//! links there are follows the membership (see `seats`).

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agora_proto::raft as pb;
use agora_proto::raft::raft_reply::Body as Reply;
use agora_proto::raft::raft_request::Body as Request;
use futures::stream::StreamExt;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::clock::Heard;
use super::dial::{Dial, Replies};
use super::types::NodeId;
use crate::runtime;

/// How long a connection, and the peer's welcome on it, may take.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1000);
const BACKOFF_MIN: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_millis(300);
/// Requests that wait to be written to the stream.
const OUTGOING: usize = 256;

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinkError {
    /// There is no connection: the request was not sent.
    #[error("there is no connection to the peer")]
    Down,
    /// The connection broke: the request may have been carried out.
    #[error("the connection to the peer broke")]
    Broken,
    /// The peer could not handle the request, or replied with something else.
    #[error("the peer failed: {0}")]
    Failed(String),
}

type Pending = Arc<Mutex<BTreeMap<u64, oneshot::Sender<Reply>>>>;

/// A link to the peer in one seat. It connects by itself for as long as [`Link::run`] runs.
#[derive(Debug)]
pub(crate) struct Link {
    to: usize,
    address: SocketAddr,
    dial: Arc<dyn Dial>,
    hello: pb::Hello,
    connection: RwLock<Option<Connection>>,
    /// Tells whoever watches the links.
    changes: Arc<watch::Sender<()>>,
    /// Who was there at the last connection, if there was one.
    last_peer: RwLock<Option<NodeId>>,
    /// What the peer's clock said in its last reply.
    clock: Mutex<Option<Heard>>,
    next_id: AtomicU64,
}

#[derive(Clone, Debug)]
struct Connection {
    peer: NodeId,
    requests: mpsc::Sender<pb::RaftRequest>,
    pending: Pending,
}

impl Connection {
    async fn request(&self, id: u64, body: Request) -> Result<Reply, LinkError> {
        let (reply, replied) = oneshot::channel();
        self.pending.lock().insert(id, reply);
        let _waiting = Waiting { pending: &self.pending, id };
        self.requests.send(pb::RaftRequest { id, body: Some(body) }).await.map_err(|_| LinkError::Down)?;
        match replied.await {
            Ok(Reply::Failed(why)) => Err(LinkError::Failed(why)),
            Ok(reply) => Ok(reply),
            Err(_) => Err(LinkError::Broken),
        }
    }
}

/// Removes a request that nobody waits for any more.
struct Waiting<'a> {
    pending: &'a Pending,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.pending.lock().remove(&self.id);
    }
}

impl Link {
    fn new(shared: &Shared, to: usize, address: SocketAddr) -> Link {
        let Shared { cluster, me, dial, changes, .. } = shared;
        Link {
            to,
            address,
            dial: Arc::clone(dial),
            hello: pb::Hello { cluster: cluster.clone(), from: me.to_bits(), to: to as u64 },
            connection: RwLock::new(None),
            changes: Arc::clone(changes),
            last_peer: RwLock::new(None),
            clock: Mutex::new(None),
            next_id: AtomicU64::new(1),
        }
    }

    /// Who is there, if there is a connection.
    pub(crate) fn peer(&self) -> Option<NodeId> {
        self.connection.read().as_ref().map(|connection| connection.peer)
    }

    /// Whether there was a connection with a node, and now there is none in either direction, or another node is there:
    /// what a peer leaves that has died.
    fn is_dead(&self, node: NodeId, incoming: usize) -> bool {
        match (self.peer(), *self.last_peer.read()) {
            (Some(peer), _) => peer != node,
            (None, last) => last == Some(node) && incoming == 0,
        }
    }

    /// Sends a request to whoever is there, and waits for its reply, for as long as the caller likes to wait.
    pub(crate) async fn request(&self, body: Request) -> Result<Reply, LinkError> {
        let connection = self.connection.read().clone().ok_or(LinkError::Down)?;
        connection.request(self.next_id.fetch_add(1, Ordering::Relaxed), body).await
    }

    /// Sends a request to a node, and not to one that has taken its place.
    pub(crate) async fn request_to(&self, node: NodeId, body: Request) -> Result<Reply, LinkError> {
        let connection = self.connection.read().clone().filter(|connection| connection.peer == node);
        let connection = connection.ok_or(LinkError::Down)?;
        connection.request(self.next_id.fetch_add(1, Ordering::Relaxed), body).await
    }

    /// Keeps the link connected until it is told to stop.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut backoff = BACKOFF_MIN;
        let mut quiet = false;
        loop {
            let outcome = runtime::select! {
                () = stop.cancelled() => break,
                outcome = self.connect_and_serve() => outcome,
            };
            let was_up = self.disconnect();
            match outcome {
                _ if was_up => {
                    tracing::info!(peer = self.to, address = %self.address, "the connection to a peer broke");
                    (backoff, quiet) = (BACKOFF_MIN, false);
                }
                // Once is enough: a peer that is down stays so for a while.
                Err(why) if !quiet => {
                    tracing::info!(peer = self.to, address = %self.address, why, "can't connect to a peer, trying on");
                    quiet = true;
                }
                _ => {}
            }
            runtime::select! {
                () = stop.cancelled() => break,
                () = sleep(backoff / 2 + runtime::random_below(backoff / 2)) => {},
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
        self.disconnect();
    }

    fn disconnect(&self) -> bool {
        // Dropping it fails all that is pending on it.
        let connection = self.connection.write().take();
        if let Some(connection) = &connection {
            connection.pending.lock().clear();
        }
        self.changes.send_replace(());
        connection.is_some()
    }

    /// Makes a connection: who is there, and both directions of the stream.
    async fn connect(&self) -> Result<(NodeId, mpsc::Sender<pb::RaftRequest>, Replies), String> {
        let (requests, outgoing) = mpsc::channel(OUTGOING);
        let connecting = async {
            let hello = pb::RaftRequest { id: 0, body: Some(Request::Hello(self.hello.clone())) };
            requests.send(hello).await.map_err(|error| error.to_string())?;
            let mut replies = self.dial.dial(self.to, self.address, outgoing).await?;
            match replies.next().await.transpose()?.and_then(|reply| reply.body) {
                Some(Reply::Hello(welcome)) if welcome.refused_because.is_empty() => {
                    Ok((NodeId::from(welcome.node), requests, replies))
                }
                Some(Reply::Hello(refusal)) => {
                    let why = refusal.refused_because;
                    tracing::error!(peer = self.to, address = %self.address, why, "a peer refuses this node");
                    Err(why)
                }
                _ => Err("the peer did not say hello".to_string()),
            }
        };
        timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| "the peer does not answer".to_string())?
    }

    async fn connect_and_serve(&self) -> Result<(), String> {
        let (peer, requests, mut replies) = self.connect().await?;
        let pending = Pending::default();
        *self.last_peer.write() = Some(peer);
        *self.connection.write() = Some(Connection { peer, requests, pending: Arc::clone(&pending) });
        self.changes.send_replace(());
        while let Some(reply) = replies.next().await.transpose()? {
            *self.clock.lock() = Some(Heard { clock_ms: reply.clock_ms, at: Instant::now() });
            let waiting = pending.lock().remove(&reply.id);
            if let (Some(waiting), Some(body)) = (waiting, reply.body) {
                // Whoever no longer waits needs no reply.
                let _ = waiting.send(body);
            }
        }
        Ok(())
    }
}

/// A stream that a peer holds open to this node, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Incoming {
    shared: Arc<Shared>,
    seat: usize,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let mut incoming = self.shared.incoming.lock();
        if let Some(streams) = incoming.get_mut(&self.seat) {
            *streams -= 1;
            if *streams == 0 {
                incoming.remove(&self.seat);
            }
        }
        drop(incoming);
        // Whoever watches the links looks at both directions.
        self.shared.changes.send_replace(());
    }
}

/// The links of a node, by seat. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    cluster: String,
    me: NodeId,
    dial: Arc<dyn Dial>,
    by_seat: RwLock<BTreeMap<usize, Kept>>,
    /// Streams that peers hold open to this node.
    incoming: Mutex<BTreeMap<usize, usize>>,
    changes: Arc<watch::Sender<()>>,
}

#[derive(Debug)]
struct Kept {
    link: Arc<Link>,
    stop: CancellationToken,
}

impl Links {
    /// None yet; see [`Links::keep`].
    pub(crate) fn new(cluster: &str, me: NodeId, dial: Arc<dyn Dial>) -> Links {
        let shared = Shared {
            cluster: cluster.into(),
            me,
            dial,
            by_seat: RwLock::default(),
            incoming: Mutex::default(),
            changes: Arc::new(watch::channel(()).0),
        };
        Links { shared: Arc::new(shared) }
    }

    /// From now on there are links to these seats, and no others. Those that are new have to be run, until they are told to
    /// stop: with all the others, or because nobody is to be found there any more.
    pub(crate) fn keep(
        &self,
        seats: &BTreeMap<usize, SocketAddr>,
        stop: &CancellationToken,
    ) -> Vec<impl Future<Output = ()> + Send + use<>> {
        let mut links = self.shared.by_seat.write();
        links.retain(|seat, kept| {
            let stays = seats.get(seat) == Some(&kept.link.address);
            if !stays {
                kept.stop.cancel();
            }
            stays
        });
        let mut new = Vec::new();
        for (seat, address) in seats {
            if *seat != self.shared.me.seat() && !links.contains_key(seat) {
                let (link, stop) = (Arc::new(Link::new(&self.shared, *seat, *address)), stop.child_token());
                new.push(Arc::clone(&link).run(stop.clone()));
                links.insert(*seat, Kept { link, stop });
            }
        }
        new
    }

    /// Tells of connections made and broken.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.shared.changes.subscribe()
    }

    /// Who is in a seat, by a connection that is made for this only.
    pub(crate) async fn who_is_at(&self, seat: usize, address: SocketAddr) -> Result<NodeId, String> {
        Link::new(&self.shared, seat, address).connect().await.map(|(peer, ..)| peer)
    }

    /// The link to a node's seat; none to this node itself.
    fn to(&self, node: NodeId) -> Option<Arc<Link>> {
        self.shared.by_seat.read().get(&node.seat()).map(|kept| Arc::clone(&kept.link))
    }

    pub(crate) fn all(&self) -> Vec<Arc<Link>> {
        self.shared.by_seat.read().values().map(|kept| Arc::clone(&kept.link)).collect()
    }

    /// The peers that are connected, and where.
    pub(crate) fn present(&self) -> BTreeMap<NodeId, String> {
        self.all().iter().filter_map(|link| Some((link.peer()?, link.address.to_string()))).collect()
    }

    /// What the peers' clocks say now.
    pub(crate) fn clocks_ms(&self) -> impl Iterator<Item = u64> {
        self.all().into_iter().filter_map(|link| link.clock.lock().and_then(|heard| heard.now_ms()))
    }

    pub(crate) fn is_up(&self, node: NodeId) -> bool {
        self.to(node).is_some_and(|link| link.peer() == Some(node))
    }

    /// Whether a node seems to have died; see [`Link::is_dead`].
    pub(crate) fn is_dead(&self, node: NodeId) -> bool {
        let incoming = self.shared.incoming.lock().get(&node.seat()).copied().unwrap_or_default();
        self.to(node).is_some_and(|link| link.is_dead(node, incoming))
    }

    /// Notes that a node has opened a stream to this one.
    pub(crate) fn incoming(&self, node: NodeId) -> Incoming {
        *self.shared.incoming.lock().entry(node.seat()).or_default() += 1;
        Incoming { shared: Arc::clone(&self.shared), seat: node.seat() }
    }

    pub(crate) async fn request(&self, node: NodeId, body: Request) -> Result<Reply, LinkError> {
        match self.to(node) {
            Some(link) => link.request_to(node, body).await,
            None => Err(LinkError::Down),
        }
    }
}
