//! Gives the whole state to a member that fell so far behind that the log no longer helps.
//!
//! The state that a member was given is kept for a while: if it was cut off in the middle, it gets the rest of that one, and does not
//! begin anew with a later one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agora_broadcast::{Base, Epoch, MemberId, Slot};
use agora_machine::{Record, StateMachine};
use agora_proto::snapshot::snapshots_server::Snapshots;
use agora_proto::snapshot::{self, End, Part, Records, Start, TakeRequest, part};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::driver::Event;
use super::peers::Peers;
use super::snapshot_check::Check;
use super::{position, records};
use crate::Replica;

/// Snapshots given at a time; who comes then is told to come back.
const AT_ONCE: usize = 2;
/// Parts that wait for the network, and roughly the bytes of each.
const PARTS: usize = 4;
const PART_BYTES: usize = 256 << 10;
/// For so long a state is kept for whom it was given to. What changes meanwhile takes memory twice.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// After so many parts the protocol is told that a snapshot is still being given.
const SAY_EVERY: usize = 256;

/// A replica, whatever its state machine is.
pub(super) trait Source: Send + Sync + 'static {
    /// The state as it is, in constant time, and the slot that it is applied to.
    fn take(&self) -> (Slot, Arc<dyn State>);
}

/// A state that no longer changes.
pub(super) trait State: Send + Sync {
    /// Calls with each record, in order, until told to stop.
    fn each(&self, record: &mut dyn FnMut(Record) -> bool);
}

impl<M: StateMachine> Source for Replica<M> {
    fn take(&self) -> (Slot, Arc<dyn State>) {
        let (position, machine) = self.snapshot();
        (position::slot(position.as_deref()), Arc::new(Frozen(machine)))
    }
}

struct Frozen<M>(M);

impl<M: StateMachine> State for Frozen<M> {
    fn each(&self, record: &mut dyn FnMut(Record) -> bool) {
        let _ = self.0.records().all(record);
    }
}

/// The service that gives snapshots.
#[derive(Clone)]
pub(super) struct SnapshotService {
    shared: Arc<Shared>,
}

/// What a member was given last.
#[derive(Clone)]
struct Given {
    slot: Slot,
    state: Arc<dyn State>,
    /// It is kept until then, and as long as it is being given.
    until: Instant,
}

type Kept = Mutex<BTreeMap<MemberId, Given>>;

struct Shared {
    peers: Peers,
    kept: Arc<Kept>,
    source: Box<dyn Source>,
    events: mpsc::Sender<Event>,
    permits: Arc<Semaphore>,
}

impl SnapshotService {
    pub(super) fn new(peers: Peers, source: impl Source, events: mpsc::Sender<Event>) -> Self {
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        let (source, kept) = (Box::new(source), Arc::default());
        SnapshotService { shared: Arc::new(Shared { peers, kept, source, events, permits }) }
    }

    /// The state that this member was given before, if it asks for the rest of that and the log still goes on where it ends; else
    /// the state as it is. With how many records of it the member has.
    async fn state_for(
        &self,
        peer: MemberId,
        asked: &TakeRequest,
    ) -> Result<(Given, (Epoch, Base), u64), Status> {
        let is_same = |given: &&Given| asked.records > 0 && given.slot.0 == asked.slot;
        let kept = self.shared.kept.lock().get(&peer).filter(is_same).cloned();
        if let Some(given) = kept
            && let Ok(base) = self.base_at(peer, given.slot).await
        {
            return Ok((given, base, asked.records));
        }
        let (slot, state) = self.shared.source.take();
        let base = self.base_at(peer, slot).await?;
        let given = Given { slot, state, until: Instant::now() + KEPT_FOR };
        self.shared.kept.lock().insert(peer, given.clone());
        Ok((given, base, 0))
    }

    async fn base_at(&self, to: MemberId, slot: Slot) -> Result<(Epoch, Base), Status> {
        let (answer, answered) = oneshot::channel();
        let asked = self.shared.events.send(Event::BaseAt { to, slot, answer }).await;
        asked.map_err(|_| Status::unavailable("this node is stopping"))?;
        let base = answered.await.map_err(|_| Status::unavailable("this node is stopping"))?;
        base.ok_or_else(|| Status::unavailable("the log was purged in this very moment; ask again"))
    }
}

#[tonic::async_trait]
impl Snapshots for SnapshotService {
    type TakeStream = ReceiverStream<Result<Part, Status>>;

    async fn take(&self, request: Request<TakeRequest>) -> Result<Response<Self::TakeStream>, Status> {
        let shared = &self.shared;
        let peer = shared.peers.recognize(request.metadata())?.clone();
        let permit = Arc::clone(&shared.permits).try_acquire_owned();
        let permit = permit.map_err(|_| Status::resource_exhausted("enough snapshots are being given"))?;
        let (given, (epoch, base), skipped) = self.state_for(peer.id, request.get_ref()).await?;
        let Given { slot, state, .. } = given;
        tracing::info!(peer = peer.name, slot = slot.0, skipped, "giving a snapshot");
        let start = Start {
            epoch_counter: epoch.counter,
            epoch_coordinator: epoch.coordinator.0.into(),
            base: records::base(&base).into(),
            skipped,
        };
        let (parts, stream) = mpsc::channel(PARTS);
        let (events, kept, to) = (shared.events.clone(), Arc::downgrade(&shared.kept), peer.id);
        let giving = tokio::task::spawn_blocking(move || {
            // When the node stops nobody listens.
            let goes_on = || drop(events.blocking_send(Event::GivesSnapshot { to, slot }));
            let given = give(start, &*state, &parts, goes_on);
            goes_on();
            tracing::info!(peer = peer.name, slot = slot.0, complete = given.is_some(), "gave a snapshot");
            drop(permit);
        });
        tokio::spawn(async move {
            // However it ended.
            let _ = giving.await;
            let until = Instant::now() + KEPT_FOR;
            if let Some(kept) = kept.upgrade()
                && let Some(given) = kept.lock().get_mut(&to)
            {
                given.until = until;
            }
            tokio::time::sleep_until(until).await;
            let is_wanted = |given: &Given| given.until > until || Arc::strong_count(&given.state) > 1;
            if let Some(kept) = kept.upgrade() {
                kept.lock().retain(|_, given| is_wanted(given));
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Sends all parts but for the records that are to be skipped, and says now and then that it goes on. None: the peer went away.
fn give(
    start: Start,
    state: &dyn State,
    parts: &mpsc::Sender<Result<Part, Status>>,
    goes_on: impl Fn(),
) -> Option<()> {
    let (mut sent, skipped) = (0_usize, start.skipped);
    let send = |part| parts.blocking_send(Ok(Part { part: Some(part) })).ok();
    send(part::Part::Start(start))?;
    let (mut check, mut chunk, mut bytes) = (Check::default(), Vec::new(), 0);
    let mut alive = true;
    state.each(&mut |record| {
        check.add(&record.key, &record.value);
        if check.records() <= skipped {
            return true;
        }
        bytes += record.key.len() + record.value.len();
        chunk.push(snapshot::Record { key: record.key, value: record.value });
        if bytes >= PART_BYTES {
            bytes = 0;
            alive = send(part::Part::Records(Records { records: std::mem::take(&mut chunk) })).is_some();
            sent += 1;
            if sent.is_multiple_of(SAY_EVERY) {
                goes_on();
            }
        }
        alive
    });
    if !alive {
        return None;
    }
    send(part::Part::Records(Records { records: chunk }))?;
    let (records, checksum) = check.finish();
    send(part::Part::End(End { records, checksum }))
}
