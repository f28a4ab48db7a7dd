//! A purchase that is repeated with the same key and another card: what has an answer keeps it, and one card at most is
//! charged.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use tokio::task::JoinHandle;

use crate::api::{Answer, User, card, category, lamp, unique};
use crate::books;
use crate::cluster::{Cluster, Shape};
use crate::points::{ANY, Held, Points};

/// A buyer with four lamps in the cart, of ten that there are, and the key of their purchase.
struct Wish {
    cluster: Arc<Cluster>,
    points: Points,
    seller: User,
    buyer: User,
    item: String,
    key: String,
}

impl Wish {
    async fn new() -> Self {
        let points = Points::listen().await;
        let cluster = Arc::new(Cluster::start(Shape { crash_points: Some(points.address), ..Shape::SMALL }));
        let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
        let item = seller.offers(lamp(category())).await;
        buyer.wants(&item, 4).await;
        Wish { cluster, points, seller, buyer, item, key: unique("other-card") }
    }

    fn financial(&self) -> String {
        format!("http://{}", self.cluster.file.financial.address)
    }

    async fn adds(&self, units: i64) {
        let path = format!("/items/{}/units", self.item);
        self.seller.api.post(&path, json!({ "delta": units })).await.ok(200);
    }

    async fn buys(&self) -> Answer {
        self.buyer.api.call("POST", "/purchases").key(&self.key).json(card()).send().await
    }

    /// Buys through the first frontend, as far as this step.
    async fn buys_as_far_as(&self, step: &str) -> (JoinHandle<Option<Answer>>, Held) {
        self.points.arm(step, ANY);
        let request = self.buyer.api.call("POST", "/purchases").key(&self.key).json(card());
        let answer = tokio::spawn(request.attempt());
        let held = self.points.held(step, ANY).await;
        self.points.disarm(step, ANY);
        (answer, held)
    }

    /// Repeats the request through the second frontend with the other card.
    async fn shows_the_other_card(&self) -> Answer {
        let mut other = card();
        other["card"]["number"] = json!("5500005555555559");
        let elsewhere = self.buyer.api.at(&self.cluster.buyers[1]);
        elsewhere.call("POST", "/purchases").key(&self.key).json(other).send().await
    }

    /// Checks the books, in which there are so many purchases.
    async fn balances_with(&self, purchases: u64) {
        books::all_finished(&self.cluster, Instant::now()).await;
        books::balance(&self.cluster, &self.financial(), &[&self.buyer]).await;
        assert_eq!(books::ledger(&self.financial()).await["charged"]["count"], purchases);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_card_was_declined_for_no_other_card_buys() {
    let wish = Wish::new().await;
    let (answer, held) = wish.buys_as_far_as("reserved").await;
    books::decline(&wish.financial(), &held.purchase).await;
    drop(held);
    answer.await.unwrap().unwrap().problem(402, "payment_declined");
    wish.shows_the_other_card().await.problem(402, "payment_declined");
    wish.balances_with(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sold_out_stays_so_for_another_card_though_there_is_stock_again() {
    let wish = Wish::new().await;
    wish.adds(-10).await;
    wish.buys().await.problem(409, "insufficient_stock");
    wish.adds(10).await;
    wish.shows_the_other_card().await.problem(409, "insufficient_stock");
    wish.balances_with(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_outage_the_repeat_is_a_new_try_that_the_other_card_pays() {
    let wish = Wish::new().await;
    wish.cluster.kill("financial");
    wish.buys().await.problem(503, "unavailable");
    wish.cluster.run("financial");
    wish.cluster.wait_for(&format!("{}/healthz", wish.financial()));
    let made = wish.shows_the_other_card().await.ok(201);
    assert_eq!(wish.buys().await.ok(201), made);
    wish.balances_with(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_nobody_was_asked_for_the_payment_the_card_that_comes_first_pays() {
    let wish = Wish::new().await;
    let (first, held) = wish.buys_as_far_as("reserved").await;
    let made = wish.shows_the_other_card().await.ok(201);
    drop(held);
    assert_eq!(first.await.unwrap().unwrap().ok(201), made);
    wish.balances_with(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_first_card_is_asked_another_one_is_refused_and_neither_stays_charged() {
    let wish = Wish::new().await;
    let (first, held) = wish.buys_as_far_as("authorized").await;
    wish.shows_the_other_card().await.at_fault("card");
    drop(held);
    first.await.unwrap().unwrap().at_fault("card");
    wish.shows_the_other_card().await.at_fault("card");
    wish.buys().await.at_fault("card");
    wish.balances_with(0).await;
}
