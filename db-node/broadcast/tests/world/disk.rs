//! A disk that forgets what was not synced: writes wait in a queue; a crash keeps some first part of it, and loses the rest.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};

use agora_broadcast::{Base, DiskId, Durable, Entry, Epoch, Incarnation, MemberId, PersistId, Slot, Write};

#[derive(Clone, Debug)]
pub struct Disk {
    /// What a crash would leave, but for `applied`, which the state store has.
    pub durable: Durable,
    pub waiting: VecDeque<(PersistId, Vec<Write>)>,
    /// The state store: applied up to here, and durable up to there.
    pub applied: Slot,
    pub state_durable: Slot,
    /// The epochs of the applied slots that a crash may take the state back to.
    pub applied_epochs: BTreeMap<Slot, Epoch>,
}

impl Hash for Disk {
    /// Without the ids of what waits, which only tell what comes first.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Disk { durable, waiting, applied, state_durable, applied_epochs } = self;
        state.write_usize(waiting.len());
        waiting.iter().for_each(|(_, writes)| writes.hash(state));
        (durable, applied, state_durable, applied_epochs).hash(state);
    }
}

impl Disk {
    /// The disk of a founder.
    pub fn founded(me: MemberId, disks: &[DiskId]) -> Self {
        Disk::with(Durable::founded(me, disks))
    }

    /// A disk with nothing on it.
    pub fn empty(disk: DiskId) -> Self {
        Disk::with(Durable::empty(disk, Incarnation(1)))
    }

    fn with(durable: Durable) -> Self {
        let applied_epochs = BTreeMap::from([(Slot(0), durable.accepted)]);
        Disk { durable, waiting: VecDeque::new(), applied: Slot(0), state_durable: Slot(0), applied_epochs }
    }

    pub fn last(&self) -> Slot {
        Slot(self.durable.base.slot.0 + self.durable.entries.len() as u64)
    }

    pub fn entry(&self, slot: Slot) -> Option<&Entry> {
        let index = slot.0.checked_sub(self.durable.base.slot.0 + 1)?;
        self.durable.entries.get(usize::try_from(index).unwrap())
    }

    pub fn apply(&mut self, slot: Slot, epoch: Epoch) {
        self.applied = slot;
        self.applied_epochs.insert(slot, epoch);
    }

    pub fn sync_state(&mut self) {
        self.state_durable = self.applied;
        self.applied_epochs = self.applied_epochs.split_off(&self.state_durable);
    }

    /// Makes the first batch that waits durable.
    pub fn sync_next(&mut self) -> Option<(PersistId, Vec<Write>)> {
        let (id, writes) = self.waiting.pop_front()?;
        for write in &writes {
            self.write(write);
        }
        Some((id, writes))
    }

    fn write(&mut self, write: &Write) {
        let durable = &mut self.durable;
        match write {
            Write::Promise(epoch) => {
                assert!(*epoch > durable.promised, "a promise goes back");
                durable.promised = *epoch;
            }
            Write::Accept { epoch, roster } => {
                assert!(
                    *epoch > durable.accepted && *epoch >= durable.promised,
                    "an accepted epoch goes back"
                );
                durable.promised = *epoch;
                durable.accepted = *epoch;
                durable.roster.clone_from(roster);
            }
            Write::Bind(founder) => durable.bound = Some(*founder),
            Write::Incarnation(incarnation) => {
                assert!(*incarnation > durable.incarnation, "an incarnation goes back");
                durable.incarnation = *incarnation;
            }
            Write::Append(entries) => {
                for entry in entries {
                    assert_eq!(entry.sequence.slot, self.last().next(), "an append leaves a hole");
                    self.durable.entries.push(entry.clone());
                }
            }
            Write::TruncateAfter(slot) => {
                assert!(*slot >= durable.base.slot, "a truncation reaches below the base");
                durable.entries.truncate(usize::try_from(slot.0 - durable.base.slot.0).unwrap());
            }
            Write::Purge(base) => self.purge(base),
        }
    }

    fn purge(&mut self, base: &Base) {
        assert!(self.state_durable >= base.slot, "the log is purged before the state is durable");
        assert!(base.slot >= self.durable.base.slot, "the base goes back");
        self.durable.entries.retain(|entry| entry.sequence.slot > base.slot);
        self.durable.base = base.clone();
    }

    /// A crash: of what waits, the first `kept` batches made it to the disk; the state store kept what it chose to.
    pub fn crash(&mut self, kept: usize, applied: Slot) {
        for _ in 0..kept {
            self.sync_next();
        }
        self.waiting.clear();
        assert!(applied >= self.state_durable && applied <= self.applied);
        self.applied = applied;
        self.applied_epochs.retain(|slot, _| *slot <= applied);
    }

    /// A member starts from it.
    pub fn raise_incarnation(&mut self) {
        self.durable.incarnation.0 += 1;
    }

    pub fn found(&self) -> Durable {
        let applied_epoch = self.applied_epochs[&self.applied];
        Durable { applied: self.applied, applied_epoch, ..self.durable.clone() }
    }
}
