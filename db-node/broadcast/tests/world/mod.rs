//! A whole group in virtual time: members that run the very step function of production, disks that forget what was not
//! synced, a network that loses, doubles, delays and reorders. All of it is decided by a seed.

pub mod checker;
pub mod disk;
mod events;
#[allow(dead_code, reason = "not every test loses disks")]
pub mod loss;
pub mod marketplace;
pub mod network;
mod outputs;
#[allow(dead_code, reason = "scenarios make their own schedules")]
pub mod plan;
#[allow(dead_code, reason = "scenarios make their own schedules")]
pub mod quirks;
#[allow(dead_code, reason = "scenarios make their own schedules")]
pub mod schedule;
#[allow(dead_code, reason = "only what fails is shrunk")]
pub mod shrink;
pub mod trace;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::time::Duration;

use agora_broadcast::{
    Base, Config, DiskId, Epoch, Input, Member, MemberId, Now, PersistId, ProposalId, ReadId, RequestId,
    Rule, Slot, Write,
};
use bytes::Bytes;
use rand::Rng;
use rand::rngs::SmallRng;

use agora_machine::Record;
use checker::{Checker, Seat};
use disk::Disk;
use events::{Event, Scheduled};
use marketplace::{Answers, Replica};
use network::Network;
use quirks::{Place, Quirks};
use trace::Trace;

/// When the virtual clocks start, in milliseconds since the Unix epoch.
const WALL_START_MS: u64 = 1_000_000;

pub struct World {
    pub now: Duration,
    /// What chance does.
    pub quirks: Quirks,
    pub nodes: Vec<Node>,
    pub network: Network,
    pub checker: Checker,
    pub answers: Answers,
    pub trace: Trace,
    events: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
    proposals: u64,
    /// Who reads, and what was delivered when it began.
    reads: BTreeMap<ReadId, (MemberId, Slot)>,
    reads_begun: u64,
    pub reads_answered: u64,
    pub snapshots_installed: u64,
    /// Disks that there were.
    disks: u128,
    /// Each sync makes durable all that waits, and not just a part of it.
    pub sync_takes_all: bool,
    /// A snapshot takes less than this many milliseconds.
    pub snapshot_ms: u64,
    /// Of a thousand promises and acceptances on their way to disk, those in which the member crashes.
    pub ambush_permille: u32,
    pub highest_epoch: Epoch,
    /// Adjusts the configuration of each member.
    pub configure: Box<dyn Fn(&mut Config)>,
}

pub struct Node {
    pub id: MemberId,
    /// None: it is down.
    pub member: Option<Member>,
    pub disk: Disk,
    /// The database on that disk.
    pub replica: Replica,
    /// Disks that it had before, and the databases on them.
    pub lost: Vec<Disk>,
    lost_replicas: Vec<Replica>,
    /// How long a sync takes.
    pub sync_time: Duration,
    pub is_syncing: bool,
    /// Its clock minus the true time.
    pub clock_offset_ms: i64,
    /// It does nothing before this moment.
    pub paused_until: Duration,
    /// Counts starts, so that what was meant for an earlier one is dropped.
    start: u64,
    /// Whom its last crash kept from getting what was under way: a bit per member.
    buffers_lost: u64,
    /// When it is woken next.
    wakeup: Option<Duration>,
    /// Count what chance has a say in.
    doings: u64,
    delicate_writes: u64,
    /// Requests proposed here in this start that are not delivered here.
    pub unanswered: HashSet<RequestId>,
    pub refused: u64,
}

impl Node {
    pub fn seat(&self) -> Seat<'_> {
        Seat { member: self.id, disk: &self.disk, lost: &self.lost }
    }
}

impl World {
    /// A group that was founded before.
    pub fn new(members: u16, seed: u64, configure: impl Fn(&mut Config) + 'static) -> Self {
        let disks: Vec<DiskId> = (1..=u128::from(members)).map(DiskId).collect();
        let mut world = World::of(members, seed, configure, |id| Disk::founded(id, &disks));
        let founded = Disk::founded(MemberId(0), &disks);
        world.checker.founded(&founded.durable.base.members);
        world.members().for_each(|id| world.start(id));
        world
    }

    /// Members with empty disks, none of which is started.
    pub fn empty(members: u16, seed: u64, configure: impl Fn(&mut Config) + 'static) -> Self {
        World::of(members, seed, configure, |id| Disk::empty(DiskId(u128::from(id.0) + 1)))
    }

    fn of(
        members: u16,
        seed: u64,
        configure: impl Fn(&mut Config) + 'static,
        disk: impl Fn(MemberId) -> Disk,
    ) -> Self {
        let node = |index| Node {
            id: MemberId(index),
            member: None,
            disk: disk(MemberId(index)),
            replica: Replica::default(),
            lost: Vec::new(),
            lost_replicas: Vec::new(),
            sync_time: Duration::from_millis(1),
            is_syncing: false,
            clock_offset_ms: 0,
            paused_until: Duration::ZERO,
            start: 0,
            buffers_lost: 0,
            wakeup: None,
            doings: 0,
            delicate_writes: 0,
            unanswered: HashSet::new(),
            refused: 0,
        };
        World {
            now: Duration::from_secs(1),
            quirks: Quirks::drawn(seed),
            nodes: (0..members).map(node).collect(),
            network: Network::new(members),
            checker: Checker::default(),
            answers: Answers::default(),
            trace: Trace::default(),
            events: BinaryHeap::new(),
            scheduled: 0,
            proposals: 0,
            reads: BTreeMap::new(),
            reads_begun: 0,
            reads_answered: 0,
            snapshots_installed: 0,
            disks: members.into(),
            sync_takes_all: false,
            snapshot_ms: 50,
            ambush_permille: 0,
            highest_epoch: Epoch { counter: 1, coordinator: MemberId(0) },
            configure: Box::new(configure),
        }
    }

    pub fn members(&self) -> impl Iterator<Item = MemberId> + use<> {
        (0..u16::try_from(self.nodes.len()).unwrap()).map(MemberId)
    }

    pub fn node(&self, id: MemberId) -> &Node {
        &self.nodes[usize::from(id.0)]
    }

    pub fn node_mut(&mut self, id: MemberId) -> &mut Node {
        &mut self.nodes[usize::from(id.0)]
    }

    pub fn is_up(&self, id: MemberId) -> bool {
        self.node(id).member.is_some()
    }

    /// The dice for the next thing that a member does.
    fn dice(&mut self, id: MemberId) -> SmallRng {
        let node = self.node_mut(id);
        node.doings += 1;
        let place = Place::Doing { node: id, number: node.doings };
        self.quirks.dice(place)
    }

    pub fn start(&mut self, id: MemberId) {
        let mut config = Config::new(id, u16::try_from(self.nodes.len()).unwrap());
        config.seed = self.dice(id).random();
        (self.configure)(&mut config);
        let now = self.clock(id);
        let node = self.node_mut(id);
        let durable = node.disk.found();
        assert_eq!(durable.check(config.members), Ok(()));
        node.start += 1;
        node.member = Some(Member::new(config, durable, now));
        node.wakeup = None;
        self.step(id, Input::Tick);
    }

    /// Kills a member. Some first part of what waits for its disk is there later; the rest is forgotten.
    pub fn crash(&mut self, id: MemberId) {
        if !self.is_up(id) {
            return;
        }
        let waiting = self.node(id).disk.waiting.len();
        let mut dice = self.dice(id);
        let kept = dice.random_range(0..=waiting);
        let (durable, applied) = (self.node(id).disk.state_durable, self.node(id).disk.applied);
        let applied = Slot(dice.random_range(durable.0..=applied.0));
        self.crash_keeping(id, kept, applied);
    }

    /// Kills a member, of whose disk and state this much is there later.
    pub fn crash_keeping(&mut self, id: MemberId, kept: usize, applied: Slot) {
        self.trace.note(self.now, || format!("{id} crashes"));
        self.note_stores(id, kept);
        self.reads.retain(|_, (reader, _)| *reader != id);
        let buffers_lost = if self.network.are_buffers_kept { 0 } else { self.dice(id).random() };
        let node = self.node_mut(id);
        node.disk.crash(kept, applied);
        node.replica.crash(applied);
        node.member = None;
        node.is_syncing = false;
        node.unanswered.clear();
        node.start += 1;
        node.buffers_lost = buffers_lost;
    }

    /// What a member had sent when it crashed may not have left its buffers: per receiver, all that is under way or none.
    fn is_lost_with_sender(&self, from: MemberId, from_start: u64, to: MemberId) -> bool {
        let sender = self.node(from);
        sender.start != from_start && sender.buffers_lost & (1 << to.0) != 0
    }

    pub fn restart(&mut self, id: MemberId) {
        if self.is_up(id) {
            return;
        }
        let mut config = Config::new(id, u16::try_from(self.nodes.len()).unwrap());
        (self.configure)(&mut config);
        if config.broken != Some(Rule::RaisedAtEachStart) {
            self.node_mut(id).disk.raise_incarnation();
        }
        let incarnation = self.node(id).disk.durable.incarnation;
        self.trace.note(self.now, || format!("{id} starts again, in incarnation {}", incarnation.0));
        self.start(id);
    }

    /// Tells a member that its connection to a peer broke.
    pub fn lose_peer(&mut self, node: MemberId, peer: MemberId, after: Duration) {
        let start = self.node(node).start;
        self.schedule(after, Event::Lost { node, start, peer });
    }

    pub fn propose(&mut self, id: MemberId, commands: Vec<Bytes>) {
        self.proposals += 1;
        let proposal = ProposalId(self.proposals);
        if self.is_up(id) {
            self.trace.note(self.now, || format!("{id} proposes {}", trace::commands(&commands)));
            self.step_with(id, Input::Propose { proposal, commands: commands.clone() }, &commands);
        }
    }

    pub fn read(&mut self, id: MemberId) {
        self.reads_begun += 1;
        let read = ReadId(self.reads_begun);
        if self.is_up(id) {
            self.trace.note(self.now, || format!("{id} reads"));
            self.reads.insert(read, (id, self.checker.last_delivered()));
            self.step(id, Input::Read { read });
        }
    }

    /// Runs until a moment.
    pub fn run_until(&mut self, end: Duration) {
        while self.events.peek().is_some_and(|next| next.0.at <= end)
            && let Some(Reverse(next)) = self.events.pop()
        {
            self.now = self.now.max(next.at);
            self.happen(next.event);
        }
        self.now = self.now.max(end);
    }

    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    fn happen(&mut self, event: Event) {
        let (id, start) = match &event {
            Event::Arrive { to, .. } => (*to, None),
            Event::Synced { node, start }
            | Event::Wake { node, start }
            | Event::StateSynced { node, start }
            | Event::SnapshotArrives { node, start, .. }
            | Event::Lost { node, start, .. }
            | Event::Crash { node, start }
            | Event::LoseDisk { node, start }
            | Event::Restart { node, start } => (*node, Some(*start)),
        };
        let now = self.now;
        let node = self.node_mut(id);
        if start.is_some_and(|start| start != node.start) {
            return;
        }
        if matches!(event, Event::Restart { .. }) {
            self.restart(id);
            self.read(id);
            return;
        }
        if node.member.is_none() {
            return;
        }
        if node.paused_until > now {
            let pause = node.paused_until - now;
            self.schedule(pause, event);
            return;
        }
        match event {
            Event::Arrive { from, from_start, message, .. } => {
                if self.is_lost_with_sender(from, from_start, id) {
                    return;
                }
                self.trace.arrives(self.now, from, id, &message);
                self.step(id, Input::Receive { from, message });
            }
            Event::Synced { .. } => self.synced(id),
            Event::Wake { .. } => {
                self.node_mut(id).wakeup = None;
                self.step(id, Input::Tick);
            }
            Event::StateSynced { .. } => {
                let node = self.node_mut(id);
                node.disk.sync_state();
                node.replica.sync();
                let slot = node.disk.applied;
                self.step(id, Input::StateDurable { slot });
            }
            Event::SnapshotArrives { from, epoch, base, state, .. } => {
                self.install(id, from, epoch, base, state)
            }
            Event::Lost { peer, .. } => {
                self.trace.note(self.now, || format!("{id} loses its connection to {peer}"));
                self.step(id, Input::PeerLost { peer });
            }
            Event::Crash { .. } => {
                self.crash(id);
                let start = self.node(id).start;
                let after = Duration::from_micros(self.dice(id).random_range(0..20_000));
                self.schedule(after, Event::Restart { node: id, start });
            }
            // Not any more once the faults have stopped.
            Event::LoseDisk { .. } if self.ambush_permille > 0 && self.may_lose_disk(id) => {
                self.lose_disk(id)
            }
            Event::LoseDisk { .. } | Event::Restart { .. } => {}
        }
    }

    /// The state is synced now, and the log may be purged.
    pub fn sync_state(&mut self, id: MemberId) {
        let start = self.node(id).start;
        self.schedule(Duration::ZERO, Event::StateSynced { node: id, start });
    }

    fn synced(&mut self, id: MemberId) {
        let waiting = self.node(id).disk.waiting.len();
        assert!(waiting > 0, "a sync without a write");
        // One sync for some of what waits, as a driver does it.
        let batches = if self.sync_takes_all { waiting } else { self.dice(id).random_range(1..=waiting) };
        self.note_stores(id, batches);
        let mut upto = PersistId(0);
        let mut truncated = None;
        for _ in 0..batches {
            let (id, writes) = self.node_mut(id).disk.sync_next().expect("a batch waits");
            upto = id;
            truncated = truncated.or(writes.iter().find_map(|write| match write {
                Write::TruncateAfter(slot) => Some(*slot),
                _ => None,
            }));
        }
        if let Some(slot) = truncated {
            let seats = self.nodes.iter().map(Node::seat);
            for slot in slot.0 + 1..=self.checker.last_delivered().0 {
                self.checker.check_durable(Slot(slot), seats.clone());
            }
        }
        self.node_mut(id).is_syncing = false;
        self.sync_if_needed(id);
        self.trace.note_quietly(self.now, || format!("{id}'s disk is done up to {}", upto.0));
        self.step(id, Input::Persisted { upto });
    }

    /// Shows the checker which entries the first batches that wait bring to the disk.
    fn note_stores(&mut self, id: MemberId, batches: usize) {
        let node = &self.nodes[usize::from(id.0)];
        let mut after = node.disk.clone();
        for _ in 0..batches {
            let Some((_, writes)) = after.sync_next() else { break };
            for write in &writes {
                if let Write::Purge(base) = write
                    && base.slot == Slot(0)
                {
                    self.checker.founded(&base.members);
                }
            }
            let appended = writes.iter().filter_map(|write| match write {
                Write::Append(entries) => Some(entries),
                _ => None,
            });
            for entry in appended.flatten() {
                let below = Slot(entry.sequence.slot.0 - 1);
                let below = after.entry(below).map_or(after.durable.base.epoch, |entry| entry.sequence.epoch);
                self.checker.stored(after.durable.base.members.group, entry, below);
            }
        }
    }

    /// A member has begun to give a snapshot.
    fn gives_snapshot(&mut self, id: MemberId, to: MemberId, slot: Slot) {
        self.step(id, Input::GivesSnapshot { to, slot });
    }

    fn install(&mut self, id: MemberId, from: MemberId, epoch: Epoch, base: Base, state: Vec<Record>) {
        self.trace.note(self.now, || format!("{id} installs a snapshot up to slot {}", base.slot));
        let node = self.node_mut(id);
        if base.slot > node.disk.applied {
            node.disk.apply(base.slot, base.epoch);
            node.disk.sync_state();
            node.replica.install(base.slot, state);
            node.replica.sync();
        }
        node.unanswered.clear();
        self.snapshots_installed += 1;
        self.step(id, Input::SnapshotInstalled { from, epoch, base });
    }

    pub fn clock(&self, id: MemberId) -> Now {
        let wall = WALL_START_MS + u64::try_from(self.now.as_millis()).unwrap();
        Now { monotonic: self.now, wall_ms: wall.saturating_add_signed(self.node(id).clock_offset_ms) }
    }

    fn step(&mut self, id: MemberId, input: Input) {
        self.step_with(id, input, &[]);
    }

    fn step_with(&mut self, id: MemberId, input: Input, proposed: &[Bytes]) {
        let now = self.clock(id);
        let mut outputs = Vec::new();
        let Some(member) = &mut self.node_mut(id).member else { return };
        member.step(now, input, &mut outputs);
        for output in outputs {
            self.carry_out(id, output, proposed);
        }
        self.schedule_wakeup(id);
    }

    fn schedule_wakeup(&mut self, id: MemberId) {
        let now = self.now;
        let node = self.node_mut(id);
        let due = node.member.as_ref().and_then(Member::next_wakeup);
        if let Some(due) = due
            && node.wakeup.is_none_or(|planned| due < planned)
        {
            node.wakeup = Some(due);
            let start = node.start;
            self.schedule(due.saturating_sub(now), Event::Wake { node: id, start });
        }
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse(Scheduled { at: self.now + after, number: self.scheduled, event }));
    }
}
