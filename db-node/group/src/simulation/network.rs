//! A network between simulated members: ordered streams that take their time, and that can be cut.
//!
//! A cut stream holds what is sent until it is mended, as TCP does, or is given up after a while, as both ends do when no
//! ping comes back. The streams of a process that was killed end; whoever is at the other end sees it a little later.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agora_proto::raft as pb;
use futures::future::BoxFuture;
use futures::stream::StreamExt;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{interval, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::executor;
use crate::raft::{Dial, PeerService, Replies};

/// How long a message takes at most, on a good day and on a bad one.
pub(super) const DELAYS_MAX: [Duration; 3] =
    [Duration::from_millis(2), Duration::from_millis(20), Duration::from_millis(150)];
/// How often it is looked whether a cut stream is mended.
const LOOK_AGAIN: Duration = Duration::from_millis(7);
/// After so long a cut stream is given up.
const SILENCE_MAX: Duration = Duration::from_secs(4);
const SILENCE_TICK: Duration = Duration::from_millis(200);
const QUEUE: usize = 256;

/// All members' network. All clones are the same.
#[derive(Clone, Default)]
pub(super) struct Network(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    services: BTreeMap<usize, PeerService>,
    /// From whom to whom nothing gets.
    cut: BTreeSet<(usize, usize)>,
    day: usize,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Network")
    }
}

impl Network {
    pub(super) fn listen(&self, at: usize, service: PeerService) {
        self.0.lock().services.insert(at, service);
    }

    pub(super) fn hang_up(&self, at: usize) {
        // Dropped when the lock is free again: it may have streams to end.
        let service = self.0.lock().services.remove(&at);
        drop(service);
    }

    pub(super) fn cut(&self, from: usize, to: usize) {
        self.0.lock().cut.insert((from, to));
    }

    pub(super) fn mend(&self) {
        self.0.lock().cut.clear();
    }

    /// From now on messages take as long as on this kind of day.
    pub(super) fn set_day(&self, day: usize) {
        self.0.lock().day = day;
    }

    fn is_cut(&self, from: usize, to: usize) -> bool {
        self.0.lock().cut.contains(&(from, to))
    }

    fn is_silent(&self, one: usize, other: usize) -> bool {
        self.is_cut(one, other)
            || self.is_cut(other, one)
            || executor::is_paused(one)
            || executor::is_paused(other)
    }

    async fn travel(&self, from: usize, to: usize) {
        let longest = DELAYS_MAX[self.0.lock().day % DELAYS_MAX.len()];
        sleep(executor::random_below(longest).unwrap_or(longest)).await;
        while self.is_cut(from, to) {
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// A member's way into the network.
#[derive(Debug)]
pub(super) struct From {
    pub(super) network: Network,
    pub(super) at: usize,
}

impl Dial for From {
    fn dial(
        &self,
        to: usize,
        _: SocketAddr,
        requests: mpsc::Receiver<pb::RaftRequest>,
    ) -> BoxFuture<'static, Result<Replies, String>> {
        let (network, from) = (self.network.clone(), self.at);
        Box::pin(async move {
            network.travel(from, to).await;
            network.travel(to, from).await;
            let service = network.0.lock().services.get(&to).cloned();
            let service = service.ok_or_else(|| "nobody listens".to_string())?;
            let broken = CancellationToken::new();
            let (to_service, arriving) = mpsc::channel(QUEUE);
            let (to_link, replies) = mpsc::channel(QUEUE);
            let there = Pipe { network: network.clone(), from, to, broken: broken.clone() };
            executor::spawn_on(None, there.carry(requests, to_service, Ok::<_, Status>));
            let answer = async move { service.answer(ReceiverStream::new(arriving)) };
            let answers = executor::spawn_on(Some(to), answer);
            let back = Pipe { network: network.clone(), from: to, to: from, broken: broken.clone() };
            executor::spawn_on(None, async move {
                if let Ok(answers) = answers.await {
                    let carried =
                        |reply: Result<pb::RaftReply, Status>| reply.map_err(|status| status.to_string());
                    back.carry(answers, to_link, carried).await;
                }
            });
            executor::spawn_on(None, give_up(network, (from, to), broken));
            Ok(ReceiverStream::new(replies).boxed())
        })
    }
}

/// One direction of a stream.
struct Pipe {
    network: Network,
    from: usize,
    to: usize,
    broken: CancellationToken,
}

impl Pipe {
    async fn carry<A, B>(self, from: mpsc::Receiver<A>, to: mpsc::Sender<B>, carried: impl Fn(A) -> B) {
        let broken = self.broken.clone();
        tokio::select! {
            biased;
            () = broken.cancelled() => {},
            () = self.carry_on(from, to, carried) => {},
        }
        // Where one direction has ended the other one is of no use.
        broken.cancel();
    }

    async fn carry_on<A, B>(
        &self,
        mut from: mpsc::Receiver<A>,
        to: mpsc::Sender<B>,
        carried: impl Fn(A) -> B,
    ) {
        while let Some(first) = from.recv().await {
            let mut together = vec![first];
            while let Ok(next) = from.try_recv() {
                together.push(next);
            }
            self.network.travel(self.from, self.to).await;
            for one in together {
                if to.send(carried(one)).await.is_err() {
                    return;
                }
            }
        }
        // That it has ended has to travel, too.
        self.network.travel(self.from, self.to).await;
    }
}

/// Breaks a stream on which nothing has got through for long.
async fn give_up(network: Network, (from, to): (usize, usize), broken: CancellationToken) {
    let mut silent = Duration::ZERO;
    let mut ticks = interval(SILENCE_TICK);
    while !broken.is_cancelled() && silent < SILENCE_MAX {
        tokio::select! {
            biased;
            () = broken.cancelled() => {},
            _ = ticks.tick() => {},
        }
        silent = if network.is_silent(from, to) { silent + SILENCE_TICK } else { Duration::ZERO };
    }
    broken.cancel();
}
