//! Items and ratings as both programs show them.

use serde_json::json;

use super::failure::CliError;
use super::key_values::key_values;
use super::paging::more;
use super::shown::Shown;
use super::table::{Column, table};
use crate::model::{Condition, Item, Rating};

pub(super) fn items(items: &[Item], next: Option<&str>) -> Result<Shown, CliError> {
    use Column::{Left, Right};
    let columns = [
        Left("item"),
        Left("name"),
        Left("keywords"),
        Left("condition"),
        Right("price"),
        Right("units"),
        Right("feedback"),
        Right("seller"),
    ];
    let rows = items.iter().map(|item| {
        vec![
            item.item_id.to_string(),
            item.name.clone(),
            item.keywords.join(" "),
            condition(item.condition).to_owned(),
            item.price.to_string(),
            item.quantity.to_string(),
            thumbs(item.thumbs_up, item.thumbs_down),
            item.seller_id.to_string(),
        ]
    });
    let human = if items.is_empty() { "No items.".to_owned() } else { table(&columns, rows) };
    Shown::new(human + &more(next), &json!({ "items": items, "next_cursor": next }))
}

pub(super) fn item(item: &Item) -> Result<Shown, CliError> {
    let human = key_values(&[
        ("item", item.item_id.to_string()),
        ("name", item.name.clone()),
        ("category", item.category.to_string()),
        ("keywords", item.keywords.join(" ")),
        ("condition", condition(item.condition).to_owned()),
        ("price", item.price.to_string()),
        ("units", item.quantity.to_string()),
        ("feedback", thumbs(item.thumbs_up, item.thumbs_down)),
        ("seller", item.seller_id.to_string()),
    ]);
    Shown::new(human, item)
}

pub(super) fn rating(rating: &Rating) -> Result<Shown, CliError> {
    let human = key_values(&[
        ("seller", rating.seller_id.to_string()),
        ("feedback", thumbs(rating.thumbs_up, rating.thumbs_down)),
        ("items sold", rating.items_sold.to_string()),
    ]);
    Shown::new(human, rating)
}

pub(super) fn thumbs(up: u64, down: u64) -> String {
    format!("+{up} -{down}")
}

fn condition(condition: Condition) -> &'static str {
    match condition {
        Condition::New => "new",
        Condition::Used => "used",
    }
}
