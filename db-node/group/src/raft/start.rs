//! Starts a member of an openraft group, and stops it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use agora_machine::StateMachine;
use agora_storage::Directory;
use openraft::storage::RaftLogStorage;
use openraft::{Config, SnapshotPolicy};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::dial::{Dial, MESSAGE_BYTES_MAX, Tcp};
use super::election::Election;
use super::link::Links;
use super::log_store::LogStore;
use super::network::Network;
use super::proposer::Proposer;
use super::read_index::ReadIndex;
use super::reads::Reads;
use super::roster::Roster;
use super::seats::Seats;
use super::service::{Inner, PeerService, RaftPeerService};
use super::snapshot_receiver::SnapshotReceiver;
use super::state_machine::{StateMachineStore, applied_index};
use super::types::{NodeId, Raft, StorageError, Vote};
use super::view::View;
use super::{commands, founding, leadership, membership, seats, status, upkeep};
use crate::handle::{Command, Failure, GroupHandle, Query};
use crate::replica::{Replica, ReplicaError, checksum};
use crate::runtime;

/// Commands, and queries, that may wait in front of the group; more are refused as overload.
const QUEUE: usize = 8192;
/// How long an append has to be answered before it is sent again. openraft calls this its heartbeat's interval; the real
/// one is shorter (see `leadership`), because on a busy machine answers may well take longer than heartbeats should.
const APPEND_TIMEOUT: Duration = Duration::from_millis(1000);
/// How long a vote request has to be answered. openraft would also hold elections after this time; see `election`.
const VOTE_TIMEOUT: std::ops::Range<Duration> = Duration::from_millis(1500)..Duration::from_millis(2000);
/// Entries between two snapshots, and entries that stay in the log behind one for followers that lag a little.
const SNAPSHOT_ENTRIES: u64 = 5000;
const KEEP_ENTRIES: u64 = 1000;
/// Entries that travel in one append, at most; bytes are bounded where the log is read.
const APPEND_ENTRIES: u64 = 64;
/// How long a stopping node waits for what is under way.
const GRACE: Duration = Duration::from_millis(500);

/// What a member needs to know.
#[derive(Clone, Debug)]
pub struct RaftOptions {
    /// The cluster's name.
    pub cluster: String,
    /// This member's seat.
    pub me: usize,
    /// The members of the cluster file. Those of the group are others once it has been changed.
    pub members: Seats,
    /// This member's data.
    pub directory: Directory,
}

/// Why a member can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The list of members does not have this member.
    #[error("there is no seat {me} among those of {members} members")]
    NoSuchMember {
        /// The seat asked for.
        me: usize,
        /// How many members there are.
        members: usize,
    },
    /// The state can't be loaded.
    #[error("the state in {directory} can't be loaded: {source}")]
    State {
        /// The data directory.
        directory: String,
        /// Why not.
        source: ReplicaError,
    },
    /// The log can't be loaded, or openraft refuses what it finds in it.
    #[error("the log in {directory} can't be used: {why}")]
    Log {
        /// The data directory.
        directory: String,
        /// Why not.
        why: String,
    },
    /// The start was cut off.
    #[error("the start was cut off: {0}")]
    CutOff(String),
}

/// A running member. Dropping it leaves the member running; stop it with [`Running::stop`].
pub struct Running {
    raft: Raft,
    leaving: Leaving,
    roster: Roster,
    closing: CancellationToken,
    stop: CancellationToken,
    callers: TaskTracker,
    tasks: TaskTracker,
    compacting: Arc<Mutex<()>>,
    sync: Box<dyn FnOnce() -> Result<(), ReplicaError> + Send + Sync>,
}

/// What it takes to hand over.
struct Leaving {
    view: View,
    election: Election,
    proposer: Proposer,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Running")
    }
}

impl Running {
    /// By which members are added and taken away.
    pub fn roster(&self) -> Roster {
        self.roster.clone()
    }

    /// Lets another member lead, if this one does: what is asked of it meanwhile waits a few milliseconds.
    pub async fn hand_over(&self) {
        let Leaving { view, election, proposer } = &self.leaving;
        let handed_over = leadership::hand_over(view, election, proposer);
        if timeout(GRACE, handed_over).await.is_err() {
            tracing::warn!("can't hand over: what is under way does not end");
        }
    }

    /// Stops gracefully: hands over, takes nothing new, finishes what is under way, makes the state durable.
    ///
    /// # Errors
    /// The state could not be made durable. Nothing acknowledged is lost by that: the log has it.
    pub async fn stop(self) -> Result<(), ReplicaError> {
        self.hand_over().await;
        self.closing.cancel();
        self.callers.close();
        if timeout(GRACE, self.callers.wait()).await.is_err() {
            tracing::warn!("stopping with commands or queries under way");
        }
        let Running { raft, leaving, roster, stop, tasks, sync, .. } = self;
        drop((leaving, roster));
        shut_down(&raft, &stop, &tasks).await;
        runtime::blocking(sync).await.unwrap_or(Ok(()))
    }

    /// Builds a snapshot now, and shortens the log to what came after it; without this, both happen as the log grows.
    ///
    /// # Errors
    /// The member is stopping.
    pub fn compact(&self) -> impl Future<Output = Result<(), Failure>> + Send + use<> {
        let (raft, one_at_a_time) = (self.raft.clone(), Arc::clone(&self.compacting));
        async move {
            let stopping = || Failure::Unavailable("this node is stopping".into());
            let _one_at_a_time = one_at_a_time.lock().await;
            let mut metrics = raft.metrics();
            let (target, is_news) = {
                let metrics = metrics.borrow_and_update();
                (metrics.last_applied, upkeep::is_worth_a_snapshot(&metrics))
            };
            if is_news {
                raft.trigger().snapshot().await.map_err(|_| stopping())?;
            }
            let built = metrics
                .wait_for(|metrics| metrics.snapshot >= target || metrics.running_state.is_err())
                .await;
            let upto = built.map_err(|_| stopping())?.snapshot.ok_or_else(stopping)?.index;
            raft.trigger().purge_log(upto).await.map_err(|_| stopping())?;
            let purged = metrics.wait_for(|metrics| metrics.purged.is_some_and(|id| id.index >= upto));
            purged.await.map(drop).map_err(|_| stopping())
        }
    }

    /// Stops at once, as if the process had died: what is under way is cut off, nothing more is made durable.
    pub async fn abandon(self) {
        shut_down(&self.raft, &self.stop, &self.tasks).await;
    }
}

async fn shut_down(raft: &Raft, stop: &CancellationToken, tasks: &TaskTracker) {
    stop.cancel();
    if let Err(error) = raft.shutdown().await {
        tracing::error!(%error, "openraft did not shut down well");
    }
    tasks.close();
    tasks.wait().await;
}

fn config(cluster: &str) -> Config {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Config {
        cluster_name: cluster.into(),
        heartbeat_interval: ms(APPEND_TIMEOUT),
        election_timeout_min: ms(VOTE_TIMEOUT.start),
        election_timeout_max: ms(VOTE_TIMEOUT.end),
        enable_heartbeat: false,
        enable_elect: false,
        max_payload_entries: APPEND_ENTRIES,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_ENTRIES),
        max_in_snapshot_log_to_keep: KEEP_ENTRIES,
        replication_lag_threshold: SNAPSHOT_ENTRIES,
        ..Config::default()
    }
}

/// What a member has on its disk, loaded.
pub(crate) struct Loaded<M: StateMachine> {
    /// What to call the disk when it has to be complained of.
    pub(crate) path: String,
    /// Its random id.
    pub(crate) disk: u128,
    pub(crate) log: LogStore,
    pub(crate) replica: Replica<M>,
    /// Where snapshots are collected that arrive.
    pub(crate) scratch: PathBuf,
}

/// Loads what is on disk, on a thread that may block.
async fn load<M: StateMachine>(directory: Directory) -> Result<Loaded<M>, StartError> {
    let loaded = tokio::task::spawn_blocking(move || {
        let path = directory.path().display().to_string();
        let log_failed = |why| StartError::Log { directory: path.clone(), why };
        let state_failed = |source| StartError::State { directory: path.clone(), source };
        let log = LogStore::open(directory.log()).map_err(log_failed)?;
        let replica = Replica::<M>::open(directory.state()).map_err(state_failed)?;
        let scratch = directory.scratch().map_err(|error| state_failed(error.into()))?;
        Ok(Loaded { disk: directory.disk().as_u128(), log, replica, scratch, path })
    });
    loaded.await.map_err(|error| StartError::CutOff(error.to_string()))?
}

/// A leader that starts again has to be elected again.
///
/// openraft would let it lead on in its old term at once, and confirm reads before anything was committed since the start: up
/// to what its own state has applied, which may be behind what it had acknowledged. A leader of a new term first commits an
/// entry of that term, and so all before it.
async fn resign(mut log: LogStore, me: NodeId) -> Result<(), StorageError> {
    match log.read_vote().await? {
        Some(vote) if vote.committed && vote.leader_id().voted_for() == Some(me) => {
            log.save_vote(&Vote { committed: false, ..vote }).await
        }
        _ => Ok(()),
    }
}

/// Starts a member: loads its data, and takes part in the group from then on. The service has to be mounted at the
/// member's address; a group of which all members are new is founded as soon as all run.
///
/// # Errors
/// The data can't be used, or the options don't fit together.
pub async fn start<M: StateMachine>(
    options: RaftOptions,
) -> Result<(GroupHandle, RaftPeerService, Running), StartError> {
    let RaftOptions { cluster, me, members, directory } = options;
    if !members.contains_key(&me) {
        return Err(StartError::NoSuchMember { me, members: members.len() });
    }
    let loaded = load::<M>(directory).await?;
    let (handle, service, running) = start_with(cluster, (me, members), loaded, Arc::new(Tcp)).await?;
    let service = RaftPeerService::new(service)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    Ok((handle, service, running))
}

/// Starts a member in its seat with what is loaded, on a network of any kind.
pub(crate) async fn start_with<M: StateMachine>(
    cluster: String,
    (seat, members): (usize, Seats),
    loaded: Loaded<M>,
    dial: Arc<dyn Dial>,
) -> Result<(GroupHandle, PeerService, Running), StartError> {
    let Loaded { path, disk, log, replica, scratch } = loaded;
    let log_failed = |why| StartError::Log { directory: path.clone(), why };
    let (publish_applied, applied) = watch::channel(0);
    let machine =
        StateMachineStore::new(replica.clone(), log.clone(), publish_applied).map_err(log_failed)?;
    let me = NodeId::new(seat, disk);
    let links = Links::new(&cluster, me, dial);
    let config = config(&cluster).validate().map_err(|error| log_failed(error.to_string()))?;
    let own = Arc::new(OnceLock::new());
    let network = Network { me, links: links.clone(), log: log.clone(), raft: Arc::clone(&own) };
    resign(log.clone(), me).await.map_err(|error| log_failed(error.to_string()))?;
    let raft = Raft::new(me, Arc::new(config), network, log.clone(), machine).await;
    let raft = raft.map_err(|error| log_failed(error.to_string()))?;
    // It is set only here.
    let _ = own.set(raft.clone());
    let (view, follow) = View::new(me, raft.clone(), links.clone());
    let (proposer, propose) = Proposer::new(view.clone());
    let (read_index, confirm) = ReadIndex::new(raft.clone());
    let election = Election::new(view.clone(), log.clone());

    let closing = CancellationToken::new();
    let (command_queue, commands) = mpsc::channel::<Command>(QUEUE);
    let (query_queue, queries) = mpsc::channel::<Query>(QUEUE);
    let (publish_status, status) = watch::channel(status::current(&view, &log, &applied));
    let background = Background { stop: CancellationToken::new(), tasks: TaskTracker::new() };
    let (known, spawner) = (links.clone(), background.clone());
    let keep_links = move |seats: &BTreeMap<usize, SocketAddr>| {
        known.keep(seats, &spawner.stop).into_iter().for_each(|link| spawner.spawn(link));
    };
    keep_links(&members.iter().map(|(seat, (_, address))| (*seat, *address)).collect());
    let roster = Roster::new(view.clone(), election.clone(), proposer.clone(), read_index.clone());
    background.spawn(follow);
    background.spawn(propose);
    background.spawn(confirm);
    background.spawn(election.clone().run());
    background.spawn(leadership::run(view.clone()));
    background.spawn(founding::run(view.clone(), members.clone()));
    background.spawn(seats::follow(view.clone(), keep_links, members));
    background.spawn(membership::run(view.clone(), roster.clone()));
    background.spawn(status::run(view.clone(), log.clone(), applied.clone(), publish_status));
    let snapshots = SnapshotReceiver::new(scratch, log.clone());
    background.spawn(upkeep::run(view.clone(), log, replica.clone(), proposer.clone()));
    let leaving = Leaving { view: view.clone(), election: election.clone(), proposer: proposer.clone() };
    let callers = TaskTracker::new();
    let reads =
        Reads { view: view.clone(), read_index: read_index.clone(), applied, replica: replica.clone() };
    let serve_commands = commands::run(view.clone(), proposer.clone(), commands, closing.clone());
    runtime::spawn(callers.track_future(background.until_stopped(serve_commands)));
    let serve_queries = reads.run(queries, closing.clone());
    runtime::spawn(callers.track_future(background.until_stopped(serve_queries)));

    let service = PeerService {
        inner: Arc::new(Inner {
            cluster,
            view,
            election,
            roster: roster.clone(),
            proposer,
            read_index,
            snapshots,
            stop: background.stop.clone(),
        }),
    };
    let summed = replica.clone();
    let sum = move || {
        let (position, machine) = summed.snapshot();
        (applied_index(position.as_deref()), checksum(&machine))
    };
    let handle = GroupHandle::new(M::check, command_queue, query_queue, status, Arc::new(sum));
    let sync = Box::new(move || replica.sync().map(drop));
    let Background { stop, tasks } = background;
    Ok((
        handle,
        service,
        Running { raft, leaving, roster, closing, stop, callers, tasks, compacting: Arc::default(), sync },
    ))
}

/// The tasks of a member, which end when it stops.
#[derive(Clone)]
struct Background {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Background {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        runtime::spawn(self.tasks.track_future(self.until_stopped(task)));
    }

    fn until_stopped<T: Future<Output = ()> + Send + 'static>(
        &self,
        task: T,
    ) -> impl Future<Output = ()> + use<T> {
        let stop = self.stop.clone();
        async move {
            runtime::select! {
                () = stop.cancelled() => {},
                () = task => {},
            }
        }
    }
}
