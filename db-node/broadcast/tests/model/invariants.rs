//! What must hold in every state of the group.

use std::collections::BTreeMap;
use std::sync::Arc;

use agora_broadcast::{Body, Delivery, Entry, Epoch, Message, RequestId, Slot};

use super::node::{Node, said_by};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Invariant {
    Agreement,
    Validity,
    Integrity,
    SenderOrder,
    NoHoles,
    MonotoneTime,
    Durability,
    OneAssignment,
    OneRoster,
    Prefix,
    ClaimOfAllItBeganWith,
    DurableBeforeSaid,
    LinearizableReads,
    ImpossibleEpoch,
    Assertion,
}

/// A slot is delivered after all those that anyone has delivered before.
pub fn check_next(before: &[Arc<Delivery>], next: &Delivery, nodes: &[Arc<Node>]) -> Result<(), Invariant> {
    if next.slot.0 != before.len() as u64 + 1 {
        return Err(Invariant::NoHoles);
    }
    if before.last().is_some_and(|last| last.time_ms > next.time_ms) {
        return Err(Invariant::MonotoneTime);
    }
    let mut last_of_sender = BTreeMap::new();
    for request in before.iter().flat_map(|delivery| &delivery.requests) {
        last_of_sender.insert(request.id.sender, request.id);
    }
    let earlier: Vec<RequestId> =
        before.iter().flat_map(|delivery| &delivery.requests).map(|request| request.id).collect();
    for request in &next.requests {
        let id @ RequestId { sender, incarnation, local_seq } = request.id;
        let proposed = nodes[usize::from(sender.0)].proposed.get(&incarnation).copied().unwrap_or(0);
        if local_seq > proposed || request.commands != [said_by(sender, incarnation, local_seq)] {
            return Err(Invariant::Validity);
        }
        if earlier.contains(&id) {
            return Err(Invariant::Integrity);
        }
        let is_in_order = match last_of_sender.insert(sender, id) {
            Some(last) if last.incarnation == incarnation => local_seq == last.local_seq + 1,
            Some(last) => incarnation > last.incarnation && local_seq == 1,
            None => local_seq == 1,
        };
        if !is_in_order {
            return Err(Invariant::SenderOrder);
        }
    }
    Ok(())
}

/// What is delivered anywhere is on the disks of a majority from then on.
pub fn check_durable(delivered: &[Arc<Delivery>], nodes: &[Arc<Node>]) -> Result<(), Invariant> {
    let is_held = |delivery: &Arc<Delivery>| {
        let is_same =
            |entry: &Entry| entry.bodies == delivery.requests && entry.sequence.time_ms == delivery.time_ms;
        let holders = nodes.iter().filter(|node| {
            node.disk.durable.base.slot >= delivery.slot
                || node.disk.entry(delivery.slot).is_some_and(is_same)
        });
        holders.count() > nodes.len() / 2
    };
    if delivered.iter().all(is_held) { Ok(()) } else { Err(Invariant::Durability) }
}

/// Two logs that share an epoch at a slot agree in it and in all below.
pub fn check_prefix(nodes: &[Arc<Node>]) -> Result<(), Invariant> {
    let logs = || nodes.iter().map(|node| &node.disk.durable.entries);
    for (one, other) in logs().flat_map(|one| logs().map(move |other| (one, other))) {
        let is_shared = |(a, b): (&Entry, &Entry)| a.sequence.epoch == b.sequence.epoch;
        let shared = one.iter().zip(other).rposition(is_shared).map_or(0, |index| index + 1);
        if one[..shared] != other[..shared] {
            return Err(Invariant::Prefix);
        }
    }
    Ok(())
}

/// Who has accepted an epoch, durably, has all of the log that it began with.
pub fn check_claim<'a>(node: &Node, said: impl Iterator<Item = &'a Message>) -> Result<(), Invariant> {
    let accepted = node.disk.durable.accepted;
    let epoch_at = |slot: Slot| node.disk.entry(slot).map(|entry| entry.sequence.epoch);
    for message in said {
        let Body::StartEpoch { epoch, history, .. } = &message.body else { continue };
        let mut from = history.base().1;
        let has_run = |run: &(Epoch, Slot)| {
            let has = (from.0 + 1..=run.1.0).all(|slot| epoch_at(Slot(slot)) == Some(run.0));
            from = run.1;
            has
        };
        if *epoch == accepted && !history.runs().iter().all(has_run) {
            return Err(Invariant::ClaimOfAllItBeganWith);
        }
    }
    Ok(())
}

/// Each slot of an epoch is assigned once, and each epoch has one roster.
pub fn check_said<'a>(new: &Message, said: impl Iterator<Item = &'a Message>) -> Result<(), Invariant> {
    for old in said {
        match (&new.body, &old.body) {
            (Body::Sequence { sequence: a, .. }, Body::Sequence { sequence: b, .. })
                if (a.epoch, a.slot) == (b.epoch, b.slot) && a != b =>
            {
                return Err(Invariant::OneAssignment);
            }
            (
                Body::StartEpoch { epoch: a, roster: seats_a, .. },
                Body::StartEpoch { epoch: b, roster: seats_b, .. },
            ) if a == b && seats_a != seats_b => return Err(Invariant::OneRoster),
            _ => {}
        }
    }
    Ok(())
}
