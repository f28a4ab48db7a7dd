//! What sellers may do with their items, and what is refused.

mod common;

use agora_proto::common::Code;
use agora_proto::limits::{CATEGORY_MAX, PRICE_MAX_CENTS, UNITS_MAX};
use agora_proto::product::command::Body as Do;
use agora_proto::product::response::Body;
use agora_proto::product::*;
use common::{Shop, id, invalid, plain, refusal, shoe};

fn change_price(seller_id: u64, number: u64, price_cents: u64) -> Do {
    Do::ChangePrice(ChangePrice { seller_id, item: Some(id(7, number)), price_cents })
}

fn update_units(seller_id: u64, number: u64, delta: i64) -> Do {
    Do::UpdateUnits(UpdateUnits { seller_id, item: Some(id(7, number)), delta })
}

fn remove(seller_id: u64, number: u64) -> Do {
    Do::RemoveItem(RemoveItem { seller_id, item: Some(id(7, number)) })
}

fn named(name: &str) -> RegisterItem {
    RegisterItem { name: name.into(), ..shoe() }
}

fn words(words: &[&str]) -> RegisterItem {
    RegisterItem { keywords: words.iter().map(|word| (*word).to_string()).collect(), ..shoe() }
}

#[test]
fn numbers_count_per_category_from_1() {
    let mut shop = Shop::default();
    for (category, name, number) in
        [(7, "a", 1), (7, "b", 2), (0, "a", 1), (CATEGORY_MAX, "a", 1), (7, "c", 3)]
    {
        let item = RegisterItem { category, ..named(name) };
        assert_eq!(shop.register(item).id, Some(id(category, number)));
    }
}

#[test]
fn a_number_is_never_given_twice() {
    let mut shop = Shop::default();
    shop.register(named("a"));
    assert_eq!(shop.run(remove(1, 1)), Body::Done(Done {}));
    shop.sweep();
    assert_eq!(shop.register(named("a")).id, Some(id(7, 2)));
}

#[test]
fn an_item_shows_what_it_was_registered_with() {
    let mut shop = Shop::default();
    shop.register(words(&["Red", "ÄRMEL", "rot"]));
    let item = shop.item(id(7, 1)).unwrap();
    assert_eq!(item.keywords, ["Red", "ÄRMEL", "rot"]);
    assert_eq!((item.seller_id, item.name.as_str(), item.price_cents, item.quantity), (1, "Shoe", 1999, 10));
    assert_eq!((item.condition(), item.thumbs_up, item.thumbs_down), (Condition::New, 0, 0));
    assert_eq!(shop.item(id(7, 2)), None);
}

#[test]
fn an_equal_item_gets_the_quantity_added() {
    let mut shop = Shop::default();
    shop.register(shoe());
    let again = shop.register(RegisterItem { quantity: 5, ..words(&["SHOE", "Red", "red"]) });
    assert_eq!(again, ItemRegistered { id: Some(id(7, 1)), quantity: 15, merged: true });
    assert_eq!(shop.totals().items, 1);
    let different = [
        RegisterItem { seller_id: 2, ..shoe() },
        named("shoe"),
        words(&["red"]),
        words(&["red", "shoes"]),
        words(&["redshoe"]),
        RegisterItem { condition: Condition::Used.into(), ..shoe() },
        RegisterItem { price_cents: 2000, ..shoe() },
        RegisterItem { category: 8, ..shoe() },
    ];
    for item in different {
        assert!(!shop.register(item.clone()).merged, "{item:?}");
    }
}

#[test]
fn equality_follows_the_price_and_prefers_the_older() {
    let mut shop = Shop::default();
    shop.register(shoe());
    shop.register(RegisterItem { price_cents: 5, ..shoe() });
    assert!(matches!(shop.run(change_price(1, 2, 1999)), Body::Item(item) if item.price_cents == 1999));
    assert_eq!(shop.register(shoe()).id, Some(id(7, 1)), "two are equal now: the older one grows");
    assert!(matches!(shop.run(change_price(1, 1, 3)), Body::Item(_)));
    assert_eq!(shop.register(shoe()).id, Some(id(7, 2)));
    assert_eq!(shop.register(RegisterItem { price_cents: 3, ..shoe() }).id, Some(id(7, 1)));
    assert_eq!(shop.register(RegisterItem { price_cents: 5, ..shoe() }).id, Some(id(7, 3)));
}

#[test]
fn a_removed_item_is_not_added_to() {
    let mut shop = Shop::default();
    shop.register(shoe());
    shop.run(remove(1, 1));
    assert_eq!(shop.register(shoe()), ItemRegistered { id: Some(id(7, 2)), quantity: 10, merged: false });
}

#[test]
fn fields_beyond_their_limits_are_refused_by_name() {
    let mut shop = Shop::default();
    let long = |chars| "ß".repeat(chars);
    assert_eq!(shop.register(named(&long(32))).quantity, 10);
    assert_eq!(shop.register(words(&[&long(8), "b", "c", "d", "e"])).quantity, 10);
    let refused = [
        ("name", named("")),
        ("name", named(" \u{a0}")),
        ("name", named(&long(33))),
        ("name", named("a\nb")),
        ("category", RegisterItem { category: CATEGORY_MAX + 1, ..shoe() }),
        ("keywords", words(&["a", "b", "c", "d", "e", "f"])),
        ("keywords", words(&["a", "a", "a", "a", "a", "a"])),
        ("keywords", words(&["ok", ""])),
        ("keywords", words(&["a\u{0}"])),
        ("keywords", words(&[&long(9)])),
        ("condition", RegisterItem { condition: 0, ..shoe() }),
        ("condition", RegisterItem { condition: 3, ..shoe() }),
        ("condition", RegisterItem { condition: -1, ..shoe() }),
        ("price", RegisterItem { price_cents: 0, ..shoe() }),
        ("price", RegisterItem { price_cents: PRICE_MAX_CENTS + 1, ..shoe() }),
        ("price", RegisterItem { price_cents: u64::MAX, ..shoe() }),
        ("quantity", RegisterItem { quantity: UNITS_MAX + 1, ..shoe() }),
        ("quantity", RegisterItem { quantity: u64::MAX, ..shoe() }),
    ];
    for (field, item) in refused {
        assert_eq!(shop.refused(Do::RegisterItem(item.clone())), invalid(field), "{item:?}");
    }
}

#[test]
fn only_the_owner_changes_an_item() {
    let mut shop = Shop::default();
    shop.register(shoe());
    for body in [change_price(2, 1, 5), update_units(2, 1, 5), remove(2, 1)] {
        assert_eq!(shop.refused(body), plain(Code::NotOwner));
    }
    for body in [change_price(1, 2, 5), update_units(1, 2, 5), remove(1, 2)] {
        assert_eq!(shop.refused(body), plain(Code::ItemNotFound));
    }
    assert!(matches!(shop.run(change_price(1, 1, 5)), Body::Item(item) if item.price_cents == 5));
    for price_cents in [0, PRICE_MAX_CENTS + 1] {
        assert_eq!(shop.refused(change_price(1, 1, price_cents)), invalid("price"));
    }
}

#[test]
fn units_never_fall_below_0_nor_pass_their_bound() {
    let mut shop = Shop::default();
    shop.register(shoe());
    let quantity = |body| match body {
        Body::UnitsUpdated(updated) => updated.quantity,
        other => panic!("not updated: {other:?}"),
    };
    assert_eq!(quantity(shop.run(update_units(1, 1, -3))), 7);
    assert_eq!(shop.refused(update_units(1, 1, -8)), (Code::InsufficientStock, "delta".into()));
    assert_eq!(quantity(shop.run(update_units(1, 1, -7))), 0);
    assert_eq!(quantity(shop.run(update_units(1, 1, 0))), 0);
    assert_eq!(quantity(shop.run(update_units(1, 1, UNITS_MAX as i64))), UNITS_MAX);
    assert_eq!(shop.refused(update_units(1, 1, 1)), invalid("delta"));
    for delta in [i64::MIN, i64::MAX, -(UNITS_MAX as i64) - 1] {
        assert_eq!(shop.refused(update_units(1, 1, delta)), invalid("delta"));
    }
    assert_eq!(shop.refused(Do::RegisterItem(shoe())), invalid("quantity"), "a merge has the same bound");
    assert_eq!(shop.totals().units_listed, UNITS_MAX);
}

#[test]
fn a_removed_item_is_found_no_more() {
    let mut shop = Shop::default();
    shop.register(shoe());
    assert_eq!(shop.run(remove(1, 1)), Body::Done(Done {}));
    assert_eq!(shop.item(id(7, 1)), None);
    assert!(shop.found(None, &[], 10).is_empty());
    for body in [change_price(1, 1, 5), update_units(1, 1, 5), remove(1, 1)] {
        assert_eq!(shop.refused(body), plain(Code::ItemNotFound));
    }
    assert_eq!((shop.totals().items, shop.totals().units_listed), (1, 0));
}

#[test]
fn a_seller_lists_its_own_items_in_order_sold_out_ones_too() {
    let mut shop = Shop::default();
    for at in 0..5_u32 {
        let item = RegisterItem {
            category: 9 - at % 2,
            quantity: u64::from(at % 3),
            ..named(&format!("item {at}"))
        };
        shop.register(item);
    }
    shop.register(RegisterItem { seller_id: 2, ..shoe() });
    let list =
        |limit, after| query::Body::ListItemsOfSeller(ListItemsOfSeller { seller_id: 1, limit, after });
    let page = |limit, after| match shop.query(list(limit, after)) {
        Body::ItemPage(page) => {
            (page.items.iter().filter_map(|item| item.id).collect::<Vec<_>>(), page.next_item)
        }
        other => panic!("no page: {other:?}"),
    };
    assert_eq!(page(2, None), (vec![id(8, 1), id(8, 2)], Some(id(8, 2))));
    assert_eq!(page(2, Some(id(8, 2))), (vec![id(9, 1), id(9, 2)], Some(id(9, 2))));
    assert_eq!(page(2, Some(id(9, 2))), (vec![id(9, 3)], None));
    assert_eq!(page(5, None).1, None, "exactly all of them: no more");
    assert_eq!(page(100, Some(id(0, 9))).0.len(), 5, "from between items");
    assert_eq!(page(100, Some(id(u32::MAX, u64::MAX))).0, []);
    for limit in [0, 101] {
        assert_eq!(refusal(shop.query(list(limit, None))), invalid("limit"));
    }
}

#[test]
fn items_are_answered_in_the_order_asked_for() {
    let mut shop = Shop::default();
    shop.register(named("a"));
    shop.register(named("b"));
    let ids = vec![id(7, 2), id(9, 9), id(7, 1), id(7, 2)];
    let Body::Items(items) = shop.query(query::Body::GetItems(GetItems { ids })) else { panic!("no items") };
    let names: Vec<_> = items.items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["b", "a", "b"]);
    let too_many = query::Body::GetItems(GetItems { ids: vec![id(7, 1); 101] });
    assert_eq!(refusal(shop.query(too_many)), invalid("ids"));
}
