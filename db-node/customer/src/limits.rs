//! The bounds of the state, and the spans of time, that are this database's own business. What is refused at a bound is
//! refused with `rate_limited`: nothing is thrown out early to make room.

use std::time::Duration;

use agora_proto::limits::ANSWER_KEPT;

/// Most accounts, of both roles together.
pub const ACCOUNTS_MAX: usize = 20_000_000;
/// Most sessions at a time.
pub const SESSIONS_MAX: usize = 2_000_000;
/// Most sessions of one user at a time. The next login is refused: ending the oldest session instead would break the
/// promise that no session ends within five minutes of its last call.
pub const SESSIONS_PER_USER_MAX: u32 = 1_000;
/// Most purchases: the history, and those that are unfinished or were aborted lately.
pub const PURCHASES_MAX: usize = 50_000_000;
/// Most cart lines on one page of a purchase history: with it a page stays far below what fits into a message. A page
/// always has at least one purchase.
pub const PAGE_LINES_MAX: usize = 2_000;
/// Most things that one sweep drops.
pub const SWEEP_MAX: usize = 256;
/// How many old things a command that adds one drops on the way, so that busy times need no sweeps to stay bounded.
pub(crate) const DROPPED_PER_ADDED: usize = 2;

/// How far replicated time may stay behind the time of day for the promise on sessions to hold.
pub const TIME_LAG_MAX: Duration = Duration::from_secs(5);
/// A sweep is proposed when replicated time is this far behind the local clock. With the period at which nodes ask for
/// maintenance, the lag stays within [`TIME_LAG_MAX`].
pub const TIME_LAG_PROPOSED: Duration = Duration::from_secs(2);
/// A session's use should be recorded when its last recorded use is this old in *replicated* time. It is
/// `SESSION_TOUCH_AFTER` less the time by which replicated time may lag, so that, of two uses that are
/// `SESSION_TOUCH_AFTER` apart in real time, the later one is always recorded.
pub const TOUCH_DUE_AFTER: Duration = agora_proto::limits::SESSION_TOUCH_AFTER.saturating_sub(TIME_LAG_MAX);

/// How long an aborted purchase is kept when nothing is left to do for it. Longer than the answer to its idempotency key, so
/// that a repeat never starts it anew.
pub const PURCHASE_KEPT: Duration = ANSWER_KEPT.saturating_add(Duration::from_secs(60 * 60));

/// Longest detail, and longest field name, that is kept of the reason why a purchase was aborted; the rest is cut off.
pub(crate) const REASON_CHARS: usize = 256;

/// A span in whole milliseconds, the unit of replicated time.
pub(crate) const fn ms(span: Duration) -> u64 {
    span.as_secs() * 1000 + span.subsec_millis() as u64
}
