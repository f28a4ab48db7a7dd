//! The log as one replication reads it, which ends with the vote it began under.
//!
//! A leader that has accepted a higher vote lets its replications run on, while the new leader may already truncate its log
//! and write other entries there. openraft takes a log that lacks what it asks for as a failed disk, and ends the member. So a
//! replication that has outlived its vote is given a stand-in for what is not there; nothing that it sends leaves this member
//! (see `network`).

use std::fmt::Debug;
use std::ops::RangeBounds;

use openraft::{EntryPayload, OptionalSend, RaftLogReader};

use super::log_store::{LogStore, READ_BYTES, read_failed};
use super::types::{Entry, LeaderId, LogId, StorageError, TypeConfig};

pub(crate) struct LogReader {
    log: LogStore,
    /// Under whom the replication began.
    leader: Option<LeaderId>,
}

impl LogReader {
    pub(crate) fn new(log: LogStore) -> LogReader {
        let leader = leader(&log);
        LogReader { log, leader }
    }
}

/// Whose the highest vote is. When a leader's replications begin its own is not yet committed, and is a moment later.
fn leader(log: &LogStore) -> Option<LeaderId> {
    log.vote().map(|vote| vote.leader_id)
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        self.log.try_get_log_entries(range).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        let entries = self.log.read(start, end, READ_BYTES).await;
        let is_there =
            |entries: &Vec<Entry>| entries.first().map_or(end, |first| first.log_id.index) == start;
        match entries {
            Ok(entries) if is_there(&entries) => Ok(entries),
            _ if leader(&self.log) > self.leader => {
                let log_id = LogId::new(self.leader.unwrap_or_default(), start);
                Ok(vec![Entry { log_id, payload: EntryPayload::Blank }])
            }
            Ok(_) => Err(read_failed(format!("no entries from {start} on"))),
            Err(error) => Err(error),
        }
    }
}
