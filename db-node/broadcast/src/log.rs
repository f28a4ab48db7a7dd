//! The log in memory: the same entries as on disk, durable or on their way there, above the same base.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::history::History;
use crate::ids::{Epoch, Slot};
use crate::members::MemberList;
use crate::port::{Base, Entry, Request};
use crate::rules::{Kept, Rule};
use crate::sequenced::Sequenced;

/// What a request and an entry take beyond their commands, roughly.
const OVERHEAD_BYTES: usize = 64;

/// Why an entry can't follow what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DoesNotFollow;

/// The end of a log: all that decides whether an entry may follow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tip {
    pub(crate) slot: Slot,
    pub(crate) epoch: Epoch,
    pub(crate) time_ms: u64,
    pub(crate) sequenced: Sequenced,
    kept: Kept,
    /// The list in force after this slot.
    pub(crate) members: Arc<MemberList>,
}

impl Tip {
    pub(crate) fn new(members: u16, kept: Kept, base: &Base) -> Self {
        let sequenced = Sequenced::new(members, kept, &base.sequenced);
        Tip {
            kept,
            slot: base.slot,
            epoch: base.epoch,
            time_ms: base.time_ms,
            sequenced,
            members: Arc::clone(&base.members),
        }
    }

    /// Moves on over an entry.
    ///
    /// # Errors
    /// It is not the next slot, or epoch, time or a sender's order would go back, or a body is not what is listed. The tip
    /// is then of no further use. Or a change does not fit the list of members.
    pub(crate) fn follow(&mut self, entry: &Entry) -> Result<(), DoesNotFollow> {
        let sequence = &entry.sequence;
        let in_place = sequence.slot == self.slot.next();
        let is_later = sequence.time_ms >= self.time_ms || !self.kept.keeps(Rule::TimeNeverGoesBack);
        let goes_on = sequence.epoch >= self.epoch && is_later;
        let listed = sequence.requests.iter().eq(entry.bodies.iter().map(|body| &body.id));
        let ordered = sequence.requests.iter().all(|id| self.sequenced.take(*id));
        let says_something = !sequence.requests.is_empty() || sequence.change.is_some();
        if !(in_place && goes_on && listed && ordered && says_something) {
            return Err(DoesNotFollow);
        }
        if let Some(change) = sequence.change {
            self.members = Arc::new(self.members.after(change, sequence.slot)?);
        }
        (self.slot, self.epoch, self.time_ms) = (sequence.slot, sequence.epoch, sequence.time_ms);
        Ok(())
    }

    fn to_base(&self) -> Base {
        let sequenced = self.sequenced.to_map();
        let members = Arc::clone(&self.members);
        Base { slot: self.slot, epoch: self.epoch, time_ms: self.time_ms, sequenced, members }
    }
}

#[derive(Clone, Debug, Hash)]
pub(crate) struct Log {
    members: u16,
    kept: Kept,
    base: Base,
    entries: VecDeque<Entry>,
    history: History,
    tip: Tip,
    /// The lists that changes in the log led to, each with its slot. There are hardly ever any.
    lists: VecDeque<Arc<MemberList>>,
    bytes: usize,
}

impl Log {
    /// An empty log above a base.
    pub(crate) fn new(members: u16, kept: Kept, base: Base) -> Self {
        let history = History::empty(base.epoch, base.slot);
        let tip = Tip::new(members, kept, &base);
        let (entries, lists) = (VecDeque::new(), VecDeque::new());
        Log { members, kept, base, entries, history, tip, lists, bytes: 0 }
    }

    pub(crate) fn base(&self) -> &Base {
        &self.base
    }

    pub(crate) fn last(&self) -> Slot {
        self.tip.slot
    }

    pub(crate) fn tip(&self) -> &Tip {
        &self.tip
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn len(&self) -> u64 {
        self.tip.slot.0 - self.base.slot.0
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Entry> {
        let index = slot.0.checked_sub(self.base.slot.0 + 1)?;
        self.entries.get(usize::try_from(index).ok()?)
    }

    /// Adds an entry at the end.
    ///
    /// # Errors
    /// It does not follow; the log is as before.
    pub(crate) fn append(&mut self, entry: Entry) -> Result<(), DoesNotFollow> {
        let mut tip = self.tip.clone();
        tip.follow(&entry)?;
        if entry.sequence.change.is_some() {
            self.lists.push_back(Arc::clone(&tip.members));
        }
        self.tip = tip;
        self.history.push(entry.sequence.epoch, entry.sequence.slot);
        self.bytes += entry_bytes(&entry);
        self.entries.push_back(entry);
        Ok(())
    }

    /// Drops all beyond a slot that is not below the base, and returns it.
    pub(crate) fn truncate_after(&mut self, slot: Slot) -> Vec<Entry> {
        debug_assert!(slot >= self.base.slot);
        if slot >= self.last() {
            return Vec::new();
        }
        let kept = usize::try_from(slot.0 - self.base.slot.0).unwrap_or(usize::MAX);
        self.tip = self.tip_at(slot);
        self.history.truncate_after(slot);
        self.lists.retain(|list| list.changed <= slot);
        let dropped: Vec<Entry> = self.entries.drain(kept..).collect();
        self.bytes -= dropped.iter().map(entry_bytes).sum::<usize>();
        dropped
    }

    /// Moves the base up to a slot of the log, and returns it.
    pub(crate) fn purge_upto(&mut self, slot: Slot) -> Base {
        debug_assert!(slot >= self.base.slot && slot <= self.last());
        let mut tip = Tip::new(self.members, self.kept, &self.base);
        while tip.slot < slot
            && let Some(entry) = self.entries.pop_front()
        {
            self.bytes -= entry_bytes(&entry);
            let follows = tip.follow(&entry);
            debug_assert_eq!(follows, Ok(()));
        }
        self.lists.retain(|list| list.changed > slot);
        self.base = tip.to_base();
        self.history.purge_upto(self.base.epoch, self.base.slot);
        self.base.clone()
    }

    /// The lists that are in force above the base, the latest first, each with the first slot that it is in force at.
    pub(crate) fn lists(&self) -> impl Iterator<Item = (Slot, &Arc<MemberList>)> {
        let lists = self.lists.iter().rev().map(|list| (list.changed, list));
        lists.chain([(self.base.slot, &self.base.members)])
    }

    /// The base of a snapshot at a slot of the log.
    pub(crate) fn base_at(&self, slot: Slot) -> Option<Base> {
        (slot >= self.base.slot && slot <= self.last()).then(|| self.tip_at(slot).to_base())
    }

    /// What decides whether an entry may follow this slot of the log. Walks the log up to there: for rare use.
    pub(crate) fn tip_at(&self, slot: Slot) -> Tip {
        let mut tip = Tip::new(self.members, self.kept, &self.base);
        for entry in self.entries.iter().take_while(|entry| entry.sequence.slot <= slot) {
            let follows = tip.follow(entry);
            debug_assert_eq!(follows, Ok(()));
        }
        tip
    }

    /// Entries from a slot on, up to another, as many as fit, but one at least if it is there.
    pub(crate) fn range(&self, from: Slot, upto: Slot, max_bytes: usize) -> Vec<Entry> {
        let Some(first) =
            from.0.checked_sub(self.base.slot.0 + 1).and_then(|index| usize::try_from(index).ok())
        else {
            return Vec::new();
        };
        let mut bytes = 0;
        let mut fits = |entry: &&Entry| {
            let fits = bytes < max_bytes;
            bytes += entry_bytes(entry);
            fits && entry.sequence.slot <= upto
        };
        self.entries.range(first.min(self.entries.len())..).take_while(|entry| fits(entry)).cloned().collect()
    }

    /// The last slot that was assigned before an epoch, as far as the log reaches back.
    pub(crate) fn floor_of(&self, epoch: Epoch) -> Slot {
        let before = self.history.runs().iter().rev().find(|run| run.0 < epoch);
        before.map_or(self.base.slot, |run| run.1)
    }

    /// The slot up to which the log must go so that the rest is no larger than this.
    pub(crate) fn slot_to_keep_after(&self, keep_bytes: usize, keep_slots: u64) -> Slot {
        let (mut bytes, mut len, mut slot) = (self.bytes, self.len(), self.base.slot);
        for entry in &self.entries {
            if bytes <= keep_bytes && len <= keep_slots {
                break;
            }
            bytes -= entry_bytes(entry);
            len -= 1;
            slot = entry.sequence.slot;
        }
        slot
    }

    /// The bytes of all entries above a slot.
    pub(crate) fn bytes_after(&self, slot: Slot) -> usize {
        self.entries.iter().rev().take_while(|entry| entry.sequence.slot > slot).map(entry_bytes).sum()
    }
}

pub(crate) fn request_bytes(request: &Request) -> usize {
    OVERHEAD_BYTES + request.commands.iter().map(|command| command.len() + 8).sum::<usize>()
}

pub(crate) fn entry_bytes(entry: &Entry) -> usize {
    OVERHEAD_BYTES + entry.bodies.iter().map(|body| request_bytes(body)).sum::<usize>()
}
