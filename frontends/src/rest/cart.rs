//! The active cart of a buyer's session. The customer database has its lines; names, prices and stock are looked up in the
//! product database each time it is shown.

use std::collections::HashMap;

use agora_proto::Cents;
use agora_proto::common::ItemId;
use agora_proto::customer::{self, AddToCart, ClearCart, GetCart, RemoveFromCart, command};
use agora_proto::product::{self, GetItems};
use axum::Json;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{Caller, Context};
use crate::databases::{Databases, expected};
use crate::problem::{Problem, ProblemBody};
use crate::rest::body::Fields;
use crate::rest::key::IdempotencyKey;
use crate::rest::path::PathId;
use crate::rest::query::RawQuery;
use crate::rest::search;
use crate::rest::token::Token;

/// The name of what was taken off sale: nobody knows any more what it was called.
const NO_LONGER: &str = "(no longer available)";

/// A cart as it would be bought now.
#[derive(Debug, Serialize, ToSchema)]
pub struct Cart {
    /// In order of item id.
    pub lines: Vec<CartLine>,
    /// At the prices of now, without what is off sale.
    #[schema(example = "24.68")]
    pub total: String,
    /// The version of the saved cart; 0: it was never saved.
    pub saved_version: u64,
}

/// An item in a cart.
#[derive(Debug, Serialize, ToSchema)]
pub struct CartLine {
    /// The item.
    #[schema(example = "3-17")]
    pub item_id: String,
    /// What it is called; "(no longer available)" if it was taken off sale.
    pub name: String,
    /// The price of a unit now; "0.00" if it was taken off sale.
    #[schema(example = "12.34")]
    pub price: String,
    /// Units in the cart.
    pub quantity: u32,
    /// Units on sale now; 0 if it was taken off sale.
    pub available: u64,
}

/// What to put into the cart.
#[derive(ToSchema)]
pub struct CartAddition {
    #[schema(value_type = String, example = "3-17")]
    item_id: ItemId,
    /// No more than are in stock, and at most a million of one item.
    #[schema(minimum = 1, maximum = 1_000_000)]
    quantity: u32,
}

impl CartAddition {
    fn read(mut fields: Fields) -> Result<Self, Problem> {
        let addition = CartAddition {
            item_id: fields.item_id("item_id")?,
            quantity: fields.count("quantity", 1, u32::MAX)?,
        };
        fields.finish()?;
        Ok(addition)
    }
}

/// Show the session's cart.
#[utoipa::path(get, path = "/v1/cart", operation_id = "get_cart", tag = "cart", security(("session" = [])),
    responses((status = 200, description = "The cart", body = Cart)))]
pub async fn show(context: Context, token: Token) -> Result<Json<Cart>, Problem> {
    let question = customer::query::Body::GetCart(GetCart { token_hash: token.hash() });
    let cart = async {
        let cart =
            expected!(customer::Cart, context.databases.ask_customer(context.deadline, question).await?)?;
        with_items(&context, &context.databases, cart).await
    };
    let (user, cart) = tokio::join!(context.user(&token), cart);
    user?;
    Ok(Json(cart?))
}

/// Put units of an item into the cart: no more than are in stock.
#[utoipa::path(post, path = "/v1/cart/items", operation_id = "add_to_cart", tag = "cart",
    security(("session" = [])), request_body = CartAddition,
    responses(
    (status = 200, description = "The cart", body = Cart),
    (status = 404, description = "`item_not_found`", body = ProblemBody),
    (status = 409, description = "`insufficient_stock`, `cart_full`", body = ProblemBody),
))]
pub async fn add(
    context: Context,
    token: Token,
    key: Result<IdempotencyKey, Problem>,
    fields: Result<Fields, Problem>,
) -> Result<Json<Cart>, Problem> {
    let stock = async {
        let (key, addition) = (key?, CartAddition::read(fields?)?);
        let item = search::item(&context, addition.item_id).await?;
        Ok::<_, Problem>((key, addition, item))
    };
    let (user, stock) = tokio::join!(context.user(&token), stock);
    let (user, (key, addition, item)) = (user?, stock?);
    let text = addition.item_id.to_string();
    let request: [&[u8]; 3] = [b"add to cart", text.as_bytes(), &addition.quantity.to_be_bytes()];
    let idempotency = key.idempotency(&user.scope, &request);
    let command = command::Body::AddToCart(AddToCart {
        token_hash: token.hash(),
        item: Some(addition.item_id),
        quantity: addition.quantity,
        // What is not on sale is sent all the same: a repeat gets the first answer, whatever is on sale by then.
        available: item.map(|item| item.quantity),
    });
    let added = context.databases.change_customer(context.deadline, Some(idempotency), command).await?;
    changed(&context, expected!(customer::Cart, added)?).await
}

/// Take units of an item out of the cart.
#[utoipa::path(delete, path = "/v1/cart/items/{item_id}", operation_id = "remove_from_cart", tag = "cart",
    security(("session" = [])), params(
    ("item_id" = String, Path, example = "3-17"),
    ("quantity" = Option<u32>, Query, description = "How many; all, if it is left out", minimum = 1),
), responses(
    (status = 200, description = "The cart", body = Cart),
    (status = 409, description = "`not_in_cart`: so many are not in it", body = ProblemBody),
))]
pub async fn remove(
    context: Context,
    caller: Caller,
    path: PathId,
    query: RawQuery,
    key: IdempotencyKey,
) -> Result<Json<Cart>, Problem> {
    let item = path.item()?;
    let mut query = query.read()?;
    let quantity = query.number("quantity", 1..=u32::MAX)?;
    query.finish()?;
    let units = quantity.map_or_else(|| "all".to_owned(), |quantity| quantity.to_string());
    let text = item.to_string();
    let request: [&[u8]; 3] = [b"remove from cart", text.as_bytes(), units.as_bytes()];
    let idempotency = key.idempotency(&caller.user.scope, &request);
    let command = command::Body::RemoveFromCart(RemoveFromCart {
        token_hash: caller.token.hash(),
        item: Some(item),
        quantity,
    });
    let removed = context.databases.change_customer(context.deadline, Some(idempotency), command).await?;
    changed(&context, expected!(customer::Cart, removed)?).await
}

/// Empty the session's cart, and the saved cart.
#[utoipa::path(delete, path = "/v1/cart", operation_id = "clear_cart", tag = "cart", security(("session" = [])),
    responses((status = 204, description = "Both are empty")))]
pub async fn clear(context: Context, caller: Caller, key: IdempotencyKey) -> Result<StatusCode, Problem> {
    let idempotency = key.idempotency(&caller.user.scope, &[b"clear cart"]);
    let command = command::Body::ClearCart(ClearCart { token_hash: caller.token.hash() });
    let done = context.databases.change_customer(context.deadline, Some(idempotency), command).await?;
    expected!(customer::Done, done)?;
    Ok(StatusCode::NO_CONTENT)
}

/// A cart that was changed just now: if it can't be shown, nobody may be told that nothing happened. So that is waited for.
async fn changed(context: &Context, cart: customer::Cart) -> Result<Json<Cart>, Problem> {
    with_items(context, &context.databases.patient(), cart)
        .await
        .map(Json)
        .map_err(|_| Problem::outcome_unknown())
}

async fn with_items(context: &Context, databases: &Databases, cart: customer::Cart) -> Result<Cart, Problem> {
    let ids: Vec<ItemId> = cart.lines.iter().filter_map(|line| line.item).collect();
    let items = if ids.is_empty() {
        Vec::new()
    } else {
        let question = product::query::Body::GetItems(GetItems { ids });
        expected!(product::Items, databases.ask_product(context.deadline, question).await?)?.items
    };
    Ok(join(cart, items))
}

fn join(cart: customer::Cart, items: Vec<product::Item>) -> Cart {
    let items: HashMap<ItemId, product::Item> =
        items.into_iter().filter_map(|item| item.id.map(|id| (id, item))).collect();
    let mut total = Cents(0);
    let lines = cart.lines.into_iter().map(|line| {
        let id = line.item.unwrap_or_default();
        let item = items.get(&id);
        let price = item.map_or(Cents(0), |item| Cents(item.price_cents));
        total.0 = total.0.saturating_add(price.0.saturating_mul(line.quantity.into()));
        CartLine {
            item_id: id.to_string(),
            name: item.map_or_else(|| NO_LONGER.to_owned(), |item| item.name.clone()),
            price: price.to_string(),
            quantity: line.quantity,
            available: item.map_or(0, |item| item.quantity),
        }
    });
    let lines = lines.collect();
    Cart { lines, total: total.to_string(), saved_version: cart.saved_version }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_off_sale_stays_in_the_cart_but_counts_for_nothing() {
        let id = |number| Some(ItemId { category: 3, number });
        let line = |number, quantity| customer::CartLine { item: id(number), quantity };
        let cart = customer::Cart { lines: vec![line(1, 2), line(2, 5)], saved_version: 4 };
        let lamp = product::Item {
            id: id(1),
            name: "Lamp".into(),
            price_cents: 1250,
            quantity: 7,
            ..Default::default()
        };
        let shown = serde_json::to_value(join(cart, vec![lamp])).unwrap();
        assert_eq!(
            shown,
            serde_json::json!({
                "lines": [
                    {"item_id": "3-1", "name": "Lamp", "price": "12.50", "quantity": 2, "available": 7},
                    {"item_id": "3-2", "name": "(no longer available)", "price": "0.00", "quantity": 5, "available": 0},
                ],
                "total": "25.00", "saved_version": 4,
            })
        );
    }
}
