//! One stream of calls, as the stream of their replies.
//!
//! All of it runs in the task that writes the replies, so that the replies that are ready together leave in one write, and a
//! client that does not read its replies is not read from either.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use agora_group::Failure;
use agora_proto::database::{Call, Reply, call};
use agora_proto::limits::COMMAND_BYTES;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::{Status, Streaming};

use super::Shared;
use super::replies::{overloaded, reply};

/// Calls that are read before replies are looked after again.
const READ_AT_ONCE: usize = 128;

/// The replies to the calls of one stream. Ends when the calls have ended, or the node stops, and all are answered.
pub struct Pipeline {
    shared: Arc<Shared>,
    incoming: Incoming,
    under_way: FuturesUnordered<BoxFuture<'static, Reply>>,
    /// Replies that needed no waiting. At most as many as are read at once.
    ready: VecDeque<Reply>,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    _tracked: TaskTrackerToken,
}

enum Incoming {
    Open(Box<Streaming<Call>>),
    /// No more calls; whatever is wrong is told once those under way are answered.
    Ended(Result<(), Status>),
}

impl Pipeline {
    pub(super) fn new(shared: Arc<Shared>, calls: Streaming<Call>) -> Self {
        Pipeline {
            incoming: Incoming::Open(Box::new(calls)),
            under_way: FuturesUnordered::new(),
            ready: VecDeque::new(),
            stop: Box::pin(shared.stop.clone().cancelled_owned()),
            _tracked: shared.streams.token(),
            shared,
        }
    }

    /// Reads the calls that have arrived, up to a bound. Ready: it read some, or the calls ended just now.
    fn poll_calls(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Incoming::Open(calls) = &mut self.incoming else { return Poll::Pending };
        if self.stop.poll_unpin(cx).is_ready() {
            self.incoming = Incoming::Ended(Ok(()));
            return Poll::Ready(());
        }
        for read in 0..READ_AT_ONCE {
            let ended = match calls.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(call))) => {
                    let free = self.shared.stream_calls_max.saturating_sub(self.under_way.len());
                    match take(&self.shared, call, free) {
                        Taken::UnderWay(answer) => self.under_way.push(answer),
                        Taken::Answered(reply) => self.ready.push_back(reply),
                    }
                    continue;
                }
                Poll::Ready(Some(Err(status))) => Err(status),
                Poll::Ready(None) => Ok(()),
                Poll::Pending if read > 0 => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            };
            if let Err(status) = &ended {
                tracing::debug!(%status, "a stream of calls broke");
            }
            self.incoming = Incoming::Ended(ended);
            break;
        }
        Poll::Ready(())
    }
}

impl Stream for Pipeline {
    type Item = Result<Reply, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(reply) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(reply)));
            }
            if let Poll::Ready(Some(reply)) = this.under_way.poll_next_unpin(cx) {
                return Poll::Ready(Some(Ok(reply)));
            }
            if this.poll_calls(cx).is_ready() {
                continue;
            }
            return match &mut this.incoming {
                Incoming::Ended(how) if this.under_way.is_empty() => {
                    Poll::Ready(std::mem::replace(how, Ok(())).err().map(Err))
                }
                _ => Poll::Pending,
            };
        }
    }
}

enum Taken {
    UnderWay(BoxFuture<'static, Reply>),
    Answered(Reply),
}

/// Starts a call, or answers it at once when it is malformed or a bound is reached.
fn take(shared: &Shared, call: Call, free: usize) -> Taken {
    let id = call.id;
    let (Some(call::Body::Command(bytes)) | Some(call::Body::Query(bytes))) = &call.body else {
        return Taken::Answered(reply(
            id,
            Err(Failure::Malformed("a call without a command or a query".into())),
        ));
    };
    if bytes.len() > COMMAND_BYTES {
        let why = format!("{} bytes, but {COMMAND_BYTES} are the most", bytes.len());
        return Taken::Answered(reply(id, Err(Failure::Malformed(why))));
    }
    let permits = if free > 0 { place(shared, bytes.len()) } else { None };
    let Some(permits) = permits else { return Taken::Answered(overloaded(id)) };
    let group = shared.group.clone();
    let answer = async move {
        let outcome = match call.body {
            Some(call::Body::Command(command)) => group.execute(command).await,
            Some(call::Body::Query(query)) => group.query(query).await,
            None => Err(Failure::Malformed("a call without a command or a query".into())),
        };
        drop(permits);
        reply(id, outcome)
    };
    Taken::UnderWay(answer.boxed())
}

/// Room for a call of this size, if there is any.
fn place(shared: &Shared, bytes: usize) -> Option<[OwnedSemaphorePermit; 2]> {
    let call = Arc::clone(&shared.permits).try_acquire_owned().ok()?;
    let bytes = u32::try_from(bytes).ok()?;
    let bytes = Arc::clone(&shared.bytes).try_acquire_many_owned(bytes).ok()?;
    Some([call, bytes])
}
