//! The gRPC face of a node: pipelined calls, the status and changes of the members, in front of any group.
//!
//! It bounds what is under way, per stream and per node, and answers at once when a bound is reached. It knows nothing of
//! the marketplace, nor of how the group replicates.

mod pipeline;
mod replies;
mod seats;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agora_group::GroupHandle;
use agora_group::raft::Roster;
use agora_proto::database::database_server::{Database, DatabaseServer};
use agora_proto::database::{Call, ChangeSeatReply, ChangeSeatRequest, StatusReply, StatusRequest};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use pipeline::Pipeline;

/// What a gRPC message may have at most: somewhat more than a call may, so that a call that is too large gets its own
/// error and does not end the stream that it shares with others.
const MESSAGE_BYTES: usize = 1 << 20;
/// One stream may have this share of what the node takes at a time.
const STREAM_SHARE: usize = 4;

/// What a service must know of its node.
pub struct ServiceOptions {
    /// The node's name.
    pub node: String,
    /// "customer" or "product".
    pub database: &'static str,
    /// The names of the group's members in the cluster file, by index or seat.
    pub members: BTreeMap<usize, String>,
    /// By which members are added and removed, if this group's can be.
    pub roster: Option<Roster>,
    /// Calls under way at a time, over all streams.
    pub calls_max: usize,
    /// Bytes of calls under way at a time, over all streams.
    pub call_bytes_max: usize,
    /// Asked on a blocking thread.
    pub disk: Arc<dyn Fn() -> Disk + Send + Sync>,
}

/// What a node does to its disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk {
    /// What its data takes there.
    pub bytes: u64,
    /// How often its log has waited for the disk since the start.
    pub log_syncs: u64,
}

/// The `Database` service over a group.
#[derive(Clone)]
pub struct Service {
    shared: Arc<Shared>,
}

struct Shared {
    group: GroupHandle,
    options: ServiceOptions,
    permits: Arc<Semaphore>,
    /// A permit for each byte.
    bytes: Arc<Semaphore>,
    stream_calls_max: usize,
    stop: CancellationToken,
    streams: TaskTracker,
}

impl Service {
    /// A service over this group.
    pub fn new(group: GroupHandle, options: ServiceOptions) -> Self {
        let shared = Shared {
            permits: Arc::new(Semaphore::new(options.calls_max.min(Semaphore::MAX_PERMITS))),
            bytes: Arc::new(Semaphore::new(options.call_bytes_max.min(Semaphore::MAX_PERMITS))),
            stream_calls_max: options.calls_max.div_ceil(STREAM_SHARE),
            stop: CancellationToken::new(),
            streams: TaskTracker::new(),
            group,
            options,
        };
        Service { shared: Arc::new(shared) }
    }

    /// As a tonic service to mount.
    pub fn server(&self) -> DatabaseServer<Service> {
        DatabaseServer::new(self.clone()).max_decoding_message_size(MESSAGE_BYTES)
    }

    /// Takes no more calls, and waits until those under way are answered, but not longer than this.
    pub async fn drain(&self, patience: Duration) {
        self.shared.stop.cancel();
        self.shared.streams.close();
        if tokio::time::timeout(patience, self.shared.streams.wait()).await.is_err() {
            tracing::warn!(
                streams = self.shared.streams.len(),
                "calls are still under way: leaving them unanswered"
            );
        }
    }
}

#[tonic::async_trait]
impl Database for Service {
    type PipelineStream = Pipeline;

    async fn pipeline(&self, request: Request<Streaming<Call>>) -> Result<Response<Pipeline>, Status> {
        if self.shared.stop.is_cancelled() {
            return Err(Status::unavailable("this node is stopping"));
        }
        Ok(Response::new(Pipeline::new(Arc::clone(&self.shared), request.into_inner())))
    }

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<StatusReply>, Status> {
        status::status(&self.shared, request.into_inner()).await.map(Response::new)
    }

    async fn change_seat(
        &self,
        request: Request<ChangeSeatRequest>,
    ) -> Result<Response<ChangeSeatReply>, Status> {
        let changed = seats::change(self.shared.options.roster.as_ref(), request.into_inner()).await?;
        Ok(Response::new(changed))
    }
}
