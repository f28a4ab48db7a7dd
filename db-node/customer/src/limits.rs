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

/// How far the time that a command is given, and a node's own, may be from the time of day, before or after it, for the
/// promise on sessions to hold. The group lets neither be more than a second from the median of its members' clocks.
pub const CLOCK_ERROR_MAX: Duration = Duration::from_millis(2_500);
/// A session's use should be recorded when its last recorded use is this old. Of two uses that are `SESSION_TOUCH_AFTER` apart,
/// the later one always is, whatever the errors of the clocks that told their times.
pub const TOUCH_DUE_AFTER: Duration =
    agora_proto::limits::SESSION_TOUCH_AFTER.saturating_sub(CLOCK_ERROR_MAX.saturating_mul(2));
/// A sweep is proposed when replicated time is this far behind the local clock and something waits for it.
pub const TIME_LAG_PROPOSED: Duration = Duration::from_secs(2);

/// How long an aborted purchase is kept when nothing is left to do for it. Longer than the answer to its idempotency key, so
/// that a repeat never starts it anew.
pub const PURCHASE_KEPT: Duration = ANSWER_KEPT.saturating_add(Duration::from_secs(60 * 60));

/// Longest detail, and longest field name, that is kept of the reason why a purchase was aborted; the rest is cut off.
pub(crate) const REASON_CHARS: usize = 256;

/// A span in whole milliseconds, the unit of replicated time.
pub(crate) const fn ms(span: Duration) -> u64 {
    span.as_secs() * 1000 + span.subsec_millis() as u64
}
