//! Calls under way on one stream to one node, matched with their replies by id.

use std::collections::HashMap;
use std::time::Duration;

use agora_proto::database::{Call, Failure, Reply, call, failure, reply};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

/// Calls that wait to be written to the stream. A full queue makes callers wait: that is the connection's own back-pressure.
const QUEUE: usize = 1024;

/// Why a node did not answer an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// The stream was closed before the call was handed to it: it certainly did not happen.
    NotSent,
    /// The stream broke with the call on it: it may have happened.
    Lost,
    /// The node said so: the call did not happen.
    Malformed(String),
    /// The node said so: the call did not happen.
    Overloaded(Duration),
    /// The node said so: the call did not happen.
    Unavailable(String),
    /// The node said so: it may have happened.
    OutcomeUnknown(String),
}

type Outcome = Result<Bytes, Failed>;

pub(crate) struct Pipeline {
    calls: mpsc::Sender<Call>,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    next_id: u64,
    /// None once the stream is closed.
    by_id: Option<HashMap<u64, oneshot::Sender<Outcome>>>,
}

impl Pipeline {
    /// A pipeline, and the calls that are to be written to its stream.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Call>) {
        let (calls, to_write) = mpsc::channel(QUEUE);
        let waiting = Waiting { next_id: 1, by_id: Some(HashMap::new()) };
        (Pipeline { calls, waiting: Mutex::new(waiting) }, to_write)
    }

    /// Sends a call and waits for its reply. Dropping the future forgets the call, not its effect.
    pub(crate) async fn call(&self, body: call::Body, sent: &mut Sent) -> Outcome {
        let Ok(place) = self.calls.reserve().await else { return Err(Failed::NotSent) };
        let (answer, answered) = oneshot::channel();
        let Some(registered) = self.register(answer) else { return Err(Failed::NotSent) };
        *sent = Sent::Perhaps;
        place.send(Call { id: registered.id, body: Some(body) });
        answered.await.unwrap_or(Err(Failed::Lost))
    }

    fn register(&self, answer: oneshot::Sender<Outcome>) -> Option<Registered<'_>> {
        let mut waiting = self.waiting.lock();
        let id = waiting.next_id;
        waiting.by_id.as_mut()?.insert(id, answer);
        waiting.next_id += 1;
        Some(Registered { pipeline: self, id })
    }

    /// Hands a reply to whoever waits for it. Nobody does when the caller gave up.
    pub(crate) fn complete(&self, reply: Reply) {
        let answer = self.waiting.lock().by_id.as_mut().and_then(|by_id| by_id.remove(&reply.id));
        if let Some(answer) = answer {
            // The caller may give up in this very moment.
            let _ = answer.send(outcome(reply));
        }
    }

    /// Tells all who wait that the stream is gone, and takes no more calls.
    pub(crate) fn close(&self) {
        let abandoned = self.waiting.lock().by_id.take();
        drop(abandoned);
    }
}

/// Whether a call was handed to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It certainly was not.
    No,
    /// It was, and may have reached the node.
    Perhaps,
}

struct Registered<'a> {
    pipeline: &'a Pipeline,
    id: u64,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        if let Some(by_id) = self.pipeline.waiting.lock().by_id.as_mut() {
            by_id.remove(&self.id);
        }
    }
}

fn outcome(reply: Reply) -> Outcome {
    match reply.body {
        Some(reply::Body::Response(response)) => Ok(response),
        Some(reply::Body::Failure(failure)) => Err(failed(failure)),
        None => Err(Failed::OutcomeUnknown("the node sent an empty reply".into())),
    }
}

fn failed(failure: Failure) -> Failed {
    match failure.kind() {
        failure::Kind::Malformed => Failed::Malformed(failure.detail),
        failure::Kind::Overloaded => Failed::Overloaded(Duration::from_millis(failure.retry_after_ms.into())),
        failure::Kind::Unavailable => Failed::Unavailable(failure.detail),
        // What a later version may say in addition is taken for the worst case.
        failure::Kind::OutcomeUnknown | failure::Kind::Unspecified => Failed::OutcomeUnknown(failure.detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query() -> call::Body {
        call::Body::Query(Bytes::from_static(b"?"))
    }

    fn response(id: u64) -> Reply {
        Reply { id, body: Some(reply::Body::Response(Bytes::from(id.to_string()))) }
    }

    #[tokio::test]
    async fn replies_find_their_calls_in_any_order() {
        let (pipeline, mut to_write) = Pipeline::new();
        let (mut one, mut two) = (Sent::No, Sent::No);
        let server = async {
            let (first, second) = (to_write.recv().await.unwrap(), to_write.recv().await.unwrap());
            pipeline.complete(response(second.id));
            pipeline.complete(response(first.id));
            (first.id.to_string(), second.id.to_string())
        };
        let (a, b, ids) =
            tokio::join!(pipeline.call(query(), &mut one), pipeline.call(query(), &mut two), server);
        assert_eq!((a.unwrap(), b.unwrap()), (Bytes::from(ids.0), Bytes::from(ids.1)));
        assert!(pipeline.waiting.lock().by_id.as_ref().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_call_on_a_broken_stream_is_lost_and_a_later_one_not_sent() {
        let (pipeline, mut to_write) = Pipeline::new();
        let mut sent = Sent::No;
        let breaks = async {
            to_write.recv().await.unwrap();
            pipeline.close();
        };
        let (outcome, ()) = tokio::join!(pipeline.call(query(), &mut sent), breaks);
        assert_eq!((outcome, sent), (Err(Failed::Lost), Sent::Perhaps));
        let mut sent = Sent::No;
        assert_eq!(pipeline.call(query(), &mut sent).await, Err(Failed::NotSent));
        assert_eq!(sent, Sent::No);
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_leaves_nothing_behind() {
        let (pipeline, mut to_write) = Pipeline::new();
        let mut sent = Sent::No;
        tokio::select! {
            biased;
            _ = pipeline.call(query(), &mut sent) => panic!("nobody answers"),
            _ = to_write.recv() => {}
        }
        assert!(pipeline.waiting.lock().by_id.as_ref().unwrap().is_empty());
        pipeline.complete(response(1));
    }
}
