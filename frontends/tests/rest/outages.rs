//! What buyers and sellers see of nodes that die: delay, and not errors; and nothing acknowledged is lost.

use std::sync::Arc;

use serde_json::json;

use crate::api::{Api, User, card, category, lamp};
use crate::cluster::{Cluster, Shape};

#[tokio::test]
async fn whichever_product_node_dies_items_are_sold() {
    let cluster = Arc::new(Cluster::start(Shape { nodes: 3, frontends: 1, ..Shape::SMALL }));
    let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    let item = seller.offers(lamp(category())).await;
    for (bought, node) in ["product-1", "product-2", "product-3"].into_iter().enumerate() {
        cluster.kill(node);
        buyer.wants(&item, 2).await;
        buyer.api.post("/purchases", card()).await.ok(201);
        let left = buyer.api.get(&format!("/items/{item}")).await.ok(200)["quantity"].as_u64().unwrap();
        assert_eq!(left, 10 - 2 * (bought as u64 + 1));
        cluster.run(node);
        cluster.wait_for_node(node).await;
    }
}

#[tokio::test]
async fn after_all_has_died_a_repeat_gets_the_first_answer_and_its_key_takes_no_other_request() {
    let cluster = Arc::new(Cluster::start(Shape { nodes: 3, ..Shape::SMALL }));
    let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    let item = seller.offers(lamp(category())).await;
    let calls = |buyer: Api, seller: Api| {
        let units = format!("/items/{item}/units");
        let wish = |quantity: u32| json!({"item_id": item, "quantity": quantity});
        let wanted = |quantity| buyer.call("POST", "/cart/items").key("wish").json(wish(quantity));
        let added = |delta: i32| seller.call("POST", &units).key("add").json(json!({"delta": delta}));
        let refused = seller.call("POST", &units).key("take").json(json!({"delta": -99}));
        let saved = buyer.call("PUT", "/saved-cart").key("save").json(json!({}));
        let bought = buyer.call("POST", "/purchases").key("buy").json(card());
        ([wanted(2), added(5), refused, saved, bought], [wanted(3), added(6)])
    };
    let send = async |buyer: &Api, seller: &Api| {
        let (calls, others) = calls(buyer.clone(), seller.clone());
        let mut answers = Vec::new();
        for call in calls {
            let answer = call.send().await;
            answers.push((answer.status, answer.body));
        }
        for other in others {
            other.send().await.problem(422, "idempotency_key_reused");
        }
        answers
    };
    let first = send(&buyer.api, &seller.api).await;
    assert_eq!(first.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [200, 200, 409, 200, 201]);
    let names: Vec<String> = cluster.file.processes().map(|(_, name, _)| name.to_owned()).collect();
    for name in &names {
        cluster.kill(name);
    }
    for name in &names {
        cluster.run(name);
    }
    for url in cluster.buyers.iter().chain(&cluster.sellers) {
        cluster.wait_for(&format!("{url}/readyz"));
    }
    let (buyers, sellers) = (buyer.api.at(&cluster.buyers[1]), seller.api.at(&cluster.sellers[1]));
    let mut again = send(&buyers, &sellers).await;
    // The lines are those of the first answer; what is on sale is told as of now.
    again[0].1["lines"][0]["available"] = first[0].1["lines"][0]["available"].clone();
    assert_eq!(again, first);
    assert_eq!(buyers.get(&format!("/items/{item}")).await.ok(200)["quantity"], 13, "10 + 5 - 2, once");
}

#[tokio::test]
async fn what_was_acknowledged_survives_the_death_of_all_nodes_at_once() {
    let cluster = Arc::new(Cluster::start(Shape { nodes: 3, frontends: 1, ..Shape::SMALL }));
    let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    let item = seller.offers(lamp(category())).await;
    buyer.wants(&item, 2).await;
    let buy = async || buyer.api.call("POST", "/purchases").key("once").json(card()).send().await.ok(201);
    let made = buy().await;
    buyer.wants(&item, 3).await;
    let nodes: Vec<&str> =
        cluster.file.customer.iter().chain(&cluster.file.product).map(|e| e.name.as_str()).collect();
    for node in &nodes {
        cluster.kill(node);
    }
    for node in &nodes {
        cluster.run(node);
    }
    cluster.wait_for(&format!("{}/readyz", cluster.buyers[0]));
    assert_eq!(
        buyer.api.get("/cart").await.ok(200)["lines"][0]["quantity"],
        3,
        "the session and its cart are still there"
    );
    assert_eq!(buy().await, made);
    assert_eq!(buyer.api.get(&format!("/items/{item}")).await.ok(200)["quantity"], 8);
    assert_eq!(seller.api.get("/rating").await.ok(200)["items_sold"], json!(2));
}
