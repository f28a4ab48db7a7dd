//! The limits that every server enforces. Lengths count Unicode characters unless the name says bytes.

use std::time::Duration;

/// Longest item name.
pub const ITEM_NAME_CHARS: usize = 32;
/// Most keywords of an item, and most keywords of a search.
pub const KEYWORDS: usize = 5;
/// Longest keyword.
pub const KEYWORD_CHARS: usize = 8;
/// Longest username.
pub const USERNAME_CHARS: usize = 32;
/// Longest display name.
pub const DISPLAY_NAME_CHARS: usize = 32;
/// Shortest and longest password, at the frontends; the databases know only its hash.
pub const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 1..=128;
/// Longest PHC string of a password hash.
pub const PASSWORD_HASH_BYTES: usize = 256;
/// Largest category.
pub const CATEGORY_MAX: u32 = i32::MAX as u32;
/// Highest price of a unit: a hundred million dollars.
pub const PRICE_MAX_CENTS: u64 = 10_000_000_000;
/// Most units of an item, on sale or added at once.
pub const UNITS_MAX: u64 = 1_000_000_000;
/// Most lines of a cart.
pub const CART_LINES: usize = 100;
/// Most units in a line of a cart.
pub const CART_LINE_UNITS: u32 = 1_000_000;
/// Most entries of one page of any listing, and how many are given when the caller does not say.
pub const PAGE_ITEMS_MAX: u32 = 100;
/// Entries of a page when the caller does not say.
pub const PAGE_ITEMS_DEFAULT: u32 = 20;
/// Longest `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_CHARS: usize = 255;
/// Largest command or query that a database node takes, in bytes.
pub const COMMAND_BYTES: usize = 64 * 1024;
/// A session ends when it was not used for this long; never earlier, and at most [`SESSION_SLACK`] later.
pub const SESSION_IDLE: Duration = Duration::from_secs(5 * 60);
/// How much later than [`SESSION_IDLE`] a session may end.
pub const SESSION_SLACK: Duration = Duration::from_secs(30);
/// A use of a session is recorded when the last recorded one is at least this old. With what clocks may err it stays within
/// [`SESSION_SLACK`].
pub const SESSION_TOUCH_AFTER: Duration = Duration::from_secs(20);
/// How long a reservation holds stock that is neither committed nor released. With the sweep's period, stock is back on
/// sale within the minute that is promised.
pub const RESERVATION_HOLD: Duration = Duration::from_secs(55);
/// How long a purchase that was begun is left to whoever began it, before any frontend may finish it. Longer than a request
/// takes; and short enough that even when the first finisher dies too, a second one is done within a minute.
pub const PURCHASE_LEASE: Duration = Duration::from_secs(20);
/// Most unfinished purchases that one claim leases.
pub const PURCHASES_CLAIMED: u32 = 16;
/// Longest id that a payment's authorization has.
pub const AUTHORIZATION_ID_CHARS: usize = 128;
/// How long the answer to an idempotency key is remembered.
pub const ANSWER_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
