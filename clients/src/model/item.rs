//! Items on sale.

use agora_proto::Cents;
use agora_proto::common::ItemId;
use serde::{Deserialize, Serialize};

use super::text;

/// Whether an item was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// It is new.
    New,
    /// It is used.
    Used,
}

/// An item as the marketplace shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its id.
    #[serde(with = "text")]
    pub item_id: ItemId,
    /// Who sells it.
    pub seller_id: u64,
    /// What it is called.
    pub name: String,
    /// The category that it was registered in.
    pub category: u32,
    /// What it is found by.
    pub keywords: Vec<String>,
    /// New or used.
    pub condition: Condition,
    /// The price of a unit.
    #[serde(with = "text")]
    pub price: Cents,
    /// Units on sale.
    pub quantity: u64,
    /// Buyers who liked it.
    pub thumbs_up: u64,
    /// Buyers who did not.
    pub thumbs_down: u64,
}

/// A page of items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemPage {
    /// The items, in the order of the listing.
    pub items: Vec<Item>,
    /// Give it back for the next page. None: this was the last.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// An item to be put on sale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewItem {
    /// At most 32 characters.
    pub name: String,
    /// Any number from 0.
    pub category: u32,
    /// At most five, of at most eight characters each.
    pub keywords: Vec<String>,
    /// New or used.
    pub condition: Condition,
    /// The price of a unit: more than nothing.
    #[serde(with = "text")]
    pub price: Cents,
    /// How many units.
    pub quantity: u64,
}

/// What became of an item that was put on sale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredItem {
    /// Its id.
    #[serde(with = "text")]
    pub item_id: ItemId,
    /// Units on sale now.
    pub quantity: u64,
    /// The seller had an equal item already; the units were added to it.
    #[serde(default)]
    pub merged: bool,
}

/// How many units of an item are on sale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitsOnSale {
    /// The item.
    #[serde(with = "text")]
    pub item_id: ItemId,
    /// Its units on sale now.
    pub quantity: u64,
}

#[derive(Serialize)]
pub(crate) struct ChangePrice {
    #[serde(with = "text")]
    pub price: Cents,
}

#[derive(Serialize)]
pub(crate) struct UpdateUnits {
    pub delta: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_and_ids_are_texts_on_the_wire() {
        let json = r#"{"item_id":"3-17","seller_id":4,"name":"Lamp","category":3,"keywords":["desk"],"condition":"used",
            "price":"12.30","quantity":5,"thumbs_up":0,"thumbs_down":1}"#;
        let item: Item = serde_json::from_str(json).unwrap();
        assert_eq!((item.item_id, item.price), (ItemId { category: 3, number: 17 }, Cents(1230)));
        let again = serde_json::to_value(&item).unwrap();
        assert_eq!((again["item_id"].as_str(), again["price"].as_str()), (Some("3-17"), Some("12.30")));
    }

    #[test]
    fn a_price_that_is_no_amount_is_an_error() {
        let json = r#"{"item_id":"3-17","quantity":1}"#;
        assert!(serde_json::from_str::<UnitsOnSale>(json).is_ok());
        assert!(serde_json::from_str::<UnitsOnSale>(&json.replace("3-17", "3")).is_err());
        assert!(
            serde_json::from_str::<UnitsOnSale>(&json.replace("\"quantity\":1", "\"quantity\":-1")).is_err()
        );
    }
}
