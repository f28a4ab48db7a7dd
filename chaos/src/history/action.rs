//! What a client asked for.

use agora_clients::model::Vote;
use agora_clients::{Cents, ItemId};
use serde::{Deserialize, Serialize};

use super::text;

/// An operation and its argument. What it is about (an item, a cart) is the event's key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", content = "arg", rename_all = "snake_case")]
#[allow(missing_docs, reason = "each is the call of that name")]
pub enum Action {
    CreateSeller,
    CreateBuyer,
    LoginSeller,
    LoginBuyer,
    LogoutSeller,
    LogoutBuyer,
    AddItem(Offer),
    #[serde(with = "text")]
    SetPrice(Cents),
    AddUnits(i64),
    RemoveItem,
    ListItems,
    GetSellerRating,
    SearchItems {
        category: Option<u32>,
        keywords: Vec<String>,
    },
    GetItem,
    AddToCart(Units),
    RemoveFromCart(Units),
    DisplayCart,
    /// Only if the saved cart has this version, if one is given.
    SaveCart(Option<u64>),
    ClearCart,
    /// With what the buyer knew to be in the cart.
    MakePurchase(Vec<Units>),
    GiveFeedback(Vote),
    ListPurchases,
}

/// An item as it was put on sale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Unique in the run, but for units added to an equal item.
    pub name: String,
    /// The category.
    pub category: u32,
    /// The first price.
    #[serde(with = "text")]
    pub price: Cents,
    /// The units put on sale.
    pub quantity: u64,
}

/// So many units of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Units {
    /// The item.
    #[serde(with = "text")]
    pub item_id: ItemId,
    /// How many.
    pub quantity: u32,
}

impl Action {
    /// Whether it can change anything.
    #[must_use]
    pub fn is_change(&self) -> bool {
        use Action::{DisplayCart, GetItem, GetSellerRating, ListItems, ListPurchases, SearchItems};
        !matches!(
            self,
            ListItems | GetSellerRating | SearchItems { .. } | GetItem | DisplayCart | ListPurchases
        )
    }
}
