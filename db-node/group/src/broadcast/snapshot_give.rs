//! Gives the whole state to a member that fell so far behind that the log no longer helps.

use std::sync::Arc;

use agora_broadcast::{Base, Epoch, MemberId, Slot};
use agora_machine::{Record, StateMachine};
use agora_proto::snapshot::snapshots_server::Snapshots;
use agora_proto::snapshot::{self, End, Part, Records, Start, TakeRequest, part};
use tokio::sync::{Semaphore, mpsc, oneshot};
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
/// After so many parts the protocol is told that a snapshot is still being given.
const SAY_EVERY: usize = 256;

/// A replica, whatever its state machine is.
pub(super) trait Source: Send + Sync + 'static {
    /// The state as it is, in constant time, and the slot that it is applied to.
    fn take(&self) -> (Slot, Box<dyn State>);
}

/// A state that no longer changes.
pub(super) trait State: Send {
    /// Calls with each record, in order, until told to stop.
    fn each(&self, record: &mut dyn FnMut(Record) -> bool);
}

impl<M: StateMachine> Source for Replica<M> {
    fn take(&self) -> (Slot, Box<dyn State>) {
        let (position, machine) = self.snapshot();
        (position::slot(position.as_deref()), Box::new(Frozen(machine)))
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

struct Shared {
    peers: Peers,
    source: Box<dyn Source>,
    events: mpsc::Sender<Event>,
    permits: Arc<Semaphore>,
}

impl SnapshotService {
    pub(super) fn new(peers: Peers, source: impl Source, events: mpsc::Sender<Event>) -> Self {
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        SnapshotService { shared: Arc::new(Shared { peers, source: Box::new(source), events, permits }) }
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
        let (slot, state) = shared.source.take();
        let (epoch, base) = self.base_at(peer.id, slot).await?;
        tracing::info!(peer = peer.name, slot = slot.0, "giving a snapshot");
        let start = Start {
            epoch_counter: epoch.counter,
            epoch_coordinator: epoch.coordinator.0.into(),
            base: records::base(&base).into(),
        };
        let (parts, stream) = mpsc::channel(PARTS);
        let events = shared.events.clone();
        tokio::task::spawn_blocking(move || {
            // When the node stops nobody listens.
            let goes_on = || drop(events.blocking_send(Event::GivesSnapshot { to: peer.id, slot }));
            let given = give(start, &*state, &parts, goes_on);
            goes_on();
            tracing::info!(peer = peer.name, slot = slot.0, complete = given.is_some(), "gave a snapshot");
            drop(permit);
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Sends all parts, and says now and then that it goes on. None: the peer went away.
fn give(
    start: Start,
    state: &dyn State,
    parts: &mpsc::Sender<Result<Part, Status>>,
    goes_on: impl Fn(),
) -> Option<()> {
    let mut sent = 0_usize;
    let send = |part| parts.blocking_send(Ok(Part { part: Some(part) })).ok();
    send(part::Part::Start(start))?;
    let (mut check, mut chunk, mut bytes) = (Check::default(), Vec::new(), 0);
    let mut alive = true;
    state.each(&mut |record| {
        check.add(&record.key, &record.value);
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
