//! What holds after every step, whatever came in. A member that finds that it doesn't must not go on: it stops before anything of
//! that step gets out, and the others go on without it. So these are asserted in production too; they cost a few comparisons. What
//! costs more is asserted in builds with debug assertions only.
//!
//! What concerns several members (agreement, durability at a majority, one assignment per epoch and slot, …) can't be seen from here;
//! the simulator and the model check see it.

use crate::member::Member;

impl Member {
    pub(crate) fn check_invariants(&self) {
        let (base, last) = (self.log.base().slot, self.log.last());
        assert!(self.promised >= self.accepted, "an epoch is accepted that is lower than the promised one");
        assert!(self.log.tip().epoch <= self.accepted, "the log goes beyond the accepted epoch");
        assert_eq!(
            self.roster.is_empty(),
            self.is_empty(),
            "nobody takes turns in a group, or someone without one"
        );
        assert_eq!(
            self.list().is_none(),
            self.is_empty(),
            "a group without a list of members, or a list without a group"
        );
        assert!(base <= self.acks.settled, "the log was purged of what may not be committed");
        assert!(self.acks.settled <= last, "something committed was dropped from the log");
        assert!(self.stored_slot() <= last, "something is acknowledged that is not in the log");
        assert!(self.acks.delivered <= self.acks.committed, "something is delivered that is not committed");
        assert!(
            self.disk.has_all_on_its_way(),
            "a step ends, and not all that the log got is on its way to disk"
        );
        self.pending.check(&self.log.tip().sequenced);
        debug_assert_eq!(self.log.history().last(), last, "the shape of the log is not that of its entries");
        debug_assert_eq!(self.log.history().last_epoch(), self.log.tip().epoch);
        debug_assert_eq!(self.log.history().base(), (self.log.base().epoch, base));
    }
}
