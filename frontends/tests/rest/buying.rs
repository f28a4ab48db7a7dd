//! What buyers find, want, buy and think of it.

use serde_json::{Value, json};

use crate::api::{User, card, category, lamp, unique};
use crate::cluster::{Cluster, Shape, shared};

#[tokio::test]
async fn search_orders_by_matched_keywords_then_newest_and_hides_what_is_sold_out() {
    let cluster = shared();
    let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    let category = category();
    let offer = async |name: &str, keywords: Value, quantity: u32| {
        let mut item = lamp(category);
        (item["name"], item["keywords"], item["quantity"]) = (json!(name), keywords, json!(quantity));
        seller.offers(item).await
    };
    let old = offer("old", json!(["Desk"]), 1).await;
    let both = offer("both", json!(["desk", "LIGHT"]), 1).await;
    let new = offer("new", json!(["light"]), 1).await;
    offer("sold out", json!(["desk", "light"]), 0).await;
    offer("other", json!(["chair"]), 1).await;
    let found = async |query: &str| -> Vec<String> {
        let page = buyer.api.get(&format!("/items?category={category}{query}")).await.ok(200);
        page["items"].as_array().unwrap().iter().map(|i| i["item_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(found("&keyword=dESK&keyword=light").await, [both.as_str(), &new, &old]);
    assert_eq!(found("&keyword=desk").await, [both.as_str(), &old]);
    assert_eq!(found("").await.len(), 4);
    assert_eq!(found("&keyword=nothing").await, [""; 0]);

    let first = format!("/items?category={category}&keyword=light&keyword=desk&limit=2");
    let page = buyer.api.get(&first).await.ok(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    // Another frontend, other case, other order: the same search.
    let elsewhere = buyer.api.at(&cluster.buyers[1]);
    let next = format!("/items?category={category}&keyword=DESK&keyword=light&limit=2&cursor={cursor}");
    let page = elsewhere.get(&next).await.ok(200);
    assert_eq!(page["items"][0]["item_id"], old);
    elsewhere
        .get(&format!("/items?category={category}&keyword=desk&cursor={cursor}"))
        .await
        .at_fault("cursor");
}

#[tokio::test]
async fn an_item_is_shown_by_its_id_or_not_found() {
    let cluster = shared();
    let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    let item = seller.offers(lamp(category())).await;
    assert_eq!(buyer.api.get(&format!("/items/{item}")).await.ok(200)["name"], "Lamp");
    seller.api.delete(&format!("/items/{item}")).await.ok(204);
    buyer.api.get(&format!("/items/{item}")).await.problem(404, "item_not_found");
    buyer.api.get("/items/2147483647-1").await.problem(404, "item_not_found");
}

#[tokio::test]
async fn a_cart_holds_no_more_than_the_stock_and_gives_no_more_than_it_holds() {
    let cluster = shared();
    let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    let item = seller.offers(lamp(category())).await;
    assert_eq!(
        buyer.api.get("/cart").await.ok(200),
        json!({"lines": [], "total": "0.00", "saved_version": 0})
    );
    buyer.wants(&item, 4).await;
    let cart = buyer.wants(&item, 6).await;
    let line = json!({"item_id": item, "name": "Lamp", "price": "12.50", "quantity": 10, "available": 10});
    assert_eq!(cart, json!({"lines": [line], "total": "125.00", "saved_version": 0}));
    let one_more = json!({"item_id": item, "quantity": 1});
    buyer.api.post("/cart/items", one_more).await.problem(409, "insufficient_stock");
    let huge = json!({"item_id": item, "quantity": 3_000_000_000_u32});
    buyer.api.post("/cart/items", huge).await.problem(409, "insufficient_stock");
    let huge = format!("/cart/items/{item}?quantity=3000000000");
    buyer.api.delete(&huge).await.problem(409, "not_in_cart");
    let unknown = json!({"item_id": "2147483647-1", "quantity": 1});
    buyer.api.post("/cart/items", unknown).await.problem(404, "item_not_found");
    buyer.api.delete(&format!("/cart/items/{item}?quantity=11")).await.problem(409, "not_in_cart");
    buyer.api.delete("/cart/items/2147483647-1").await.problem(409, "not_in_cart");
    let cart = buyer.api.delete(&format!("/cart/items/{item}?quantity=7")).await.ok(200);
    assert_eq!((&cart["lines"][0]["quantity"], &cart["total"]), (&json!(3), &json!("37.50")));
    seller.api.delete(&format!("/items/{item}")).await.ok(204);
    let cart = buyer.api.get("/cart").await.ok(200);
    assert_eq!((&cart["lines"][0]["available"], &cart["total"]), (&json!(0), &json!("0.00")));
    assert_eq!(cart["lines"][0]["name"], "(no longer available)");
    assert_eq!(buyer.api.delete(&format!("/cart/items/{item}")).await.ok(200)["lines"], json!([]));
}

#[tokio::test]
async fn a_saved_cart_comes_back_at_login_and_racing_saves_conflict() {
    let cluster = shared();
    let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    let item = seller.offers(lamp(category())).await;
    buyer.wants(&item, 2).await;
    assert_eq!(
        buyer.log_in().await.api.get("/cart").await.ok(200)["lines"],
        json!([]),
        "it was not saved yet"
    );
    assert_eq!(buyer.api.put("/saved-cart", json!({})).await.ok(200), json!({"saved_version": 1}));
    let other = buyer.log_in().await;
    let cart = other.api.get("/cart").await.ok(200);
    assert_eq!((&cart["lines"][0]["quantity"], &cart["saved_version"]), (&json!(2), &json!(1)));
    // The body may be left out.
    assert_eq!(other.api.call("PUT", "/saved-cart").send().await.ok(200)["saved_version"], 2);
    buyer.api.put("/saved-cart", json!({})).await.problem(409, "saved_cart_conflict");
    buyer.api.put("/saved-cart", json!({"expected_version": 1})).await.problem(409, "saved_cart_conflict");
    assert_eq!(
        buyer.api.put("/saved-cart", json!({"expected_version": 2})).await.ok(200)["saved_version"],
        3
    );
    buyer.api.delete("/cart").await.ok(204);
    assert_eq!(buyer.api.get("/cart").await.ok(200)["lines"], json!([]));
    assert_eq!(
        buyer.log_in().await.api.get("/cart").await.ok(200)["lines"],
        json!([]),
        "clearing clears both"
    );
}

#[tokio::test]
async fn a_repeated_addition_adds_once_though_the_stock_is_gone() {
    let cluster = shared();
    let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    let item = seller.offers(lamp(category())).await;
    let (key, body) = (unique("k"), json!({"item_id": item, "quantity": 4}));
    buyer.api.call("POST", "/cart/items").key(&key).json(body.clone()).send().await.ok(200);
    seller.api.post(&format!("/items/{item}/units"), json!({"delta": -10})).await.ok(200);
    let elsewhere = buyer.api.at(&cluster.buyers[1]);
    let again = elsewhere.call("POST", "/cart/items").key(&key).json(body.clone()).send().await.ok(200);
    assert_eq!(again["lines"][0]["quantity"], 4);
    seller.api.delete(&format!("/items/{item}")).await.ok(204);
    elsewhere.call("POST", "/cart/items").key(&key).json(body).send().await.ok(200);
    let other = json!({"item_id": item, "quantity": 5});
    elsewhere
        .call("POST", "/cart/items")
        .key(&key)
        .json(other)
        .send()
        .await
        .problem(422, "idempotency_key_reused");
}

#[tokio::test]
async fn a_repeated_change_of_the_cart_shows_todays_prices_and_wants_a_session_that_lives() {
    let cluster = shared();
    let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    let item = seller.offers(lamp(category())).await;
    let (key, body) = (unique("k"), json!({"item_id": item, "quantity": 4}));
    let add =
        async |user: &User| user.api.call("POST", "/cart/items").key(&key).json(body.clone()).send().await;
    assert_eq!(add(&buyer).await.ok(200)["total"], "50.00");
    seller.api.call("PATCH", &format!("/items/{item}")).json(json!({"price": "2.00"})).send().await.ok(200);
    seller.api.post(&format!("/items/{item}/units"), json!({"delta": -1})).await.ok(200);
    let again = add(&buyer).await.ok(200);
    let line = &again["lines"][0];
    assert_eq!((&line["quantity"], &line["price"]), (&json!(4), &json!("2.00")));
    assert_eq!((&line["available"], &again["total"]), (&json!(9), &json!("8.00")));

    buyer.api.delete("/session").await.ok(204);
    add(&buyer).await.problem(401, "invalid_session");
    let buyer = buyer.log_in().await;
    assert_eq!(add(&buyer).await.ok(200)["lines"], again["lines"], "it was done in the session that ended");
    assert_eq!(buyer.api.get("/cart").await.ok(200)["lines"], json!([]), "and it is not done again");
}

#[tokio::test]
async fn a_refused_addition_stays_refused_whatever_is_on_sale_at_the_repeat() {
    let cluster = shared();
    let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    let category = category();
    let add = async |key: &str, item: &str, quantity: u32, base: &str| {
        let body = json!({"item_id": item, "quantity": quantity});
        buyer.api.at(base).call("POST", "/cart/items").key(key).json(body).send().await
    };
    let (early, first) = (unique("k"), format!("{category}-1"));
    add(&early, &first, 1, &cluster.buyers[0]).await.problem(404, "item_not_found");
    assert_eq!(seller.offers(lamp(category)).await, first);
    add(&early, &first, 1, &cluster.buyers[1]).await.problem(404, "item_not_found");

    let many = unique("k");
    add(&many, &first, 11, &cluster.buyers[0]).await.problem(409, "insufficient_stock");
    seller.api.post(&format!("/items/{first}/units"), json!({"delta": 5})).await.ok(200);
    add(&many, &first, 11, &cluster.buyers[1]).await.problem(409, "insufficient_stock");
    seller.api.delete(&format!("/items/{first}")).await.ok(204);
    add(&many, &first, 11, &cluster.buyers[1]).await.problem(409, "insufficient_stock");
    assert_eq!(buyer.api.get("/cart").await.ok(200)["lines"], json!([]));
}

#[tokio::test]
async fn of_two_sessions_that_buy_copies_of_one_cart_each_buys_its_own_as_far_as_the_stock_goes() {
    let cluster = shared();
    let (seller, one) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    let item = seller.offers(lamp(category())).await;
    one.wants(&item, 6).await;
    one.api.put("/saved-cart", json!({})).await.ok(200);
    let other = one.log_in().await;
    let elsewhere = other.api.at(&cluster.buyers[1]);
    let (first, second) =
        tokio::join!(one.api.post("/purchases", card()), elsewhere.post("/purchases", card()));
    let (bought, missed, rest) =
        if first.status == 201 { (first, second, &other) } else { (second, first, &one) };
    bought.ok(201);
    missed.problem(409, "insufficient_stock");
    assert_eq!(rest.api.get("/cart").await.ok(200)["lines"][0]["quantity"], 6, "it is as it was");
    assert_eq!(
        one.log_in().await.api.get("/cart").await.ok(200)["lines"],
        json!([]),
        "the saved cart is bought"
    );
    seller.api.post(&format!("/items/{item}/units"), json!({"delta": 2})).await.ok(200);
    rest.api.post("/purchases", card()).await.ok(201);
    assert_eq!(one.api.get("/purchases").await.ok(200)["purchases"].as_array().unwrap().len(), 2);
    assert_eq!(seller.api.get("/rating").await.ok(200)["items_sold"], 12);
}

#[tokio::test]
async fn of_two_purchases_of_one_cart_at_a_time_one_is_made() {
    let cluster = shared();
    let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    let item = seller.offers(lamp(category())).await;
    buyer.wants(&item, 3).await;
    let elsewhere = buyer.api.at(&cluster.buyers[1]);
    let (first, second) =
        tokio::join!(buyer.api.post("/purchases", card()), elsewhere.post("/purchases", card()));
    let (made, other) = if first.status == 201 { (first, second) } else { (second, first) };
    made.ok(201);
    let code = if other.body["code"] == "cart_empty" { "cart_empty" } else { "purchase_conflict" };
    other.problem(409, code);
    assert_eq!(buyer.api.get("/purchases").await.ok(200)["purchases"].as_array().unwrap().len(), 1);
    assert_eq!(buyer.api.get(&format!("/items/{item}")).await.ok(200)["quantity"], 7);
}

#[tokio::test]
async fn a_cart_with_an_item_that_was_removed_is_not_bought_and_what_is_left_of_it_is() {
    let cluster = shared();
    let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    let (kept, removed) = (seller.offers(lamp(category())).await, seller.offers(lamp(category())).await);
    buyer.wants(&kept, 1).await;
    buyer.wants(&removed, 1).await;
    seller.api.delete(&format!("/items/{removed}")).await.ok(204);
    let answer = buyer.api.post("/purchases", card()).await;
    answer.problem(409, "insufficient_stock");
    assert!(answer.body["detail"].as_str().unwrap().contains(&removed), "it names the item: {answer:?}");
    assert_eq!(buyer.api.get(&format!("/items/{kept}")).await.ok(200)["quantity"], 10, "all or nothing");
    buyer.api.delete(&format!("/cart/items/{removed}")).await.ok(200);
    assert_eq!(buyer.api.post("/purchases", card()).await.ok(201)["total"], "12.50");
}

#[tokio::test]
async fn a_purchase_takes_the_cart_and_the_stock_and_counts_for_the_seller() {
    let cluster = shared();
    let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    let item = seller.offers(lamp(category())).await;
    buyer.wants(&item, 4).await;
    buyer.api.put("/saved-cart", json!({})).await.ok(200);
    // What the purchase freezes is the price of now, not that of when it was put into the cart.
    seller.api.call("PATCH", &format!("/items/{item}")).json(json!({"price": "10"})).send().await.ok(200);
    let made = buyer.api.post("/purchases", card()).await.ok(201);
    assert_eq!(made["total"], "40.00");
    let line =
        json!({"item_id": item, "name": "Lamp", "seller_id": seller.id, "price": "10.00", "quantity": 4});
    assert_eq!(made["lines"], json!([line]));
    assert!(uuid::Uuid::parse_str(made["purchase_id"].as_str().unwrap()).is_ok());
    assert_eq!(buyer.api.get("/cart").await.ok(200)["lines"], json!([]));
    assert_eq!(
        buyer.log_in().await.api.get("/cart").await.ok(200)["lines"],
        json!([]),
        "nor in the saved cart"
    );
    assert_eq!(buyer.api.get(&format!("/items/{item}")).await.ok(200)["quantity"], 6);
    let rating = json!({"seller_id": seller.id, "thumbs_up": 0, "thumbs_down": 0, "items_sold": 4});
    assert_eq!(seller.api.get("/rating").await.ok(200), rating);
    assert_eq!(buyer.api.get(&format!("/sellers/{}/rating", seller.id)).await.ok(200), rating);
    buyer.api.post("/purchases", card()).await.problem(409, "cart_empty");

    let page = buyer.api.get("/purchases").await.ok(200);
    let listed = &page["purchases"][0];
    assert_eq!((&listed["purchase_id"], &listed["lines"]), (&made["purchase_id"], &made["lines"]));
    assert!(listed["at"].as_str().unwrap().ends_with('Z'), "{listed}");
    assert_eq!(page["next_cursor"], Value::Null);
}

#[tokio::test]
async fn a_repeated_purchase_is_the_same_one_and_charged_once() {
    let cluster = shared();
    let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    let item = seller.offers(lamp(category())).await;
    buyer.wants(&item, 1).await;
    let key = unique("k");
    let buy =
        async |base: &str| buyer.api.at(base).call("POST", "/purchases").key(&key).json(card()).send().await;
    // Both at the same time, and once more when all is over.
    let (here, there) = tokio::join!(buy(&cluster.buyers[0]), buy(&cluster.buyers[1]));
    let (here, there) = (here.ok(201), there.ok(201));
    assert_eq!(here, there);
    buyer.wants(&item, 2).await;
    assert_eq!(buy(&cluster.buyers[1]).await.ok(201), here);
    assert_eq!(buyer.api.get("/purchases").await.ok(200)["purchases"].as_array().unwrap().len(), 1);
    assert_eq!(buyer.api.get(&format!("/items/{item}")).await.ok(200)["quantity"], 9);
    assert_eq!(buyer.api.get("/cart").await.ok(200)["lines"][0]["quantity"], 2);
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_though_its_card_has_expired_since() {
    let cluster = shared();
    let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    let item = seller.offers(lamp(category())).await;
    let mut past = card();
    past["card"]["expiry"] = json!("01/2020");
    let buy = async |key: &str, card: &Value, base: &str| {
        buyer.api.at(base).call("POST", "/purchases").key(key).json(card.clone()).send().await
    };
    buyer.wants(&item, 1).await;
    let (bought, empty, late) = (unique("k"), unique("k"), unique("k"));
    let made = buy(&bought, &card(), &cluster.buyers[0]).await.ok(201);
    assert_eq!(buy(&bought, &past, &cluster.buyers[1]).await.ok(201), made);
    buy(&empty, &card(), &cluster.buyers[0]).await.problem(409, "cart_empty");
    buy(&empty, &past, &cluster.buyers[1]).await.problem(409, "cart_empty");
    // It begins nothing, though, and no key is spent on it.
    buyer.wants(&item, 2).await;
    buy(&late, &past, &cluster.buyers[0]).await.at_fault("card.expiry");
    assert_eq!(buyer.api.get(&format!("/items/{item}")).await.ok(200)["quantity"], 9);
    assert_eq!(buyer.api.get("/cart").await.ok(200)["lines"][0]["quantity"], 2);
    buy(&late, &card(), &cluster.buyers[1]).await.ok(201);
    assert_eq!(buyer.api.get(&format!("/items/{item}")).await.ok(200)["quantity"], 7);
}

#[tokio::test]
async fn of_two_who_want_the_last_unit_one_gets_it() {
    let cluster = shared();
    let seller = User::seller(&cluster).await;
    let (one, other) = (User::buyer(&cluster).await, User::buyer(&cluster).await);
    let mut last = lamp(category());
    last["quantity"] = json!(1);
    let item = seller.offers(last).await;
    one.wants(&item, 1).await;
    other.wants(&item, 1).await;
    let elsewhere = other.api.at(&cluster.buyers[1]);
    let (first, second) =
        tokio::join!(one.api.post("/purchases", card()), elsewhere.post("/purchases", card()));
    let (got, missed) = if first.status == 201 { (first, second) } else { (second, first) };
    got.ok(201);
    missed.problem(409, "insufficient_stock");
    assert_eq!(seller.api.get("/rating").await.ok(200)["items_sold"], 1);
}

#[tokio::test]
async fn purchases_come_page_by_page_newest_first() {
    let cluster = shared();
    let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    let item = seller.offers(lamp(category())).await;
    let mut made = Vec::new();
    for _ in 0..5 {
        buyer.wants(&item, 1).await;
        made.insert(0, buyer.api.post("/purchases", card()).await.ok(201)["purchase_id"].clone());
    }
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = buyer.api.get(&format!("/purchases?limit=2{cursor}")).await.ok(200);
        listed.extend(
            page["purchases"].as_array().unwrap().iter().map(|purchase| purchase["purchase_id"].clone()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(listed, made);
}

#[tokio::test]
async fn a_vote_stands_once_per_buyer_and_counts_for_item_and_seller() {
    let cluster = shared();
    let seller = User::seller(&cluster).await;
    let (one, other) = (User::buyer(&cluster).await, User::buyer(&cluster).await);
    let item = seller.offers(lamp(category())).await;
    let path = format!("/items/{item}/feedback");
    one.api.put(&path, json!({"vote": "up"})).await.ok(200);
    one.api.put(&path, json!({"vote": "up"})).await.ok(200);
    let votes = other.api.put(&path, json!({"vote": "up"})).await.ok(200);
    assert_eq!(votes, json!({"thumbs_up": 2, "thumbs_down": 0}));
    let votes = one.api.put(&path, json!({"vote": "down"})).await.ok(200);
    assert_eq!(votes, json!({"thumbs_up": 1, "thumbs_down": 1}));
    let rating = seller.api.get("/rating").await.ok(200);
    assert_eq!((&rating["thumbs_up"], &rating["thumbs_down"]), (&json!(1), &json!(1)));
    one.api.put("/items/2147483647-1/feedback", json!({"vote": "up"})).await.problem(404, "item_not_found");
    one.api.get("/sellers/999999999/rating").await.problem(404, "seller_not_found");
}

#[tokio::test]
async fn a_declined_card_buys_nothing_and_the_cart_stays() {
    let cluster = std::sync::Arc::new(Cluster::start(Shape { approval_rate: 0.0, ..Shape::SMALL }));
    let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    let item = seller.offers(lamp(category())).await;
    buyer.wants(&item, 4).await;
    let key = unique("k");
    let buy =
        async |base: &str| buyer.api.at(base).call("POST", "/purchases").key(&key).json(card()).send().await;
    buy(&cluster.buyers[0]).await.problem(402, "payment_declined");
    buy(&cluster.buyers[1]).await.problem(402, "payment_declined");
    assert_eq!(buyer.api.get("/cart").await.ok(200)["lines"][0]["quantity"], 4);
    assert_eq!(
        buyer.api.get(&format!("/items/{item}")).await.ok(200)["quantity"],
        10,
        "the stock is back on sale"
    );
    assert_eq!(buyer.api.get("/purchases").await.ok(200)["purchases"], json!([]));
    buyer.api.post("/purchases", card()).await.problem(402, "payment_declined");
}

#[tokio::test]
async fn without_the_financial_service_a_purchase_fails_cleanly_and_the_same_key_buys_when_it_is_back() {
    let cluster = std::sync::Arc::new(Cluster::start(Shape::SMALL));
    let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    let item = seller.offers(lamp(category())).await;
    buyer.wants(&item, 4).await;
    cluster.kill("financial");
    let key = unique("k");
    let buy =
        async |base: &str| buyer.api.at(base).call("POST", "/purchases").key(&key).json(card()).send().await;
    buy(&cluster.buyers[0]).await.problem(503, "unavailable");
    assert_eq!(
        buyer.api.get(&format!("/items/{item}")).await.ok(200)["quantity"],
        10,
        "nothing is held back"
    );
    assert_eq!(buyer.api.get("/cart").await.ok(200)["lines"][0]["quantity"], 4);
    cluster.run("financial");
    cluster.wait_for(&format!("http://{}/healthz", cluster.file.financial.address));
    let made = buy(&cluster.buyers[1]).await.ok(201);
    assert_eq!(buy(&cluster.buyers[0]).await.ok(201), made);
    assert_eq!(buyer.api.get(&format!("/items/{item}")).await.ok(200)["quantity"], 6);
}
