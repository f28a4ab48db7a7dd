//! What the marketplace says of itself when all is quiet again.

mod collect;

use std::collections::BTreeMap;
use std::fmt;

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
    /// What could not be read.
    pub unread: Vec<Unread>,
}

/// A part of the final state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The books of the product database and of the financial service.
    Books,
    /// What sellers have and what buyers bought.
    Accounts,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Books => "the books",
            Part::Accounts => "what sellers have and buyers bought",
        })
    }
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// What.
    pub part: Part,
    /// Why not.
    pub why: String,
}

impl Readings {
    /// Whether this part could be read.
    #[must_use]
    pub fn has(&self, part: Part) -> bool {
        self.unread.iter().all(|unread| unread.part != part)
    }

    fn miss(&mut self, part: Part, why: String) {
        self.unread.push(Unread { part, why });
    }

    /// With the books since they were read before. If something has gone that was there, then others were at work, and the books tell
    /// nothing.
    #[must_use]
    pub fn since(mut self, before: &Books) -> Self {
        let now = Books { totals: self.totals, ledger: self.ledger };
        match now.since(before) {
            Some(Books { totals, ledger }) => (self.totals, self.ledger) = (totals, ledger),
            None if self.has(Part::Books) => {
                self.miss(
                    Part::Books,
                    "others used the marketplace meanwhile: its books tell nothing".into(),
                );
            }
            None => {}
        }
        self
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
    Restless {
        /// Where each of them was.
        detail: String,
    },
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

    #[test]
    fn only_the_books_are_spoiled_by_others() {
        let before = Books { totals: Totals { items: 1, ..Totals::default() }, ..Books::default() };
        let readings = Readings::default().since(&before);
        assert!(!readings.has(Part::Books) && readings.has(Part::Accounts));
        assert!(Readings::default().since(&Books::default()).unread.is_empty());
    }
}
