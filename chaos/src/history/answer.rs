//! What a client was told.

use std::collections::BTreeMap;

use agora_clients::model::{
    Cart, Feedback, Item, Purchase, PurchaseLine, Rating, RegisteredItem, SavedCart, UnitsOnSale,
};
use agora_clients::{Cents, ItemId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{Action, text};

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartSeen {
    /// Units by item.
    #[serde(serialize_with = "by_item", deserialize_with = "from_items")]
    pub lines: BTreeMap<ItemId, u32>,
    /// The version of the saved cart.
    pub saved_version: u64,
}

/// A purchase as a buyer sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurchaseSeen {
    /// Its id.
    pub purchase_id: String,
    /// What was paid.
    #[serde(with = "text")]
    pub total: Cents,
    /// What was bought.
    pub lines: Vec<PurchaseLine>,
}

impl Answer {
    /// Reads the answer to this operation: several kinds of answers look alike, and the operation tells which one it is.
    pub(super) fn read(action: &Action, told: Value) -> Result<Self, serde_json::Error> {
        use Action::{
            AddItem, AddToCart, AddUnits, ClearCart, CreateBuyer, CreateSeller, DisplayCart, GetItem,
            GetSellerRating, GiveFeedback, ListItems, ListPurchases, LoginBuyer, LoginSeller, LogoutBuyer,
            LogoutSeller, MakePurchase, RemoveFromCart, RemoveItem, SaveCart, SearchItems, SetPrice,
        };
        let text = |field: &str| told.get(field).and_then(Value::as_str).map(str::to_owned);
        if let Some(code) = text("code") {
            return Ok(Answer::Refused { code });
        }
        if let Some(error) = text("error") {
            return Ok(Answer::None { error });
        }
        if told.is_null() {
            return Ok(Answer::Nothing);
        }
        match action {
            CreateSeller | CreateBuyer | LoginSeller | LoginBuyer => {
                let User { user_id } = serde_json::from_value(told)?;
                Ok(Answer::User { user_id })
            }
            AddItem(_) => read(told, Answer::Registered),
            AddUnits(_) => read(told, Answer::Units),
            SetPrice(_) | GetItem => read(told, Answer::Item),
            ListItems | SearchItems { .. } => read(told, Answer::Items),
            GetSellerRating => read(told, Answer::Rating),
            AddToCart(_) | RemoveFromCart(_) | DisplayCart => read(told, Answer::Cart),
            SaveCart(_) => read(told, Answer::Saved),
            MakePurchase(_) => read(told, Answer::Purchase),
            ListPurchases => read(told, Answer::Purchases),
            GiveFeedback(_) => read(told, Answer::Feedback),
            LogoutSeller | LogoutBuyer | RemoveItem | ClearCart => read(told, |()| Answer::Nothing),
        }
    }
}

#[derive(Deserialize)]
struct User {
    user_id: u64,
}

fn read<T: DeserializeOwned>(
    told: Value,
    answer: impl FnOnce(T) -> Answer,
) -> Result<Answer, serde_json::Error> {
    serde_json::from_value(told).map(answer)
}

fn from_items<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<ItemId, u32>, D::Error> {
    let lines = BTreeMap::<String, u32>::deserialize(deserializer)?;
    let line = |(item, quantity): (String, u32)| Some((item.parse().ok()?, quantity));
    let lines: Option<_> = lines.into_iter().map(line).collect();
    lines.ok_or_else(|| serde::de::Error::custom("an item id in a cart is none"))
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
