//! The customer database: accounts, sessions, carts and purchases, as a pure state machine.
//!
//! [`CustomerDb`] knows no disk, no network and no clock: time is what the log says it is. Every rule and limit is checked
//! here, whatever a frontend has checked before. What holds after each command:
//!
//! - a username belongs to one account of its role, and accounts are never removed;
//! - a session belongs to an account; a buyer's session has an active cart, and nothing else has one;
//! - a saved cart's version grows with each of its changes;
//! - a purchase ends once: completed or aborted, never both; the completed ones of a buyer are numbered 1, 2, 3…;
//! - a purchase is unfinished, and can be claimed by whoever finishes it, until it is completed, or aborted with nothing
//!   owed;
//! - a refused command changes nothing but the time.

mod accounts;
mod carts;
mod clock;
mod commands;
mod finishing;
mod keys;
mod limits;
mod once;
mod purchase_records;
mod purchases;
mod queries;
mod sessions;
mod state;
mod sweep;
mod unfinished;
mod validate;

#[cfg(test)]
mod tests;

pub use limits::{
    ACCOUNTS_MAX, CLOCK_ERROR_MAX, PAGE_LINES_MAX, PURCHASE_KEPT, PURCHASES_MAX, SESSIONS_MAX,
    SESSIONS_PER_USER_MAX, SWEEP_MAX, TIME_LAG_PROPOSED, TOUCH_DUE_AFTER,
};
pub use state::CustomerDb;
