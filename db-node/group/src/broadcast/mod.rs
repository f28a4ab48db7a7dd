//! The broadcast group: a thin shell around the pure protocol of `agora_broadcast`.
//!
//! One task owns the protocol (`driver`). Around it, each with a bounded queue:
//! - `log_writer`, a thread: makes the protocol's writes durable, one fsync for all that wait; `log_batch` and `records` say
//!   how they look on disk, and `restore` reads them back;
//! - `applier`, a thread: applies committed slots to the replica, and answers clients;
//! - `reader`, threads: answer queries once their slot is applied;
//! - `state_sync`, a thread: makes the state durable now and then, so that the log can be purged;
//! - `links`, `outgoing`, `peer_service`, `peers`, `wire`: streams between the members; `faults` are inflicted there;
//! - `snapshot_give`, `snapshot_take`: the whole state, for a member that the log no longer helps;
//! - `intake` and `waiting`: commands on their way in, and the clients that wait for their answers;
//! - `maintenance`: what the state machine itself finds worth replicating.
//!
//! What holds: nothing is acknowledged to a client before a majority has it on disk and it is applied here; a disk that fails
//! ends the node (`fatal`); a command whose fate is not known is answered as that and never as done or as refused.

mod applied;
mod applier;
mod clock;
mod driver;
mod fatal;
mod faults;
mod intake;
mod links;
mod log_batch;
mod log_writer;
mod maintenance;
mod outgoing;
mod peer_service;
mod peers;
mod position;
mod raw_codec;
mod reader;
mod records;
mod restore;
mod running;
mod snapshot_check;
mod snapshot_give;
mod snapshot_take;
#[cfg(test)]
mod snapshot_tests;
mod state_sync;
mod status_report;
mod waiting;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;

use agora_broadcast::{Config, DiskId, Member, MemberId};
use agora_machine::StateMachine;
use agora_storage::Directory;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use agora_broadcast::Bounds;
pub use faults::LinkFaults;
pub use peer_service::BroadcastPeerService;
pub use records::BadRecord;
pub use restore::RestoreError;
pub use running::Running;

use applied::Applied;
use clock::Clock;
use driver::{Driver, Inputs, Outlets};
use fatal::Fatal;
use intake::{Commands, Queries};
use links::Links;
use peers::{Peer, Peers};
use snapshot_take::Taker;
use status_report::StatusReport;
use waiting::Waiting;

use crate::replica::ReplicaError;
use crate::{GroupHandle, Replica};

/// Messages from peers that wait for the driver; when it is full, peers are held back.
const EVENTS: usize = 1024;

/// What a member must know to start.
#[derive(Clone, Debug)]
pub struct BroadcastOptions {
    /// The cluster's name: peers of another cluster are refused.
    pub cluster: String,
    /// Which of the members this one is.
    pub me: usize,
    /// All members: their names, and where they are reached.
    pub members: Vec<(String, SocketAddr)>,
    /// Where this member keeps its log and its state.
    pub directory: Directory,
    /// Commands, and as many queries, that wait in front of the group; beyond it: overloaded.
    pub calls_max: usize,
    /// What this member does to the messages that it sends, for experiments.
    pub faults: LinkFaults,
    /// The protocol's own bounds; all members must agree on those of requests and slots.
    pub bounds: Bounds,
}

/// Why a member can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The list of members makes no group.
    #[error("a group has 1 to {max} members, and this one is one of them", max = Config::MOST_MEMBERS)]
    Members,
    /// The log can't be restored.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The state can't be loaded.
    #[error("the state can't be loaded: {0}")]
    Replica(#[from] ReplicaError),
    /// The system gives no thread.
    #[error("can't start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Starts a member: restores it from its disk, and opens links to its peers. Blocks while it reads the disk, so call it where
/// that does no harm, but within a tokio runtime. The peer service must be mounted at this member's address.
///
/// # Errors
/// See [`StartError`]; nothing runs then.
pub fn start<M: StateMachine>(
    options: BroadcastOptions,
) -> Result<(GroupHandle, BroadcastPeerService, Running), StartError> {
    let peers = peers(&options)?;
    let (me, members) = (MemberId(number(options.me)?), number(peers.all.len())?);
    let (log, scratch) = (options.directory.log(), options.directory.scratch().map_err(RestoreError::from)?);
    let replica: Replica<M> = Replica::open(options.directory.state())?;
    let position = replica.position();
    let slot = position::slot(position.as_deref());
    let disk = DiskId(options.directory.disk().as_u128());
    let durable = restore::restore(&log, disk, members, position.as_deref().and_then(position::read))?;
    tracing::info!(
        incarnation = durable.incarnation.0,
        %disk,
        group = %durable.base.members.group,
        epoch = %durable.accepted,
        applied = slot.0,
        entries = durable.entries.len(),
        "restored"
    );

    let stop = CancellationToken::new();
    let (fatal, alarm) = Fatal::new();
    let applied = Applied::new(slot);
    let (log, log_thread) = log_writer::start(log, fatal.clone())?;
    let (applier, applier_thread) = applier::start(replica.clone(), applied.clone(), fatal.clone())?;
    let (readers, mut threads) = reader::start(&replica, &applied, &fatal)?;
    let (state_sync, sync_thread) = state_sync::start(replica.clone(), applied.clone(), fatal.clone())?;
    threads.extend([log_thread, applier_thread, sync_thread]);

    let (events_in, events) = mpsc::channel(EVENTS);
    let (commands_in, commands) = mpsc::channel(options.calls_max.max(1));
    let (queries_in, queries) = mpsc::channel(options.calls_max.max(1));
    let names = options.members.iter().map(|(name, _)| name.clone()).collect();
    let (status, status_out) = StatusReport::new(names);
    let links = Links::start(&peers, &options.faults, &events_in, &stop);
    let (snapshots, wanted) = mpsc::channel(1);
    let (events_back, install) = (events_in.clone(), applier.clone());
    let taker =
        Taker { peers: peers.clone(), wanted, applier: install, events: events_back, scratch, begun: None };
    let service = BroadcastPeerService::new(peers, replica.clone(), events_in, stop.clone());
    let clock = Clock::start();
    let waiting = Waiting::new(me, durable.incarnation);
    let config = Config { seed: rand::random(), bounds: options.bounds, ..Config::new(me, members) };
    #[cfg(feature = "breakable")]
    let config = Config { broken: broken_rule(), ..config };
    let member = Member::new(config, durable, clock.now());
    let (queries, commands) = (Queries::new(queries), Commands::new(commands));
    let inputs = Inputs { events, commands, queries, state_durable: state_sync.durable.clone() };
    let outlets = Outlets { log, applier, readers, links, snapshots, status };
    let driver = Driver::new(member, waiting, clock, applied, inputs, outlets);

    let group = GroupHandle::new(M::check, commands_in, queries_in, status_out, checksum(&replica));
    let maintenance = maintenance::run(replica, group.clone(), options.me, stop.clone());
    let running = Running::start(driver, maintenance, taker, state_sync, threads, (fatal, alarm), stop);
    Ok((group, service, running))
}

/// The rule that a sabotaged process does not keep.
#[cfg(feature = "breakable")]
fn broken_rule() -> Option<agora_broadcast::Rule> {
    use agora_broadcast::Rule;
    use agora_sabotage::Promise;
    agora_sabotage::breaks(Promise::WholeEpochs).then_some(Rule::NeverClaimWithLess)
}

fn peers(options: &BroadcastOptions) -> Result<Peers, StartError> {
    let count = number(options.members.len())?;
    if options.me >= options.members.len() || count > Config::MOST_MEMBERS {
        return Err(StartError::Members);
    }
    let members = options.members.iter().zip(0..);
    let all =
        members.map(|((name, address), id)| Peer { id: MemberId(id), name: name.clone(), address: *address });
    Ok(Peers { cluster: options.cluster.clone(), me: options.me, all: all.collect() })
}

fn number(index: usize) -> Result<u16, StartError> {
    u16::try_from(index).map_err(|_| StartError::Members)
}

fn checksum<M: StateMachine>(replica: &Replica<M>) -> Arc<dyn Fn() -> (u64, u32) + Send + Sync> {
    let replica = replica.clone();
    Arc::new(move || {
        let (position, machine) = replica.snapshot();
        (position::slot(position.as_deref()).0, crate::replica::checksum(&machine))
    })
}
