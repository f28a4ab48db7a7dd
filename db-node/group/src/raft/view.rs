//! What this node sees of its group at the moment: who leads, and whether the leader shows signs of life.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openraft::{RaftMetrics, ServerState};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::clock;
use super::link::Links;
use super::types::{NodeId, Raft, Vote};

pub(crate) type Metrics = RaftMetrics<NodeId, super::types::Member>;

/// After this time without a word from the leader a node helps others to elect a new one. Heartbeats come every 100 ms.
pub(crate) const SILENCE: Duration = Duration::from_millis(450);

/// A view of the group. Cheap to clone.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) me: NodeId,
    pub(crate) raft: Raft,
    pub(crate) links: Links,
    metrics: watch::Receiver<Metrics>,
    leader: watch::Receiver<Leader>,
    heard: Arc<Mutex<Heard>>,
    leader_changed: Arc<Mutex<Instant>>,
    removed: Arc<AtomicBool>,
}

/// When the leader was heard from.
#[derive(Debug)]
struct Heard {
    last: Instant,
    /// How many of its words are being listened to at the moment.
    listening: usize,
}

/// What the leader said is being dealt with: on a slow disk that takes long, and does not make the leader a silent one.
pub(crate) struct Listening {
    heard: Arc<Mutex<Heard>>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut heard = self.heard.lock();
        heard.listening -= 1;
        heard.last = Instant::now();
    }
}

/// Who leads, in which term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) term: u64,
    pub(crate) node: Option<NodeId>,
}

impl View {
    /// The view of a node, and the task that keeps it up to date until openraft stops.
    pub(crate) fn new(me: NodeId, raft: Raft, links: Links) -> (View, impl Future<Output = ()> + use<>) {
        let metrics = raft.metrics();
        let (publish, leader) = watch::channel(Leader::default());
        let mut watched = metrics.clone();
        let leader_changed = Arc::new(Mutex::new(Instant::now()));
        let changed_at = Arc::clone(&leader_changed);
        let follow = async move {
            loop {
                let current = {
                    let metrics = watched.borrow_and_update();
                    Leader { term: metrics.current_term, node: metrics.current_leader }
                };
                publish.send_if_modified(|leader| {
                    let changed = *leader != current;
                    if changed {
                        *changed_at.lock() = Instant::now();
                        *leader = current;
                    }
                    changed
                });
                if watched.changed().await.is_err() {
                    return;
                }
            }
        };
        let heard = Arc::new(Mutex::new(Heard { last: Instant::now(), listening: 0 }));
        let removed = Arc::default();
        (View { me, raft, links, metrics, leader, heard, leader_changed, removed }, follow)
    }

    pub(crate) fn metrics(&self) -> watch::Ref<'_, Metrics> {
        self.metrics.borrow()
    }

    /// Tells of each change of the metrics.
    pub(crate) fn metrics_changes(&self) -> watch::Receiver<Metrics> {
        self.metrics.clone()
    }

    /// A peer knows for certain that this node is no member any more.
    pub(crate) fn note_removal(&self) {
        if !self.removed.swap(true, Ordering::Relaxed) {
            tracing::warn!(node = %self.me, "this node was removed from the group, or another one has its seat");
        }
    }

    /// Whether this node has heard that it is no member any more, and from no leader since.
    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Relaxed)
    }

    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.metrics.borrow().current_leader
    }

    /// Tells when leader or term change, and of nothing else.
    pub(crate) fn leader_changes(&self) -> watch::Receiver<Leader> {
        self.leader.clone()
    }

    pub(crate) fn leads(&self) -> bool {
        self.metrics.borrow().state == ServerState::Leader
    }

    /// The term in which this node leads, if it does.
    pub(crate) fn leads_in(&self) -> Option<u64> {
        let metrics = self.metrics.borrow();
        (metrics.state == ServerState::Leader).then_some(metrics.current_term)
    }

    /// Listens to a peer, if it is the leader by this vote, for as long as the result lives.
    pub(crate) fn listen(&self, vote: Vote) -> Option<Listening> {
        let is_leader = vote.committed && vote >= self.metrics().vote;
        is_leader.then(|| {
            // Leaders speak to members only.
            self.removed.store(false, Ordering::Relaxed);
            self.heard.lock().listening += 1;
            Listening { heard: Arc::clone(&self.heard) }
        })
    }

    /// For how long the leader has been silent.
    pub(crate) fn silence(&self) -> Duration {
        let heard = self.heard.lock();
        if heard.listening > 0 { Duration::ZERO } else { heard.last.elapsed() }
    }

    /// The time to propose: this node's clock, unless most of the group have another time.
    pub(crate) fn now_ms(&self) -> u64 {
        clock::agreed_ms(clock::own_ms(), self.links.clocks_ms())
    }

    /// For how long leader and term have been what they are.
    pub(crate) fn since_leader_change(&self) -> Duration {
        self.leader_changed.lock().elapsed()
    }

    /// Whether there is no leader, as far as this node can tell: none is known, or the connections with it have broken, or
    /// it has been silent for so long.
    pub(crate) fn leader_is_lost(&self, silence: Duration) -> bool {
        match self.leader() {
            None => true,
            Some(leader) if leader == self.me => false,
            Some(leader) => self.links.is_dead(leader) || self.silence() >= silence,
        }
    }
}
