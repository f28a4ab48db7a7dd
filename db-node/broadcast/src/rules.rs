//! The rules on which safety rests, by name. Each can be switched off, one at a time, in builds for tests only (feature
//! `breakable`): then the simulator must notice. Without that feature all of them hold, and cost nothing.

/// A rule on which safety rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A slot is acknowledged once it is durable, not before.
    DurableBeforeAcknowledged,
    /// A slot is committed by a majority of all members.
    CommitByMajority,
    /// Only acknowledgements in the accepted epoch count.
    AcknowledgedInThisEpoch,
    /// A promise is given once it is durable, not before.
    DurableBeforePromised,
    /// Who has promised an epoch stores nothing of a lower one.
    NothingStoredAfterPromise,
    /// An epoch starts from the promises of a majority of all members.
    PromisesOfMajority,
    /// An epoch starts from a log of the highest accepted epoch, and only then the longest.
    HighestEpochFirst,
    /// An epoch is claimed only with all of the log that it starts from.
    NeverClaimWithLess,
    /// An epoch is acknowledged once it is durable with its log, not before.
    DurableBeforeClaimed,
    /// What goes beyond the common prefix is dropped.
    DropWhatDiffers,
    /// A turn belongs to an incarnation, not just to a member.
    TurnsOfIncarnations,
    /// Only its owner assigns a slot.
    OnlyTheOwnerAssigns,
    /// Requests of a dropped slot are pending again.
    DroppedIsPendingAgain,
    /// A read round needs a majority.
    ReadByMajority,
    /// An answer to an earlier incarnation's read round does not count.
    ReadOfThisIncarnation,
    /// What an epoch started from counts for reads before it is durable in that epoch.
    ReadFloorAtEpochStart,
    /// In quorums only disks count that the list of members names: not those of members that lost theirs.
    OnlyListedDisksCount,
    /// The list of members changes again only once the last change is committed in an epoch that a quorum has accepted.
    OneListChangeAtATime,
    /// A group is founded only if all other members say that they know of none.
    FoundedByAll,
    /// Who has told a founder that it knows of no group does not help to found another one.
    FoundersAreBound,
    /// An owner gives a slot no time that is far ahead of the median of all clocks.
    TimeNearTheMedian,
    /// The times of slots never go back.
    TimeNeverGoesBack,
    /// The requests of a sender are sequenced in order, without a gap.
    InTheSendersOrder,
    /// Once a request of a later incarnation of a sender is sequenced, none of an earlier one is.
    SupersededNeverSequenced,
    /// A log takes the base of a snapshot only in an epoch that is not earlier than the giver's.
    SnapshotOfNoLaterEpoch,
    /// A member goes on in another incarnation each time that it starts. (Who starts it sees to that.)
    RaisedAtEachStart,
}

impl Rule {
    /// All rules.
    pub const ALL: [Rule; 26] = [
        Rule::DurableBeforeAcknowledged,
        Rule::CommitByMajority,
        Rule::AcknowledgedInThisEpoch,
        Rule::DurableBeforePromised,
        Rule::NothingStoredAfterPromise,
        Rule::PromisesOfMajority,
        Rule::HighestEpochFirst,
        Rule::NeverClaimWithLess,
        Rule::DurableBeforeClaimed,
        Rule::DropWhatDiffers,
        Rule::TurnsOfIncarnations,
        Rule::OnlyTheOwnerAssigns,
        Rule::DroppedIsPendingAgain,
        Rule::ReadByMajority,
        Rule::ReadOfThisIncarnation,
        Rule::ReadFloorAtEpochStart,
        Rule::OnlyListedDisksCount,
        Rule::OneListChangeAtATime,
        Rule::FoundedByAll,
        Rule::FoundersAreBound,
        Rule::TimeNearTheMedian,
        Rule::TimeNeverGoesBack,
        Rule::InTheSendersOrder,
        Rule::SupersededNeverSequenced,
        Rule::SnapshotOfNoLaterEpoch,
        Rule::RaisedAtEachStart,
    ];
}

/// Which rules are kept: all of them, but in tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Kept {
    #[cfg(feature = "breakable")]
    pub(crate) but: Option<Rule>,
}

impl Kept {
    #[cfg(feature = "breakable")]
    pub(crate) fn keeps(self, rule: Rule) -> bool {
        self.but != Some(rule)
    }

    #[cfg(not(feature = "breakable"))]
    #[inline(always)]
    pub(crate) const fn keeps(self, _rule: Rule) -> bool {
        true
    }
}

impl crate::config::Config {
    /// The rules that this member keeps.
    #[inline(always)]
    pub(crate) fn kept(&self) -> Kept {
        Kept {
            #[cfg(feature = "breakable")]
            but: self.broken,
        }
    }

    /// Whether this member keeps a rule.
    #[inline(always)]
    pub(crate) fn keeps(&self, rule: Rule) -> bool {
        self.kept().keeps(rule)
    }
}
