//! Purchases and how they are paid.

use std::fmt;

use agora_proto::Cents;
use agora_proto::common::ItemId;
use serde::{Deserialize, Serialize};

use super::text;

/// A payment card. Its debug form shows none of it.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Card {
    /// The name on it.
    pub name: String,
    /// 13 to 19 digits.
    pub number: String,
    /// `MM/YYYY`.
    pub expiry: String,
    /// 3 or 4 digits.
    pub security_code: String,
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Card(…)")
    }
}

#[derive(Serialize)]
pub(crate) struct MakePurchase<'a> {
    pub card: &'a Card,
}

/// A purchase that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purchase {
    /// Its id.
    pub purchase_id: String,
    /// When it was made: RFC 3339. Listings give it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What was bought.
    pub lines: Vec<PurchaseLine>,
    /// What was paid.
    #[serde(with = "text")]
    pub total: Cents,
}

/// An item that was bought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurchaseLine {
    /// The item.
    #[serde(with = "text")]
    pub item_id: ItemId,
    /// What it was called.
    pub name: String,
    /// Who sold it.
    pub seller_id: u64,
    /// What a unit cost.
    #[serde(with = "text")]
    pub price: Cents,
    /// How many units.
    pub quantity: u32,
}

/// A page of purchases, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurchasePage {
    /// The purchases.
    pub purchases: Vec<Purchase>,
    /// Give it back for the next page. None: this was the last.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_does_not_show_itself() {
        let card = Card {
            name: "Ada Example".into(),
            number: "4111111111111111".into(),
            expiry: "12/2031".into(),
            security_code: "737".into(),
        };
        assert_eq!(format!("{card:?}"), "Card(…)");
    }
}
