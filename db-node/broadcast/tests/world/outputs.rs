//! What a member's outputs lead to: messages on their way, writes that wait for the disk, deliveries and answers that are checked.

use std::sync::Arc;
use std::time::Duration;

use agora_broadcast::{Delivery, MemberId, Message, Output, ReadId, Request, Slot, Write};
use bytes::Bytes;
use rand::Rng;

use super::events::Event;
use super::quirks::{Place, Quirk};
use super::{Node, World};

impl World {
    pub(super) fn carry_out(&mut self, id: MemberId, output: Output, proposed: &[Bytes]) {
        match output {
            Output::Send { to, message } => {
                assert_ne!(to, id, "a member sends to itself");
                self.checker.said(&message);
                self.trace.says(self.now, id, Some(to), &message);
                self.send(id, to, message);
            }
            Output::SendAll { message } => {
                self.checker.said(&message);
                self.trace.says(self.now, id, None, &message);
                for to in self.members().filter(|to| *to != id) {
                    self.send(id, to, message.clone());
                }
            }
            Output::Persist { id: persist, writes } => {
                self.trace.persists(self.now, id, &writes);
                self.ambush(id, &writes);
                self.node_mut(id).disk.waiting.push_back((persist, writes));
                self.sync_if_needed(id);
            }
            Output::Deliver(delivery) => self.delivered(id, &delivery),
            Output::Proposed { request, .. } => {
                let body = Request { id: request, commands: proposed.to_vec() };
                let member = self.node(id).member.as_ref();
                let group = member.map(|member| member.status().members.group).unwrap_or_default();
                self.checker.sent(group, Arc::new(body));
                self.node_mut(id).unanswered.insert(request);
            }
            Output::ProposalRefused { why, .. } => {
                self.trace.note(self.now, || format!("{id} refuses the proposal: {why:?}"));
                self.node_mut(id).refused += 1;
            }
            Output::ReadReady { read, slot } => self.read_is_ready(id, read, slot),
            Output::ReadRefused { read, why } => {
                self.trace.note(self.now, || format!("{id} refuses the read: {why:?}"));
                self.reads.remove(&read);
                self.node_mut(id).refused += 1;
            }
            Output::Incarnation(incarnation) => {
                self.trace.note(self.now, || format!("{id} goes on in incarnation {}", incarnation.0));
                self.node_mut(id).unanswered.clear();
            }
            Output::NeedSnapshot { from } => self.give_snapshot(id, from),
        }
    }

    fn delivered(&mut self, id: MemberId, delivery: &Delivery) {
        self.trace.delivers(self.now, id, delivery);
        let node = &mut self.nodes[usize::from(id.0)];
        assert_eq!(delivery.slot, node.disk.applied.next(), "no holes at {id}");
        node.disk.apply(delivery.slot, delivery.epoch);
        for request in &delivery.requests {
            node.unanswered.remove(&request.id);
        }
        let answers = node.replica.apply(delivery);
        let seats = self.nodes.iter().map(Node::seat);
        self.checker.delivered(delivery, seats);
        self.answers.given(delivery, answers);
    }

    fn read_is_ready(&mut self, id: MemberId, read: ReadId, slot: Slot) {
        self.trace.note(self.now, || format!("{id} answers the read from slot {slot}"));
        let (_, at_start) = self.reads.remove(&read).expect("a read is answered once");
        assert!(slot >= at_start, "a read from slot {slot} began when {at_start} was delivered");
        assert!(self.node(id).disk.applied >= slot, "a read is answered before its slot is applied");
        self.reads_answered += 1;
    }

    fn give_snapshot(&mut self, id: MemberId, from: MemberId) {
        self.trace.note(self.now, || format!("{id} needs a snapshot from {from}"));
        let giver = self.node(from);
        let given = giver.member.as_ref().and_then(|member| member.base_at(giver.disk.applied));
        if let Some((epoch, base)) = given.filter(|_| self.network.is_open(from, id)) {
            let start = self.node(id).start;
            let time = Duration::from_millis(self.dice(id).random_range(1..self.snapshot_ms));
            let state = self.node(from).replica.records();
            self.gives_snapshot(from, id, base.slot);
            self.schedule(time, Event::SnapshotArrives { node: id, start, from, epoch, base, state });
        }
    }

    /// The moments around a promise or an acceptance are those in which a crash hurts most.
    fn ambush(&mut self, id: MemberId, writes: &[Write]) {
        let is_delicate =
            writes.iter().any(|write| matches!(write, Write::Promise(_) | Write::Accept { .. }));
        if !is_delicate {
            return;
        }
        let (permille, sync_time) = (self.ambush_permille, self.node(id).sync_time);
        let node = self.node_mut(id);
        node.delicate_writes += 1;
        let place = Place::DelicateWrite { node: id, number: node.delicate_writes };
        let ambush = self.quirks.at(place, |dice| {
            let after = (sync_time + Duration::from_millis(1)).mul_f64(dice.random_range(0.0..2.0));
            let with_disk = dice.random_ratio(1, 8);
            let ambush = if with_disk { Quirk::LoseDisk(after) } else { Quirk::Crash(after) };
            dice.random_ratio(permille, 1000).then_some(ambush)
        });
        let start = self.node(id).start;
        match ambush {
            Some(Quirk::Crash(after)) => self.schedule(after, Event::Crash { node: id, start }),
            Some(Quirk::LoseDisk(after)) => self.schedule(after, Event::LoseDisk { node: id, start }),
            _ => {}
        }
    }

    /// Crashes a member, which soon starts again.
    pub fn bounce(&mut self, id: MemberId) {
        let start = self.node(id).start;
        self.schedule(Duration::ZERO, Event::Crash { node: id, start });
    }

    pub(super) fn sync_if_needed(&mut self, id: MemberId) {
        let node = self.node_mut(id);
        if !node.is_syncing && !node.disk.waiting.is_empty() {
            node.is_syncing = true;
            let (start, time) = (node.start, node.sync_time);
            self.schedule(time, Event::Synced { node: id, start });
        }
    }

    fn send(&mut self, from: MemberId, to: MemberId, message: Message) {
        self.highest_epoch = self.highest_epoch.max(message.envelope.epoch);
        for delay in self.network.carry(from, to, &message.body, &mut self.quirks) {
            let message = message.clone();
            let from_start = self.node(from).start;
            self.schedule(delay, Event::Arrive { from, from_start, to, message });
        }
    }
}
