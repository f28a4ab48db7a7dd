//! From a promised epoch to an accepted one: find where the own log parts from the one that the epoch starts from, fetch the
//! rest, and accept. A coordinator does this with the best log that was promised; then the others with the coordinator's.

use std::sync::Arc;
use std::time::Duration;

use crate::disk::Then;
use crate::gaps::pause;
use crate::history::{Fork, History};
use crate::ids::{Epoch, MemberId, RosterEntry, Slot};
use crate::log::{Log, Tip};
use crate::member::Member;
use crate::members::MemberList;
use crate::message::{Body, Reason};
use crate::port::{Base, Entry, Write};
use crate::rules::Rule;
use crate::status::{CatchUp, Means};

/// An epoch, and all that is needed to accept it.
#[derive(Clone, Debug, Hash)]
pub(super) struct Start {
    pub(super) epoch: Epoch,
    pub(super) roster: Vec<RosterEntry>,
    /// The shape of the log that it starts from.
    pub(super) target: History,
    /// The accepted epoch of those that have this log.
    pub(super) history: Epoch,
    /// Some of those.
    pub(super) sources: Vec<MemberId>,
    /// The list of members at the start of that log: it serves if the log starts at the very start.
    pub(super) first: Arc<MemberList>,
    /// Why it was begun, if that is known.
    pub(super) why: Option<Reason>,
    pub(super) role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Role {
    /// Announces the epoch once it has accepted it.
    Coordinator,
    Follower,
}

#[derive(Clone, Debug, Hash)]
pub(crate) struct Transition {
    start: Start,
    part: Part,
    attempt: u32,
    retry: Duration,
}

/// What is here of the log that an epoch starts from. It outlives the epoch that it was fetched for: who is far behind while
/// epochs come and go would begin again with each of them, and never be done.
#[derive(Clone, Debug, Hash)]
pub(super) struct Part {
    /// What the new log has in common with the old one, or the snapshot that replaces that.
    from: From,
    /// Beyond that, what was fetched so far.
    fetched: Vec<Entry>,
    /// The end of what is fetched; none while a snapshot is awaited.
    tip: Option<Tip>,
}

#[derive(Clone, Debug, Hash)]
enum From {
    Log(Slot),
    Snapshot(Base),
}

impl Transition {
    pub(super) fn epoch(&self) -> Epoch {
        self.start.epoch
    }

    pub(super) fn due(&self) -> Duration {
        self.retry
    }

    /// The whole log that the epoch starts from is here.
    fn is_complete(&self) -> bool {
        self.part.tip.as_ref().is_some_and(|tip| tip.slot >= self.start.target.last())
    }
}

impl Member {
    pub(crate) fn take_start(
        &mut self,
        from: MemberId,
        epoch: Epoch,
        roster: Vec<RosterEntry>,
        target: History,
        first: Arc<MemberList>,
        why: Option<Reason>,
    ) {
        let seats_rise = roster.windows(2).all(|pair| pair[0].member < pair[1].member);
        let seats_exist = roster.last().is_some_and(|seat| seat.member.0 < self.config.members)
            && first.seats.len() == usize::from(self.config.members);
        if !(seats_rise && seats_exist) {
            self.counters.malformed += 1;
            return;
        }
        if epoch <= self.accepted || epoch < self.promised {
            self.counters.stale += 1;
            return;
        }
        match &mut self.change.transition {
            Some(transition) if transition.epoch() == epoch => {
                let sources = &mut transition.start.sources;
                if transition.start.role == Role::Follower && !sources.contains(&from) {
                    sources.push(from);
                }
                transition.start.why = transition.start.why.or(why);
            }
            _ => {
                let (history, sources, role) = (epoch, vec![from], Role::Follower);
                self.begin_transition(Start { epoch, roster, target, history, sources, first, why, role });
            }
        }
    }

    /// What this member fetches before it can accept the epoch that it was told of.
    pub(crate) fn catches_up_for_epoch(&self) -> Option<CatchUp> {
        let transition = self.change.transition.as_ref().filter(|it| it.start.role == Role::Follower)?;
        let upto = transition.start.target.last();
        Some(match &transition.part.tip {
            Some(tip) => CatchUp { at: tip.slot, upto, by: Means::Log },
            None => CatchUp { at: self.acks.delivered, upto, by: Means::Snapshot },
        })
    }

    pub(super) fn begin_transition(&mut self, start: Start) {
        let fork = match History::fork(self.log.history(), &start.target) {
            Fork::After(_) if !self.config.keeps(Rule::DropWhatDiffers) => {
                Fork::After(self.log.last().min(start.target.last()))
            }
            fork => fork,
        };
        let from = match fork {
            // Nothing that is committed is ever dropped.
            Fork::After(slot) if slot >= self.acks.settled => Some(slot),
            Fork::BelowBase => None,
            Fork::After(_) | Fork::Impossible => {
                self.counters.impossible += 1;
                return;
            }
        };
        if self.is_empty() && !self.may_join(&start.first) {
            return;
        }
        let whole = self.whole_log(&start);
        self.set_transition_aside();
        if start.epoch > self.promised && from != Some(start.target.last()) {
            self.raise_promise(start.epoch);
        }
        let own = Part {
            tip: match &whole {
                Some(base) => Some(Tip::new(self.config.members, self.config.kept(), base)),
                None => from.map(|slot| self.log.tip_at(slot)),
            },
            from: match whole {
                Some(base) => From::Snapshot(base),
                None => From::Log(from.unwrap_or(self.log.base().slot)),
            },
            fetched: Vec::new(),
        };
        let earlier = self.change.set_aside.take();
        let part =
            earlier.and_then(|part| self.as_far_as_it_serves(part, &start.target, &own)).unwrap_or(own);
        self.change.moved = self.now.monotonic;
        self.change.transition = Some(Transition { start, part, attempt: 0, retry: self.now.monotonic });
        self.go_on_with_transition();
    }

    /// The way into an epoch ends here. What was fetched may be of use for the next one.
    pub(super) fn set_transition_aside(&mut self) {
        if let Some(transition) = self.change.transition.take() {
            self.change.set_aside = Some(transition.part);
        }
    }

    /// Of what was fetched for another epoch, that which is of this log too; none if there is no more than without it.
    ///
    /// What was fetched is a part of a log of that epoch's history, so the prefix property holds between the two. And what a
    /// snapshot covers was committed in no later epoch than that one, so it is in the history of each later one.
    fn as_far_as_it_serves(&self, mut part: Part, target: &History, own: &Part) -> Option<Part> {
        let end = part.tip.as_ref()?.slot;
        let mut shape = match &part.from {
            From::Snapshot(base) => History::empty(base.epoch, base.slot),
            From::Log(slot) if *slot >= self.log.base().slot => self.log.history().prefix(*slot),
            From::Log(_) => return None,
        };
        for entry in &part.fetched {
            shape.push(entry.sequence.epoch, entry.sequence.slot);
        }
        let Fork::After(slot) = History::fork(&shape, target) else { return None };
        if own.tip.as_ref().is_some_and(|tip| tip.slot >= slot) {
            return None;
        }
        if slot < end {
            part.fetched.retain(|entry| entry.sequence.slot <= slot);
            let mut tip = match &part.from {
                From::Snapshot(base) => Tip::new(self.config.members, self.config.kept(), base),
                From::Log(slot) => self.log.tip_at(*slot),
            };
            for entry in &part.fetched {
                tip.follow(entry).ok()?;
            }
            part.tip = Some(tip);
        }
        Some(part)
    }

    /// What the log starts from, if this member knows of no group and the peers' log is whole.
    fn whole_log(&self, start: &Start) -> Option<Base> {
        let is_whole = start.target.base() == (Epoch::FOUNDING, Slot(0));
        (self.is_empty() && is_whole).then(|| Base::founded(MemberList::clone(&start.first)))
    }

    /// Accepts the epoch if all is here; else asks for the next part.
    fn go_on_with_transition(&mut self) {
        if let Some(transition) = self.change.transition.take_if(|transition| {
            transition.is_complete()
                || (transition.part.tip.is_some() && !self.config.keeps(Rule::NeverClaimWithLess))
        }) {
            self.accept(transition);
        } else if self.change.transition.is_some() {
            self.fetch_for_transition();
        }
    }

    fn fetch_for_transition(&mut self) {
        let now = self.now.monotonic;
        let timing = &self.config.timing;
        let Some(transition) = &mut self.change.transition else { return };
        transition.retry = now + pause(transition.attempt, timing);
        let history = transition.start.history;
        let others = (0..self.config.members).map(MemberId).filter(|member| {
            *member != self.me
                && self.peers.get(*member).epoch == history
                && !transition.start.sources.contains(member)
        });
        let sources: Vec<MemberId> = transition.start.sources.iter().copied().chain(others).collect();
        let turn = usize::try_from(transition.attempt).unwrap_or(0).checked_rem(sources.len());
        let giver = self.gaps.turn_of_giver(transition.attempt).filter(|giver| sources.contains(giver));
        let Some(source) = giver.or(turn.map(|turn| sources[turn])) else { return };
        transition.attempt += 1;
        match &transition.part.tip {
            Some(tip) => {
                let (from, upto) = (tip.slot.next(), transition.start.target.last());
                self.counters.asked += 1;
                self.send(source, Body::AskEntries { history, from, upto });
            }
            None => self.need_snapshot(source),
        }
    }

    pub(super) fn run_transition_timer(&mut self) {
        if self.change.transition.as_ref().is_some_and(|transition| self.now.monotonic >= transition.retry) {
            self.fetch_for_transition();
        }
    }

    /// Who knows of no group, and does not come into the epoch that it was told of, forgets about that: the only member that had
    /// accepted it may have lost its disk, and the group may have to go on from a lower one. It has promised nothing to anybody, so
    /// nobody counts on it. Who is in a group can't do so; that asks for the next epoch instead.
    pub(super) fn give_up_if_empty(&mut self) {
        let Some(transition) = self.change.transition.as_ref().filter(|_| self.is_empty()) else { return };
        let timing = &self.config.timing;
        // It is not seen how a snapshot comes along.
        let limit = if transition.part.tip.is_some() { 2 * timing.change_timeout } else { timing.hold_log };
        if self.now.monotonic >= self.change.moved + limit {
            self.set_transition_aside();
            self.promised = self.accepted;
        }
    }

    pub(crate) fn take_entries_of_change(
        &mut self,
        from: MemberId,
        history: Epoch,
        base: Slot,
        entries: Vec<Entry>,
    ) {
        let Some(transition) = self.change.transition.as_mut().filter(|it| it.start.history == history)
        else {
            self.counters.stale += 1;
            return;
        };
        let Some(tip) = &mut transition.part.tip else { return };
        if base > tip.slot {
            self.log_of_peer_is_too_short(from);
            return;
        }
        let before = tip.slot;
        for entry in entries.into_iter().filter(|entry| entry.sequence.slot > before) {
            let is_meant =
                transition.start.target.epoch_at(entry.sequence.slot) == Some(entry.sequence.epoch);
            let mut next = tip.clone();
            if !is_meant || next.follow(&entry).is_err() {
                break;
            }
            *tip = next;
            transition.part.fetched.push(entry);
        }
        if tip.slot > before {
            self.gaps.was_of_use(from);
            transition.attempt = 0;
            self.change.moved = self.now.monotonic;
            self.go_on_with_transition();
        }
    }

    /// A snapshot is installed. It is of use if what it covers is of this epoch's history: committed in no later one.
    pub(super) fn take_snapshot_into_transition(&mut self, epoch: Epoch, base: &Base) {
        let (members, kept) = (self.config.members, self.config.kept());
        let Some(transition) = &mut self.change.transition else { return };
        let is_ahead = transition.part.tip.as_ref().is_none_or(|tip| base.slot > tip.slot);
        let is_part = epoch <= transition.epoch() || !kept.keeps(Rule::SnapshotOfNoLaterEpoch);
        if is_part && is_ahead {
            let tip = Some(Tip::new(members, kept, base));
            transition.part = Part { from: From::Snapshot(base.clone()), fetched: Vec::new(), tip };
            transition.attempt = 0;
            self.change.moved = self.now.monotonic;
            self.go_on_with_transition();
        }
    }

    /// Accepts an epoch: the log and the claim to have it become durable in one step.
    fn accept(&mut self, transition: Transition) {
        let Transition { start, part: Part { from, fetched, .. }, .. } = transition;
        debug_assert!(start.epoch > self.accepted && start.epoch >= self.promised);
        // What was committed while the rest was fetched is a part of what is kept, if all keep the protocol.
        if matches!(from, From::Log(kept) if kept < self.acks.settled) {
            self.counters.impossible += 1;
            return;
        }
        self.write_unwritten();
        let mut writes = self.replace_log(from);
        for entry in &fetched {
            let follows = self.log.append(entry.clone());
            debug_assert_eq!(follows, Ok(()));
            entry.sequence.requests.iter().for_each(|id| self.pending.sequenced(*id));
        }
        for change in fetched.iter().filter_map(|entry| entry.sequence.change) {
            self.list_has_changed(change);
        }
        if !fetched.is_empty() {
            writes.push(Write::Append(fetched));
        }
        self.note_who_is_put_out(&start.roster);
        let Start { epoch, roster, why, role, .. } = start;
        writes.push(Write::Accept { epoch, roster: roster.clone() });
        (self.promised, self.accepted, self.roster, self.why) = (epoch, epoch, roster, why);
        self.persist(writes, Then::Accepted { epoch, slot: self.log.last() });
        self.enter_epoch(role);
    }

    /// Drops what the new log does not have in common with the old one.
    fn replace_log(&mut self, from: From) -> Vec<Write> {
        let kept = match &from {
            From::Log(slot) => *slot,
            From::Snapshot(_) => self.log.base().slot,
        };
        let mut writes = Vec::new();
        let dropped = self.log.truncate_after(kept);
        if !dropped.is_empty() {
            writes.push(Write::TruncateAfter(kept));
        }
        if self.config.keeps(Rule::DroppedIsPendingAgain) {
            self.pending.put_back(&dropped, &self.log.tip().sequenced);
        }
        if let From::Snapshot(base) = from {
            self.log = Log::new(self.config.members, self.config.kept(), base.clone());
            self.pending.skip_to(&self.log.tip().sequenced);
            self.acks.settled = base.slot;
            writes.push(Write::Purge(base));
        }
        writes
    }

    fn note_who_is_put_out(&mut self, roster: &[RosterEntry]) {
        let is_out = |old: &&RosterEntry| roster.iter().all(|seat| seat.member != old.member);
        for seat in self.roster.iter().filter(is_out) {
            self.peers.get_mut(seat.member).exclusion.put_out(self.now.monotonic, &self.config.timing);
        }
    }

    /// This member has founded the group.
    pub(crate) fn enter_founded_epoch(&mut self) {
        self.enter_epoch(Role::Coordinator);
    }

    fn enter_epoch(&mut self, role: Role) {
        let last = self.log.last();
        self.begin_acks(last);
        self.sequencing.enter_epoch(self.accepted, last);
        self.restart_reads();
        let change = &mut self.change;
        (change.want, change.question, change.preparation, change.agreed) = (None, None, None, None);
        change.set_aside = None;
        change.ask_epoch = None;
        change.failures = 0;
        change.caught_up_since = None;
        change.announces = (role == Role::Coordinator).then_some(self.accepted);
        change.look_again(self.now.monotonic + self.config.timing.change_retry);
        self.counters.epochs_accepted += 1;
    }

    /// The accepted epoch is durable here.
    pub(crate) fn epoch_is_durable(&mut self, epoch: Epoch) {
        if self.change.announces.take_if(|announced| *announced == epoch).is_some() {
            let body = self.start_of_epoch();
            self.send_all(body);
        }
    }

    /// What a member needs to accept this member's epoch. What is committed since may stand for what it started from.
    fn start_of_epoch(&self) -> Body {
        let floor = self.acks.epoch_floor.max(self.log.base().slot);
        Body::StartEpoch {
            epoch: self.accepted,
            roster: self.roster.clone(),
            history: self.log.history().prefix(floor),
            members: Arc::clone(&self.log.base().members),
            why: self.why,
        }
    }

    /// A peer has not heard of this member's epoch.
    pub(crate) fn send_epoch(&mut self, to: MemberId) {
        if self.change.announces.is_none() {
            let body = self.start_of_epoch();
            self.send(to, body);
        }
    }
}
