//! The product database: items, search, stock, reservations and feedback as a pure state machine.
//!
//! [`ProductDb`] is a function of its commands and of replicated time. It knows no disk, no network, no clock and no
//! other node. Where to look:
//!
//! - `machine`: from bytes to bytes; what makes a repeated command take effect once
//! - `request`: the shape of commands and queries; `validate`: the limits of their fields
//! - `items`: what sellers do; `same`: which items are merged; `listing`: how items are looked up
//! - `stock`: the one place where units move, the books over them, and the reservations that hold them
//! - `search`: the index, and how a page is found in it
//! - `feedback`: votes and ratings; `sweep`: what is dropped in time; `bounds`: how large anything gets
//! - `state`: the tables; `load`: the state out of its records, which `audit` checks
//!
//! Invariants: units listed = on sale + reserved + sold, always; an item is in the search index exactly while it is on
//! sale with a quantity above 0; an item's number is never given twice; a refusal changes nothing but what is
//! remembered of it.

mod audit;
pub mod bounds;
mod feedback;
mod item;
mod items;
mod keywords;
mod listing;
mod load;
mod machine;
mod request;
mod same;
mod search;
mod state;
mod stock;
mod sweep;
mod validate;

pub use state::ProductDb;
