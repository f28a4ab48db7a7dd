//! What happened, in lines for people; kept only if asked for.

use std::fmt::Write as _;
use std::time::Duration;

use agora_broadcast::{
    Body, Delivery, Entry, ListChange, MemberId, Message, Reason, Request, Sequence, Write,
};
use bytes::Bytes;

/// How much is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    #[default]
    Nothing,
    /// What members say, persist and deliver, without heartbeats.
    Story,
    /// What arrives and what disks do, too.
    Everything,
}

/// Where the lines go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum To {
    /// They are kept until they are taken.
    #[default]
    Memory,
    /// They are printed at once, so that they are there when an assertion fails.
    Stdout,
}

#[derive(Default)]
pub struct Trace {
    pub detail: Detail,
    /// Where the lines go.
    pub to: To,
    lines: Vec<String>,
}

impl Trace {
    #[allow(dead_code, reason = "the simulator prints its traces")]
    pub fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    fn add(&mut self, now: Duration, line: &str) {
        let now = now - Duration::from_secs(1);
        let line = format!("{:>9.3} ms  {line}", now.as_secs_f64() * 1e3);
        match self.to {
            To::Memory => self.lines.push(line),
            To::Stdout => println!("{line}"),
        }
    }

    pub fn note(&mut self, now: Duration, line: impl FnOnce() -> String) {
        if self.detail >= Detail::Story {
            self.add(now, &line());
        }
    }

    pub fn note_quietly(&mut self, now: Duration, line: impl FnOnce() -> String) {
        if self.detail >= Detail::Everything {
            self.add(now, &line());
        }
    }

    pub fn says(&mut self, now: Duration, from: MemberId, to: Option<MemberId>, message: &Message) {
        if self.detail < Detail::Everything && is_routine(&message.body) {
            return;
        }
        let to = to.map_or("all".to_owned(), |to| to.to_string());
        self.note(now, || format!("{from} → {to}: {}", describe(message)));
    }

    pub fn arrives(&mut self, now: Duration, from: MemberId, to: MemberId, message: &Message) {
        self.note_quietly(now, || format!("{to} gets from {from}: {}", describe(message)));
    }

    pub fn persists(&mut self, now: Duration, id: MemberId, writes: &[Write]) {
        self.note(now, || {
            let writes: Vec<String> = writes.iter().map(write).collect();
            format!("{id} writes {}", writes.join(", "))
        });
    }

    pub fn delivers(&mut self, now: Duration, id: MemberId, delivery: &Delivery) {
        self.note(now, || {
            let requests = delivery.requests.iter().map(|request| body(request));
            let requests: Vec<String> = requests.chain(delivery.change.map(list_change)).collect();
            format!("{id} delivers slot {}: {}", delivery.slot, requests.join(", "))
        });
    }
}

fn is_routine(body: &Body) -> bool {
    matches!(body, Body::Heartbeat { .. })
}

pub fn commands(commands: &[Bytes]) -> String {
    let command = |command: &Bytes| match command.len() {
        ..=20 => String::from_utf8_lossy(command).into_owned(),
        bytes => format!("({bytes} bytes)"),
    };
    commands.iter().map(command).collect::<Vec<_>>().join(" ")
}

fn body(request: &Request) -> String {
    format!("{} ‹{}›", request.id, commands(&request.commands))
}

fn sequence(sequence: &Sequence) -> String {
    let ids: Vec<String> = sequence.requests.iter().map(ToString::to_string).collect();
    let mut line = format!("slot {} of epoch {}: {}", sequence.slot, sequence.epoch, ids.join(", "));
    if let Some(change) = sequence.change {
        line += &list_change(change);
    }
    line
}

fn list_change(change: ListChange) -> String {
    match change {
        ListChange::Remove { member, disk } => format!("{member} loses its seat with disk {disk}"),
        ListChange::Add { member, disk } => format!("{member} takes its seat with disk {disk}"),
    }
}

fn entries(entries: &[Entry]) -> String {
    match entries {
        [] => "no slots".to_owned(),
        [only] => format!("slot {}", only.sequence.slot),
        [first, .., last] => format!("slots {}–{}", first.sequence.slot, last.sequence.slot),
    }
}

fn write(write: &Write) -> String {
    match write {
        Write::Promise(epoch) => format!("promise {epoch}"),
        Write::Accept { epoch, roster } => {
            let roster: Vec<String> =
                roster.iter().map(|seat| format!("{}/{}", seat.member, seat.incarnation.0)).collect();
            format!("accept {epoch} with roster {}", roster.join(" "))
        }
        Write::Bind(founder) => format!("bond to disk {founder}"),
        Write::Incarnation(incarnation) => format!("incarnation {}", incarnation.0),
        Write::Append(appended) => entries(appended),
        Write::TruncateAfter(slot) => format!("truncation after {slot}"),
        Write::Purge(base) => format!("purge up to {}", base.slot),
    }
}

fn reason(reason: &Reason) -> String {
    match reason {
        Reason::IncarnationGone { member, incarnation } => {
            format!("{member} started again, in incarnation {}", incarnation.0)
        }
        Reason::DiskLost { member } => format!("{member} has lost its disk"),
        Reason::Silent { member } => format!("{member} is silent"),
        Reason::HoldsUpSlot { member, slot } => format!("{member} holds up slot {slot}"),
        Reason::Unhealthy { member } => format!("{member} is not healthy"),
        Reason::NeverBegan { promised } => format!("epoch {promised} never began"),
        Reason::WantsIn => "I want in".to_owned(),
    }
}

pub fn describe(message: &Message) -> String {
    let envelope = &message.envelope;
    let mut line = match &message.body {
        Body::Ack => "Ack".to_owned(),
        Body::Heartbeat { health, .. } => format!("Heartbeat {health:?}"),
        Body::Requests(requests) => {
            let requests: Vec<String> = requests.iter().map(|request| body(request)).collect();
            format!("Request {}", requests.join(", "))
        }
        Body::Sequence { sequence: assigned, requests } => {
            let mut line = format!("Sequence {}", sequence(assigned));
            if !requests.is_empty() {
                let requests: Vec<String> = requests.iter().map(|request| body(request)).collect();
                let _ = write!(line, " + Request {}", requests.join(", "));
            }
            line
        }
        Body::AskRequests { incarnation, from, upto } => {
            format!("AskRequests {from}–{upto} of incarnation {}", incarnation.0)
        }
        Body::AskEntries { history, from, upto } => {
            format!("AskEntries slots {from}–{upto} of epoch {history}")
        }
        Body::Entries { history, base, entries: sent } => {
            format!("Entries {} of epoch {history}, log from {}", entries(sent), base.next())
        }
        Body::ReadQuery { round } => format!("ReadQuery {round}"),
        Body::ReadAnswer { round, slot, .. } => format!("ReadAnswer {round}: slot {slot}"),
        Body::AskChange { question, reason: why, .. } => format!("AskChange {question}: {}", reason(why)),
        Body::AnswerChange { question, opinion, .. } => format!("AnswerChange {question}: {opinion:?}"),
        Body::Prepare { epoch } => format!("Prepare {epoch}"),
        Body::Promise { epoch, accepted, history, .. } => {
            format!("Promise {epoch}, having accepted {accepted} up to slot {}", history.last())
        }
        Body::AskEmpty => "AskEmpty".to_owned(),
        Body::Empty { founder } => format!("Empty, for disk {founder}"),
        Body::StartEpoch { epoch, roster, history, .. } => {
            let roster: Vec<String> = roster.iter().map(|seat| seat.member.to_string()).collect();
            format!("StartEpoch {epoch} after slot {}, roster {}", history.last(), roster.join(" "))
        }
        Body::AskEpoch => "AskEpoch".to_owned(),
    };
    if envelope.acknowledged.0 > 0 {
        let _ = write!(line, " [acknowledges {} in {}]", envelope.acknowledged, envelope.epoch);
    }
    line
}
