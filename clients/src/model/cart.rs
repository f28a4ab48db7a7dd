//! The cart of a session, and the saved cart of a buyer.

use agora_proto::Cents;
use agora_proto::common::ItemId;
use serde::{Deserialize, Serialize};

use super::text;

/// A cart as it would be bought now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cart {
    /// In order of item id.
    pub lines: Vec<CartLine>,
    /// At the prices of now.
    #[serde(with = "text")]
    pub total: Cents,
    /// The version of the saved cart; 0 if the cart was never saved.
    pub saved_version: u64,
}

/// An item in a cart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartLine {
    /// The item.
    #[serde(with = "text")]
    pub item_id: ItemId,
    /// What it is called.
    pub name: String,
    /// The price of a unit now.
    #[serde(with = "text")]
    pub price: Cents,
    /// Units in the cart.
    pub quantity: u32,
    /// Units on sale now.
    pub available: u64,
}

/// What became of saving a cart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedCart {
    /// The new version of the saved cart.
    pub saved_version: u64,
}

#[derive(Serialize)]
pub(crate) struct AddToCart {
    #[serde(with = "text")]
    pub item_id: ItemId,
    pub quantity: u32,
}

#[derive(Serialize)]
pub(crate) struct SaveCart {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_version: Option<u64>,
}
