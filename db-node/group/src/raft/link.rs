//! A link to a peer: requests go out on one stream, replies come back matched by id, and a broken stream is made again.
//!
//! Whether a request may have reached the peer is always known: [`LinkError::Down`] says that it certainly did not.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use agora_proto::raft as pb;
use agora_proto::raft::raft_peer_client::RaftPeerClient;
use agora_proto::raft::raft_reply::Body as Reply;
use agora_proto::raft::raft_request::Body as Request;
use parking_lot::{Mutex, RwLock};
use rand::Rng;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;

/// Largest message on a link: a few times what one append or one batch of forwarded commands is bounded to.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;
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

type Pending = Arc<Mutex<HashMap<u64, oneshot::Sender<Reply>>>>;

/// A link to one peer. It connects by itself for as long as [`Link::run`] runs.
#[derive(Debug)]
pub(crate) struct Link {
    to: u64,
    address: SocketAddr,
    hello: pb::Hello,
    connection: RwLock<Option<Connection>>,
    up: watch::Sender<bool>,
    /// Whether there was a connection once.
    was_up: AtomicBool,
    /// Streams that the peer holds open to this node.
    incoming: AtomicUsize,
    next_id: AtomicU64,
}

#[derive(Clone, Debug)]
struct Connection {
    requests: mpsc::Sender<pb::RaftRequest>,
    pending: Pending,
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
    pub(crate) fn new(cluster: &str, from: u64, to: u64, address: SocketAddr) -> Link {
        Link {
            to,
            address,
            hello: pb::Hello { cluster: cluster.into(), from, to },
            connection: RwLock::new(None),
            up: watch::channel(false).0,
            was_up: AtomicBool::new(false),
            incoming: AtomicUsize::new(0),
            next_id: AtomicU64::new(1),
        }
    }

    /// Whether there is a connection.
    pub(crate) fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    /// Whether there was a connection, and now there is none in either direction: what a peer leaves that has died.
    pub(crate) fn is_dead(&self) -> bool {
        self.was_up.load(Ordering::Relaxed) && !self.is_up() && self.incoming.load(Ordering::Relaxed) == 0
    }

    /// Tells of connections made and broken.
    pub(crate) fn changes(&self) -> watch::Receiver<bool> {
        self.up.subscribe()
    }

    /// Sends a request and waits for its reply, for as long as the caller likes to wait.
    pub(crate) async fn request(&self, body: Request) -> Result<Reply, LinkError> {
        let connection = self.connection.read().clone().ok_or(LinkError::Down)?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (reply, replied) = oneshot::channel();
        connection.pending.lock().insert(id, reply);
        let _waiting = Waiting { pending: &connection.pending, id };
        let Connection { requests, pending: _ } = &connection;
        requests.send(pb::RaftRequest { id, body: Some(body) }).await.map_err(|_| LinkError::Down)?;
        match replied.await {
            Ok(Reply::Failed(why)) => Err(LinkError::Failed(why)),
            Ok(reply) => Ok(reply),
            Err(_) => Err(LinkError::Broken),
        }
    }

    /// Keeps the link connected until it is told to stop.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut backoff = BACKOFF_MIN;
        let mut quiet = false;
        loop {
            let outcome = tokio::select! {
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
            let jitter = rand::rng().random_range(0.5..1.0);
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(backoff.mul_f64(jitter)) => {},
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
        self.disconnect();
    }

    fn disconnect(&self) -> bool {
        // Dropping it fails all that is pending on it.
        if let Some(connection) = self.connection.write().take() {
            connection.pending.lock().clear();
        }
        self.up.send_replace(false)
    }

    async fn connect_and_serve(&self) -> Result<(), String> {
        let endpoint =
            Endpoint::from_shared(format!("http://{}", self.address)).map_err(|error| error.to_string())?;
        let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true);
        let (requests, outgoing) = mpsc::channel(OUTGOING);
        let mut replies = timeout(CONNECT_TIMEOUT, async {
            let channel = endpoint.connect().await.map_err(|error| chain(&error))?;
            let client = RaftPeerClient::new(channel);
            let mut client =
                client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX);
            let hello = pb::RaftRequest { id: 0, body: Some(Request::Hello(self.hello.clone())) };
            requests.send(hello).await.map_err(|error| error.to_string())?;
            let replies = client.link(ReceiverStream::new(outgoing)).await.map_err(|status| status.to_string())?;
            let mut replies = replies.into_inner();
            match replies.message().await.map_err(|status| status.to_string())?.and_then(|reply| reply.body) {
                Some(Reply::Hello(welcome)) if welcome.refused_because.is_empty() => Ok(replies),
                Some(Reply::Hello(refusal)) => {
                    tracing::error!(peer = self.to, address = %self.address, why = refusal.refused_because, "a peer refuses this node");
                    Err(refusal.refused_because)
                },
                _ => Err("the peer did not say hello".to_string()),
            }
        })
        .await
        .map_err(|_| "the peer does not answer".to_string())??;
        let pending = Pending::default();
        *self.connection.write() = Some(Connection { requests, pending: Arc::clone(&pending) });
        self.was_up.store(true, Ordering::Relaxed);
        self.up.send_replace(true);
        while let Some(reply) = replies.message().await.map_err(|status| status.to_string())? {
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
    link: Arc<Link>,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.link.incoming.fetch_sub(1, Ordering::Relaxed);
        // Whoever watches the link looks at both directions.
        self.link.up.send_modify(|_| {});
    }
}

/// An error with all its causes: the first one alone says only "transport error".
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The links of a node, by member.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    links: Arc<Vec<Option<Arc<Link>>>>,
}

impl Links {
    pub(crate) fn new(cluster: &str, me: usize, members: &[(String, SocketAddr)]) -> Links {
        let link = |(to, (_, address)): (usize, &(String, SocketAddr))| {
            (to != me).then(|| Arc::new(Link::new(cluster, me as u64, to as u64, *address)))
        };
        Links { links: Arc::new(members.iter().enumerate().map(link).collect()) }
    }

    /// The link to a member; none to this node itself.
    pub(crate) fn to(&self, member: u64) -> Option<&Arc<Link>> {
        self.links.get(usize::try_from(member).ok()?)?.as_ref()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.links.iter().flatten()
    }

    pub(crate) fn is_up(&self, member: u64) -> bool {
        self.to(member).is_some_and(|link| link.is_up())
    }

    /// Whether a member seems to have died; see [`Link::is_dead`].
    pub(crate) fn is_dead(&self, member: u64) -> bool {
        self.to(member).is_some_and(|link| link.is_dead())
    }

    /// Notes that a member has opened a stream to this node. None if there is no such member.
    pub(crate) fn incoming(&self, member: u64) -> Option<Incoming> {
        let link = Arc::clone(self.to(member)?);
        link.incoming.fetch_add(1, Ordering::Relaxed);
        Some(Incoming { link })
    }

    pub(crate) async fn request(&self, member: u64, body: Request) -> Result<Reply, LinkError> {
        match self.to(member) {
            Some(link) => link.request(body).await,
            None => Err(LinkError::Down),
        }
    }
}
