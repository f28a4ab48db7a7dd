//! Bad input of every kind gets its own answer, and changes nothing.

use serde_json::{Value, json};

use crate::api::{Api, User, card, category, lamp, unique};
use crate::cluster::shared;

#[tokio::test]
async fn each_wrong_field_of_an_account_is_named() {
    let cluster = shared();
    let api = Api::new(&cluster.buyers[0]);
    let long = "x".repeat(33);
    let wrong = [
        (
            "username",
            vec![
                json!(""),
                json!("   "),
                json!("\u{200b}\u{3164}"),
                json!(long),
                json!(7),
                json!(null),
                json!(["a"]),
                json!({}),
                json!("a\u{0}"),
            ],
        ),
        ("display_name", vec![json!(""), json!(" "), json!(long), json!(true)]),
        ("password", vec![json!(""), json!("x".repeat(129)), json!(1)]),
    ];
    for (field, values) in wrong {
        for value in values {
            let mut account = json!({"username": unique("u"), "password": "p", "display_name": "d"});
            account[field] = value;
            api.post("/buyers", account).await.at_fault(field);
        }
        let mut account = json!({"username": unique("u"), "password": "p", "display_name": "d"});
        account.as_object_mut().unwrap().remove(field);
        api.post("/buyers", account).await.at_fault(field);
    }
    let odd = json!({"username": unique("u"), "password": "p", "display_name": "d", "admin": true});
    api.post("/buyers", odd).await.at_fault("admin");
    // Limits count characters, not bytes.
    let wide = json!({"username": "ž".repeat(32), "password": "p", "display_name": "漢".repeat(32)});
    api.post("/buyers", wide).await.ok(201);
}

#[tokio::test]
async fn each_wrong_field_of_an_item_is_named_and_nothing_is_put_on_sale() {
    let cluster = shared();
    let seller = User::seller(&cluster).await;
    let wrong = [
        ("name", vec![json!(""), json!("n".repeat(33)), json!(1)]),
        (
            "category",
            vec![json!(-1), json!(1.5), json!("1"), json!(2_147_483_648_u64), json!(1e300), Value::Null],
        ),
        (
            "keywords",
            vec![
                json!("desk"),
                json!(["a", "b", "c", "d", "e", "f"]),
                json!(["123456789"]),
                json!([""]),
                json!([1]),
            ],
        ),
        ("condition", vec![json!("New"), json!("broken"), json!(1), Value::Null]),
        (
            "price",
            vec![
                json!(12.5),
                json!(12),
                json!("0"),
                json!("-1"),
                json!("1.234"),
                json!("1e3"),
                json!("100000000.01"),
                json!("99999999999999999999"),
                json!(""),
            ],
        ),
        ("quantity", vec![json!(-1), json!(1.5), json!("1"), json!(1_000_000_001_u64), json!(1e18)]),
    ];
    for (field, values) in wrong {
        for value in values {
            let mut item = lamp(1);
            item[field] = value;
            seller.api.post("/items", item).await.at_fault(field);
        }
        let mut item = lamp(1);
        item.as_object_mut().unwrap().remove(field);
        seller.api.post("/items", item).await.at_fault(field);
    }
    assert_eq!(seller.api.get("/items").await.ok(200)["items"], json!([]));
}

#[tokio::test]
async fn each_wrong_field_of_a_change_is_named_and_the_item_stays() {
    let cluster = shared();
    let seller = User::seller(&cluster).await;
    let item = seller.offers(lamp(category())).await;
    let before = seller.api.get("/items").await.ok(200);
    for price in [json!(1), json!("0.001"), Value::Null, json!("-5")] {
        let call = seller.api.call("PATCH", &format!("/items/{item}")).json(json!({"price": price}));
        call.send().await.at_fault("price");
    }
    for delta in [json!("1"), json!(0.5), json!(1e30), json!(9_223_372_036_854_775_807_i64), Value::Null] {
        seller.api.post(&format!("/items/{item}/units"), json!({"delta": delta})).await.at_fault("delta");
    }
    for id in ["x", "1", "1-", "1-0", "-1-1", "01-1", "99999999999-1", "1-99999999999999999999"] {
        seller.api.delete(&format!("/items/{id}")).await.at_fault("item_id");
    }
    seller.api.delete("/items/%ff").await.problem(400, "malformed_request");
    assert_eq!(seller.api.get("/items").await.ok(200), before);
}

#[tokio::test]
async fn each_wrong_field_of_a_buyer_is_named() {
    let cluster = shared();
    let buyer = User::buyer(&cluster).await;
    for quantity in
        [json!(0), json!(-1), json!(1.5), json!("1"), json!(1_u64 << 32), json!(1e300), Value::Null]
    {
        let addition = json!({"item_id": "1-1", "quantity": quantity});
        buyer.api.post("/cart/items", addition).await.at_fault("quantity");
    }
    for id in [json!("x"), json!(1), json!(["1-1"]), Value::Null] {
        buyer.api.post("/cart/items", json!({"item_id": id, "quantity": 1})).await.at_fault("item_id");
    }
    for quantity in ["0", "-1", "x", "1.5", "4294967296", ""] {
        buyer.api.delete(&format!("/cart/items/1-1?quantity={quantity}")).await.at_fault("quantity");
    }
    for version in [json!(-1), json!("1"), json!(1.5), json!(1e300)] {
        buyer.api.put("/saved-cart", json!({"expected_version": version})).await.at_fault("expected_version");
    }
    buyer.api.put("/saved-cart", json!({"expectedVersion": 1})).await.at_fault("expectedVersion");
    for vote in [json!("UP"), json!(1), Value::Null] {
        buyer.api.put("/items/1-1/feedback", json!({"vote": vote})).await.at_fault("vote");
    }
    for (field, value) in [("number", "4111"), ("expiry", "01/2020"), ("security_code", "1"), ("name", "")] {
        let mut payment = card();
        payment["card"][field] = json!(value);
        buyer.api.post("/purchases", payment).await.at_fault(&format!("card.{field}"));
    }
    buyer.api.post("/purchases", json!({})).await.at_fault("card");
    buyer.api.get("/sellers/x/rating").await.at_fault("seller_id");
    buyer.api.get("/sellers/99999999999999999999/rating").await.at_fault("seller_id");
}

#[tokio::test]
async fn each_wrong_parameter_of_a_listing_is_named() {
    let cluster = shared();
    let (buyer, seller) = (User::buyer(&cluster).await, User::seller(&cluster).await);
    for path in ["/items", "/purchases"] {
        for limit in ["0", "101", "-1", "x", "1.5", ""] {
            buyer.api.get(&format!("{path}?limit={limit}")).await.at_fault("limit");
        }
        buyer.api.get(&format!("{path}?limit=1&limit=2")).await.at_fault("limit");
        buyer.api.get(&format!("{path}?cursor=nonsense")).await.at_fault("cursor");
        buyer.api.get(&format!("{path}?cursor={}", "0".repeat(48))).await.at_fault("cursor");
        buyer.api.get(&format!("{path}?colour=red")).await.at_fault("colour");
        buyer.api.get(&format!("{path}?cursor=%ff")).await.problem(400, "malformed_request");
    }
    seller.api.get("/items?limit=0").await.at_fault("limit");
    seller.api.get("/items?cursor=nonsense").await.at_fault("cursor");
    for category in ["-1", "x", "2147483648", "1.5", ""] {
        buyer.api.get(&format!("/items?category={category}")).await.at_fault("category");
    }
    buyer.api.get("/items?keyword=123456789").await.at_fault("keyword");
    buyer.api.get("/items?keyword=").await.at_fault("keyword");
    buyer
        .api
        .get("/items?keyword=a&keyword=b&keyword=c&keyword=d&keyword=e&keyword=f")
        .await
        .at_fault("keyword");
}

#[tokio::test]
async fn what_is_no_json_object_is_malformed() {
    let cluster = shared();
    let seller = User::seller(&cluster).await;
    let deep = format!("{{\"name\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"{".to_vec(),
        b"not json".to_vec(),
        b"[]".to_vec(),
        b"\"text\"".to_vec(),
        b"null".to_vec(),
        b"{\"name\":\"\xff\xfe\"}".to_vec(),
        b"{\"name\":1,\"name\":2}".to_vec(),
        deep.into_bytes(),
        vec![0; 100],
    ];
    for body in bodies {
        let call = seller.api.call("POST", "/items").header("Content-Type", "application/json").body(body);
        call.send().await.problem(400, "malformed_request");
    }
}

#[tokio::test]
async fn bodies_of_another_kind_or_size_are_refused() {
    let cluster = shared();
    let seller = User::seller(&cluster).await;
    let text = lamp(1).to_string();
    seller.api.call("POST", "/items").body(text.clone()).send().await.problem(415, "unsupported_media_type");
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json"] {
        let call = seller.api.call("POST", "/items").header("Content-Type", kind).body(text.clone());
        call.send().await.problem(415, "unsupported_media_type");
    }
    for size in [64 * 1024 + 1, 1_000_000] {
        let large = format!("{{\"name\":\"{}\"}}", "x".repeat(size));
        let call = seller.api.call("POST", "/items").header("Content-Type", "application/json").body(large);
        call.send().await.problem(413, "payload_too_large");
    }
    let mut call =
        seller.api.call("POST", "/items").header("Content-Type", "application/json; charset=utf-8");
    call = call.body(lamp(category()).to_string());
    call.send().await.ok(201);
}

#[tokio::test]
async fn a_key_that_is_none_is_told_by_its_header() {
    let cluster = shared();
    let seller = User::seller(&cluster).await;
    for key in ["", &"k".repeat(256), &"ž".repeat(256)] {
        seller.api.call("POST", "/items").key(key).json(lamp(1)).send().await.at_fault("Idempotency-Key");
        seller.api.call("DELETE", "/session").key(key).send().await.at_fault("Idempotency-Key");
    }
    seller.api.call("POST", "/items").key(&"k".repeat(255)).json(lamp(category())).send().await.ok(201);
    // A key is any text, and the same text is the same key.
    let twice = lamp(category());
    for _ in 0..2 {
        let made = seller.api.call("POST", "/items").key("žluťoučký kůň").json(twice.clone()).send().await;
        assert_eq!(made.ok(201)["quantity"], twice["quantity"]);
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let cluster = shared();
    for base in [&cluster.buyers[0], &cluster.sellers[0]] {
        let api = Api::new(base);
        for path in ["/nothing", "/items/1-1/nothing", "/items/"] {
            api.get(path).await.problem(404, "not_found");
        }
        api.call("GET", "").send().await.problem(404, "not_found");
        let answer = api.call("PUT", "/sessions").send().await;
        answer.problem(405, "method_not_allowed");
        assert_eq!(answer.headers["allow"], "POST");
    }
    // Each role has its own operations.
    Api::new(&cluster.buyers[0]).get("/rating").await.problem(404, "not_found");
    Api::new(&cluster.sellers[0]).get("/cart").await.problem(404, "not_found");
}
