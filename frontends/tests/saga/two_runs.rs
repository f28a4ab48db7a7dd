//! Two runs of one purchase at a time, as when a client has given up a frontend that goes on all the same.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use crate::api::{User, card, category, lamp, unique};
use crate::books;
use crate::cluster::{Cluster, Shape};
use crate::points::{ANY, Points};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_run_pays_while_another_turns_back_is_voided() {
    let points = Points::listen().await;
    let cluster = Arc::new(Cluster::start(Shape { crash_points: Some(points.address), ..Shape::SMALL }));
    let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    let mut offer = lamp(category());
    offer["quantity"] = json!(1);
    let item = seller.offers(offer).await;
    let stock = async |delta: i64| {
        seller.api.post(&format!("/items/{item}/units"), json!({ "delta": delta })).await.ok(200);
    };
    buyer.api.post("/cart/items", json!({"item_id": item, "quantity": 1})).await.ok(200);
    let key = unique("two-runs");
    let buy = |frontend: usize| {
        let api = buyer.api.at(&cluster.buyers[frontend]);
        tokio::spawn(api.call("POST", "/purchases").key(&key).json(card()).attempt())
    };

    stock(-1).await;
    points.arm("refused", ANY);
    points.arm("authorized", ANY);
    let unlucky = buy(0);
    let refused = points.held("refused", ANY).await;
    points.disarm("refused", ANY);
    stock(1).await;
    let lucky = buy(1);
    let paid = points.held("authorized", ANY).await;
    points.disarm("authorized", ANY);
    drop(refused);
    let answer = unlucky.await.unwrap().unwrap();
    answer.problem(409, "insufficient_stock");
    drop(paid);
    lucky.await.unwrap().unwrap().problem(409, "insufficient_stock");

    books::all_finished(&cluster, Instant::now()).await;
    let financial = format!("http://{}", cluster.file.financial.address);
    books::balance(&cluster, &financial, &[&buyer]).await;
    assert_eq!(books::ledger(&financial).await["charged"]["count"], 0);
}
