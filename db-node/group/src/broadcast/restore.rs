//! What a member finds on its disk when it starts.

use agora_broadcast::{Base, BrokenLog, DiskId, Durable, Entry, Epoch, Incarnation, Slot};
use agora_storage::{Log, LogBatch, StorageError};

use super::log_batch::{ACCEPTED, BASE, BOUND, INCARNATION, PROMISED};
use super::records::{self, BadRecord};

/// How much of the log is read at a time.
const READ_BYTES: usize = 8 << 20;

/// Why a member can't start from its disk.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The disk, or the database on it.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A record that was read but makes no sense.
    #[error("the log's {what} can't be read: {error}")]
    Record {
        /// Which one.
        what: String,
        /// What is wrong with it.
        error: BadRecord,
    },
    /// What was read does not fit together.
    #[error("the log makes no sense: {0}")]
    Broken(#[from] BrokenLog),
    /// Something that must be there is not.
    #[error("the log has no {0}, although this node was started before; its disk has lost data")]
    Missing(&'static str),
    /// The state was applied from another log.
    #[error("the state stands at slot {applied}, but the log starts after {base}; its disk has lost data")]
    StateBehindLog {
        /// The slot that the state stands at.
        applied: u64,
        /// The slot that the log starts after.
        base: u64,
    },
}

/// Restores what is durable, under a new incarnation that is itself durable when this returns. `applied`: the last slot that is
/// applied to the state, and its epoch, if any was applied. Blocks.
pub(super) fn restore(
    log: &Log,
    disk: DiskId,
    members: u16,
    applied: Option<(Slot, Epoch)>,
) -> Result<Durable, RestoreError> {
    let before = log.meta(INCARNATION).map(|bytes| read_incarnation(&bytes)).transpose()?;
    let incarnation = Incarnation(before.map_or(1, |before| before.0 + 1));
    let raised = (INCARNATION, Some(records::incarnation(incarnation)));
    if before.is_none() {
        let durable = Durable::empty(disk, incarnation);
        let accepted = records::accepted(durable.accepted, &durable.roster);
        let meta = vec![
            raised,
            (PROMISED, Some(records::promised(durable.promised))),
            (ACCEPTED, Some(accepted)),
            (BASE, Some(records::base(&durable.base))),
        ];
        log.write(LogBatch { meta, ..LogBatch::default() })?;
        log.sync()?;
        return Ok(durable);
    }
    let (accepted, roster) = read(log, ACCEPTED, records::read_accepted)?;
    let base: Base = read(log, BASE, records::read_base)?;
    let (applied, applied_epoch) = applied.unwrap_or((Slot(0), base.epoch));
    if applied < base.slot {
        return Err(RestoreError::StateBehindLog { applied: applied.0, base: base.slot.0 });
    }
    let promised = read(log, PROMISED, records::read_promised)?.max(accepted);
    let entries = read_entries(log, &base)?;
    let bound = log.meta(BOUND).map(|bytes| records::read_bound(&bytes)).transpose();
    let bound = bound.map_err(|error| RestoreError::Record { what: BOUND.into(), error })?;
    let durable = Durable {
        disk,
        bound,
        incarnation,
        promised,
        accepted,
        roster,
        base,
        entries,
        applied,
        applied_epoch,
    };
    durable.check(members)?;
    log.write(LogBatch { meta: vec![raised], ..LogBatch::default() })?;
    log.sync()?;
    Ok(durable)
}

fn read<T>(
    log: &Log,
    name: &'static str,
    parse: impl Fn(&[u8]) -> Result<T, BadRecord>,
) -> Result<T, RestoreError> {
    let bytes = log.meta(name).ok_or(RestoreError::Missing(name))?;
    parse(&bytes).map_err(|error| RestoreError::Record { what: name.into(), error })
}

fn read_incarnation(bytes: &[u8]) -> Result<Incarnation, RestoreError> {
    let bytes = bytes
        .try_into()
        .map_err(|_| RestoreError::Record { what: INCARNATION.into(), error: BadRecord::Empty })?;
    Ok(Incarnation(u64::from_be_bytes(bytes)))
}

fn read_entries(log: &Log, base: &Base) -> Result<Vec<Entry>, RestoreError> {
    let mut entries = Vec::new();
    let mut next = base.slot.0 + 1;
    loop {
        let read = log.read(next.., READ_BYTES)?;
        if read.is_empty() {
            return Ok(entries);
        }
        for (position, bytes) in read {
            let entry = records::read_entry(position, &bytes);
            let what = || format!("entry {position}");
            entries.push(entry.map_err(|error| RestoreError::Record { what: what(), error })?);
            next = position + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use agora_broadcast::{MemberId, Request, RequestId, Sequence};
    use agora_storage::{Directory, Identity};

    use super::*;

    fn applied(slot: u64) -> Option<(Slot, Epoch)> {
        Some((Slot(slot), Epoch { counter: 1, coordinator: MemberId(0) }))
    }

    fn log(root: &tempfile::TempDir) -> Log {
        let identity = Identity { cluster: "c".into(), node: "n".into(), database: "customer".into() };
        Directory::open(root.path(), &identity).unwrap().log()
    }

    fn entry(slot: u64) -> (u64, Vec<u8>) {
        let epoch = Epoch { counter: 1, coordinator: MemberId(0) };
        let id = RequestId { sender: MemberId(0), incarnation: Incarnation(1), local_seq: slot };
        let body = Arc::new(Request { id, commands: vec!["x".into()] });
        let sequence = Sequence { epoch, slot: Slot(slot), requests: vec![id], time_ms: slot, change: None };
        (slot, records::entry(&Entry { sequence, bodies: vec![body] }))
    }

    const DISK: DiskId = DiskId(1);
    const DISKS: [DiskId; 3] = [DISK, DiskId(2), DiskId(3)];

    /// What a founder writes.
    fn founded() -> LogBatch {
        let Durable { accepted, roster, base, .. } = Durable::founded(MemberId(0), &DISKS);
        let accepted = (ACCEPTED, Some(records::accepted(accepted, &roster)));
        LogBatch { meta: vec![accepted, (BASE, Some(records::base(&base)))], ..LogBatch::default() }
    }

    fn append(log: &Log, entries: impl Iterator<Item = u64>) {
        log.write(LogBatch { append: entries.map(entry).collect(), ..LogBatch::default() }).unwrap();
    }

    #[test]
    fn a_first_start_finds_nothing_and_each_later_one_is_a_new_incarnation() {
        let root = tempfile::tempdir().unwrap();
        let log = log(&root);
        let first = restore(&log, DISK, 3, None).unwrap();
        assert_eq!(first, Durable::empty(DISK, Incarnation(1)));
        log.write(founded()).unwrap();
        append(&log, 1..=5);
        let second = restore(&log, DISK, 3, applied(2)).unwrap();
        assert_eq!((second.incarnation, second.applied), (Incarnation(2), Slot(2)));
        assert_eq!(second.entries.len(), 5);
        assert_eq!(restore(&log, DISK, 3, applied(2)).unwrap().incarnation, Incarnation(3));
    }

    #[test]
    fn a_log_that_lacks_something_or_makes_no_sense_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let log = log(&root);
        restore(&log, DISK, 3, None).unwrap();
        log.write(founded()).unwrap();
        assert!(matches!(restore(&log, DISK, 2, None), Err(RestoreError::Broken(_))), "a roster of others");
        append(&log, 1..=3);
        let sequenced = BTreeMap::from([((MemberId(0), Incarnation(1)), 2)]);
        let base = Base { slot: Slot(2), sequenced, ..Durable::founded(MemberId(0), &DISKS).base };
        let purge = LogBatch {
            meta: vec![(BASE, Some(records::base(&base)))],
            purge_upto: Some(2),
            ..LogBatch::default()
        };
        log.write(purge).unwrap();
        assert!(matches!(
            restore(&log, DISK, 3, applied(1)),
            Err(RestoreError::StateBehindLog { applied: 1, base: 2 })
        ));
        assert_eq!(restore(&log, DISK, 3, applied(2)).unwrap().entries.len(), 1);
        log.write(LogBatch { append: vec![(4, vec![1, 2, 3])], ..LogBatch::default() }).unwrap();
        assert!(matches!(restore(&log, DISK, 3, applied(2)), Err(RestoreError::Record { .. })));
        log.write(LogBatch { meta: vec![(ACCEPTED, None)], ..LogBatch::default() }).unwrap();
        assert!(matches!(restore(&log, DISK, 3, applied(2)), Err(RestoreError::Missing(ACCEPTED))));
    }
}
