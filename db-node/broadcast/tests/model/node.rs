//! A member with its disk, and all that can happen to it by itself: whatever it is, the rest of the group sees only what it sends
//! and delivers.

use std::collections::BTreeMap;
use std::time::Duration;

use agora_broadcast::{
    Body, Config, Delivery, DiskId, Envelope, Epoch, Incarnation, Input, Member, MemberId, Message, Now,
    Opinion, Output, PersistId, ProposalId, ReadId, Reason, Rule, Slot, Timing, Write,
};
use bytes::Bytes;

use super::disk::Disk;
use super::invariants::Invariant;

pub const MEMBERS: u16 = 3;

/// By this much a member's time moves on, if it does: enough for all that waits for time, but to give up.
const WHILE: Duration = Duration::from_secs(1);
const NEVER: Duration = Duration::from_secs(1 << 30);

/// Something that happens to a single member. Numbers stand for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Happening {
    /// A message arrives, which has been sent at any time before: once or again, in any order, or never.
    Receive {
        message: u32,
    },
    Propose,
    /// A read begins when so many slots are delivered anywhere.
    Read {
        delivered: u64,
    },
    /// The first batches that wait are durable.
    Synced {
        batches: u8,
    },
    /// It crashes, and starts again with what is durable: of what waits, so many batches are.
    Crash {
        kept: u8,
        state: StateAfter,
    },
    /// Its connection to a peer breaks, so it takes that for silent.
    Suspect {
        peer: MemberId,
    },
    /// Time passes: whatever waits for it is due.
    Wait,
    /// A peer sees its reason for another epoch too. The vote is not modelled: whoever asks may be agreed with.
    Agreed {
        question: u32,
        by: MemberId,
        incarnation: Incarnation,
        accepted: Epoch,
        promised: Epoch,
    },
}

/// What is left of the state store, which needs no sync of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StateAfter {
    Kept,
    Lost,
}

/// A message under way. To nobody: the question for another epoch, which its sender is waiting to have answered.
#[derive(Clone, Debug, Hash)]
pub struct Sent {
    pub from: MemberId,
    pub to: Option<MemberId>,
    pub message: Message,
}

#[derive(Clone, Hash)]
pub struct Node {
    pub member: Member,
    pub disk: Disk,
    pub clock: Duration,
    /// How many requests each incarnation has proposed.
    pub proposed: BTreeMap<Incarnation, u64>,
    /// Reads that wait, and how many slots were delivered anywhere when they began.
    reads: Vec<(ReadId, u64)>,
    pub reads_answered: u64,
    /// Something was dropped from its log.
    pub has_dropped: bool,
}

/// What came of it.
pub struct Outcome {
    pub sent: Vec<Sent>,
    pub delivered: Vec<Delivery>,
    pub hurt: Option<Invariant>,
}

fn config(me: MemberId, broken: Option<Rule>) -> Config {
    let mut config = Config::new(me, MEMBERS);
    config.broken = broken;
    config.timing = Timing {
        // At once.
        lost_grace: Duration::ZERO,
        change_stagger: Duration::ZERO,
        join_delay: Duration::ZERO,
        put_out: Duration::ZERO,
        put_out_most: Duration::ZERO,
        // After a while.
        heartbeat: WHILE,
        ack_delay: WHILE,
        ask_delay: WHILE,
        ask_delay_most: WHILE,
        read_retry: WHILE,
        hold_up: WHILE,
        change_retry: WHILE,
        promise_grace: WHILE,
        change_timeout: 2 * WHILE,
        // Not by time: it is said when a peer is suspected.
        silence: NEVER,
        first_contact: NEVER,
        read_timeout: NEVER,
        slow_disk: NEVER,
        clock_skew: NEVER,
        snapshot_retry: NEVER,
        hold_log: NEVER,
    };
    config
}

impl Node {
    /// A member of a group that starts for the first time.
    pub fn founding(me: MemberId, broken: Option<Rule>) -> (Node, Outcome) {
        let disks: Vec<DiskId> = (0..MEMBERS).map(|member| disk_of(MemberId(member))).collect();
        Node::start(me, Disk::founded(me, &disks), Duration::ZERO, BTreeMap::new(), broken)
    }

    fn start(
        me: MemberId,
        disk: Disk,
        clock: Duration,
        proposed: BTreeMap<Incarnation, u64>,
        broken: Option<Rule>,
    ) -> (Node, Outcome) {
        let durable = disk.found();
        assert_eq!(durable.check(MEMBERS), Ok(()));
        let now = now(me, clock);
        let member = Member::new(config(me, broken), durable, now);
        let (reads, reads_answered, has_dropped) = (Vec::new(), 0, false);
        let mut node = Node { member, disk, clock, proposed, reads, reads_answered, has_dropped };
        let mut outcome = Outcome { sent: Vec::new(), delivered: Vec::new(), hurt: None };
        node.step(me, Input::Tick, &mut outcome);
        (node, outcome)
    }

    /// Lets something happen. `sent` finds the message of a number.
    pub fn happen(
        &self,
        me: MemberId,
        happening: Happening,
        message: impl Fn(u32) -> Message,
        from: impl Fn(u32) -> MemberId,
        broken: Option<Rule>,
    ) -> (Node, Outcome) {
        if let Happening::Crash { kept, state } = happening {
            return self.crash(me, usize::from(kept), state, broken);
        }
        let mut node = self.clone();
        let mut outcome = Outcome { sent: Vec::new(), delivered: Vec::new(), hurt: None };
        let input = match happening {
            Happening::Receive { message: id } => Input::Receive { from: from(id), message: message(id) },
            Happening::Propose => node.proposal(me),
            Happening::Read { delivered } => {
                let read = ReadId(node.reads_answered + node.reads.len() as u64);
                node.reads.push((read, delivered));
                Input::Read { read }
            }
            Happening::Synced { batches } => Input::Persisted { upto: node.sync(usize::from(batches)) },
            Happening::Suspect { peer } => Input::PeerLost { peer },
            Happening::Wait => {
                node.clock += WHILE;
                Input::Tick
            }
            Happening::Agreed { question, by, incarnation, accepted, promised } => {
                let Body::AskChange { question: number, .. } = message(question).body else {
                    unreachable!("only questions are agreed to")
                };
                let asker = message(question).envelope.incarnation;
                let (group, disk) = (disk_of(MemberId(0)), disk_of(by));
                let (acknowledged, sent) = (Slot(0), 0);
                let envelope =
                    Envelope { group, disk, incarnation, epoch: accepted, promised, acknowledged, sent };
                let body = Body::AnswerChange { asker, question: number, opinion: Opinion::Agree };
                Input::Receive { from: by, message: Message { envelope, body } }
            }
            Happening::Crash { .. } => unreachable!("a crash is no input"),
        };
        node.step(me, input, &mut outcome);
        (node, outcome)
    }

    fn crash(&self, me: MemberId, kept: usize, state: StateAfter, broken: Option<Rule>) -> (Node, Outcome) {
        let mut disk = self.disk.clone();
        let applied = match state {
            StateAfter::Kept => disk.applied,
            StateAfter::Lost => disk.state_durable,
        };
        disk.crash(kept, applied);
        if broken != Some(Rule::RaisedAtEachStart) {
            disk.raise_incarnation();
        }
        Node::start(me, disk, self.clock, self.proposed.clone(), broken)
    }

    /// What a request says is told by its id, so that nothing else needs to be remembered of it.
    fn proposal(&mut self, me: MemberId) -> Input {
        let incarnation = self.disk.durable.incarnation;
        let count = self.proposed.entry(incarnation).or_default();
        *count += 1;
        let commands = vec![said_by(me, incarnation, *count)];
        Input::Propose { proposal: ProposalId(*count), commands }
    }

    fn sync(&mut self, batches: usize) -> PersistId {
        let mut upto = PersistId(0);
        for _ in 0..batches {
            let (id, writes) = self.disk.sync_next().expect("a batch waits");
            self.has_dropped |= writes.iter().any(|write| matches!(write, Write::TruncateAfter(_)));
            upto = id;
        }
        upto
    }

    /// One step of the real thing, and what is due at once after it.
    fn step(&mut self, me: MemberId, input: Input, outcome: &mut Outcome) {
        let now = now(me, self.clock);
        let mut input = Some(input);
        while let Some(next) = input.take() {
            let mut outputs = Vec::new();
            self.member.step(now, next, &mut outputs);
            for output in outputs {
                self.carry_out(me, output, outcome);
            }
            if self.member.next_wakeup().is_some_and(|due| due <= now.monotonic) {
                input = Some(Input::Tick);
            }
        }
        if self.member.status().counters.impossible > 0 {
            outcome.hurt = outcome.hurt.or(Some(Invariant::ImpossibleEpoch));
        }
    }

    fn carry_out(&mut self, me: MemberId, output: Output, outcome: &mut Outcome) {
        let mut hurts = |is_hurt: bool, invariant| {
            if is_hurt {
                outcome.hurt = outcome.hurt.or(Some(invariant));
            }
        };
        match output {
            Output::Send { to, message } => {
                hurts(!self.may_say(&message), Invariant::DurableBeforeSaid);
                outcome.sent.extend(under_way(me, [to], &message));
            }
            Output::SendAll { message } => {
                hurts(!self.may_say(&message), Invariant::DurableBeforeSaid);
                let peers = (0..MEMBERS).map(MemberId).filter(|peer| *peer != me);
                outcome.sent.extend(under_way(me, peers, &message));
            }
            Output::Persist { id, writes } => self.disk.waiting.push_back((id, writes)),
            Output::Deliver(delivery) => {
                hurts(delivery.slot != self.disk.applied.next(), Invariant::NoHoles);
                self.disk.apply(delivery.slot, delivery.epoch);
                outcome.delivered.push(delivery);
            }
            Output::Proposed { request, .. } => {
                let count = self.proposed.get(&request.incarnation);
                hurts(count != Some(&request.local_seq), Invariant::Validity);
            }
            Output::ReadReady { read, slot } => {
                let begun = self.reads.iter().position(|(waiting, _)| *waiting == read);
                let Some(index) = begun else { return hurts(true, Invariant::LinearizableReads) };
                let (_, delivered) = self.reads.remove(index);
                let is_old = slot.0 < delivered || slot > self.disk.applied;
                hurts(is_old, Invariant::LinearizableReads);
                self.reads_answered += 1;
            }
            Output::ReadRefused { read, .. } => self.reads.retain(|(waiting, _)| *waiting != read),
            // It counts as none.
            Output::ProposalRefused { .. } => {
                *self.proposed.entry(self.disk.durable.incarnation).or_default() -= 1;
            }
            // Nobody loses a disk, so nobody takes a seat anew.
            Output::Incarnation(_) => hurts(true, Invariant::Validity),
            // Logs are kept whole, so it can't be needed.
            Output::NeedSnapshot { .. } => hurts(true, Invariant::NoHoles),
        }
    }

    /// Acknowledgements and promises are durable before they are said.
    fn may_say(&self, message: &Message) -> bool {
        let Message { envelope, body } = message;
        let durable = &self.disk.durable;
        let acknowledges_truly = envelope.acknowledged == Slot(0)
            || (durable.accepted == envelope.epoch
                && durable.promised == envelope.epoch
                && self.disk.last() >= envelope.acknowledged);
        let promises_truly = match body {
            Body::Promise { epoch, .. } | Body::Prepare { epoch } => durable.promised >= *epoch,
            Body::StartEpoch { epoch, .. } => durable.accepted == *epoch,
            _ => true,
        };
        acknowledges_truly && promises_truly
    }

    /// How many batches wait for the disk.
    pub fn waiting(&self) -> u8 {
        u8::try_from(self.disk.waiting.len()).unwrap()
    }
}

/// Each member keeps the disk that it founded the group with.
fn disk_of(member: MemberId) -> DiskId {
    DiskId(u128::from(member.0) + 1)
}

/// The clocks of the members differ.
fn now(me: MemberId, clock: Duration) -> Now {
    Now { monotonic: clock, wall_ms: 1000 - 10 * u64::from(me.0) }
}

/// The one command of a request.
pub fn said_by(sender: MemberId, incarnation: Incarnation, local_seq: u64) -> Bytes {
    Bytes::from(format!("{sender}/{}#{local_seq}", incarnation.0))
}

fn under_way(
    from: MemberId,
    peers: impl IntoIterator<Item = MemberId>,
    message: &Message,
) -> impl Iterator<Item = Sent> {
    let is_question = matches!(message.body, Body::AskChange { .. });
    let receivers = peers.into_iter().enumerate().filter(move |(index, _)| *index == 0 || !is_question);
    receivers.map(move |(_, peer)| {
        let to = (!is_question).then_some(peer);
        Sent { from, to, message: message.clone() }
    })
}

/// The member that answers a question for another epoch: one that is not to blame.
pub fn answerer(asker: MemberId, question: &Message) -> MemberId {
    let blamed = match &question.body {
        Body::AskChange {
            reason:
                Reason::Silent { member }
                | Reason::HoldsUpSlot { member, .. }
                | Reason::Unhealthy { member }
                | Reason::IncarnationGone { member, .. },
            ..
        } => Some(*member),
        _ => None,
    };
    let others = (0..MEMBERS).map(MemberId).filter(|member| *member != asker);
    others.min_by_key(|member| Some(*member) == blamed).expect("there are others")
}
