//! Makes the streams that links send their requests on and get their replies from.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::Duration;

use agora_proto::raft as pb;
use agora_proto::raft::raft_peer_client::RaftPeerClient;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

/// Largest message on a link: a few times what one append or one batch of forwarded commands is bounded to.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1000);
/// A connection on which nothing arrives any more, as over a cut cable, is given up, and made anew when that can be done.
const PING_AFTER: Duration = Duration::from_millis(1000);
const PONG_WITHIN: Duration = Duration::from_millis(3000);

/// What a peer replies, until the stream breaks.
pub(crate) type Replies = BoxStream<'static, Result<pb::RaftReply, String>>;

/// A way to the other members.
pub(crate) trait Dial: Debug + Send + Sync {
    /// Opens a stream to the member in a seat.
    fn dial(
        &self,
        seat: usize,
        address: SocketAddr,
        requests: mpsc::Receiver<pb::RaftRequest>,
    ) -> BoxFuture<'static, Result<Replies, String>>;
}

/// gRPC over TCP.
#[derive(Debug)]
pub(crate) struct Tcp;

impl Dial for Tcp {
    fn dial(
        &self,
        _: usize,
        address: SocketAddr,
        requests: mpsc::Receiver<pb::RaftRequest>,
    ) -> BoxFuture<'static, Result<Replies, String>> {
        Box::pin(async move {
            let endpoint =
                Endpoint::from_shared(format!("http://{address}")).map_err(|error| error.to_string())?;
            let endpoint = endpoint
                .connect_timeout(CONNECT_TIMEOUT)
                .tcp_nodelay(true)
                .http2_keep_alive_interval(PING_AFTER)
                .keep_alive_timeout(PONG_WITHIN)
                .keep_alive_while_idle(true);
            let channel = endpoint.connect().await.map_err(|error| chain(&error))?;
            let client = RaftPeerClient::new(channel);
            let mut client = client
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX);
            let replies = client.link(ReceiverStream::new(requests)).await;
            let replies = replies.map_err(|status| status.to_string())?.into_inner();
            Ok(replies.map(|reply| reply.map_err(|status| status.to_string())).boxed())
        })
    }
}

/// An error with all its causes: the first one alone says only "transport error".
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
