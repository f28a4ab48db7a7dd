//! How the protocol's durable things look on disk: a version byte, then protobuf.
//!
//! Protobuf, because a node of the next version must be able to read what this one wrote. The messages are written out here and
//! not in a `.proto` file, since nobody but this module ever reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use agora_broadcast::{
    Base, DiskId, Entry, Epoch, Incarnation, MemberId, Request, RequestId, RosterEntry, Sequence, Slot,
};
use agora_proto::broadcast as pb;
use bytes::Bytes;
use prost::Message;

use super::wire;

const VERSION: u8 = 2;

/// A record that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// It has nothing in it.
    #[error("it is empty")]
    Empty,
    /// Another version of the program wrote it.
    #[error("it has version {0}, but this program reads version {VERSION}")]
    Version(u8),
    /// It is not what that version writes.
    #[error(transparent)]
    Malformed(#[from] prost::DecodeError),
    /// It has no sense.
    #[error("{0}")]
    Senseless(String),
    /// A number is larger than it can be.
    #[error("it names member {0}")]
    Member(u32),
}

#[derive(Clone, PartialEq, Message)]
struct EpochRecord {
    #[prost(uint64, tag = "1")]
    counter: u64,
    #[prost(uint32, tag = "2")]
    coordinator: u32,
}

#[derive(Clone, PartialEq, Message)]
struct EntryRecord {
    #[prost(message, required, tag = "1")]
    epoch: EpochRecord,
    #[prost(uint64, tag = "2")]
    time_ms: u64,
    #[prost(message, repeated, tag = "3")]
    requests: Vec<RequestRecord>,
    #[prost(message, optional, tag = "4")]
    change: Option<pb::ListChange>,
}

#[derive(Clone, PartialEq, Message)]
struct RequestRecord {
    #[prost(uint32, tag = "1")]
    sender: u32,
    #[prost(uint64, tag = "2")]
    incarnation: u64,
    #[prost(uint64, tag = "3")]
    local_seq: u64,
    #[prost(bytes = "bytes", repeated, tag = "4")]
    commands: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct AcceptedRecord {
    #[prost(message, required, tag = "1")]
    epoch: EpochRecord,
    #[prost(message, repeated, tag = "2")]
    roster: Vec<RosterRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct RosterRecord {
    #[prost(uint32, tag = "1")]
    member: u32,
    #[prost(uint64, tag = "2")]
    incarnation: u64,
}

#[derive(Clone, PartialEq, Message)]
struct BaseRecord {
    #[prost(uint64, tag = "1")]
    slot: u64,
    #[prost(message, required, tag = "2")]
    epoch: EpochRecord,
    #[prost(uint64, tag = "3")]
    time_ms: u64,
    #[prost(message, repeated, tag = "4")]
    sequenced: Vec<SequencedRecord>,
    #[prost(message, optional, tag = "5")]
    members: Option<pb::MemberList>,
}

#[derive(Clone, PartialEq, Message)]
struct SequencedRecord {
    #[prost(uint32, tag = "1")]
    sender: u32,
    #[prost(uint64, tag = "2")]
    incarnation: u64,
    #[prost(uint64, tag = "3")]
    upto: u64,
}

/// An entry, as the log holds it at the position that is its slot.
pub(super) fn entry(entry: &Entry) -> Vec<u8> {
    let requests = entry.bodies.iter().map(|request| RequestRecord {
        sender: request.id.sender.0.into(),
        incarnation: request.id.incarnation.0,
        local_seq: request.id.local_seq,
        commands: request.commands.clone(),
    });
    let Sequence { epoch, time_ms, change, .. } = entry.sequence;
    let change = change.map(wire::change_to);
    seal(&EntryRecord { epoch: epoch_record(epoch), time_ms, requests: requests.collect(), change })
}

/// The entry that [`entry`] made these bytes from, found at this position.
pub(super) fn read_entry(position: u64, bytes: &[u8]) -> Result<Entry, BadRecord> {
    // Commands become slices of this one allocation.
    let record: EntryRecord = open(Bytes::copy_from_slice(bytes))?;
    let bodies = record.requests.into_iter().map(|request| {
        let id = RequestId {
            sender: member(request.sender)?,
            incarnation: Incarnation(request.incarnation),
            local_seq: request.local_seq,
        };
        Ok(Arc::new(Request { id, commands: request.commands }))
    });
    let bodies = bodies.collect::<Result<Vec<_>, BadRecord>>()?;
    let sequence = Sequence {
        epoch: read_epoch(&record.epoch)?,
        slot: Slot(position),
        requests: bodies.iter().map(|body| body.id).collect(),
        time_ms: record.time_ms,
        change: record.change.map(wire::change).transpose().map_err(senseless)?,
    };
    Ok(Entry { sequence, bodies })
}

/// An epoch that was promised.
pub(super) fn promised(epoch: Epoch) -> Vec<u8> {
    seal(&epoch_record(epoch))
}

pub(super) fn read_promised(bytes: &[u8]) -> Result<Epoch, BadRecord> {
    read_epoch(&open(Bytes::copy_from_slice(bytes))?)
}

/// An epoch that was accepted, with its roster.
pub(super) fn accepted(epoch: Epoch, roster: &[RosterEntry]) -> Vec<u8> {
    let roster = roster
        .iter()
        .map(|place| RosterRecord { member: place.member.0.into(), incarnation: place.incarnation.0 });
    seal(&AcceptedRecord { epoch: epoch_record(epoch), roster: roster.collect() })
}

pub(super) fn read_accepted(bytes: &[u8]) -> Result<(Epoch, Vec<RosterEntry>), BadRecord> {
    let record: AcceptedRecord = open(Bytes::copy_from_slice(bytes))?;
    let place = |place: &RosterRecord| {
        Ok(RosterEntry { member: member(place.member)?, incarnation: Incarnation(place.incarnation) })
    };
    let roster = record.roster.iter().map(place).collect::<Result<_, BadRecord>>()?;
    Ok((read_epoch(&record.epoch)?, roster))
}

/// A member's incarnation.
pub(super) fn incarnation(incarnation: Incarnation) -> Vec<u8> {
    incarnation.0.to_be_bytes().to_vec()
}

/// The founder that was told last that this member knows of no group.
pub(super) fn bound(founder: DiskId) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend(founder.0.to_be_bytes());
    bytes
}

pub(super) fn read_bound(bytes: &[u8]) -> Result<DiskId, BadRecord> {
    match bytes.split_first() {
        None => Err(BadRecord::Empty),
        Some((&VERSION, disk)) => {
            let disk = disk.try_into().map_err(|_| BadRecord::Senseless("a disk has 16 bytes".into()))?;
            Ok(DiskId(u128::from_be_bytes(disk)))
        }
        Some((&version, _)) => Err(BadRecord::Version(version)),
    }
}

/// What the log starts from.
pub(super) fn base(base: &Base) -> Vec<u8> {
    let sequenced = base.sequenced.iter().map(|((sender, incarnation), upto)| SequencedRecord {
        sender: sender.0.into(),
        incarnation: incarnation.0,
        upto: *upto,
    });
    seal(&BaseRecord {
        slot: base.slot.0,
        epoch: epoch_record(base.epoch),
        time_ms: base.time_ms,
        sequenced: sequenced.collect(),
        members: Some(wire::members_to(&base.members)),
    })
}

pub(super) fn read_base(bytes: &[u8]) -> Result<Base, BadRecord> {
    let record: BaseRecord = open(Bytes::copy_from_slice(bytes))?;
    let sequenced = record
        .sequenced
        .iter()
        .map(|one| Ok(((member(one.sender)?, Incarnation(one.incarnation)), one.upto)))
        .collect::<Result<BTreeMap<_, _>, BadRecord>>()?;
    Ok(Base {
        slot: Slot(record.slot),
        epoch: read_epoch(&record.epoch)?,
        time_ms: record.time_ms,
        sequenced,
        members: wire::members(record.members).map_err(senseless)?,
    })
}

fn senseless(malformed: wire::Malformed) -> BadRecord {
    BadRecord::Senseless(malformed.to_string())
}

fn epoch_record(epoch: Epoch) -> EpochRecord {
    EpochRecord { counter: epoch.counter, coordinator: epoch.coordinator.0.into() }
}

fn read_epoch(record: &EpochRecord) -> Result<Epoch, BadRecord> {
    Ok(Epoch { counter: record.counter, coordinator: member(record.coordinator)? })
}

fn member(number: u32) -> Result<MemberId, BadRecord> {
    u16::try_from(number).map(MemberId).map_err(|_| BadRecord::Member(number))
}

fn seal(message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + message.encoded_len());
    bytes.push(VERSION);
    message.encode_raw(&mut bytes);
    bytes
}

fn open<T: Message + Default>(mut bytes: Bytes) -> Result<T, BadRecord> {
    match bytes.first() {
        None => Err(BadRecord::Empty),
        Some(&VERSION) => Ok(T::decode(bytes.split_off(1))?),
        Some(&version) => Err(BadRecord::Version(version)),
    }
}

#[cfg(test)]
mod tests {
    use agora_broadcast::{ListChange, MemberList, Seat};

    use super::*;

    fn epoch() -> Epoch {
        Epoch { counter: 7, coordinator: MemberId(4) }
    }

    /// One seat taken twice, one vacant.
    fn list() -> MemberList {
        let seats = vec![Seat { disk: Some(DiskId(9)), generation: 2 }, Seat { disk: None, generation: 0 }];
        MemberList { group: DiskId(1 << 127), seats, changed: Slot(80) }
    }

    fn sample() -> Entry {
        let request = |sender, local_seq, commands: &[&'static str]| {
            let id = RequestId { sender: MemberId(sender), incarnation: Incarnation(3), local_seq };
            Arc::new(Request {
                id,
                commands: commands.iter().map(|c| Bytes::from_static(c.as_bytes())).collect(),
            })
        };
        let bodies = vec![request(0, 9, &["a", "", "ccc"]), request(4, 1, &["x"])];
        let requests = bodies.iter().map(|body| body.id).collect();
        let change = Some(ListChange::Remove { member: MemberId(3), disk: DiskId(1 << 100 | 7) });
        Entry { sequence: Sequence { epoch: epoch(), slot: Slot(12), requests, time_ms: 55, change }, bodies }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let entry = sample();
        assert_eq!(read_entry(12, &super::entry(&entry)).unwrap(), entry);
        assert_eq!(read_promised(&promised(epoch())).unwrap(), epoch());
        let roster = vec![RosterEntry { member: MemberId(2), incarnation: Incarnation(8) }];
        assert_eq!(read_accepted(&accepted(epoch(), &roster)).unwrap(), (epoch(), roster));
        let base = Base {
            slot: Slot(90),
            epoch: epoch(),
            time_ms: 3,
            sequenced: BTreeMap::from([((MemberId(1), Incarnation(2)), 77)]),
            members: Arc::new(list()),
        };
        assert_eq!(read_base(&super::base(&base)).unwrap(), base);
        assert_eq!(read_bound(&bound(DiskId(u128::MAX - 5))).unwrap(), DiskId(u128::MAX - 5));
    }

    #[test]
    fn damaged_records_are_refused() {
        let good = super::entry(&sample());
        assert_eq!(read_entry(1, &[]), Err(BadRecord::Empty));
        assert_eq!(read_entry(1, &[9, 1, 2]), Err(BadRecord::Version(9)));
        assert_eq!(read_bound(&[1, 2]), Err(BadRecord::Version(1)));
        assert!(matches!(read_bound(&[VERSION, 2]), Err(BadRecord::Senseless(_))));
        assert!(read_entry(1, &good[..good.len() - 1]).is_err());
        let mut far = vec![VERSION];
        EpochRecord { counter: 1, coordinator: 1 << 20 }.encode_raw(&mut far);
        assert_eq!(read_promised(&far), Err(BadRecord::Member(1 << 20)));
    }
}
