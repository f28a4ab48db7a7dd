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
    /// By seller id. Reports leave it out: what everybody has grows with the run.
    #[serde(skip)]
    pub sellers: BTreeMap<u64, SellerReading>,
    /// All purchases, by buyer id. Reports leave them out, too.
    #[serde(skip)]
    pub purchases: BTreeMap<u64, Vec<PurchaseSeen>>,
    /// What the replicas say.
    pub replicas: Vec<ReplicaReading>,
}

impl Readings {
    /// With the books since they were read before. None if something has gone that was there: then others were at work.
    #[must_use]
    pub fn since(self, before: &Books) -> Option<Self> {
        let now = Books { totals: self.totals, ledger: self.ledger };
        let Books { totals, ledger } = now.since(before)?;
        Some(Readings { totals, ledger, ..self })
    }
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

impl Totals {
    /// What has come about since, if nothing has gone that was there.
    fn since(&self, before: &Totals) -> Option<Totals> {
        Some(Totals {
            items: self.items.checked_sub(before.items)?,
            units_on_sale: self.units_on_sale.checked_sub(before.units_on_sale)?,
            units_reserved: self.units_reserved.checked_sub(before.units_reserved)?,
            units_sold: self.units_sold.checked_sub(before.units_sold)?,
            units_listed: self.units_listed.checked_sub(before.units_listed)?,
            reservations_held: self.reservations_held.checked_sub(before.reservations_held)?,
        })
    }
}

/// Payments, in number and cents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[allow(missing_docs, reason = "as the financial service tells them")]
pub struct Ledger {
    pub approved: Sum,
    pub voided: Sum,
}

impl Ledger {
    fn since(&self, before: &Ledger) -> Option<Ledger> {
        let since = |now: Sum, before: Sum| {
            let (count, cents) = (now.count.checked_sub(before.count)?, now.cents.checked_sub(before.cents)?);
            Some(Sum { count, cents })
        };
        Some(Ledger {
            approved: since(self.approved, before.approved)?,
            voided: since(self.voided, before.voided)?,
        })
    }
}

/// The books of a marketplace at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// The product database's.
    pub totals: Totals,
    /// The financial service's.
    pub ledger: Ledger,
}

impl Books {
    /// What has come about since, if nothing has gone that was there: then others were at work.
    fn since(&self, before: &Books) -> Option<Books> {
        let totals = self.totals.since(&before.totals)?;
        Some(Books { totals, ledger: self.ledger.since(&before.ledger)? })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_come_about_is_the_difference_and_what_has_gone_is_noticed() {
        let books = |units_listed, cents| {
            let totals = Totals { units_listed, units_on_sale: units_listed, ..Totals::default() };
            Books { totals, ledger: Ledger { approved: Sum { count: 1, cents }, voided: Sum::default() } }
        };
        let since = books(7, 300).since(&books(5, 100)).unwrap();
        assert_eq!((since.totals.units_listed, since.ledger.approved.cents), (2, 200));
        assert_eq!(books(4, 300).since(&books(5, 100)), None);
        assert_eq!(books(7, 99).since(&books(5, 100)), None);
    }
}
