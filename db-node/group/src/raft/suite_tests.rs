//! openraft's own tests of storage, against this log and state machine.

use agora_machine::{Change, CorruptRecord, Malformed, Record, StateMachine, Timestamp};
use agora_storage::{Directory, Identity};
use bytes::Bytes;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::testing::{StoreBuilder, Suite};
use openraft::{EntryPayload, LeaderId, RaftLogReader};
use tokio::sync::watch;

use super::log_store::LogStore;
use super::state_machine::StateMachineStore;
use super::types::{Entry, LogId, StorageError, TypeConfig, Vote};
use crate::replica::Replica;

/// The suite cares for positions and memberships, not for what is applied.
#[derive(Clone, Debug, Default)]
struct Nothing;

impl StateMachine for Nothing {
    fn check(_: &[u8]) -> Result<(), Malformed> {
        Ok(())
    }
    fn apply(&mut self, _: Timestamp, command: &[u8]) -> Bytes {
        Bytes::copy_from_slice(command)
    }
    fn query(&self, _: Timestamp, query: &[u8]) -> Result<Bytes, Malformed> {
        Ok(Bytes::copy_from_slice(query))
    }
    fn maintenance(&self, _: Timestamp) -> Option<Bytes> {
        None
    }
    fn take_changes(&mut self) -> Vec<Change> {
        Vec::new()
    }
    fn records(&self) -> Box<dyn Iterator<Item = Record> + '_> {
        Box::new(std::iter::empty())
    }
    fn load(_: impl Iterator<Item = Record>) -> Result<Self, CorruptRecord> {
        Ok(Nothing)
    }
}

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, StateMachineStore<Nothing>, tempfile::TempDir> for Builder {
    async fn build(&self) -> Result<(tempfile::TempDir, LogStore, StateMachineStore<Nothing>), StorageError> {
        let root = tempfile::tempdir().unwrap();
        let identity = Identity { cluster: "c".into(), node: "n".into(), database: "d".into() };
        let directory = Directory::open(root.path(), &identity).unwrap();
        let log = LogStore::open(directory.log()).unwrap();
        let replica = Replica::open(directory.state()).unwrap();
        let machine = StateMachineStore::new(replica, log.clone(), watch::channel(0).0).unwrap();
        Ok((root, log, machine))
    }
}

#[test]
fn openrafts_storage_suite_passes() {
    Suite::test_all(Builder).unwrap();
}

fn entry(index: u64) -> Entry {
    Entry { log_id: LogId::new(LeaderId::new(1, 1.into()), index), payload: EntryPayload::Blank }
}

/// openraft's suite truncates all or nothing.
#[tokio::test]
async fn what_comes_before_a_truncation_stays_and_goes_on() {
    let (_root, mut log, _machine) = Builder.build().await.unwrap();
    log.blocking_append((0..10).map(entry)).await.unwrap();
    log.truncate(entry(7).log_id).await.unwrap();
    assert_eq!(log.get_log_state().await.unwrap().last_log_id, Some(entry(6).log_id));
    log.blocking_append((7..9).map(entry)).await.unwrap();
    assert_eq!(log.try_get_log_entries(0..20).await.unwrap(), (0..9).map(entry).collect::<Vec<_>>());
}

/// openraft ends a member whose replication can't read the log.
#[tokio::test]
async fn only_a_replication_that_outlived_its_vote_may_miss_entries() {
    let (_root, mut log, _machine) = Builder.build().await.unwrap();
    log.save_vote(&Vote::new(1, 1.into())).await.unwrap();
    log.blocking_append((0..10).map(entry)).await.unwrap();
    // openraft makes them before it has saved that the vote is committed.
    let mut replication = log.get_log_reader().await;
    log.save_vote(&Vote::new_committed(1, 1.into())).await.unwrap();
    assert_eq!(replication.limited_get_log_entries(8, 10).await.unwrap(), [entry(8), entry(9)]);
    log.truncate(entry(7).log_id).await.unwrap();
    assert!(replication.limited_get_log_entries(8, 10).await.is_err());
    log.save_vote(&Vote::new_committed(2, 2.into())).await.unwrap();
    assert_eq!(replication.limited_get_log_entries(8, 10).await.unwrap(), [entry(8)]);
    assert!(log.get_log_reader().await.limited_get_log_entries(8, 10).await.is_err());
}

/// openraft has the log purged while a snapshot that covers it is still being installed.
#[tokio::test]
async fn the_log_forgets_what_a_snapshot_covers_only_when_that_is_installed() {
    let (_root, mut log, _machine) = Builder.build().await.unwrap();
    log.blocking_append((0..10).map(entry)).await.unwrap();
    let installing = log.installing(7);
    log.purge(entry(2).log_id).await.unwrap();
    let (store, mut purging) = (log.clone(), log.clone());
    let purge = tokio::spawn(async move { purging.purge(entry(7).log_id).await });
    tokio::task::yield_now().await;
    assert_eq!(log.get_log_state().await.unwrap().last_purged_log_id, Some(entry(2).log_id));
    store.covered(7);
    purge.await.unwrap().unwrap();
    assert_eq!(log.get_log_state().await.unwrap().last_purged_log_id, Some(entry(7).log_id));
    drop(installing);

    // What the state has already may go, whatever is being installed; what could not be installed may not.
    let _installing = log.installing(9);
    log.purge(entry(7).log_id).await.unwrap();
    store.not_installed();
    assert!(log.purge(entry(9).log_id).await.is_err());
}
