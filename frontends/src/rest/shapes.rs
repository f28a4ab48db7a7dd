//! The JSON shapes that several resources share. Prices are texts in dollars, item ids texts like `3-17`.

use agora_proto::Cents;
use agora_proto::common::ItemId;
use agora_proto::limits::KEYWORD_CHARS;
use agora_proto::product::{self, Condition};
use serde::Serialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// What items are found by, as the description has it.
pub struct Keyword;

impl PartialSchema for Keyword {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String);
        text.min_length(Some(1)).max_length(Some(KEYWORD_CHARS)).into()
    }
}

impl ToSchema for Keyword {}

/// An item on sale.
#[derive(Debug, Serialize, ToSchema)]
pub struct Item {
    /// Its id.
    #[schema(example = "3-17")]
    pub item_id: String,
    /// Who sells it.
    pub seller_id: u64,
    /// What it is called.
    pub name: String,
    /// The category that it was registered in.
    pub category: u32,
    /// What it is found by.
    pub keywords: Vec<String>,
    /// `new` or `used`.
    #[schema(example = "new")]
    pub condition: &'static str,
    /// The price of a unit, in dollars.
    #[schema(example = "12.34")]
    pub price: String,
    /// Units on sale.
    pub quantity: u64,
    /// Buyers who like it.
    pub thumbs_up: u64,
    /// Buyers who do not.
    pub thumbs_down: u64,
}

impl From<product::Item> for Item {
    fn from(item: product::Item) -> Self {
        let id = item.id.unwrap_or_default();
        Item {
            item_id: id.to_string(),
            seller_id: item.seller_id,
            category: id.category,
            condition: if item.condition() == Condition::Used { "used" } else { "new" },
            name: item.name,
            keywords: item.keywords,
            price: Cents(item.price_cents).to_string(),
            quantity: item.quantity,
            thumbs_up: item.thumbs_up,
            thumbs_down: item.thumbs_down,
        }
    }
}

/// A page of items.
#[derive(Debug, Serialize, ToSchema)]
pub struct ItemPage {
    /// The items, in the order of the listing.
    pub items: Vec<Item>,
    /// Give it back as `cursor` for the next page. Null: this was the last.
    pub next_cursor: Option<String>,
}

/// Units of an item on sale.
#[derive(Debug, Serialize, ToSchema)]
pub struct ItemUnits {
    /// The item.
    #[schema(example = "3-17")]
    pub item_id: String,
    /// Its units on sale now.
    pub quantity: u64,
}

impl ItemUnits {
    /// So many units of this item.
    pub fn new(id: Option<ItemId>, quantity: u64) -> Self {
        ItemUnits { item_id: id.unwrap_or_default().to_string(), quantity }
    }
}
