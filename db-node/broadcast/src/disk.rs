//! What is on its way to disk, and what may be said once it is there.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use crate::config::Timing;
use crate::ids::{DiskId, Epoch, Incarnation, Slot};
use crate::member::Member;
use crate::port::{Entry, Output, PersistId, Write};
use crate::rules::Rule;

#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    last: PersistId,
    under_way: VecDeque<UnderWay>,
    /// Entries that the log got in this step.
    unwritten: Vec<Entry>,
    /// Whom the entries' requests come from: a bit per member.
    unwritten_senders: u64,
    slow_until: Duration,
}

#[derive(Clone, Debug)]
struct UnderWay {
    id: PersistId,
    since: Duration,
    then: Then,
}

/// What becomes true once something is durable.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Then {
    /// In this epoch, the log is stored up to this slot. Those who sent its requests wait to hear that: a bit per member.
    Stored { epoch: Epoch, slot: Slot, senders: u64 },
    /// The promise may be given.
    Promised(Epoch),
    /// The epoch is accepted with a log up to this slot.
    Accepted { epoch: Epoch, slot: Slot },
    /// This founder may be told that this member knows of no group.
    Bound(DiskId),
    /// This member has a seat, and goes on in this incarnation.
    Raised(Incarnation),
    /// Nothing is to be said.
    Nothing,
}

impl Hash for Disk {
    /// Without the ids: those under way are consecutive, and only tell which comes first.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Disk { last: _, under_way, unwritten, unwritten_senders, slow_until } = self;
        state.write_usize(under_way.len());
        under_way.iter().for_each(|UnderWay { id: _, since, then }| (since, then).hash(state));
        (unwritten, unwritten_senders, slow_until).hash(state);
    }
}

impl Disk {
    /// A disk is slow if something has been on its way for too long, and for a while after that.
    pub(crate) fn is_slow(&self, now: Duration, timing: &Timing) -> bool {
        now < self.slow_until
            || self.under_way.front().is_some_and(|oldest| now > oldest.since + timing.slow_disk)
    }

    /// Nothing that the log got waits to be written.
    pub(crate) fn has_all_on_its_way(&self) -> bool {
        self.unwritten.is_empty()
    }

    fn note_delay(&mut self, since: Duration, now: Duration, timing: &Timing) {
        if now > since + timing.slow_disk {
            self.slow_until = now + 4 * timing.slow_disk;
        }
    }
}

impl Member {
    pub(crate) fn persist(&mut self, writes: Vec<Write>, then: Then) {
        debug_assert!(
            self.disk.unwritten.is_empty(),
            "entries are written before anything that follows them"
        );
        self.disk.last.0 += 1;
        let id = self.disk.last;
        self.disk.under_way.push_back(UnderWay { id, since: self.now.monotonic, then });
        self.out.push(Output::Persist { id, writes });
    }

    /// The log got an entry: it is written at the end of the step, together with others.
    pub(crate) fn write_later(&mut self, entry: Entry) {
        for id in &entry.sequence.requests {
            self.disk.unwritten_senders |= 1 << id.sender.0;
        }
        self.disk.unwritten.push(entry);
    }

    pub(crate) fn write_unwritten(&mut self) {
        if self.disk.unwritten.is_empty() {
            return;
        }
        debug_assert!(
            !self.is_changing_epoch() || !self.config.keeps(Rule::NothingStoredAfterPromise),
            "nothing is stored once a higher epoch is promised"
        );
        let entries = std::mem::take(&mut self.disk.unwritten);
        let senders = std::mem::take(&mut self.disk.unwritten_senders);
        let then = Then::Stored { epoch: self.accepted, slot: self.log.last(), senders };
        if !self.config.keeps(Rule::DurableBeforeAcknowledged) {
            self.stored(self.accepted, self.log.last(), senders);
        }
        self.persist(vec![Write::Append(entries)], then);
    }

    pub(crate) fn persisted(&mut self, upto: PersistId) {
        while self.disk.under_way.front().is_some_and(|oldest| oldest.id <= upto)
            && let Some(done) = self.disk.under_way.pop_front()
        {
            self.disk.note_delay(done.since, self.now.monotonic, &self.config.timing);
            match done.then {
                Then::Stored { epoch, slot, senders } => self.stored(epoch, slot, senders),
                Then::Promised(epoch) => self.promise_is_durable(epoch),
                Then::Accepted { epoch, slot } => self.accept_is_durable(epoch, slot),
                Then::Bound(founder) => self.bond_is_durable(founder),
                Then::Raised(incarnation) => self.raise_is_durable(incarnation),
                Then::Nothing => {}
            }
        }
    }
}
