//! What buyers and sellers see of nodes that die: delay, and not errors; and nothing acknowledged is lost.

use std::sync::Arc;

use serde_json::json;

use crate::api::{User, card, category, lamp};
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
