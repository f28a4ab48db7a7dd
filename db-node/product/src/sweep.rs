//! What is dropped in time: holds that ran out, reservations that ended long ago, forgotten answers, removed items.
//!
//! Nodes propose a sweep when something is due. Each does a bounded piece of work, so that it never stalls what waits
//! behind it; what it leaves is due still, and the next one's.

use agora_machine::Timestamp;
use agora_proto::limits::ANSWER_KEPT;
use agora_proto::product::{Command, Sweep, command};
use bytes::Bytes;
use prost::Message;

use crate::bounds::SWEEP_MOST;
use crate::state::ProductDb;

/// [`ANSWER_KEPT`] as replicated time counts.
pub const ANSWER_KEPT_MS: u64 = ANSWER_KEPT.as_millis() as u64;

impl ProductDb {
    pub(crate) fn sweep(&mut self, now: Timestamp) {
        self.sweep_reservations(now, SWEEP_MOST);
        self.sweep_removed(SWEEP_MOST);
        self.answers.forget_older(now, ANSWER_KEPT_MS, SWEEP_MOST);
    }

    /// A sweep, if one would find something to do at this time.
    pub(crate) fn sweep_if_due(&self, now: Timestamp) -> Option<Bytes> {
        let reservation_due = self.due.get_min().is_some_and(|(due_ms, _)| *due_ms <= now.0);
        let due = reservation_due || !self.removed.is_empty() || self.answers.any_older(now, ANSWER_KEPT_MS);
        let sweep = Command { idempotency: None, body: Some(command::Body::Sweep(Sweep {})) };
        due.then(|| sweep.encode_to_vec().into())
    }
}
