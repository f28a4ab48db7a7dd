//! When the peers' logs no longer reach back far enough, only the whole state of a peer helps. The driver fetches and installs
//! it; here is what it means for the log.

use crate::disk::Then;
use crate::ids::{Epoch, MemberId};
use crate::log::Log;
use crate::member::Member;
use crate::port::{Base, Output, Write};
use crate::rules::Rule;

impl Member {
    /// A peer's log does not go back far enough. So the giver of the last snapshot is asked, or else the state is needed.
    pub(crate) fn log_of_peer_is_too_short(&mut self, from: MemberId) {
        if self.gaps.giver().is_none_or(|giver| giver == from || self.is_silent(giver)) {
            self.gaps.forget_giver();
            self.need_snapshot(from);
        }
    }

    /// Asks the driver for a peer's state, now and then.
    pub(crate) fn need_snapshot(&mut self, from: MemberId) {
        let now = self.now.monotonic;
        if self.change.snapshot_due.is_none_or(|due| now >= due) {
            self.change.snapshot_due = Some(now + self.config.timing.snapshot_retry);
            self.out.push(Output::NeedSnapshot { from });
        }
    }

    /// The state covers all up to the base, which is committed: whatever happens to the log, nothing below is delivered.
    ///
    /// The log itself takes the base only as a part of an epoch's history. What the peer had delivered was committed in the
    /// epoch that it had accepted or in an earlier one, and so is in the history of each later one. Of an earlier one it may
    /// not be: to acknowledge it there would be a lie.
    pub(crate) fn snapshot_installed(&mut self, from: MemberId, epoch: Epoch, base: Base) {
        let is_known = from.0 < self.config.members;
        if !is_known || base.members.seats.len() != usize::from(self.config.members) {
            self.counters.malformed += 1;
            return;
        }
        self.change.snapshot_due = None;
        self.gaps.goes_on_with(from);
        self.change.seen(epoch);
        if let Some(local_seq) = base.sequenced.get(&(self.me, self.incarnation)) {
            self.own.delivered(*local_seq);
        }
        self.skip_delivery_to(base.slot);
        let is_part = |of| epoch <= of || !self.config.keeps(Rule::SnapshotOfNoLaterEpoch);
        if self.change.transition.is_some() {
            self.take_snapshot_into_transition(epoch, &base);
        } else if !self.is_changing_epoch() && is_part(self.accepted) && base.slot > self.log.last() {
            self.write_unwritten();
            let slot = base.slot;
            self.log = Log::new(self.config.members, self.config.kept(), base.clone());
            self.pending.skip_to(&self.log.tip().sequenced);
            self.acks.settled = slot;
            self.sequencing.enter_epoch(self.accepted, slot);
            self.restart_reads();
            self.persist(vec![Write::Purge(base)], Then::Stored { epoch: self.accepted, slot, senders: 0 });
        }
    }
}
