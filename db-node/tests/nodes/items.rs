//! Items to write, and to read again.

use agora_db_client::{Database, Product};
use agora_proto::common::ItemId;
use agora_proto::product;

use super::accounts::idempotency;
use super::deadline;

pub async fn register_item(database: &Database<Product>, name: &str) -> product::ItemRegistered {
    let item = product::RegisterItem {
        seller_id: 1,
        name: name.into(),
        category: 3,
        condition: product::Condition::New.into(),
        price_cents: 500,
        quantity: 2,
        ..product::RegisterItem::default()
    };
    let body = Some(product::command::Body::RegisterItem(item));
    let command = product::Command { idempotency: idempotency(name), body };
    match database.execute(&command, deadline()).await.unwrap().body {
        Some(product::response::Body::ItemRegistered(registered)) => registered,
        other => panic!("{other:?}"),
    }
}

pub async fn item(database: &Database<Product>, id: ItemId) -> Option<product::Item> {
    let query =
        product::Query { body: Some(product::query::Body::GetItems(product::GetItems { ids: vec![id] })) };
    match database.query(&query, deadline()).await.unwrap().body {
        Some(product::response::Body::Items(items)) => items.items.into_iter().next(),
        other => panic!("{other:?}"),
    }
}
