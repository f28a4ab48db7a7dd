//! What a buyer finds: search by category and keywords, and one item by its id.
//!
//! Whether the caller may ask and what the answer is are looked up at the same time: they are in different databases, and
//! neither needs the other. Without a session the answer is thrown away.

use agora_proto::common::{Code, ItemId};
use agora_proto::limits::{CATEGORY_MAX, KEYWORD_CHARS, KEYWORDS};
use agora_proto::product::{self, GetItems, Search, SearchCursor, query};
use axum::Json;

use crate::app::Context;
use crate::databases::expected;
use crate::problem::{Problem, ProblemBody};
use crate::rest::cursor::{self, Listing};
use crate::rest::path::PathId;
use crate::rest::query::RawQuery;
use crate::rest::shapes::{Item, ItemPage, Keyword};
use crate::rest::token::Token;

/// Search for items on sale: those of the category that have any of the keywords, those with the most first, then the newest.
#[utoipa::path(get, path = "/v1/items", operation_id = "search_items", tag = "search", security(("session" = [])), params(
    ("category" = Option<u32>, Query, description = "Only in this category", maximum = 2_147_483_647),
    ("keyword" = Option<Vec<Keyword>>, Query, description = "Up to five, of any case; none: every item of the category",
        max_items = 5),
    ("limit" = Option<u32>, Query, description = "At most so many, 1 to 100", maximum = 100, minimum = 1),
    ("cursor" = Option<String>, Query, description = "The last page's `next_cursor`"),
), responses((status = 200, description = "A page of them", body = ItemPage)))]
pub async fn search(context: Context, token: Token, query: RawQuery) -> Result<Json<ItemPage>, Problem> {
    let (user, page) = tokio::join!(context.user(&token), find(&context, &query));
    user?;
    Ok(Json(page?))
}

async fn find(context: &Context, query: &RawQuery) -> Result<ItemPage, Problem> {
    let (search, asked_for) = read(query)?;
    let page = context.databases.ask_product(context.deadline, query::Body::Search(search)).await?;
    let page = expected!(product::ItemPage, page)?;
    let next = page
        .next_search
        .map(|at| cursor::encode(Listing::Search, &asked_for, (at.matched.into(), at.created)));
    Ok(ItemPage { items: page.items.into_iter().map(Item::from).collect(), next_cursor: next })
}

/// The search, and what its pages have in common.
fn read(query: &RawQuery) -> Result<(Search, Vec<u8>), Problem> {
    let mut query = query.read()?;
    let category = query.number("category", 0..=CATEGORY_MAX)?;
    let keywords = query.all("keyword");
    if keywords.len() > KEYWORDS {
        return Err(Problem::field("keyword", format!("keyword may be given up to {KEYWORDS} times")));
    }
    if !keywords.iter().all(|keyword| (1..=KEYWORD_CHARS).contains(&keyword.chars().count())) {
        return Err(Problem::field("keyword", format!("a keyword has 1 to {KEYWORD_CHARS} characters")));
    }
    let asked_for = asked_for(category, &keywords);
    let limit = query.limit()?;
    let after = query.one("cursor")?.map(|text| position(&asked_for, &text)).transpose()?;
    query.finish()?;
    Ok((Search { category, keywords, limit, after }, asked_for))
}

fn asked_for(category: Option<u32>, keywords: &[String]) -> Vec<u8> {
    let mut keywords: Vec<_> = keywords.iter().map(|keyword| keyword.to_lowercase()).collect();
    keywords.sort();
    format!("{category:?} {keywords:?}").into_bytes()
}

fn position(asked_for: &[u8], text: &str) -> Result<SearchCursor, Problem> {
    let (matched, created) = cursor::decode(Listing::Search, asked_for, text)?;
    let matched = u32::try_from(matched).map_err(|_| Problem::field("cursor", "the cursor leads nowhere"))?;
    Ok(SearchCursor { matched, created })
}

/// Show one item.
#[utoipa::path(get, path = "/v1/items/{item_id}", operation_id = "get_item", tag = "search", security(("session" = [])),
    params(("item_id" = String, Path, example = "3-17")), responses(
    (status = 200, description = "The item", body = Item),
    (status = 404, description = "`item_not_found`", body = ProblemBody),
))]
pub async fn show(context: Context, token: Token, path: PathId) -> Result<Json<Item>, Problem> {
    let item = async {
        let id = path.item()?;
        item(&context, id).await?.ok_or_else(|| not_on_sale(id))
    };
    let (user, item) = tokio::join!(context.user(&token), item);
    user?;
    Ok(Json(item?.into()))
}

/// An item, if it is on sale.
///
/// # Errors
/// The product database does not answer.
pub async fn item(context: &Context, id: ItemId) -> Result<Option<product::Item>, Problem> {
    let question = query::Body::GetItems(GetItems { ids: vec![id] });
    let found = context.databases.ask_product(context.deadline, question).await?;
    Ok(expected!(product::Items, found)?.items.into_iter().next())
}

/// There is no such item, or no more.
pub fn not_on_sale(id: ItemId) -> Problem {
    Problem::new(Code::ItemNotFound, format!("no item {id} is on sale"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_belong_to_one_search_whatever_the_order_and_case_of_its_keywords() {
        let keywords = |texts: [&str; 2]| texts.map(str::to_owned);
        assert_eq!(asked_for(Some(3), &keywords(["a", "B"])), asked_for(Some(3), &keywords(["b", "A"])));
        assert_ne!(asked_for(Some(3), &keywords(["a", "b"])), asked_for(None, &keywords(["a", "b"])));
        assert_ne!(asked_for(None, &keywords(["a b", "c"])), asked_for(None, &keywords(["a", "b c"])));
    }
}
