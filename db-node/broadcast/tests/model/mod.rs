//! The group as a model for a model checker: three members that run the very step function of production, and every order in which
//! messages, disks, crashes and suspicions can come, within bounds.
//!
//! Time is left out: it stands still for a member until it waits a while (`Happening::Wait`), and who suspects whom, and when, is
//! as free as everything else. What has been sent can arrive at any time, any number of times, or never. A crash leaves any
//! first part of what waits for the disk; the member is back at once, which is no restriction, since nothing needs to arrive.
//!
//! What a member does depends on nothing but itself and what happens to it. So each such step is computed once and remembered, and
//! a state of the group is a handful of numbers.

#[allow(dead_code, reason = "shared with the simulator")]
#[path = "../world/disk.rs"]
mod disk;
mod interner;
pub mod invariants;
pub mod node;
#[allow(dead_code, reason = "shared with the simulator")]
#[path = "../world/trace.rs"]
mod trace;

use std::collections::HashMap;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use agora_broadcast::{Delivery, Epoch, Incarnation, MemberId, Rule};
use parking_lot::RwLock;
use stateright::{Checker, Model, Property};

use interner::Interner;
use invariants::Invariant;
use node::{Happening, MEMBERS, Node, Outcome, Sent, StateAfter};

/// How often things happen, at most, that do not follow from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bounds {
    pub proposals: u8,
    pub reads: u8,
    pub crashes: u8,
    pub suspicions: u8,
    /// Questions for another epoch that are agreed to: so many epochs are prepared, in competition or one after the other.
    pub epochs: u8,
    pub waits: u8,
}

/// Whom what happens by itself may concern: a bit per member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whom {
    pub proposing: u8,
    pub crashing: u8,
    pub suspected: u8,
}

pub const EVERYONE: Whom = Whom { proposing: 7, crashing: 7, suspected: 7 };

/// The group.
pub struct Group {
    pub bounds: Bounds,
    pub whom: Whom,
    pub broken: Option<Rule>,
    nodes: Interner<Node>,
    messages: Interner<Sent>,
    /// What was sent so far: the numbers of messages, ascending.
    networks: Interner<Vec<Letter>>,
    deliveries: Interner<Delivery>,
    /// What was delivered so far, by whoever was first.
    histories: Interner<Vec<u32>>,
    steps: Table<(u32, MemberId, Happening), Arc<Step>>,
    sendings: Table<(u32, Letter), Result<u32, Invariant>>,
}

type Table<K, V> = RwLock<HashMap<K, V>>;

/// A message under way: to whom, by index, or none for a question; and its number.
type Letter = (u8, u32);
const TO_NOBODY: u8 = u8::MAX;

/// A member's step, in numbers.
struct Step {
    node: NodeRef,
    sent: Vec<Letter>,
    delivered: Vec<u32>,
    has_written: bool,
    hurt: Option<Invariant>,
}

/// A state of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    nodes: [NodeRef; MEMBERS as usize],
    network: u32,
    history: u32,
    /// How often it has happened.
    spent: Bounds,
    hurt: Option<Invariant>,
}

/// A member with its disk, and of that what is asked for often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct NodeRef {
    id: u32,
    waiting: u8,
    marks: u8,
}

/// It has accepted an epoch after the founding one.
const CHANGED: u8 = 1;
/// It has delivered a slot that was assigned in an earlier epoch than the one it has accepted.
const TOOK_OVER: u8 = 2;
/// It has dropped slots from its log.
const DROPPED: u8 = 4;
/// It takes turns after a crash.
const CAME_BACK: u8 = 8;
/// It has answered a read.
const READ: u8 = 16;
/// It has delivered something.
const DELIVERED: u8 = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    who: MemberId,
    what: Happening,
}

impl Group {
    pub fn new(bounds: Bounds, whom: Whom, broken: Option<Rule>) -> Self {
        Group {
            bounds,
            whom,
            broken,
            nodes: Interner::default(),
            messages: Interner::default(),
            networks: Interner::default(),
            deliveries: Interner::default(),
            histories: Interner::default(),
            steps: Table::default(),
            sendings: Table::default(),
        }
    }

    fn node_ref(&self, me: MemberId, node: Node) -> NodeRef {
        let durable = &node.disk.durable;
        let takes_turns = |incarnation: Incarnation| {
            durable.roster.iter().any(|seat| seat.member == me && seat.incarnation == incarnation)
        };
        let is_earlier = |epoch: &Epoch| *epoch < durable.accepted;
        let applied = node.disk.applied;
        let marks = [
            (CHANGED, durable.accepted.counter > 1),
            (TOOK_OVER, applied.0 > 0 && is_earlier(&node.disk.applied_epochs[&applied])),
            (DROPPED, node.has_dropped),
            (CAME_BACK, durable.incarnation.0 > 1 && takes_turns(durable.incarnation)),
            (READ, node.reads_answered > 0),
            (DELIVERED, applied.0 > 0),
        ];
        let marks = marks.iter().filter(|(_, is_set)| *is_set).fold(0, |marks, (mark, _)| marks | mark);
        NodeRef { waiting: node.waiting(), marks, id: self.nodes.id(node) }
    }

    fn letter(&self, sent: Sent) -> Letter {
        let to = sent.to.map_or(TO_NOBODY, |to| u8::try_from(to.0).unwrap());
        (to, self.messages.id(sent))
    }

    fn to_step(&self, me: MemberId, node: Node, outcome: Outcome, has_written: bool) -> Step {
        Step {
            sent: outcome.sent.into_iter().map(|sent| self.letter(sent)).collect(),
            delivered: outcome.delivered.into_iter().map(|it| self.deliveries.id(it)).collect(),
            hurt: outcome.hurt,
            node: self.node_ref(me, node),
            has_written,
        }
    }

    /// What becomes of a member; computed once.
    fn step(&self, before: NodeRef, me: MemberId, what: Happening) -> Arc<Step> {
        let key = (before.id, me, what);
        if let Some(step) = self.steps.read().get(&key) {
            return Arc::clone(step);
        }
        let node = self.nodes.get(before.id);
        let message = |id| self.messages.get(id).message.clone();
        let from = |id| self.messages.get(id).from;
        let happens = AssertUnwindSafe(|| node.happen(me, what, message, from, self.broken));
        let step = match catch_unwind(happens) {
            Ok((node, outcome)) => {
                let has_written = matches!(what, Happening::Synced { .. } | Happening::Crash { .. });
                self.to_step(me, node, outcome, has_written)
            }
            // An assertion in the member or the disk has failed.
            Err(_) => Step {
                node: before,
                sent: Vec::new(),
                delivered: Vec::new(),
                has_written: false,
                hurt: Some(Invariant::Assertion),
            },
        };
        Arc::clone(self.steps.write().entry(key).or_insert_with(|| Arc::new(step)))
    }

    /// The network with one more message in it.
    fn send(&self, network: u32, letter: Letter) -> Result<u32, Invariant> {
        let key = (network, letter);
        if let Some(known) = self.sendings.read().get(&key) {
            return *known;
        }
        let before = self.networks.get(network);
        let sent = match before.binary_search(&letter) {
            Ok(_) => Ok(network),
            Err(index) => {
                let said: Vec<_> = before.iter().map(|(_, id)| self.messages.get(*id)).collect();
                let new = self.messages.get(letter.1);
                invariants::check_said(&new.message, said.iter().map(|sent| &sent.message)).map(|()| {
                    let mut network = before.to_vec();
                    network.insert(index, letter);
                    self.networks.id(network)
                })
            }
        };
        self.sendings.write().insert(key, sent);
        sent
    }

    fn take_over(&self, state: &mut State, who: MemberId, step: &Step) -> Result<(), Invariant> {
        state.nodes[usize::from(who.0)] = step.node;
        if let Some(hurt) = step.hurt {
            return Err(hurt);
        }
        for letter in &step.sent {
            state.network = self.send(state.network, *letter)?;
        }
        if step.delivered.is_empty() && !step.has_written {
            return Ok(());
        }
        let nodes = state.nodes.map(|node| self.nodes.get(node.id));
        let mut history = self.histories.get(state.history).to_vec();
        for delivery in &step.delivered {
            let slot = self.deliveries.get(*delivery).slot;
            match history.get(usize::try_from(slot.0).unwrap() - 1) {
                Some(known) if known == delivery => {}
                Some(_) => return Err(Invariant::Agreement),
                None => {
                    let before: Vec<_> = history.iter().map(|id| self.deliveries.get(*id)).collect();
                    invariants::check_next(&before, &self.deliveries.get(*delivery), &nodes)?;
                    history.push(*delivery);
                }
            }
        }
        let delivered: Vec<_> = history.iter().map(|id| self.deliveries.get(*id)).collect();
        state.history = self.histories.id(history);
        invariants::check_durable(&delivered, &nodes)?;
        if step.has_written {
            invariants::check_prefix(&nodes)?;
            let network = self.networks.get(state.network);
            let said: Vec<_> = network.iter().map(|(_, id)| self.messages.get(*id)).collect();
            let claims = said.iter().map(|sent| &sent.message);
            invariants::check_claim(&nodes[usize::from(who.0)], claims)?;
        }
        Ok(())
    }

    /// All members have started and heard from each other; nothing is under way any more.
    fn initial(&self) -> State {
        let members = || (0..MEMBERS).map(MemberId);
        let mut sent = Vec::new();
        let nodes: Vec<NodeRef> = members()
            .map(|me| {
                let (node, outcome) = Node::founding(me, self.broken);
                sent.extend(outcome.sent.into_iter().map(|sent| self.letter(sent)));
                self.node_ref(me, node)
            })
            .collect();
        let mut nodes: [NodeRef; MEMBERS as usize] = nodes.try_into().unwrap();
        while let Some((to, message)) = sent.pop() {
            let node = &mut nodes[usize::from(to)];
            let step = self.step(*node, MemberId(u16::from(to)), Happening::Receive { message });
            *node = step.node;
            sent.extend(&step.sent);
        }
        State {
            nodes,
            network: self.networks.id(Vec::new()),
            history: self.histories.id(Vec::new()),
            spent: Bounds::default(),
            hurt: None,
        }
    }

    /// Who answers a question, and how it describes itself.
    fn agreement(&self, state: &State, question: u32) -> Action {
        let sent = self.messages.get(question);
        let by = node::answerer(sent.from, &sent.message);
        let status = self.nodes.get(state.nodes[usize::from(by.0)].id).member.status();
        let (incarnation, accepted, promised) = (status.incarnation, status.epoch, status.promised);
        Action { who: sent.from, what: Happening::Agreed { question, by, incarnation, accepted, promised } }
    }

    /// An action in words.
    pub fn describe(&self, action: &Action) -> String {
        let Action { who, what } = action;
        match what {
            Happening::Receive { message } => {
                let sent = self.messages.get(*message);
                format!("{who} gets from {}: {}", sent.from, trace::describe(&sent.message))
            }
            Happening::Agreed { question, by, .. } => {
                let sent = self.messages.get(*question);
                format!("{by} agrees with {who}: {}", trace::describe(&sent.message))
            }
            Happening::Suspect { peer } => format!("{who} takes {peer} for silent"),
            Happening::Synced { batches } => format!("{who}'s disk is done with {batches}"),
            Happening::Crash { kept, state } => {
                format!(
                    "{who} crashes and is back; {kept} of what waited is on its disk, its state is {state:?}"
                )
            }
            Happening::Propose => format!("{who} proposes"),
            Happening::Read { .. } => format!("{who} begins a read"),
            Happening::Wait => format!("time passes at {who}"),
        }
    }

    /// What a member's own disk and clients, crashes and the time can do.
    fn own_actions(&self, state: &State, who: MemberId, actions: &mut Vec<Action>) {
        let (bounds, whom, spent) = (&self.bounds, &self.whom, &state.spent);
        let is_in = |members: u8, member: MemberId| members & (1 << member.0) != 0;
        let node = state.nodes[usize::from(who.0)];
        let mut may = |what| actions.push(Action { who, what });
        if node.waiting > 0 {
            may(Happening::Synced { batches: 1 });
        }
        if node.waiting > 1 {
            may(Happening::Synced { batches: node.waiting });
        }
        if spent.proposals < bounds.proposals && is_in(whom.proposing, who) {
            may(Happening::Propose);
        }
        if spent.reads < bounds.reads {
            may(Happening::Read { delivered: self.histories.get(state.history).len() as u64 });
        }
        if spent.crashes < bounds.crashes && is_in(whom.crashing, who) {
            for kept in 0..=node.waiting {
                may(Happening::Crash { kept, state: StateAfter::Kept });
                if node.marks & DELIVERED != 0 {
                    may(Happening::Crash { kept, state: StateAfter::Lost });
                }
            }
        }
        if spent.suspicions < bounds.suspicions {
            let peers =
                (0..MEMBERS).map(MemberId).filter(|peer| *peer != who && is_in(whom.suspected, *peer));
            for peer in peers {
                may(Happening::Suspect { peer });
            }
        }
        if spent.waits < bounds.waits {
            may(Happening::Wait);
        }
    }
}

impl Bounds {
    fn spend(&mut self, what: Happening) {
        let count = match what {
            Happening::Propose => &mut self.proposals,
            Happening::Read { .. } => &mut self.reads,
            Happening::Crash { .. } => &mut self.crashes,
            Happening::Suspect { .. } => &mut self.suspicions,
            Happening::Agreed { .. } => &mut self.epochs,
            Happening::Wait => &mut self.waits,
            Happening::Receive { .. } | Happening::Synced { .. } => return,
        };
        *count += 1;
    }
}

impl Model for Group {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.initial()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.hurt.is_some() {
            return;
        }
        for who in (0..MEMBERS).map(MemberId) {
            self.own_actions(state, who, actions);
        }
        for &(to, message) in self.networks.get(state.network).iter() {
            if to != TO_NOBODY {
                let who = MemberId(u16::from(to));
                actions.push(Action { who, what: Happening::Receive { message } });
            } else if state.spent.epochs < self.bounds.epochs {
                actions.push(self.agreement(state, message));
            }
        }
    }

    fn next_state(&self, state: &State, Action { who, what }: Action) -> Option<State> {
        let step = self.step(state.nodes[usize::from(who.0)], who, what);
        let mut next = *state;
        if let Err(hurt) = self.take_over(&mut next, who, &step) {
            next.hurt = Some(hurt);
        }
        if next == *state {
            return None;
        }
        next.spent.spend(what);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        macro_rules! always {
            ($($name:literal: $invariant:ident),* $(,)?) => {
                [$(Property::always($name, |_, state: &State| state.hurt != Some(Invariant::$invariant))),*]
            };
        }
        let always = always![
            "agreement": Agreement,
            "validity": Validity,
            "integrity": Integrity,
            "per-sender order": SenderOrder,
            "no holes": NoHoles,
            "monotone time": MonotoneTime,
            "durability at a majority": Durability,
            "one assignment per epoch and slot": OneAssignment,
            "one roster per epoch": OneRoster,
            "prefix": Prefix,
            "no claim of an epoch with less than it began with": ClaimOfAllItBeganWith,
            "durable before it is said": DurableBeforeSaid,
            "linearizable reads": LinearizableReads,
            "no epoch that drops what is committed": ImpossibleEpoch,
            "the members' own assertions": Assertion,
        ];
        let bounds = &self.bounds;
        let mut properties = always.to_vec();
        let mut sometimes = |is_in_reach: bool, name, condition: fn(&Group, &State) -> bool| {
            if is_in_reach {
                properties.push(Property::sometimes(name, condition));
            }
        };
        let has_epochs = bounds.epochs > 0 && bounds.suspicions + bounds.crashes > 0;
        sometimes(bounds.proposals > 0, "something is delivered", |_, state| state.has(DELIVERED));
        sometimes(bounds.reads > 0, "a read is answered", |_, state| state.has(READ));
        sometimes(has_epochs, "another epoch is accepted", |_, state| state.has(CHANGED));
        sometimes(
            has_epochs && bounds.proposals > 0,
            "a slot of an earlier epoch is delivered in a later one",
            |_, state| state.has(TOOK_OVER),
        );
        sometimes(has_epochs && bounds.proposals > 0, "slots are dropped from a log", |_, state| {
            state.has(DROPPED)
        });
        sometimes(
            bounds.epochs > 0 && bounds.crashes > 0,
            "a member takes turns after a crash",
            |_, state| state.has(CAME_BACK),
        );
        properties
    }
}

impl State {
    fn has(&self, mark: u8) -> bool {
        self.nodes.iter().any(|node| node.marks & mark != 0)
    }
}

/// How invariants were hurt, in words.
pub fn counterexamples(checker: &impl Checker<Group>) -> Vec<String> {
    let is_failure = |name: &str| {
        let mut properties = checker.model().properties().into_iter();
        properties.any(|property| property.name == name && property.expectation.discovery_is_failure())
    };
    let hurt = checker.discoveries().into_iter().filter(|(name, _)| is_failure(name));
    hurt.map(|(name, path)| {
        let actions = path.into_actions();
        let steps = actions.iter().map(|action| format!("\n  {}", checker.model().describe(action)));
        format!("“{name}” is hurt in {} steps:{}", actions.len(), steps.collect::<String>())
    })
    .collect()
}
