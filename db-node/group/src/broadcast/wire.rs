//! The protocol's messages on the wire: to and from `proto/agora/broadcast.proto`.
//!
//! Decoding never panics, and what it lets through is well-formed: numbers are in range, lists are bounded, nothing that a
//! message can't do without is missing. Whether it makes sense is the protocol's business.

use std::sync::Arc;

use agora_broadcast::{
    Body, Config, DiskId, Entry, Envelope, Epoch, Health, History, Incarnation, ListChange, MemberId,
    MemberList, Message, Opinion, Reason, Request, RequestId, RosterEntry, Seat, Sequence, Slot,
};
use agora_proto::broadcast as pb;

/// Counters, slots, incarnations and the like stay below this: so nobody's arithmetic overflows.
const MOST: u64 = 1 << 62;
/// Requests that a slot may list.
const MOST_REQUESTS: usize = 1 << 16;

/// A frame that no member sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    /// Something that every such message has is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A number is larger than it can be.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// Another version's, or nobody's.
    #[error("{0} is unknown")]
    Unknown(&'static str),
    /// A log's shape that no log has.
    #[error("a history does not rise")]
    History,
}

type Result<T> = std::result::Result<T, Malformed>;

pub(super) fn encode(message: &Message) -> pb::Frame {
    let Envelope { group, disk, incarnation, epoch, promised, acknowledged, sent } = message.envelope;
    let ((disk_high, disk_low), (group_high, group_low)) = (halves(disk), halves(group));
    pb::Frame {
        disk_high,
        disk_low,
        group_high,
        group_low,
        incarnation: incarnation.0,
        epoch: Some(epoch_to(epoch)),
        promised: (promised != epoch).then(|| epoch_to(promised)),
        acknowledged: acknowledged.0,
        sent,
        body: Some(body_to(&message.body)),
    }
}

pub(super) fn decode(frame: pb::Frame) -> Result<Message> {
    let epoch = epoch(frame.epoch, "an epoch")?;
    let envelope = Envelope {
        group: whole(frame.group_high, frame.group_low),
        disk: whole(frame.disk_high, frame.disk_low),
        incarnation: incarnation(frame.incarnation)?,
        epoch,
        promised: if frame.promised.is_some() { self::epoch(frame.promised, "a promise")? } else { epoch },
        acknowledged: slot(frame.acknowledged)?,
        sent: number(frame.sent, "a count of requests")?,
    };
    let body = body(frame.body.ok_or(Malformed::Missing("a body"))?)?;
    Ok(Message { envelope, body })
}

fn body_to(body: &Body) -> pb::frame::Body {
    use pb::frame::Body as To;
    match body {
        Body::Ack => To::Ack(pb::Ack {}),
        Body::Heartbeat { wall_ms, health } => {
            To::Heartbeat(pb::Heartbeat { wall_ms: *wall_ms, health: health_to(*health).into() })
        }
        Body::Requests(requests) => To::Requests(pb::Requests { requests: requests_to(requests) }),
        Body::Sequence { sequence, requests } => To::Sequence(pb::Assignment {
            sequence: Some(sequence_to(sequence)),
            requests: requests_to(requests),
        }),
        Body::AskRequests { incarnation, from, upto } => {
            To::AskRequests(pb::AskRequests { incarnation: incarnation.0, from: *from, upto: *upto })
        }
        Body::AskEntries { history, from, upto } => {
            To::AskEntries(pb::AskEntries { history: Some(epoch_to(*history)), from: from.0, upto: upto.0 })
        }
        Body::Entries { history, base, entries } => To::Entries(pb::Entries {
            history: Some(epoch_to(*history)),
            base: base.0,
            entries: entries.iter().map(entry_to).collect(),
        }),
        Body::ReadQuery { round } => To::ReadQuery(pb::ReadQuery { round: *round }),
        Body::ReadAnswer { reader, round, slot } => {
            To::ReadAnswer(pb::ReadAnswer { reader_incarnation: reader.0, round: *round, slot: slot.0 })
        }
        Body::AskChange { question, reason, last } => To::AskChange(pb::AskChange {
            question: *question,
            last: last.0,
            reason: Some(reason_to(*reason)),
        }),
        Body::AnswerChange { asker, question, opinion } => To::AnswerChange(pb::AnswerChange {
            asker_incarnation: asker.0,
            question: *question,
            opinion: opinion_to(*opinion).into(),
        }),
        Body::Prepare { epoch } => To::Prepare(pb::Prepare { epoch: Some(epoch_to(*epoch)) }),
        Body::Promise { epoch, accepted, history, members, health } => To::Promise(pb::Promise {
            members: Some(members_to(members)),
            epoch: Some(epoch_to(*epoch)),
            accepted: Some(epoch_to(*accepted)),
            history: Some(history_to(history)),
            health: health_to(*health).into(),
        }),
        Body::StartEpoch { epoch, roster, history, members, why } => To::StartEpoch(pb::StartEpoch {
            why: why.map(|why| pb::AskChange { reason: Some(reason_to(why)), ..pb::AskChange::default() }),
            members: Some(members_to(members)),
            epoch: Some(epoch_to(*epoch)),
            roster: roster.iter().map(seat_to).collect(),
            history: Some(history_to(history)),
        }),
        Body::AskEpoch => To::AskEpoch(pb::AskEpoch {}),
        Body::AskEmpty => To::AskEmpty(pb::AskEmpty {}),
        Body::Empty { founder } => To::Empty(pb::Empty { founder: Some(disk_to(*founder)) }),
    }
}

fn body(body: pb::frame::Body) -> Result<Body> {
    use pb::frame::Body as From;
    Ok(match body {
        From::Ack(_) => Body::Ack,
        From::Heartbeat(it) => {
            Body::Heartbeat { wall_ms: number(it.wall_ms, "a clock")?, health: health(it.health)? }
        }
        From::Requests(it) => Body::Requests(requests(it.requests)?),
        From::Sequence(it) => Body::Sequence {
            sequence: Arc::new(sequence(it.sequence.ok_or(Malformed::Missing("a sequence"))?)?),
            requests: requests(it.requests)?,
        },
        From::AskRequests(it) => Body::AskRequests {
            incarnation: incarnation(it.incarnation)?,
            from: number(it.from, "a request")?,
            upto: number(it.upto, "a request")?,
        },
        From::AskEntries(it) => Body::AskEntries {
            history: epoch(it.history, "a history's epoch")?,
            from: slot(it.from)?,
            upto: slot(it.upto)?,
        },
        From::Entries(it) => Body::Entries {
            history: epoch(it.history, "a history's epoch")?,
            base: slot(it.base)?,
            entries: it.entries.into_iter().map(entry).collect::<Result<_>>()?,
        },
        From::ReadQuery(it) => Body::ReadQuery { round: number(it.round, "a round")? },
        From::ReadAnswer(it) => Body::ReadAnswer {
            reader: incarnation(it.reader_incarnation)?,
            round: number(it.round, "a round")?,
            slot: slot(it.slot)?,
        },
        From::AskChange(it) => Body::AskChange {
            question: number(it.question, "a question")?,
            reason: reason(it.reason.ok_or(Malformed::Missing("a reason"))?)?,
            last: slot(it.last)?,
        },
        From::AnswerChange(it) => Body::AnswerChange {
            asker: incarnation(it.asker_incarnation)?,
            question: number(it.question, "a question")?,
            opinion: opinion(it.opinion)?,
        },
        From::Prepare(it) => Body::Prepare { epoch: epoch(it.epoch, "an epoch")? },
        From::Promise(it) => Body::Promise {
            epoch: epoch(it.epoch, "an epoch")?,
            accepted: epoch(it.accepted, "an accepted epoch")?,
            history: history(it.history)?,
            members: members(it.members)?,
            health: health(it.health)?,
        },
        From::StartEpoch(it) => Body::StartEpoch {
            epoch: epoch(it.epoch, "an epoch")?,
            roster: it.roster.iter().map(seat).collect::<Result<_>>()?,
            history: history(it.history)?,
            members: members(it.members)?,
            // A later version may know of more reasons.
            why: it.why.and_then(|why| why.reason).map(reason).transpose()?,
        },
        From::AskEpoch(_) => Body::AskEpoch,
        From::AskEmpty(_) => Body::AskEmpty,
        From::Empty(it) => Body::Empty { founder: disk(it.founder)? },
    })
}

fn number(value: u64, what: &'static str) -> Result<u64> {
    if value < MOST { Ok(value) } else { Err(Malformed::OutOfRange(what)) }
}

fn slot(value: u64) -> Result<Slot> {
    number(value, "a slot").map(Slot)
}

fn incarnation(value: u64) -> Result<Incarnation> {
    number(value, "an incarnation").map(Incarnation)
}

fn member(value: u32) -> Result<MemberId> {
    u16::try_from(value).map(MemberId).map_err(|_| Malformed::OutOfRange("a member"))
}

fn epoch_to(epoch: Epoch) -> pb::Epoch {
    pb::Epoch { counter: epoch.counter, coordinator: epoch.coordinator.0.into() }
}

fn epoch(epoch: Option<pb::Epoch>, what: &'static str) -> Result<Epoch> {
    let epoch = epoch.ok_or(Malformed::Missing(what))?;
    Ok(Epoch { counter: number(epoch.counter, what)?, coordinator: member(epoch.coordinator)? })
}

fn halves(disk: DiskId) -> (u64, u64) {
    #[allow(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    let low = disk.0 as u64;
    ((disk.0 >> 64) as u64, low)
}

fn whole(high: u64, low: u64) -> DiskId {
    DiskId(u128::from(high) << 64 | u128::from(low))
}

fn disk_to(disk: DiskId) -> pb::Disk {
    let (high, low) = halves(disk);
    pb::Disk { high, low }
}

fn disk(disk: Option<pb::Disk>) -> Result<DiskId> {
    let disk = disk.ok_or(Malformed::Missing("a disk"))?;
    Ok(whole(disk.high, disk.low))
}

pub(super) fn members_to(members: &MemberList) -> pb::MemberList {
    let seat =
        |seat: &Seat| pb::member_list::Seat { disk: seat.disk.map(disk_to), generation: seat.generation };
    pb::MemberList {
        group: Some(disk_to(members.group)),
        seats: members.seats.iter().map(seat).collect(),
        changed: members.changed.0,
    }
}

pub(super) fn members(members: Option<pb::MemberList>) -> Result<Arc<MemberList>> {
    let members = members.ok_or(Malformed::Missing("a list of members"))?;
    if members.seats.len() > usize::from(Config::MOST_MEMBERS) {
        return Err(Malformed::OutOfRange("a list of members"));
    }
    let seat = |seat: pb::member_list::Seat| Seat {
        disk: seat.disk.map(|disk| whole(disk.high, disk.low)),
        generation: seat.generation,
    };
    Ok(Arc::new(MemberList {
        group: disk(members.group)?,
        seats: members.seats.into_iter().map(seat).collect(),
        changed: slot(members.changed)?,
    }))
}

pub(super) fn change_to(change: ListChange) -> pb::ListChange {
    let (kind, member, disk) = match change {
        ListChange::Remove { member, disk } => (pb::list_change::Kind::Remove, member, disk),
        ListChange::Add { member, disk } => (pb::list_change::Kind::Add, member, disk),
    };
    pb::ListChange { kind: kind.into(), member: member.0.into(), disk: Some(disk_to(disk)) }
}

pub(super) fn change(change: pb::ListChange) -> Result<ListChange> {
    let (member, disk) = (member(change.member)?, disk(change.disk)?);
    match pb::list_change::Kind::try_from(change.kind) {
        Ok(pb::list_change::Kind::Remove) => Ok(ListChange::Remove { member, disk }),
        Ok(pb::list_change::Kind::Add) => Ok(ListChange::Add { member, disk }),
        Ok(pb::list_change::Kind::Unspecified) | Err(_) => Err(Malformed::Unknown("a change of the list")),
    }
}

fn seat_to(seat: &RosterEntry) -> pb::RosterEntry {
    pb::RosterEntry { member: seat.member.0.into(), incarnation: seat.incarnation.0 }
}

fn seat(seat: &pb::RosterEntry) -> Result<RosterEntry> {
    Ok(RosterEntry { member: member(seat.member)?, incarnation: incarnation(seat.incarnation)? })
}

fn history_to(history: &History) -> pb::History {
    let (base_epoch, base_slot) = history.base();
    let run =
        |(epoch, last): &(Epoch, Slot)| pb::history::Run { epoch: Some(epoch_to(*epoch)), last_slot: last.0 };
    let runs = history.runs().iter().map(run).collect();
    pb::History { base_slot: base_slot.0, base_epoch: Some(epoch_to(base_epoch)), runs }
}

fn history(history: Option<pb::History>) -> Result<History> {
    let history = history.ok_or(Malformed::Missing("a history"))?;
    let base = (epoch(history.base_epoch, "a base's epoch")?, slot(history.base_slot)?);
    let run = |run: pb::history::Run| Ok((epoch(run.epoch, "a run's epoch")?, slot(run.last_slot)?));
    let runs = history.runs.into_iter().map(run).collect::<Result<_>>()?;
    History::new(base, runs).map_err(|_| Malformed::History)
}

fn health_to(health: Health) -> pb::Health {
    match health {
        Health::Healthy => pb::Health::Healthy,
        Health::SlowDisk => pb::Health::SlowDisk,
        Health::SkewedClock => pb::Health::SkewedClock,
    }
}

fn health(health: i32) -> Result<Health> {
    match pb::Health::try_from(health) {
        Ok(pb::Health::Healthy) => Ok(Health::Healthy),
        Ok(pb::Health::SlowDisk) => Ok(Health::SlowDisk),
        Ok(pb::Health::SkewedClock) => Ok(Health::SkewedClock),
        Ok(pb::Health::Unspecified) | Err(_) => Err(Malformed::Unknown("a health")),
    }
}

fn opinion_to(opinion: Opinion) -> pb::answer_change::Opinion {
    match opinion {
        Opinion::Agree => pb::answer_change::Opinion::Agree,
        Opinion::Disagree => pb::answer_change::Opinion::Disagree,
    }
}

fn opinion(opinion: i32) -> Result<Opinion> {
    match pb::answer_change::Opinion::try_from(opinion) {
        Ok(pb::answer_change::Opinion::Agree) => Ok(Opinion::Agree),
        Ok(pb::answer_change::Opinion::Disagree) => Ok(Opinion::Disagree),
        Ok(pb::answer_change::Opinion::Unspecified) | Err(_) => Err(Malformed::Unknown("an opinion")),
    }
}

fn reason_to(reason: Reason) -> pb::ask_change::Reason {
    use pb::ask_change as to;
    match reason {
        Reason::IncarnationGone { member, incarnation } => to::Reason::IncarnationGone(to::IncarnationGone {
            member: member.0.into(),
            incarnation: incarnation.0,
        }),
        Reason::DiskLost { member } => to::Reason::DiskLost(to::DiskLost { member: member.0.into() }),
        Reason::Silent { member } => to::Reason::Silent(to::Silent { member: member.0.into() }),
        Reason::HoldsUpSlot { member, slot } => {
            to::Reason::HoldsUpSlot(to::HoldsUpSlot { member: member.0.into(), slot: slot.0 })
        }
        Reason::Unhealthy { member } => to::Reason::Unhealthy(to::Unhealthy { member: member.0.into() }),
        Reason::NeverBegan { promised } => {
            to::Reason::NeverBegan(to::NeverBegan { promised: Some(epoch_to(promised)) })
        }
        Reason::WantsIn => to::Reason::WantsIn(to::WantsIn {}),
    }
}

fn reason(reason: pb::ask_change::Reason) -> Result<Reason> {
    use pb::ask_change::Reason as From;
    Ok(match reason {
        From::IncarnationGone(it) => {
            Reason::IncarnationGone { member: member(it.member)?, incarnation: incarnation(it.incarnation)? }
        }
        From::DiskLost(it) => Reason::DiskLost { member: member(it.member)? },
        From::Silent(it) => Reason::Silent { member: member(it.member)? },
        From::HoldsUpSlot(it) => Reason::HoldsUpSlot { member: member(it.member)?, slot: slot(it.slot)? },
        From::Unhealthy(it) => Reason::Unhealthy { member: member(it.member)? },
        From::NeverBegan(it) => Reason::NeverBegan { promised: epoch(it.promised, "a promised epoch")? },
        From::WantsIn(_) => Reason::WantsIn,
    })
}

fn requests_to(requests: &[Arc<Request>]) -> Vec<pb::Request> {
    requests.iter().map(|request| request_to(request)).collect()
}

fn request_to(request: &Request) -> pb::Request {
    let RequestId { sender, incarnation, local_seq } = request.id;
    // The commands are shared, not copied.
    let commands = request.commands.clone();
    pb::Request { sender: sender.0.into(), incarnation: incarnation.0, local_seq, commands }
}

fn requests(requests: Vec<pb::Request>) -> Result<Vec<Arc<Request>>> {
    requests.into_iter().map(request).collect()
}

fn request(request: pb::Request) -> Result<Arc<Request>> {
    let id = request_id(request.sender, request.incarnation, request.local_seq)?;
    Ok(Arc::new(Request { id, commands: request.commands }))
}

fn request_id(sender: u32, incarnation: u64, local_seq: u64) -> Result<RequestId> {
    Ok(RequestId {
        sender: member(sender)?,
        incarnation: self::incarnation(incarnation)?,
        local_seq: number(local_seq, "a request")?,
    })
}

fn sequence_to(sequence: &Sequence) -> pb::Sequence {
    let mut runs: Vec<pb::RequestRun> = Vec::new();
    for id in &sequence.requests {
        let (sender, incarnation) = (u32::from(id.sender.0), id.incarnation.0);
        match runs.last_mut() {
            Some(run)
                if (run.sender, run.incarnation) == (sender, incarnation)
                    && run.first_local_seq + u64::from(run.count) == id.local_seq =>
            {
                run.count += 1;
            }
            _ => runs.push(pb::RequestRun { sender, incarnation, first_local_seq: id.local_seq, count: 1 }),
        }
    }
    let Sequence { epoch, slot, time_ms, change, .. } = sequence;
    let (epoch, change) = (Some(epoch_to(*epoch)), change.map(change_to));
    pb::Sequence { epoch, slot: slot.0, requests: runs, time_ms: *time_ms, change }
}

fn sequence(sequence: pb::Sequence) -> Result<Sequence> {
    let count = sequence.requests.iter().map(|run| run.count as usize).fold(0, usize::saturating_add);
    if count > MOST_REQUESTS {
        return Err(Malformed::OutOfRange("a sequence's length"));
    }
    let mut requests = Vec::with_capacity(count);
    for run in &sequence.requests {
        let first = request_id(run.sender, run.incarnation, run.first_local_seq)?;
        let ids = (0..u64::from(run.count))
            .map(|offset| RequestId { local_seq: first.local_seq + offset, ..first });
        requests.extend(ids);
    }
    Ok(Sequence {
        epoch: epoch(sequence.epoch, "a sequence's epoch")?,
        slot: slot(sequence.slot)?,
        requests,
        time_ms: number(sequence.time_ms, "a slot's time")?,
        change: sequence.change.map(change).transpose()?,
    })
}

fn entry_to(entry: &Entry) -> pb::Entry {
    let Sequence { epoch, slot, time_ms, change, .. } = entry.sequence;
    let (epoch, change) = (Some(epoch_to(epoch)), change.map(change_to));
    pb::Entry { epoch, slot: slot.0, time_ms, bodies: requests_to(&entry.bodies), change }
}

fn entry(entry: pb::Entry) -> Result<Entry> {
    let bodies = requests(entry.bodies)?;
    let sequence = Sequence {
        epoch: epoch(entry.epoch, "an entry's epoch")?,
        slot: slot(entry.slot)?,
        requests: bodies.iter().map(|body| body.id).collect(),
        time_ms: number(entry.time_ms, "a slot's time")?,
        change: entry.change.map(change).transpose()?,
    };
    Ok(Entry { sequence, bodies })
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
