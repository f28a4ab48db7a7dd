//! A member: all that it remembers, and the step function that hands each input to the mechanism it concerns.

use std::time::Duration;

use crate::acks::Acks;
use crate::config::Config;
use crate::disk::Disk;
use crate::epoch_change::{Change, Promised};
use crate::founding::Founding;
use crate::gaps::Gaps;
use crate::holds::Holds;
use crate::ids::{DiskId, Epoch, Incarnation, MemberId, RosterEntry, Slot};
use crate::log::Log;
use crate::message::{Body, Envelope, Message, Reason};
use crate::own::Own;
use crate::peers::Peers;
use crate::pending::Pending;
use crate::port::{Base, Durable, Input, Now, Output};
use crate::random::Random;
use crate::reads::Reads;
use crate::sequencing::Sequencing;
use crate::status::Counters;

/// One member of the group.
#[derive(Clone, Debug)]
pub struct Member {
    pub(crate) config: Config,
    pub(crate) me: MemberId,
    pub(crate) disk_id: DiskId,
    pub(crate) incarnation: Incarnation,
    /// A higher incarnation is on its way to disk.
    pub(crate) is_raising: bool,
    pub(crate) now: Now,
    pub(crate) out: Vec<Output>,
    pub(crate) counters: Counters,
    /// The epoch that this member prepared last, and why. Only told.
    pub(crate) prepared: Option<(Epoch, Reason)>,
    /// Why the accepted epoch was begun; none if that is not known (any more). Only told.
    pub(crate) why: Option<Reason>,
    pub(crate) random: Random,
    /// Never below `accepted`. While it is above, nothing is stored, acknowledged or assigned.
    pub(crate) promised: Epoch,
    /// The log is a prefix of this epoch's history, with at least what the epoch started from.
    pub(crate) accepted: Epoch,
    pub(crate) roster: Vec<RosterEntry>,
    pub(crate) log: Log,
    pub(crate) disk: Disk,
    pub(crate) own: Own,
    pub(crate) pending: Pending,
    pub(crate) sequencing: Sequencing,
    pub(crate) acks: Acks,
    pub(crate) gaps: Gaps,
    pub(crate) holds: Holds,
    pub(crate) reads: Reads,
    pub(crate) peers: Peers,
    pub(crate) change: Change,
    pub(crate) founding: Founding,
    pub(crate) heartbeat_due: Duration,
}

impl Member {
    /// A member that starts with what it finds on its disk.
    ///
    /// # Panics
    /// `Config::check` or `Durable::check` would have found something wrong.
    #[must_use]
    pub fn new(config: Config, durable: Durable, now: Now) -> Self {
        assert!(config.check().is_ok(), "see Config::check");
        let members = config.members;
        let founding = Founding::new(&durable, members, now.monotonic);
        let mut log = Log::new(members, config.kept(), durable.base);
        for entry in durable.entries {
            assert!(log.append(entry).is_ok(), "the log on disk is broken: see Durable::check");
        }
        let mut pending =
            Pending::new(members, config.kept(), &log.tip().sequenced, config.bounds.request_window());
        pending.announce(config.me, durable.incarnation, 0, &log.tip().sequenced);
        let epoch_floor = log.floor_of(durable.accepted);
        // By the prefix property: if the log has that slot from that epoch, it has the same below it.
        let agrees = log.history().epoch_at(durable.applied) == Some(durable.applied_epoch);
        let settled = if agrees { durable.applied } else { log.base().slot };
        Member {
            me: config.me,
            disk_id: durable.disk,
            incarnation: durable.incarnation,
            is_raising: false,
            now,
            out: Vec::new(),
            counters: Counters::default(),
            prepared: None,
            why: None,
            random: Random::new(config.seed ^ (u64::from(config.me.0) << 32) ^ durable.incarnation.0),
            promised: durable.promised.max(durable.accepted),
            accepted: durable.accepted,
            roster: durable.roster,
            disk: Disk::default(),
            own: Own::default(),
            sequencing: Sequencing::new(durable.accepted),
            acks: Acks::new(settled, log.last(), durable.applied, epoch_floor),
            gaps: Gaps::new(members),
            holds: Holds::new(members),
            reads: Reads::default(),
            peers: Peers::new(members, now.monotonic),
            change: Change::new(durable.promised.max(durable.accepted), now.monotonic),
            founding,
            heartbeat_due: now.monotonic,
            log,
            pending,
            config,
        }
    }

    /// Takes in what happened; adds what is to be done.
    pub fn step(&mut self, now: Now, input: Input, outputs: &mut Vec<Output>) {
        std::mem::swap(&mut self.out, outputs);
        self.now = Now { monotonic: now.monotonic.max(self.now.monotonic), wall_ms: now.wall_ms };
        match input {
            Input::Receive { from, message } => self.receive(from, message),
            Input::Propose { proposal, commands } => self.propose(proposal, commands),
            Input::Read { read } => self.read(read),
            Input::Persisted { upto } => self.persisted(upto),
            Input::StateDurable { slot } => self.state_durable(slot),
            Input::SnapshotInstalled { from, epoch, base } => self.snapshot_installed(from, epoch, base),
            Input::GivesSnapshot { to, slot } => self.gives_snapshot(to, slot),
            Input::PeerLost { peer } => self.peer_lost(peer),
            Input::Tick => {}
        }
        self.run_timers();
        self.settle();
        self.check_invariants();
        std::mem::swap(&mut self.out, outputs);
    }

    /// When `Input::Tick` is due next, in monotonic time, if nothing happens before.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Duration> {
        let due =
            [self.acks.due(), self.gaps.due(), self.reads.due(), self.change.due(), self.founding_due()];
        due.into_iter().flatten().chain([self.heartbeat_due]).min()
    }

    /// The protocol's part of a snapshot of the state at a delivered slot, and the accepted epoch, which a peer that
    /// installs the snapshot is to be told. None if the log does not reach back to that slot, or this member does not know (yet,
    /// after a start) that its log is committed up to there.
    #[must_use]
    pub fn base_at(&self, slot: Slot) -> Option<(Epoch, Base)> {
        if slot > self.acks.delivered || slot > self.acks.settled {
            return None;
        }
        Some((self.accepted, self.log.base_at(slot)?))
    }

    fn receive(&mut self, from: MemberId, message: Message) {
        if from == self.me || from.0 >= self.config.members {
            self.counters.malformed += 1;
            return;
        }
        if !self.observe(from, &message.envelope) {
            return;
        }
        let envelope = message.envelope;
        match message.body {
            Body::Ack => {}
            Body::Heartbeat { wall_ms, health } => self.heard_heartbeat(from, wall_ms, health),
            Body::Requests(requests) => self.take_requests(from, &envelope, requests),
            Body::Sequence { sequence, requests } => {
                self.take_requests(from, &envelope, requests);
                self.take_sequence(from, &envelope, sequence);
            }
            Body::AskRequests { incarnation, from: first, upto } => {
                self.resend_requests(from, incarnation, first, upto);
            }
            Body::AskEntries { history, from: first, upto } => {
                self.resend_entries(from, history, first, upto)
            }
            Body::Entries { history, base, entries } => self.take_entries(from, history, base, entries),
            Body::ReadQuery { round } => self.answer_read(from, &envelope, round),
            Body::ReadAnswer { reader, round, slot } => {
                self.take_read_answer(from, &envelope, reader, round, slot)
            }
            Body::AskChange { question, reason, last } => {
                self.answer_change(from, &envelope, question, reason, last)
            }
            Body::AnswerChange { asker, question, opinion } => {
                self.take_opinion(from, asker, question, opinion)
            }
            Body::Prepare { epoch } => self.take_prepare(from, epoch),
            Body::Promise { epoch, accepted, history, members, health } => {
                let promised = Promised {
                    disk: envelope.disk,
                    incarnation: envelope.incarnation,
                    accepted,
                    history,
                    members,
                    health,
                };
                self.take_promise(from, epoch, promised);
            }
            Body::StartEpoch { epoch, roster, history, members, why } => {
                self.take_start(from, epoch, roster, history, members, why);
            }
            Body::AskEmpty => self.take_ask_empty(from, envelope.disk),
            Body::Empty { founder } => self.take_empty(from, &envelope, founder),
            Body::AskEpoch => self.send_epoch(from),
        }
    }

    /// What the envelope of whatever arrives tells. False: it comes from another group, from a disk or an incarnation that is
    /// gone.
    fn observe(&mut self, from: MemberId, envelope: &Envelope) -> bool {
        let (mine, theirs) = (self.list().group, envelope.group);
        let is_foreign = mine != DiskId(0) && theirs != DiskId(0) && mine != theirs;
        // Its group is not on its disk yet.
        let is_unsettled = theirs == DiskId(0) && envelope.epoch.counter > 0;
        if is_foreign || is_unsettled || !self.hears_disk(from, envelope.disk) {
            self.counters.stale += 1;
            return false;
        }
        let known = self.peers.get(from).incarnation;
        if envelope.incarnation < known {
            self.counters.stale += 1;
            return false;
        }
        self.peers.heard(from, envelope, self.now.monotonic, &self.config.timing);
        if envelope.incarnation > known {
            self.change.look_again(self.now.monotonic);
        }
        if self.counts(from) {
            self.pending.announce(from, envelope.incarnation, envelope.sent, &self.log.tip().sequenced);
        }
        self.change.seen(envelope.promised.max(envelope.epoch));
        if envelope.epoch > self.accepted {
            self.noticed_epoch(from, envelope.epoch);
        }
        true
    }

    /// Of two disks that speak for one member, the one is heard that has the seat, or that was heard first while it still is.
    fn hears_disk(&mut self, from: MemberId, disk: DiskId) -> bool {
        let known = self.peers.get(from).disk;
        if known == Some(disk) {
            return true;
        }
        let hears = known.is_none() || self.list().names(from, disk) || self.is_silent(from);
        if hears {
            self.peers.speaks_from(from, disk);
            // What its last disk sent may have been for a group that never came to be, under ids that this one gives out anew.
            self.pending.forget(from, &self.log.tip().sequenced);
            self.change.look_again(self.now.monotonic);
        }
        hears
    }

    fn run_timers(&mut self) {
        let now = self.now.monotonic;
        if now >= self.heartbeat_due {
            self.heartbeat_due = now + self.config.timing.heartbeat;
            self.beat();
        }
        self.run_gap_timers();
        self.run_read_timers();
        self.run_change_timers();
        self.run_founding_timer();
    }

    /// Draws all consequences: what can be stored, assigned, committed, delivered, answered.
    fn settle(&mut self) {
        self.advance();
        self.send_unsent();
        self.write_unwritten();
        self.commit();
        self.raise_incarnation();
        self.deliver();
        self.start_read_rounds();
        self.watch_gaps();
        self.send_acks();
    }

    pub(crate) fn member_ids(&self) -> impl Iterator<Item = MemberId> + use<> {
        (0..self.config.members).map(MemberId)
    }

    pub(crate) fn peer_ids(&self) -> impl Iterator<Item = MemberId> + use<> {
        let me = self.me;
        self.member_ids().filter(move |member| *member != me)
    }

    /// The roster's place that owns a slot.
    pub(crate) fn owner(&self, slot: Slot) -> RosterEntry {
        owner(&self.roster, slot).unwrap_or(RosterEntry { member: self.me, incarnation: Incarnation(0) })
    }

    /// An epoch is promised that is not accepted.
    pub(crate) fn is_changing_epoch(&self) -> bool {
        self.promised > self.accepted
    }

    fn envelope(&self) -> Envelope {
        Envelope {
            group: if self.founding.is_in_group { self.list().group } else { DiskId(0) },
            disk: self.disk_id,
            incarnation: self.incarnation,
            epoch: self.accepted,
            promised: self.promised,
            acknowledged: self.acknowledged(),
            sent: self.own.sent(),
        }
    }

    pub(crate) fn send(&mut self, to: MemberId, body: Body) {
        debug_assert_ne!(to, self.me);
        let envelope = self.envelope();
        self.peers.get_mut(to).told = envelope.acknowledged;
        self.out.push(Output::Send { to, message: Message { envelope, body } });
    }

    pub(crate) fn send_all(&mut self, body: Body) {
        let envelope = self.envelope();
        for peer in self.peers.iter_mut() {
            peer.told = envelope.acknowledged;
        }
        if self.config.members > 1 {
            self.out.push(Output::SendAll { message: Message { envelope, body } });
        }
    }
}

/// The place of a roster that owns a slot.
pub(crate) fn owner(roster: &[RosterEntry], slot: Slot) -> Option<RosterEntry> {
    let turn = slot.0.checked_rem(roster.len() as u64)?;
    roster.get(usize::try_from(turn).ok()?).copied()
}
