//! What a search finds, in which order, and how its pages hang together.

mod common;

use agora_proto::common::ItemId;
use agora_proto::limits::CATEGORY_MAX;
use agora_proto::product::command::Body as Do;
use agora_proto::product::*;
use common::{Shop, id, invalid, refusal, shoe};

fn item(category: u32, name: &str, words: &[&str]) -> RegisterItem {
    let keywords = words.iter().map(|word| (*word).to_string()).collect();
    RegisterItem { category, name: name.into(), keywords, ..shoe() }
}

fn update(item: ItemId, delta: i64) -> Do {
    Do::UpdateUnits(UpdateUnits { seller_id: 1, item: Some(item), delta })
}

/// 1-1 {red}, 1-2 {blue}, 2-1 {red, blue}, 1-3 {Red, BLUE, hat}, 1-4 {}.
fn shop() -> Shop {
    let mut shop = Shop::default();
    shop.register(item(1, "a", &["red"]));
    shop.register(item(1, "b", &["blue"]));
    shop.register(item(2, "c", &["red", "blue"]));
    shop.register(item(1, "d", &["Red", "BLUE", "hat"]));
    shop.register(item(1, "e", &[]));
    shop
}

#[test]
fn any_keyword_matches_more_of_them_come_first_and_the_newest_among_equals() {
    let shop = shop();
    assert_eq!(shop.found(None, &["red", "blue"], 10), [id(1, 3), id(2, 1), id(1, 2), id(1, 1)]);
    assert_eq!(shop.found(Some(1), &["red", "blue"], 10), [id(1, 3), id(1, 2), id(1, 1)]);
    assert_eq!(shop.found(Some(1), &["hat", "blue"], 10), [id(1, 3), id(1, 2)]);
}

#[test]
fn case_makes_no_difference_and_a_repeated_keyword_counts_once() {
    let mut shop = shop();
    shop.register(item(3, "f", &["Ärmel", "red"]));
    shop.register(item(3, "g", &["red"]));
    assert_eq!(shop.found(None, &["ÄRMEL", "ärmel", "rEd"], 10)[..2], [id(3, 1), id(3, 2)]);
    assert_eq!(shop.found(Some(1), &["RED", "red", "blue"], 10), [id(1, 3), id(1, 2), id(1, 1)]);
}

#[test]
fn without_keywords_all_of_the_category_or_everything_shows_newest_first() {
    let shop = shop();
    assert_eq!(shop.found(Some(1), &[], 2), [id(1, 4), id(1, 3), id(1, 2), id(1, 1)]);
    assert_eq!(shop.found(None, &[], 2), [id(1, 4), id(1, 3), id(2, 1), id(1, 2), id(1, 1)]);
    assert!(shop.found(Some(9), &[], 2).is_empty());
}

#[test]
fn unknown_keywords_find_nothing_and_harm_nothing() {
    let shop = shop();
    assert!(shop.found(None, &["green"], 10).is_empty());
    assert!(shop.found(Some(1), &["green", "lime"], 10).is_empty());
    assert_eq!(shop.found(Some(1), &["green", "hat"], 10), [id(1, 3)]);
    assert!(shop.found(None, &["re"], 10).is_empty(), "no part of a keyword matches");
}

#[test]
fn what_is_sold_out_does_not_show_and_a_restock_does_not_make_it_newer() {
    let mut shop = shop();
    shop.run(update(id(1, 1), -10));
    assert_eq!(shop.found(Some(1), &["red"], 10), [id(1, 3)]);
    shop.run(update(id(1, 1), 1));
    assert_eq!(shop.found(Some(1), &["red"], 10), [id(1, 3), id(1, 1)]);
    shop.register(RegisterItem { quantity: 0, ..item(1, "z", &["red"]) });
    assert_eq!(shop.found(Some(1), &["red"], 10), [id(1, 3), id(1, 1)]);
}

#[test]
fn pages_of_any_length_make_up_the_whole() {
    let shop = shop();
    for category in [None, Some(1)] {
        for keywords in [&[][..], &["red"], &["red", "blue"], &["red", "blue", "hat"]] {
            let whole = shop.found(category, keywords, 100);
            (1..=6).for_each(|limit| assert_eq!(shop.found(category, keywords, limit), whole));
        }
    }
}

#[test]
fn a_cursor_stays_where_it_is_while_items_come_and_go() {
    let mut shop = shop();
    let search =
        |after| Search { category: None, keywords: vec!["red".into(), "blue".into()], limit: 2, after };
    let first = shop.page(search(None));
    assert_eq!(first.items.len(), 2);
    // The last item shown goes, newer ones and better ones come: none of them is behind the cursor.
    shop.run(Do::RemoveItem(RemoveItem { seller_id: 1, item: Some(id(2, 1)) }));
    shop.register(item(1, "new", &["red", "blue"]));
    let second = shop.page(search(first.next_search));
    assert_eq!(second.items.iter().filter_map(|item| item.id).collect::<Vec<_>>(), [id(1, 2), id(1, 1)]);
    assert_eq!(second.next_search, None);
    // One that matches less is, if it is newer than none of those shown in its tier.
    shop.register(item(5, "newer", &["red"]));
    assert_eq!(shop.page(search(first.next_search)).items[0].id, Some(id(5, 1)));
}

#[test]
fn made_up_cursors_are_places_like_any_other() {
    let shop = shop();
    let at = |matched, created| {
        let after = Some(SearchCursor { matched, created });
        shop.page(Search { category: None, keywords: vec!["red".into(), "blue".into()], limit: 9, after })
            .items
            .len()
    };
    assert_eq!(at(u32::MAX, u64::MAX), 4);
    assert_eq!(at(2, 0), 2);
    assert_eq!(at(1, 2), 1);
    assert_eq!(at(1, 0), 0);
    assert_eq!(at(0, u64::MAX), 0);
}

#[test]
fn searches_beyond_their_limits_are_refused_by_name() {
    let shop = shop();
    let search = |category, keywords: &[&str], limit| {
        let keywords = keywords.iter().map(|word| (*word).to_string()).collect();
        refusal(shop.query(query::Body::Search(Search { category, keywords, limit, after: None })))
    };
    assert_eq!(search(Some(CATEGORY_MAX + 1), &[], 1), invalid("category"));
    assert_eq!(search(None, &["a", "b", "c", "d", "e", "f"], 1), invalid("keyword"));
    assert_eq!(search(None, &[""], 1), invalid("keyword"));
    assert_eq!(search(None, &["ninechars"], 1), invalid("keyword"));
    assert_eq!(search(None, &[], 0), invalid("limit"));
    assert_eq!(search(None, &[], 101), invalid("limit"));
}
