//! Several writes of the protocol folded into one batch for the log.
//!
//! Persists are all-or-nothing each and come in order. One batch over several of them is all-or-nothing for all, which is
//! only stronger, as long as the batch leads to the same log: that is what folding takes care of.

use agora_broadcast::{Entry, Slot, Write};
use agora_storage::LogBatch;

use super::records;

/// Names of the values beside the log.
pub(super) const INCARNATION: &str = "incarnation";
pub(super) const PROMISED: &str = "promised";
pub(super) const ACCEPTED: &str = "accepted";
pub(super) const BASE: &str = "base";
pub(super) const BOUND: &str = "bound";

/// A batch in the making.
#[derive(Default)]
pub(super) struct Folded {
    batch: LogBatch,
    bytes: usize,
}

impl Folded {
    /// Roughly how much it will write.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn add(&mut self, write: &Write) {
        match write {
            Write::Promise(epoch) => self.set(PROMISED, records::promised(*epoch)),
            Write::Accept { epoch, roster } => {
                self.set(ACCEPTED, records::accepted(*epoch, roster));
            }
            Write::Bind(founder) => self.set(BOUND, records::bound(*founder)),
            Write::Incarnation(incarnation) => self.set(INCARNATION, records::incarnation(*incarnation)),
            Write::Append(entries) => entries.iter().for_each(|entry| self.append(entry)),
            Write::TruncateAfter(slot) => self.truncate_after(*slot),
            Write::Purge(base) => {
                self.set(BASE, records::base(base));
                self.batch.purge_upto = self.batch.purge_upto.max(Some(base.slot.0));
            }
        }
    }

    pub(super) fn finish(self) -> LogBatch {
        self.batch
    }

    /// A later value of the same name replaces an earlier one.
    fn set(&mut self, name: &'static str, value: Vec<u8>) {
        self.batch.meta.retain(|(other, _)| *other != name);
        self.bytes += value.len();
        self.batch.meta.push((name, Some(value)));
    }

    fn append(&mut self, entry: &Entry) {
        let bytes = records::entry(entry);
        self.bytes += bytes.len();
        self.batch.append.push((entry.sequence.slot.0, bytes));
    }

    /// The log truncates before it appends: entries of this batch that go are left out of it.
    fn truncate_after(&mut self, slot: Slot) {
        self.batch.append.retain(|(position, _)| *position <= slot.0);
        let lowest = self.batch.truncate_after.map_or(slot.0, |other| other.min(slot.0));
        self.batch.truncate_after = Some(lowest);
    }
}

#[cfg(test)]
mod tests {
    use agora_broadcast::{Base, DiskId, Epoch, MemberId, Sequence};

    use super::*;

    fn entry(slot: u64, counter: u64) -> Entry {
        let epoch = Epoch { counter, coordinator: MemberId(0) };
        let sequence = Sequence { epoch, slot: Slot(slot), requests: vec![], time_ms: 0, change: None };
        Entry { sequence, bodies: vec![] }
    }

    #[test]
    fn a_truncation_spares_what_is_appended_after_it() {
        let mut folded = Folded::default();
        folded.add(&Write::Append(vec![entry(5, 1), entry(6, 1), entry(7, 1)]));
        folded.add(&Write::TruncateAfter(Slot(5)));
        folded.add(&Write::Append(vec![entry(6, 2)]));
        let batch = folded.finish();
        let expected = [(5, entry(5, 1)), (6, entry(6, 2))];
        assert_eq!(batch.append, expected.map(|(position, entry)| (position, records::entry(&entry))));
        assert_eq!(batch.truncate_after, Some(5));
    }

    #[test]
    fn the_last_value_of_a_name_stands() {
        let epoch = |counter| Epoch { counter, coordinator: MemberId(1) };
        let mut folded = Folded::default();
        folded.add(&Write::Promise(epoch(1)));
        folded.add(&Write::Promise(epoch(2)));
        let members = agora_broadcast::MemberList::founded(DiskId(1), &[DiskId(1)]);
        let base = |slot| Base { slot: Slot(slot), ..Base::founded(members.clone()) };
        folded.add(&Write::Purge(base(3)));
        folded.add(&Write::Purge(base(4)));
        let batch = folded.finish();
        let expected = [(PROMISED, Some(records::promised(epoch(2)))), (BASE, Some(records::base(&base(4))))];
        assert_eq!(batch.meta, expected);
        assert_eq!(batch.purge_upto, Some(4));
    }
}
