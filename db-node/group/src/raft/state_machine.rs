//! openraft's state machine over a [`Replica`]: batches are applied to it, snapshots are consistent copies of it.
//!
//! The replica's store is not synced at each apply: after a crash it is somewhat behind, and the log, which is purged only
//! below a snapshot, brings it forward again. Building a snapshot therefore means: take a copy, and sync the store.

use std::io::BufReader;
use std::sync::Arc;

use agora_machine::{StateMachine, Timestamp};
use agora_proto::raft as pb;
use bytes::Bytes;
use openraft::storage::RaftStateMachine;
use openraft::{EntryPayload, ErrorSubject, ErrorVerb, OptionalSend, RaftSnapshotBuilder};
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::watch;

use super::log_store::{LogStore, failed};
use super::snapshot_file;
use super::types::{
    Entry, LogId, RecordSource, Responses, Snapshot, SnapshotData, SnapshotMeta, SnapshotRecords,
    StorageError, StoredMembership, TypeConfig,
};
use super::wire;
use crate::replica::{Replica, ReplicaError};
use crate::runtime;

/// How far a state machine has come; kept, encoded, as the replica's position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Progress {
    applied: Option<LogId>,
    membership: StoredMembership,
    time_ms: u64,
}

impl Progress {
    fn encode(&self) -> Vec<u8> {
        pb::AppliedPosition {
            log_id: self.applied.map(wire::log_id_to_pb),
            membership: Some(wire::stored_membership_to_pb(&self.membership)),
            time_ms: self.time_ms,
        }
        .encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Progress, String> {
        let position = pb::AppliedPosition::decode(bytes).map_err(|error| error.to_string())?;
        Ok(Progress {
            applied: position.log_id.map(wire::log_id),
            membership: wire::stored_membership(position.membership).map_err(|malformed| malformed.0)?,
            time_ms: position.time_ms,
        })
    }
}

/// The log index that a replica's position stands for; 0 if nothing was applied.
pub(crate) fn applied_index(position: Option<&[u8]>) -> u64 {
    let position = position.and_then(|bytes| pb::AppliedPosition::decode(bytes).ok());
    position.and_then(|position| position.log_id).map_or(0, |id| id.index)
}

/// openraft's state machine.
#[derive(Debug)]
pub(crate) struct StateMachineStore<M: StateMachine> {
    replica: Replica<M>,
    log: LogStore,
    progress: Progress,
    applied: watch::Sender<u64>,
    current: Arc<Mutex<Option<Snapshot>>>,
}

fn apply_failed(error: impl std::fmt::Display) -> StorageError {
    failed(ErrorSubject::StateMachine, ErrorVerb::Write, error)
}

fn snapshot_failed(verb: ErrorVerb, error: impl std::fmt::Display) -> StorageError {
    failed(ErrorSubject::Snapshot(None), verb, error)
}

/// Runs what blocks on a thread for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReplicaError> + Send + 'static,
) -> Result<T, String> {
    match runtime::blocking(work).await {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

impl<M: StateMachine> StateMachineStore<M> {
    /// The state machine of a replica. The last applied index is published in `applied`.
    ///
    /// # Errors
    /// The replica's position was not written by this program.
    pub(crate) fn new(
        replica: Replica<M>,
        log: LogStore,
        applied: watch::Sender<u64>,
    ) -> Result<Self, String> {
        let progress = replica.position().map(|bytes| Progress::decode(&bytes)).transpose();
        let progress =
            progress.map_err(|why| format!("the state's position can't be read: {why}"))?.unwrap_or_default();
        let upto = progress.applied.map_or(0, |id| id.index);
        // It was read from disk.
        log.covered(upto);
        applied.send_replace(upto);
        Ok(StateMachineStore { replica, log, progress, applied, current: Arc::default() })
    }

    fn publish(&self) {
        self.applied.send_replace(self.progress.applied.map_or(0, |id| id.index));
    }
}

impl<M: StateMachine> Drop for StateMachineStore<M> {
    fn drop(&mut self) {
        // openraft lets go of a state machine that has failed.
        self.log.not_installed();
    }
}

impl<M: StateMachine> RaftStateMachine<TypeConfig> for StateMachineStore<M> {
    type SnapshotBuilder = SnapshotBuilder<M>;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        Ok((self.progress.applied, self.progress.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Responses>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut commands: Vec<(Timestamp, Bytes)> = Vec::new();
        let mut counts = Vec::new();
        for entry in entries {
            let before = commands.len();
            self.progress.applied = Some(entry.log_id);
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(batch) => {
                    // Leaders' clocks differ; replicated time never goes back.
                    self.progress.time_ms = self.progress.time_ms.max(batch.time_ms);
                    let now = Timestamp(self.progress.time_ms);
                    commands.extend(batch.commands.iter().map(|command| (now, command.clone())));
                }
                EntryPayload::Membership(membership) => {
                    self.progress.membership = StoredMembership::new(Some(entry.log_id), membership);
                }
            }
            counts.push(commands.len() - before);
        }
        let (replica, position) = (self.replica.clone(), self.progress.encode());
        let mut responses =
            blocking(move || replica.apply(&commands, position)).await.map_err(apply_failed)?.into_iter();
        self.publish();
        Ok(counts.into_iter().map(|count| Responses(responses.by_ref().take(count).collect())).collect())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder<M> {
        self.log.snapshotted();
        let (_, machine) = self.replica.snapshot();
        SnapshotBuilder {
            replica: self.replica.clone(),
            log: self.log.clone(),
            machine: Arc::new(machine),
            progress: self.progress.clone(),
            current: Arc::clone(&self.current),
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<SnapshotData>, StorageError> {
        // Snapshots arrive through the peer service, which collects them in a file; see `snapshot_receiver`.
        let records = SnapshotRecords::Machine(Arc::new(M::default()) as Arc<dyn RecordSource>);
        Ok(Box::new(SnapshotData { position: Vec::new(), records }))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<SnapshotData>,
    ) -> Result<(), StorageError> {
        let write_failed = |error: String| snapshot_failed(ErrorVerb::Write, error);
        let progress = Progress::decode(&snapshot.position).map_err(write_failed)?;
        if progress.applied != meta.last_log_id {
            return Err(write_failed("it is not of the position that it claims".into()));
        }
        let (replica, data) = (self.replica.clone(), snapshot.clone());
        let installed = blocking(move || install(&replica, &data)).await;
        match installed {
            Ok(()) => self.log.covered(progress.applied.map_or(0, |id| id.index)),
            Err(why) => {
                self.log.not_installed();
                return Err(write_failed(why));
            }
        }
        self.progress = progress;
        *self.current.lock() = Some(Snapshot { meta: meta.clone(), snapshot });
        self.publish();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, StorageError> {
        Ok(self.current.lock().clone())
    }
}

fn install<M: StateMachine>(replica: &Replica<M>, data: &SnapshotData) -> Result<(), ReplicaError> {
    let position = data.position.clone();
    match &data.records {
        SnapshotRecords::Machine(machine) => replica.install(machine.records(), position),
        SnapshotRecords::File(received) => {
            let file = std::fs::File::open(&received.path);
            let file = file
                .map_err(|error| ReplicaError::Unreadable(format!("{}: {error}", received.path.display())))?;
            replica.try_install(snapshot_file::records(BufReader::with_capacity(1 << 20, file)), position)
        }
    }
}

/// A copy of the state machine on its way to be a snapshot.
#[derive(Debug)]
pub(crate) struct SnapshotBuilder<M: StateMachine> {
    replica: Replica<M>,
    log: LogStore,
    machine: Arc<M>,
    progress: Progress,
    current: Arc<Mutex<Option<Snapshot>>>,
}

impl<M: StateMachine> RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder<M> {
    async fn build_snapshot(&mut self) -> Result<Snapshot, StorageError> {
        let replica = self.replica.clone();
        // The log below the snapshot may be purged once it is there: then the store must not need it any more.
        blocking(move || replica.sync()).await.map_err(|error| snapshot_failed(ErrorVerb::Write, error))?;
        self.log.covered(self.progress.applied.map_or(0, |id| id.index));
        let meta = SnapshotMeta {
            last_log_id: self.progress.applied,
            last_membership: self.progress.membership.clone(),
            snapshot_id: self.progress.applied.map_or_else(|| "empty".into(), |id| id.to_string()),
        };
        let records = SnapshotRecords::Machine(Arc::clone(&self.machine) as Arc<dyn RecordSource>);
        let snapshot =
            Snapshot { meta, snapshot: Box::new(SnapshotData { position: self.progress.encode(), records }) };
        let mut current = self.current.lock();
        // A newer one may have been installed meanwhile.
        if current.as_ref().is_none_or(|newer| newer.meta.last_log_id <= snapshot.meta.last_log_id) {
            *current = Some(snapshot.clone());
        }
        Ok(snapshot)
    }
}
