//! The books: running totals over all units, so that anyone can check at any time that none was lost or sold twice.

use agora_proto::product as proto;
use serde::{Deserialize, Serialize};

use super::Movement;

/// Totals over all items that were ever registered. `listed = on_sale + reserved + sold`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    /// How many items were ever registered: the last creation number.
    pub items: u64,
    pub on_sale: u64,
    pub reserved: u64,
    pub sold: u64,
    pub listed: u64,
    /// How many reservations are held.
    pub held: u64,
}

impl Books {
    /// Units moved; the totals can't overflow before 18 billion largest registrations.
    pub fn post(&mut self, movement: Movement, offered: bool, units: u64) {
        match movement {
            Movement::List => {
                self.on_sale += units;
                self.listed += units;
            }
            Movement::Unlist => {
                self.on_sale -= units;
                self.listed -= units;
            }
            Movement::Hold => {
                self.on_sale -= units;
                self.reserved += units;
            }
            Movement::Unhold => {
                self.reserved -= units;
                if offered {
                    self.on_sale += units;
                } else {
                    self.listed -= units;
                }
            }
            Movement::Sell => {
                self.reserved -= units;
                self.sold += units;
            }
        }
        debug_assert_eq!(self.listed, self.on_sale + self.reserved + self.sold);
    }

    pub fn to_proto(self) -> proto::Totals {
        proto::Totals {
            items: self.items,
            units_on_sale: self.on_sale,
            units_reserved: self.reserved,
            units_sold: self.sold,
            units_listed: self.listed,
            reservations_held: self.held,
        }
    }
}
