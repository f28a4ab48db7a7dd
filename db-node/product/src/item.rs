//! An item, as it is kept, and its key.

use agora_proto::common::ItemId;
use agora_proto::product as proto;
use serde::{Deserialize, Serialize};

use crate::keywords::Keywords;

/// The key of an item: in the order of item ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ItemKey {
    pub category: u32,
    pub number: u64,
}

impl ItemKey {
    pub const MIN: ItemKey = ItemKey { category: 0, number: 0 };
    pub const MAX: ItemKey = ItemKey { category: u32::MAX, number: u64::MAX };
}

impl From<ItemId> for ItemKey {
    fn from(id: ItemId) -> Self {
        ItemKey { category: id.category, number: id.number }
    }
}

impl From<ItemKey> for ItemId {
    fn from(key: ItemKey) -> Self {
        ItemId { category: key.category, number: key.number }
    }
}

/// New or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Condition {
    New,
    Used,
}

/// Whether an item is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Listing {
    /// It is found, even with a quantity of 0.
    Offered,
    /// Its seller removed it. The row stays until nothing of it is reserved and its votes are dropped.
    Removed,
}

/// A row of the items' table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub seller: u64,
    pub name: Box<str>,
    pub keywords: Keywords,
    pub condition: Condition,
    pub listing: Listing,
    pub price_cents: u64,
    /// Units on sale.
    pub quantity: u64,
    /// Units that reservations hold.
    pub reserved: u64,
    pub thumbs_up: u64,
    pub thumbs_down: u64,
    /// Its place among all items ever registered, from 1: the order of search.
    pub created: u64,
}

impl Item {
    pub fn is_offered(&self) -> bool {
        self.listing == Listing::Offered
    }

    /// Whether searches show it.
    pub fn is_shown(&self) -> bool {
        self.is_offered() && self.quantity > 0
    }

    pub fn to_proto(&self, key: ItemKey) -> proto::Item {
        let condition = match self.condition {
            Condition::New => proto::Condition::New,
            Condition::Used => proto::Condition::Used,
        };
        proto::Item {
            id: Some(key.into()),
            seller_id: self.seller,
            name: self.name.to_string(),
            keywords: self.keywords.iter().map(str::to_string).collect(),
            condition: condition.into(),
            price_cents: self.price_cents,
            quantity: self.quantity,
            thumbs_up: self.thumbs_up,
            thumbs_down: self.thumbs_down,
        }
    }
}
