//! How large anything gets, and how much one command does. At a bound, what would pass it is refused with
//! `rate_limited`, and nothing is dropped early.

use std::time::Duration;

use agora_proto::limits::ANSWER_KEPT;

/// Most items at a time, removed ones that still have something reserved included.
pub const ITEMS_MAX: usize = 20_000_000;
/// Most categories that ever had an item: their counters stay, so that numbers are never given twice.
pub const CATEGORIES_MAX: usize = 1_000_000;
/// Most standing votes.
pub const VOTES_MAX: usize = 50_000_000;
/// Most reservations, ended ones that are still remembered included.
pub const RESERVATIONS_MAX: usize = 2_000_000;
/// Most marks of purchases that were given up before they reserved anything, beyond the reservations: a purchase that finds
/// no room for its reservation must still find one to end.
pub const MARKS_MAX: usize = 1_000_000;
/// How long an ended reservation is remembered: as long as a client may repeat its purchase.
pub const ENDED_RESERVATION_KEPT: Duration = ANSWER_KEPT;
/// Most that one sweep drops of each kind.
pub const SWEEP_MOST: usize = 2_000;
/// Most forgotten answers that a command clears away along with its own: more than it adds, so that a busy machine
/// shrinks faster than it grows, whoever sweeps it.
pub const FORGET_ALONG: usize = 2;
