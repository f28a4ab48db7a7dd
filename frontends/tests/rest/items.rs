//! What sellers do with their items.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::api::{Answer, User, category, lamp, unique};
use crate::cluster::shared;

#[tokio::test]
async fn an_item_is_registered_shown_and_merged_with_an_equal_one() {
    let cluster = shared();
    let seller = User::seller(&cluster).await;
    let category = category();
    let first = seller.api.post("/items", lamp(category)).await.ok(201);
    assert_eq!(first["quantity"], 10);
    let mut equal = lamp(category);
    equal["keywords"] = json!(["LIGHT", "desk"]);
    equal["quantity"] = json!(5);
    let merged = seller.api.post("/items", equal).await.ok(200);
    assert_eq!(merged, json!({"item_id": first["item_id"], "quantity": 15}));
    let mut dearer = lamp(category);
    dearer["price"] = json!("12.51");
    assert_ne!(seller.api.post("/items", dearer).await.ok(201)["item_id"], first["item_id"]);

    let page = seller.api.get("/items").await.ok(200);
    let shown = &page["items"][0];
    assert_eq!(shown["item_id"], first["item_id"]);
    assert_eq!(
        (&shown["name"], &shown["category"], &shown["condition"]),
        (&json!("Lamp"), &json!(category), &json!("new"))
    );
    assert_eq!(
        (&shown["price"], &shown["quantity"], &shown["seller_id"]),
        (&json!("12.50"), &json!(15), &json!(seller.id))
    );
    assert_eq!((&shown["thumbs_up"], &shown["thumbs_down"]), (&json!(0), &json!(0)));
    assert_eq!(shown["keywords"].as_array().unwrap().len(), 2);
    assert_eq!(page["next_cursor"], Value::Null);
    assert_eq!(shown.as_object().unwrap().len(), 10, "an ITEM has ten fields: {shown}");
}

#[tokio::test]
async fn price_and_units_change_and_units_never_go_below_0() {
    let cluster = shared();
    let seller = User::seller(&cluster).await;
    let item = seller.offers(lamp(category())).await;
    let path = format!("/items/{item}");
    let changed = seller.api.call("PATCH", &path).json(json!({"price": "9.9"})).send().await.ok(200);
    assert_eq!((changed["item_id"].as_str(), changed["price"].as_str()), (Some(item.as_str()), Some("9.90")));
    let units = format!("{path}/units");
    assert_eq!(
        seller.api.post(&units, json!({"delta": 5})).await.ok(200),
        json!({"item_id": item, "quantity": 15})
    );
    seller.api.post(&units, json!({"delta": -16})).await.problem(409, "insufficient_stock");
    assert_eq!(seller.api.post(&units, json!({"delta": -15})).await.ok(200)["quantity"], 0);
    let page = seller.api.get("/items").await.ok(200);
    assert_eq!(page["items"][0]["quantity"], 0, "sellers see what is sold out: {page}");
}

#[tokio::test]
async fn only_its_seller_may_touch_an_item() {
    let cluster = shared();
    let (owner, other) = (User::seller(&cluster).await, User::seller(&cluster).await);
    let item = owner.offers(lamp(category())).await;
    let path = format!("/items/{item}");
    other.api.call("PATCH", &path).json(json!({"price": "1"})).send().await.problem(403, "not_owner");
    other.api.post(&format!("{path}/units"), json!({"delta": 1})).await.problem(403, "not_owner");
    other.api.delete(&path).await.problem(403, "not_owner");
    owner.api.delete(&path).await.ok(204);
    owner.api.delete(&path).await.problem(404, "item_not_found");
    owner.api.call("PATCH", &path).json(json!({"price": "1"})).send().await.problem(404, "item_not_found");
    owner.api.post("/items/2147483647-99/units", json!({"delta": 1})).await.problem(404, "item_not_found");
}

#[tokio::test]
async fn own_items_come_page_by_page_each_once() {
    let cluster = shared();
    let seller = User::seller(&cluster).await;
    let mut offered = BTreeSet::new();
    for number in 0..7 {
        let mut item = lamp(category());
        item["name"] = json!(format!("Lamp {number}"));
        offered.insert(seller.offers(item).await);
    }
    let (mut seen, mut cursor, mut pages) = (BTreeSet::new(), String::new(), 0);
    loop {
        let page = seller.api.get(&format!("/items?limit=3{cursor}")).await.ok(200);
        pages += 1;
        for item in page["items"].as_array().unwrap() {
            assert!(seen.insert(item["item_id"].as_str().unwrap().to_owned()), "twice: {item}");
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((seen, pages), (offered, 3));
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_even_if_the_item_has_changed_since() {
    let cluster = shared();
    let seller = User::seller(&cluster).await;
    let elsewhere = seller.api.at(&cluster.sellers[1]);
    let category = category();
    let keys = [unique("k"), unique("k"), unique("k"), unique("k")];
    let register = async |api: &crate::api::Api| {
        api.call("POST", "/items").key(&keys[0]).json(lamp(category)).send().await.ok(201)
    };
    let registered = register(&seller.api).await;
    let path = format!("/items/{}", registered["item_id"].as_str().unwrap());
    let units = format!("{path}/units");
    let add = async |api: &crate::api::Api| {
        api.call("POST", &units).key(&keys[1]).json(json!({"delta": 3})).send().await.ok(200)
    };
    let added = add(&seller.api).await;
    assert_eq!(added["quantity"], 13);
    let price = async |api: &crate::api::Api| {
        api.call("PATCH", &path).key(&keys[2]).json(json!({"price": "20"})).send().await.ok(200)
    };
    let priced = price(&seller.api).await;
    seller.api.post(&units, json!({"delta": 100})).await.ok(200);
    seller.api.call("PATCH", &path).json(json!({"price": "30"})).send().await.ok(200);
    assert_eq!(
        (register(&elsewhere).await, add(&elsewhere).await, price(&elsewhere).await),
        (registered, added, priced)
    );
    let remove =
        async |api: &crate::api::Api| -> Answer { api.call("DELETE", &path).key(&keys[3]).send().await };
    remove(&seller.api).await.ok(204);
    remove(&elsewhere).await.ok(204);
    assert_eq!(price(&elsewhere).await["price"], "20.00");
}

#[tokio::test]
async fn a_key_belongs_to_one_request() {
    let cluster = shared();
    let seller = User::seller(&cluster).await;
    let item = seller.offers(lamp(category())).await;
    let (units, key) = (format!("/items/{item}/units"), unique("k"));
    seller.api.call("POST", &units).key(&key).json(json!({"delta": 1})).send().await.ok(200);
    let reused = [
        seller.api.call("POST", &units).key(&key).json(json!({"delta": 2})),
        seller.api.call("PATCH", &format!("/items/{item}")).key(&key).json(json!({"price": "1"})),
        seller.api.call("DELETE", &format!("/items/{item}")).key(&key),
        seller.api.call("POST", "/items").key(&key).json(lamp(1)),
    ];
    for call in reused {
        call.send().await.problem(422, "idempotency_key_reused");
    }
    assert_eq!(seller.api.get("/items").await.ok(200)["items"][0]["quantity"], 11);
}
