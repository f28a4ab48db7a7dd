//! What a client was told.

use std::collections::BTreeMap;

use agora_clients::model::{
    Cart, Feedback, Item, Purchase, PurchaseLine, Rating, RegisteredItem, SavedCart, UnitsOnSale,
};
use agora_clients::{Cents, ItemId};
use serde::Serialize;

use super::text;

/// The answer to an operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// Done; there is nothing more to say.
    Nothing,
    /// The id of a new user.
    User {
        /// The id.
        user_id: u64,
    },
    /// An item was put on sale.
    Registered(RegisteredItem),
    /// How many units there are now.
    Units(UnitsOnSale),
    /// An item.
    Item(ItemSeen),
    /// Items.
    Items(Vec<ItemSeen>),
    /// A seller's rating.
    Rating(Rating),
    /// A cart.
    Cart(CartSeen),
    /// A cart was saved.
    Saved(SavedCart),
    /// Something was bought.
    Purchase(PurchaseSeen),
    /// The ids of the newest purchases.
    Purchases(Vec<String>),
    /// The votes on an item.
    Feedback(Feedback),
    /// The marketplace said no.
    Refused {
        /// Its code.
        code: String,
    },
    /// There was no answer.
    None {
        /// Why not.
        error: String,
    },
}

/// What matters of an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ItemSeen {
    /// Which one.
    #[serde(with = "text")]
    pub item_id: ItemId,
    /// Its name.
    pub name: String,
    /// Its price.
    #[serde(with = "text")]
    pub price: Cents,
    /// Its units on sale.
    pub quantity: u64,
    /// Standing votes up.
    pub thumbs_up: u64,
    /// Standing votes down.
    pub thumbs_down: u64,
}

/// What matters of a cart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CartSeen {
    /// Units by item.
    #[serde(serialize_with = "by_item")]
    pub lines: BTreeMap<ItemId, u32>,
    /// The version of the saved cart.
    pub saved_version: u64,
}

/// A purchase as a buyer sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PurchaseSeen {
    /// Its id.
    pub purchase_id: String,
    /// What was paid.
    #[serde(with = "text")]
    pub total: Cents,
    /// What was bought.
    pub lines: Vec<PurchaseLine>,
}

fn by_item<S: serde::Serializer>(lines: &BTreeMap<ItemId, u32>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(lines.iter().map(|(item, quantity)| (item.to_string(), quantity)))
}

impl From<&Item> for ItemSeen {
    fn from(item: &Item) -> Self {
        ItemSeen {
            item_id: item.item_id,
            name: item.name.clone(),
            price: item.price,
            quantity: item.quantity,
            thumbs_up: item.thumbs_up,
            thumbs_down: item.thumbs_down,
        }
    }
}

impl From<&Cart> for CartSeen {
    fn from(cart: &Cart) -> Self {
        let lines = cart.lines.iter().map(|line| (line.item_id, line.quantity)).collect();
        CartSeen { lines, saved_version: cart.saved_version }
    }
}

impl From<&Purchase> for PurchaseSeen {
    fn from(purchase: &Purchase) -> Self {
        PurchaseSeen {
            purchase_id: purchase.purchase_id.clone(),
            total: purchase.total,
            lines: purchase.lines.clone(),
        }
    }
}
