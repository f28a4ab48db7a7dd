//! The task that keeps a node's stream open: connects, hands replies to their calls, and connects anew when it breaks.

use std::sync::Arc;
use std::time::Duration;

use agora_proto::database::Reply;
use agora_proto::database::database_client::DatabaseClient;
use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::sync::Notify;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use crate::node::Node;
use crate::pipeline::Pipeline;

/// Pauses between attempts to connect: the first, and the longest.
const BACKOFF_FIRST: Duration = Duration::from_millis(20);
const BACKOFF_MOST: Duration = Duration::from_secs(1);
/// A machine that vanished is noticed when it does not answer a ping for this long.
const PING_AFTER: Duration = Duration::from_secs(3);
/// Flow control must not throttle a pipeline: windows far above what is under way.
const WINDOW_BYTES: u32 = 4 << 20;

/// Where a node is reached, without connecting yet.
pub(crate) fn endpoint(node: &Node, connect_timeout: Duration) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{}", node.address))?;
    Ok(endpoint
        .connect_timeout(connect_timeout)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_AFTER)
        .keep_alive_while_idle(true))
}

/// Runs until told to stop, or until the node is no more one of the group. `came_up` is notified whenever a stream is open.
pub(crate) async fn keep(
    node: Arc<Node>,
    connect_timeout: Duration,
    came_up: Arc<Notify>,
    stop: CancellationToken,
) {
    let backoff = ExponentialBuilder::default()
        .with_min_delay(BACKOFF_FIRST)
        .with_max_delay(BACKOFF_MOST)
        .with_jitter()
        .without_max_times();
    let kept = async {
        loop {
            for pause in backoff.build() {
                match tokio::time::timeout(connect_timeout, open(&node, connect_timeout)).await {
                    Ok(Ok(stream)) => {
                        serve(&node, stream, &came_up).await;
                        break;
                    }
                    Ok(Err(error)) => tracing::debug!(node = node.name, %error, "can't connect"),
                    Err(_) => tracing::debug!(node = node.name, "connecting takes too long"),
                }
                tokio::time::sleep(pause).await;
            }
            // A node that accepts streams and breaks them at once is not asked in a tight loop either.
            tokio::time::sleep(BACKOFF_FIRST).await;
        }
    };
    tokio::select! {
        () = kept => {}
        () = stop.cancelled() => {}
        () = node.when_let_go() => {}
    }
    if let Some(pipeline) = node.pipeline() {
        pipeline.close();
    }
    node.disconnected();
}

struct Stream {
    pipeline: Arc<Pipeline>,
    replies: tonic::Streaming<Reply>,
}

#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(transparent)]
    Connect(#[from] tonic::transport::Error),
    #[error("{0}")]
    Refused(#[from] tonic::Status),
}

async fn open(node: &Node, connect_timeout: Duration) -> Result<Stream, OpenError> {
    let channel: Channel = endpoint(node, connect_timeout)?.connect().await?;
    let (pipeline, to_write) = Pipeline::new();
    let replies = DatabaseClient::new(channel).pipeline(ReceiverStream::new(to_write)).await?;
    Ok(Stream { pipeline: Arc::new(pipeline), replies: replies.into_inner() })
}

async fn serve(node: &Node, stream: Stream, came_up: &Notify) {
    let Stream { pipeline, mut replies } = stream;
    tracing::debug!(node = node.name, address = %node.address, "connected");
    node.connected(Arc::clone(&pipeline));
    came_up.notify_waiters();
    loop {
        match replies.message().await {
            Ok(Some(reply)) => pipeline.complete(reply),
            Ok(None) => break tracing::debug!(node = node.name, "the node closed the stream"),
            Err(status) => break tracing::debug!(node = node.name, %status, "the stream broke"),
        }
    }
    node.disconnected();
    pipeline.close();
}
