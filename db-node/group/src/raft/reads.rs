//! Answers a node's queries from its own state, once the leader has said how far that must have come.
//!
//! Queries that wait together share one confirmation. It begins after the last of them came, which makes them linearizable.

use std::sync::Arc;
use std::time::Duration;

use agora_machine::{StateMachine, Timestamp};
use agora_proto::raft as pb;
use agora_proto::raft::raft_reply::Body as Reply;
use agora_proto::raft::raft_request::Body as Request;
use agora_sabotage::Promise;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::read_index::ReadIndex;
use super::view::View;
use crate::handle::{Failure, Query};
use crate::replica::Replica;
use crate::runtime;

/// How long a query may take before its caller is told that it has failed.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long a leader may take to confirm before it is asked again, or another one is.
const CONFIRM_TIMEOUT: Duration = Duration::from_millis(2000);
/// A pause between attempts to get a confirmation.
const PAUSE: Duration = Duration::from_millis(5);
/// Queries that share one confirmation, at most.
const BATCH: usize = 2048;
/// Batches under way at a time.
const UNDER_WAY: usize = 3;
/// Queries that one thread answers in a row.
const SLICE: usize = 64;

/// What it takes to answer queries.
pub(crate) struct Reads<M: StateMachine> {
    pub(crate) view: View,
    pub(crate) read_index: ReadIndex,
    pub(crate) applied: watch::Receiver<u64>,
    pub(crate) replica: Replica<M>,
}

impl<M: StateMachine> Clone for Reads<M> {
    fn clone(&self) -> Self {
        Reads {
            view: self.view.clone(),
            read_index: self.read_index.clone(),
            applied: self.applied.clone(),
            replica: self.replica.clone(),
        }
    }
}

impl<M: StateMachine> Reads<M> {
    /// Answers queries; once `closing`, no new ones.
    pub(crate) async fn run(self, mut queries: mpsc::Receiver<Query>, closing: CancellationToken) {
        let under_way = Arc::new(Semaphore::new(UNDER_WAY));
        loop {
            let first = runtime::select! {
                () = closing.cancelled(), if !queries.is_closed() => {
                    queries.close();
                    continue;
                },
                query = queries.recv() => query,
            };
            let Some(first) = first else { break };
            let Ok(permit) = Arc::clone(&under_way).acquire_owned().await else { return };
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Ok(next) = queries.try_recv()
            {
                batch.push(next);
            }
            let reads = self.clone();
            runtime::spawn(async move {
                let ready = reads.get_ready().await;
                drop(permit);
                match ready {
                    Ok(()) => reads.answer(batch),
                    Err(why) => {
                        for query in batch {
                            // Whoever no longer waits needs no answer.
                            let _ = query.answer.send(Err(Failure::Unavailable(why.clone())));
                        }
                    }
                }
            });
        }
        // Those that are under way still need their confirmation.
        let _ = under_way.acquire_many(u32::try_from(UNDER_WAY).unwrap_or(1)).await;
    }

    /// Waits until this node's state includes all that was acknowledged before this call.
    async fn get_ready(&self) -> Result<(), String> {
        if agora_sabotage::breaks(Promise::FreshReads) {
            return Ok(());
        }
        if self.view.is_removed() {
            return Err("this node was removed from the group".into());
        }
        let deadline = Instant::now() + DEADLINE;
        let ready = async {
            // An error means that the node is stopping.
            let index = self.confirm().await?;
            self.applied.clone().wait_for(|applied| *applied >= index).await.map(drop)
        };
        timeout_at(deadline, ready)
            .await
            .map_err(|_| "the group has no leader that a majority follows")?
            .map_err(|_| "the node is stopping".into())
    }

    async fn confirm(&self) -> Result<u64, watch::error::RecvError> {
        let mut changes = self.view.leader_changes();
        loop {
            // Changes from here on end the pause below.
            changes.borrow_and_update();
            runtime::select! {
                confirmed = timeout(CONFIRM_TIMEOUT, self.ask_leader()) => {
                    if let Ok(Some(index)) = confirmed {
                        return Ok(index);
                    }
                },
                // Whoever was asked leads no more, and may never answer.
                changed = changes.changed() => {
                    changed?;
                    continue;
                },
            }
            runtime::select! {
                changed = changes.changed() => changed?,
                () = sleep(PAUSE) => {},
            }
        }
    }

    async fn ask_leader(&self) -> Option<u64> {
        let leader = self.view.leader()?;
        if leader == self.view.me {
            return self.read_index.confirm().await;
        }
        match self.view.links.request(leader, Request::ReadIndex(pb::ReadIndex {})).await {
            Ok(Reply::ReadIndex(reply)) => reply.index,
            _ => None,
        }
    }

    fn answer(&self, batch: Vec<Query>) {
        let now = Timestamp(self.view.now_ms());
        let mut batch = batch.into_iter();
        loop {
            let slice: Vec<Query> = batch.by_ref().take(SLICE).collect();
            if slice.is_empty() {
                return;
            }
            let replica = self.replica.clone();
            // Nobody waits for the thread: the answers say when it is done.
            runtime::blocking(move || {
                for query in slice {
                    let response = replica.query(now, &query.query);
                    // Whoever no longer waits needs no answer.
                    let _ = query.answer.send(response.map_err(|malformed| Failure::Malformed(malformed.0)));
                }
            });
        }
    }
}
