//! A seller's items: put on sale, listed, re-priced, restocked, taken off sale.

use agora_proto::Cents;
use agora_proto::common::ItemId;
use agora_proto::key_hash;
use agora_proto::limits::{
    CATEGORY_MAX, ITEM_NAME_CHARS, KEYWORD_CHARS, KEYWORDS, PRICE_MAX_CENTS, UNITS_MAX,
};
use agora_proto::product::{
    ChangePrice, Condition, ListItemsOfSeller, RegisterItem, RemoveItem, UpdateUnits, command, query,
};
use axum::Json;
use axum::http::StatusCode;
use utoipa::ToSchema;

use crate::app::{Caller, Context};
use crate::databases::expected;
use crate::problem::{Problem, ProblemBody};
use crate::rest::body::Fields;
use crate::rest::cursor::{self, Listing};
use crate::rest::key::IdempotencyKey;
use crate::rest::path::PathId;
use crate::rest::query::RawQuery;
use crate::rest::shapes::{Item, ItemPage, ItemUnits, Keyword};

const MOST_UNITS: i64 = UNITS_MAX.cast_signed();

/// An item to be put on sale.
#[derive(ToSchema)]
pub struct NewItem {
    #[schema(min_length = 1, max_length = 32)]
    name: String,
    #[schema(maximum = 2_147_483_647)]
    category: u32,
    /// What it is found by: at most five, of at most eight characters each. Neither case nor order tells items apart.
    #[schema(max_items = 5, value_type = Vec<Keyword>)]
    keywords: Vec<String>,
    #[schema(value_type = String, pattern = "^(new|used)$")]
    condition: Condition,
    /// The price of a unit in dollars, with at most two decimals.
    #[schema(value_type = String, example = "12.34")]
    price: Cents,
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    quantity: u64,
}

impl NewItem {
    fn read(mut fields: Fields) -> Result<Self, Problem> {
        let item = NewItem {
            name: fields.text("name", 1..=ITEM_NAME_CHARS)?,
            category: fields.count("category", 0, CATEGORY_MAX)?,
            keywords: fields.texts("keywords", KEYWORDS, 1..=KEYWORD_CHARS)?,
            condition: fields.one_of("condition", &[("new", Condition::New), ("used", Condition::Used)])?,
            price: fields.price("price", Cents(PRICE_MAX_CENTS))?,
            quantity: fields.integer("quantity", 0..=MOST_UNITS)?.unsigned_abs(),
        };
        fields.finish()?;
        Ok(item)
    }
}

/// A new price.
#[derive(ToSchema)]
pub struct NewPrice {
    /// The price of a unit in dollars, with at most two decimals.
    #[schema(value_type = String, example = "12.34")]
    price: Cents,
}

/// A change of the number of units on sale.
#[derive(ToSchema)]
pub struct UnitsChange {
    /// Units to add; below 0: to take away.
    #[schema(example = -3, minimum = -1_000_000_000, maximum = 1_000_000_000)]
    delta: i64,
}

/// Put an item on sale. One that equals an own one in name, category, keywords, condition and price is added to that one;
/// keywords are equal whatever their case and order.
#[utoipa::path(post, path = "/v1/items", operation_id = "register_item", tag = "items",
    security(("session" = [])), request_body = NewItem, responses(
    (status = 201, description = "It is on sale", body = ItemUnits),
    (status = 200, description = "It was added to an equal item", body = ItemUnits),
))]
pub async fn register(
    context: Context,
    caller: Caller,
    key: IdempotencyKey,
    fields: Fields,
) -> Result<(StatusCode, Json<ItemUnits>), Problem> {
    let item = NewItem::read(fields)?;
    let keywords: Vec<&[u8]> = item.keywords.iter().map(String::as_bytes).collect();
    let request: [&[u8]; 7] = [
        b"put on sale",
        item.name.as_bytes(),
        &item.category.to_be_bytes(),
        &key_hash(&keywords),
        item.condition.as_str_name().as_bytes(),
        &item.price.0.to_be_bytes(),
        &item.quantity.to_be_bytes(),
    ];
    let idempotency = key.idempotency(&caller.user.scope, &request);
    let command = command::Body::RegisterItem(RegisterItem {
        seller_id: caller.user.id,
        name: item.name,
        category: item.category,
        keywords: item.keywords,
        condition: item.condition.into(),
        price_cents: item.price.0,
        quantity: item.quantity,
    });
    let registered = context.databases.change_product(context.deadline, Some(idempotency), command).await?;
    let registered = expected!(product::ItemRegistered, registered)?;
    let status = if registered.merged { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(ItemUnits::new(registered.id, registered.quantity))))
}

/// List the own items, those without units too, in the order of their ids.
#[utoipa::path(get, path = "/v1/items", operation_id = "list_items", tag = "items", security(("session" = [])), params(
    ("limit" = Option<u32>, Query, description = "At most so many, 1 to 100", maximum = 100, minimum = 1),
    ("cursor" = Option<String>, Query, description = "The last page's `next_cursor`"),
), responses((status = 200, description = "A page of them", body = ItemPage)))]
pub async fn list(context: Context, caller: Caller, query: RawQuery) -> Result<Json<ItemPage>, Problem> {
    let mut query = query.read()?;
    let limit = query.limit()?;
    let after = query.one("cursor")?.map(|text| item_of(&text)).transpose()?;
    query.finish()?;
    let question =
        query::Body::ListItemsOfSeller(ListItemsOfSeller { seller_id: caller.user.id, limit, after });
    let page =
        expected!(product::ItemPage, context.databases.ask_product(context.deadline, question).await?)?;
    let next =
        page.next_item.map(|id| cursor::encode(Listing::OwnItems, b"", (id.category.into(), id.number)));
    Ok(Json(ItemPage { items: page.items.into_iter().map(Item::from).collect(), next_cursor: next }))
}

fn item_of(text: &str) -> Result<ItemId, Problem> {
    let (category, number) = cursor::decode(Listing::OwnItems, b"", text)?;
    let category =
        u32::try_from(category).map_err(|_| Problem::field("cursor", "the cursor leads nowhere"))?;
    Ok(ItemId { category, number })
}

/// Change the price of an own item.
#[utoipa::path(patch, path = "/v1/items/{item_id}", tag = "items", security(("session" = [])), request_body = NewPrice,
    params(("item_id" = String, Path, example = "3-17")), responses(
    (status = 200, description = "The item with its new price", body = Item),
    (status = 403, description = "`not_owner`", body = ProblemBody),
    (status = 404, description = "`item_not_found`", body = ProblemBody),
))]
pub async fn change_price(
    context: Context,
    caller: Caller,
    path: PathId,
    key: IdempotencyKey,
    mut fields: Fields,
) -> Result<Json<Item>, Problem> {
    let item = path.item()?;
    let wanted = NewPrice { price: fields.price("price", Cents(PRICE_MAX_CENTS))? };
    fields.finish()?;
    let text = item.to_string();
    let request: [&[u8]; 3] = [b"change price", text.as_bytes(), &wanted.price.0.to_be_bytes()];
    let idempotency = key.idempotency(&caller.user.scope, &request);
    let command = command::Body::ChangePrice(ChangePrice {
        seller_id: caller.user.id,
        item: Some(item),
        price_cents: wanted.price.0,
    });
    let changed = context.databases.change_product(context.deadline, Some(idempotency), command).await?;
    Ok(Json(expected!(product::Item, changed)?.into()))
}

/// Add units to an own item, or take some away.
#[utoipa::path(post, path = "/v1/items/{item_id}/units", tag = "items", security(("session" = [])),
    request_body = UnitsChange, params(("item_id" = String, Path, example = "3-17")), responses(
    (status = 200, description = "Units on sale now", body = ItemUnits),
    (status = 403, description = "`not_owner`", body = ProblemBody),
    (status = 404, description = "`item_not_found`", body = ProblemBody),
    (status = 409, description = "`insufficient_stock`", body = ProblemBody),
))]
pub async fn update_units(
    context: Context,
    caller: Caller,
    path: PathId,
    key: IdempotencyKey,
    mut fields: Fields,
) -> Result<Json<ItemUnits>, Problem> {
    let item = path.item()?;
    let wanted = UnitsChange { delta: fields.integer("delta", -MOST_UNITS..=MOST_UNITS)? };
    fields.finish()?;
    let text = item.to_string();
    let request: [&[u8]; 3] = [b"update units", text.as_bytes(), &wanted.delta.to_be_bytes()];
    let idempotency = key.idempotency(&caller.user.scope, &request);
    let command = command::Body::UpdateUnits(UpdateUnits {
        seller_id: caller.user.id,
        item: Some(item),
        delta: wanted.delta,
    });
    let updated = context.databases.change_product(context.deadline, Some(idempotency), command).await?;
    let updated = expected!(product::UnitsUpdated, updated)?;
    Ok(Json(ItemUnits::new(updated.id, updated.quantity)))
}

/// Take an own item off sale.
#[utoipa::path(delete, path = "/v1/items/{item_id}", operation_id = "remove_item", tag = "items", security(("session" = [])),
    params(("item_id" = String, Path, example = "3-17")), responses(
    (status = 204, description = "It is off sale"),
    (status = 403, description = "`not_owner`", body = ProblemBody),
    (status = 404, description = "`item_not_found`", body = ProblemBody),
))]
pub async fn remove(
    context: Context,
    caller: Caller,
    path: PathId,
    key: IdempotencyKey,
) -> Result<StatusCode, Problem> {
    let item = path.item()?;
    let idempotency = key.idempotency(&caller.user.scope, &[b"take off sale", item.to_string().as_bytes()]);
    let command = command::Body::RemoveItem(RemoveItem { seller_id: caller.user.id, item: Some(item) });
    let done = context.databases.change_product(context.deadline, Some(idempotency), command).await?;
    expected!(product::Done, done)?;
    Ok(StatusCode::NO_CONTENT)
}
