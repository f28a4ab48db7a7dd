//! What is known of each member from what it sends, and failure detection: who is held to be silent.
//!
//! All of it is a hint. Only what an envelope acknowledges has weight for safety.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use crate::config::Timing;
use crate::ids::{DiskId, Epoch, Incarnation, MemberId, Slot};
use crate::member::Member;
use crate::message::{Body, Envelope, Health};
use crate::rules::Rule;

#[derive(Clone, Debug, Hash)]
pub(crate) struct Peers {
    peers: Vec<Peer>,
    started: Duration,
}

#[derive(Clone, Debug, Hash)]
pub(crate) struct Peer {
    /// The disk that it speaks from. What else is known of it is known of that disk.
    pub(crate) disk: Option<DiskId>,
    /// The group that it is in; 0 if it knows of none.
    pub(crate) group: DiskId,
    /// The latest that was heard; 0 before the first message.
    pub(crate) incarnation: Incarnation,
    /// The highest epoch that it said to have accepted, in this incarnation.
    pub(crate) epoch: Epoch,
    /// What it acknowledged in that epoch.
    pub(crate) acknowledged: Slot,
    /// The epoch that it promised last, and since when it has promised that and not accepted it.
    pub(crate) promised: Epoch,
    pub(crate) stuck_since: Option<Duration>,
    /// What it was told last of what this member acknowledges.
    pub(crate) told: Slot,
    /// It reads, and waits for acknowledgements up to here.
    pub(crate) awaits: Slot,
    pub(crate) health: Health,
    /// Its clock, in milliseconds, minus the time for which this member runs, when it was last heard. That time does not
    /// jump, so the offset stays right whatever this member's own clock is set to meanwhile.
    pub(crate) clock_offset_ms: Option<i64>,
    pub(crate) exclusion: Exclusion,
    /// What may still be resent to it before the next heartbeat.
    pub(crate) resend_budget: ResendBudget,
    last_heard: Option<Duration>,
    lost: Option<Duration>,
}

/// Bytes that may still be resent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResendBudget(usize);

impl ResendBudget {
    /// Whether that much may go out; if so, it is taken off. The last that fits may be larger than what is left.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let may = self.0 > 0;
        self.0 = self.0.saturating_sub(bytes);
        may
    }
}

impl Hash for ResendBudget {
    /// How much is left makes no difference before nothing is.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0 > 0).hash(state);
    }
}

/// A member that was put out of the roster stays out for a while, longer each time.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(crate) struct Exclusion {
    until: Duration,
    length: Duration,
}

impl Exclusion {
    pub(crate) fn holds(&self, now: Duration) -> bool {
        now < self.until
    }

    pub(crate) fn put_out(&mut self, now: Duration, timing: &Timing) {
        let is_repeated = self.length > Duration::ZERO && now < self.until + timing.put_out_most;
        self.length = if is_repeated { (self.length * 2).min(timing.put_out_most) } else { timing.put_out };
        self.until = now + self.length;
    }
}

impl Peer {
    fn unknown() -> Self {
        let nothing = Epoch { counter: 0, coordinator: MemberId(0) };
        Peer {
            disk: None,
            group: DiskId(0),
            incarnation: Incarnation(0),
            epoch: nothing,
            acknowledged: Slot(0),
            promised: nothing,
            stuck_since: None,
            told: Slot(0),
            awaits: Slot(0),
            health: Health::Healthy,
            clock_offset_ms: None,
            exclusion: Exclusion::default(),
            resend_budget: ResendBudget(0),
            last_heard: None,
            lost: None,
        }
    }
}

impl Peers {
    pub(crate) fn new(members: u16, now: Duration) -> Self {
        Peers { peers: vec![Peer::unknown(); usize::from(members)], started: now }
    }

    pub(crate) fn get(&self, member: MemberId) -> &Peer {
        &self.peers[usize::from(member.0)]
    }

    pub(crate) fn get_mut(&mut self, member: MemberId) -> &mut Peer {
        &mut self.peers[usize::from(member.0)]
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.peers.iter_mut()
    }

    /// Whether a peer has not been told of this acknowledgement.
    pub(crate) fn any_untold(&self, me: MemberId, acknowledged: Slot) -> bool {
        let others = self.peers.iter().enumerate().filter(|(index, _)| *index != usize::from(me.0));
        others.map(|(_, peer)| peer).any(|peer| peer.told < acknowledged)
    }

    /// A member begins to speak from another disk: what was known of it was known of its last one.
    pub(crate) fn speaks_from(&mut self, member: MemberId, disk: DiskId) {
        let peer = self.get_mut(member);
        *peer = Peer { disk: Some(disk), resend_budget: peer.resend_budget, ..Peer::unknown() };
    }

    /// The list of members says so. It has as long as anybody before it is held to be silent.
    pub(crate) fn is_said_to_speak_from(&mut self, member: MemberId, disk: DiskId, now: Duration) {
        self.speaks_from(member, disk);
        self.get_mut(member).last_heard = Some(now);
    }

    /// A message came from the latest known incarnation, or a later one.
    pub(crate) fn heard(&mut self, from: MemberId, envelope: &Envelope, now: Duration, timing: &Timing) {
        let peer = self.get_mut(from);
        if envelope.incarnation > peer.incarnation {
            peer.incarnation = envelope.incarnation;
            (peer.epoch, peer.acknowledged) = (envelope.epoch, Slot(0));
            (peer.promised, peer.stuck_since) = (envelope.epoch, None);
            peer.health = Health::Healthy;
            peer.awaits = Slot(0);
            peer.lost = None;
        }
        peer.group = envelope.group;
        peer.last_heard = Some(now);
        if peer.lost.is_some_and(|lost| now >= lost + timing.lost_grace) {
            peer.lost = None;
        }
        if envelope.promised > peer.promised {
            peer.promised = envelope.promised;
            peer.stuck_since = Some(now);
        }
        if envelope.epoch >= peer.promised {
            peer.stuck_since = None;
        }
        if envelope.epoch > peer.epoch {
            (peer.epoch, peer.acknowledged) = (envelope.epoch, envelope.acknowledged);
        } else if envelope.epoch == peer.epoch {
            peer.acknowledged = peer.acknowledged.max(envelope.acknowledged);
        }
    }

    /// Not heard for this long, or lost.
    pub(crate) fn is_silent(
        &self,
        member: MemberId,
        now: Duration,
        limit: Duration,
        timing: &Timing,
    ) -> bool {
        let peer = self.get(member);
        match peer.last_heard {
            None => now >= self.started + timing.first_contact,
            Some(heard) => peer.lost.is_some() || now >= heard + limit,
        }
    }
}

impl Member {
    pub(crate) fn peer_lost(&mut self, peer: MemberId) {
        if peer == self.me || peer.0 >= self.config.members {
            self.counters.malformed += 1;
            return;
        }
        self.peers.get_mut(peer).lost = Some(self.now.monotonic);
        self.change.look_again(self.now.monotonic);
    }

    pub(crate) fn is_silent(&self, member: MemberId) -> bool {
        self.is_silent_for(member, self.config.timing.silence)
    }

    pub(crate) fn is_silent_for(&self, member: MemberId, limit: Duration) -> bool {
        member != self.me && self.peers.is_silent(member, self.now.monotonic, limit, &self.config.timing)
    }

    /// Whether enough members are heard, with this one, to make a majority.
    pub(crate) fn hears_majority(&self) -> bool {
        // Who was not heard at all yet is not silent for a while after the start.
        let may_count = |member: MemberId| self.disk_of(member).is_none() || self.counts(member);
        let heard = |member: &MemberId| may_count(*member) && !self.is_silent(*member);
        self.member_ids().filter(heard).count() >= self.config.majority()
    }

    /// Says that this member lives, and renews what may be resent.
    pub(crate) fn beat(&mut self) {
        let budget = self.config.bounds.max_resend_bytes_per_interval;
        for peer in self.peers.iter_mut() {
            peer.resend_budget = ResendBudget(budget);
        }
        let body = Body::Heartbeat { wall_ms: self.now.wall_ms, health: self.health() };
        self.send_all(body);
    }

    pub(crate) fn heard_heartbeat(&mut self, from: MemberId, wall_ms: u64, health: Health) {
        let offset = self.offset_of_clock(wall_ms);
        let peer = self.peers.get_mut(from);
        peer.clock_offset_ms = Some(offset);
        peer.health = health;
    }

    /// A clock that reads this now, minus the time for which this member runs.
    fn offset_of_clock(&self, wall_ms: u64) -> i64 {
        let running = i64::try_from(self.now.monotonic.as_millis()).unwrap_or(i64::MAX);
        i64::try_from(wall_ms).unwrap_or(i64::MAX).saturating_sub(running)
    }

    /// Whether this member may take turns: its disk answers, and its clock agrees with those of its peers.
    pub(crate) fn health(&self) -> Health {
        if self.disk.is_slow(self.now.monotonic, &self.config.timing) {
            return Health::SlowDisk;
        }
        if self.clock_offset_of_median().is_some_and(|offset| offset.saturating_abs() > self.clock_skew_ms())
        {
            return Health::SkewedClock;
        }
        Health::Healthy
    }

    /// This member's clock as far as its peers' agree with it: no further from their median than that of a healthy member is.
    /// So a clock that was set wrong moves the group's time no further than that, also before it has cost the turn.
    ///
    /// Others don't refuse a time that seems absurd to them: whether it does depends on their own clocks, and a slot that some
    /// store and others refuse would stop the group.
    #[must_use]
    pub fn agreed_wall_ms(&self) -> u64 {
        let mine = self.now.wall_ms;
        let offset = self.clock_offset_of_median().filter(|_| self.config.keeps(Rule::TimeNearTheMedian));
        let Some(offset) = offset else { return mine };
        let median = mine.saturating_add_signed(offset);
        let skew = self.clock_skew_ms().unsigned_abs();
        mine.clamp(median.saturating_sub(skew), median.saturating_add(skew))
    }

    fn clock_skew_ms(&self) -> i64 {
        i64::try_from(self.config.timing.clock_skew.as_millis()).unwrap_or(i64::MAX)
    }

    /// How far the median of this clock and those that were heard since the start is ahead of this one; of two in the middle, the
    /// one that is behind, since time that went ahead can't be taken back. None if no other clock was heard yet.
    fn clock_offset_of_median(&self) -> Option<i64> {
        let heard = self.peer_ids().filter(|peer| self.counts(*peer));
        let mut offsets: Vec<i64> = heard.filter_map(|peer| self.peers.get(peer).clock_offset_ms).collect();
        if offsets.is_empty() {
            return None;
        }
        let mine = self.offset_of_clock(self.now.wall_ms);
        offsets.push(mine);
        offsets.sort_unstable();
        offsets.get((offsets.len() - 1) / 2).map(|median| median.saturating_sub(mine))
    }
}
