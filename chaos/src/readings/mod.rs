//! What the marketplace says of itself when all is quiet again.

mod collect;

use std::collections::BTreeMap;

use agora_clients::model::Rating;
use serde::Serialize;

use crate::history::{ItemSeen, PurchaseSeen};

pub use collect::Collector;

/// The final state, as far as checkers look at it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Readings {
    /// The product database's books.
    pub totals: Totals,
    /// The financial service's books.
    pub ledger: Ledger,
    /// By seller id.
    pub sellers: BTreeMap<u64, SellerReading>,
    /// All purchases, by buyer id.
    pub purchases: BTreeMap<u64, Vec<PurchaseSeen>>,
    /// What the replicas say.
    pub replicas: Vec<ReplicaReading>,
}

/// Units, over all items that were ever registered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "as in the product database's protocol")]
pub struct Totals {
    pub items: u64,
    pub units_on_sale: u64,
    pub units_reserved: u64,
    pub units_sold: u64,
    pub units_listed: u64,
    pub reservations_held: u64,
}

/// Payments, in number and cents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[allow(missing_docs, reason = "as the financial service tells them")]
pub struct Ledger {
    pub approved: Sum,
    pub voided: Sum,
}

/// So many payments of so much together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Sum {
    /// How many.
    pub count: u64,
    /// How much.
    pub cents: u128,
}

/// A seller at the end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SellerReading {
    /// All items.
    pub items: Vec<ItemSeen>,
    /// The rating.
    pub rating: Rating,
}

/// A database's replicas at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplicaReading {
    /// Which database.
    pub database: String,
    /// How many replicas it has.
    pub nodes: usize,
    /// Whether they hold the same.
    pub state: ReplicaState,
}

/// What comparing replicas gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ReplicaState {
    /// All of them have the same checksum at the same position.
    Equal {
        /// How many told theirs.
        told: usize,
        /// The position.
        applied: u64,
    },
    /// Two of them differ at the same position.
    Differ {
        /// Which and how.
        detail: String,
    },
    /// They did not come to rest at one position in time.
    Restless,
}
