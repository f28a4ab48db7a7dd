//! Bounds and timeouts. What happens at each bound is said beside it.

use std::time::Duration;

use crate::ids::MemberId;

/// How a member is set up. All members of a group must agree on `members` and on the bounds of requests and slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This member.
    pub me: MemberId,
    /// How many members there are; they are numbered from 0. At most [`Config::MOST_MEMBERS`].
    pub members: u16,
    /// Seeds the random delays that keep members from disturbing each other.
    pub seed: u64,
    /// What is bounded.
    pub bounds: Bounds,
    /// When things are due.
    pub timing: Timing,
    /// For tests of the tests: a rule that this member does not keep.
    #[cfg(feature = "breakable")]
    pub broken: Option<crate::Rule>,
}

/// Bounds on all that is held, and on what is sent at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// A request may not be larger: refused.
    pub max_request_bytes: usize,
    /// Own requests not sequenced yet: more are refused as overload.
    pub max_unsequenced_requests: usize,
    /// The bytes of these: more are refused as overload.
    pub max_unsequenced_bytes: usize,
    /// A slot takes no more requests: the rest waits for the next slot.
    pub max_slot_requests: usize,
    /// A slot takes no further request once it holds this much.
    pub max_slot_bytes: usize,
    /// An owner assigns nothing while this many slots are not committed; proposals are then refused as overload.
    pub max_uncommitted_slots: u64,
    /// As above, in bytes.
    pub max_uncommitted_bytes: usize,
    /// Sequences beyond the first gap that are kept; those further ahead are dropped and fetched later.
    pub max_future_slots: u64,
    /// A member may take turns, or want to, if its log ends at most this many slots behind the longest.
    pub max_roster_lag_slots: u64,
    /// The log above the last snapshot is kept up to this size for peers that lag; then its oldest part goes.
    pub keep_log_bytes: usize,
    /// As above, in slots.
    pub keep_log_slots: u64,
    /// For a peer that takes a snapshot the log above that is kept longer, up to this size; then it goes, and the peer has to
    /// take another snapshot.
    pub hold_log_bytes: usize,
    /// As above, in slots.
    pub hold_log_slots: u64,
    /// Entries, or requests, sent at once to a peer that asked. One is sent whatever its size.
    pub max_resend_bytes: usize,
    /// What is resent to one peer within a heartbeat's interval; what it asks beyond is not answered, and it asks again.
    pub max_resend_bytes_per_interval: usize,
    /// Reads that wait: more are refused as overload.
    pub max_waiting_reads: usize,
    /// Read rounds under way at once; further reads share the next one.
    pub max_read_rounds: usize,
}

/// When things are due. Safety depends on none of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A member that sent nothing to all for this long says that it lives.
    pub heartbeat: Duration,
    /// An acknowledgement for which nobody waits goes out within this time.
    pub ack_delay: Duration,
    /// A gap is given this long to close by itself; then what is missing is asked for, and again after twice the time.
    pub ask_delay: Duration,
    /// The longest pause between two such questions.
    pub ask_delay_most: Duration,
    /// An unanswered read round asks again after this.
    pub read_retry: Duration,
    /// A read that could not be answered for this long is refused as unavailable.
    pub read_timeout: Duration,
    /// A peer is silent if it was not heard for this long.
    pub silence: Duration,
    /// What a peer sends within this time after its connection broke had been under way before, and proves no life.
    pub lost_grace: Duration,
    /// Nobody is held to be silent before it was heard at all, for this long after the start.
    pub first_contact: Duration,
    /// An owner that has requests waiting and lets this much time pass holds up its slot.
    pub hold_up: Duration,
    /// A disk that takes longer than this is not healthy.
    pub slow_disk: Duration,
    /// A clock that is further than this from the median of all is not healthy.
    pub clock_skew: Duration,
    /// Each member waits its rank times this (and something random) before it asks for another epoch.
    pub change_stagger: Duration,
    /// An unanswered question, Prepare or AskEpoch is repeated after this.
    pub change_retry: Duration,
    /// A coordinator with a majority of promises waits this long for those that are believed alive.
    pub promise_grace: Duration,
    /// A coordinator gives up after this; a promised epoch that did not begin within it never began.
    pub change_timeout: Duration,
    /// A member that has caught up waits this long before it wants to take turns.
    pub join_delay: Duration,
    /// A member that was put out is kept out for this long, doubled each time.
    pub put_out: Duration,
    /// The longest that a member is kept out. One that stayed in for this long starts afresh.
    pub put_out_most: Duration,
    /// A snapshot that was asked for is asked for again after this.
    pub snapshot_retry: Duration,
    /// The log is kept for a peer that took a snapshot until nothing was seen of it for this long.
    pub hold_log: Duration,
}

/// A configuration with which no member can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("member {me} of {members}: a group has 1 to {most} members, numbered from 0", most = Config::MOST_MEMBERS)]
pub struct NoSuchMember {
    me: MemberId,
    members: u16,
}

impl Config {
    /// Whether there can be such a member.
    ///
    /// # Errors
    /// The group is empty, too large, or does not have this member.
    pub fn check(&self) -> Result<(), NoSuchMember> {
        let exists = self.me.0 < self.members && self.members <= Config::MOST_MEMBERS;
        if exists { Ok(()) } else { Err(NoSuchMember { me: self.me, members: self.members }) }
    }

    /// The largest group.
    pub const MOST_MEMBERS: u16 = 64;

    /// A member with the default bounds and times.
    #[must_use]
    pub fn new(me: MemberId, members: u16) -> Self {
        Config {
            me,
            members,
            seed: 0,
            bounds: Bounds::default(),
            timing: Timing::default(),
            #[cfg(feature = "breakable")]
            broken: None,
        }
    }

    /// How many members are a majority.
    #[must_use]
    pub fn majority(&self) -> usize {
        usize::from(self.members) / 2 + 1
    }
}

impl Bounds {
    /// How far ahead of what is sequenced here the requests of a sender are kept: senders may see more as sequenced.
    pub(crate) fn request_window(&self) -> u64 {
        2 * self.max_unsequenced_requests as u64
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            max_request_bytes: 1 << 20,
            max_unsequenced_requests: 1024,
            max_unsequenced_bytes: 16 << 20,
            max_slot_requests: 4096,
            max_slot_bytes: 1 << 20,
            max_uncommitted_slots: 4096,
            max_uncommitted_bytes: 64 << 20,
            max_future_slots: 4096,
            max_roster_lag_slots: 256,
            keep_log_bytes: 64 << 20,
            keep_log_slots: 100_000,
            hold_log_bytes: 1 << 30,
            hold_log_slots: 2_000_000,
            max_resend_bytes: 1 << 20,
            max_resend_bytes_per_interval: 8 << 20,
            max_waiting_reads: 4096,
            max_read_rounds: 4,
        }
    }
}

impl Default for Timing {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Timing {
            heartbeat: ms(50),
            ack_delay: ms(3),
            ask_delay: ms(10),
            ask_delay_most: ms(200),
            read_retry: ms(20),
            read_timeout: ms(2000),
            silence: ms(600),
            lost_grace: ms(20),
            first_contact: ms(700),
            hold_up: ms(500),
            slow_disk: ms(1000),
            clock_skew: ms(1000),
            change_stagger: ms(15),
            change_retry: ms(10),
            promise_grace: ms(20),
            change_timeout: ms(200),
            join_delay: ms(100),
            put_out: ms(500),
            put_out_most: ms(30_000),
            snapshot_retry: ms(5000),
            hold_log: ms(600_000),
        }
    }
}
