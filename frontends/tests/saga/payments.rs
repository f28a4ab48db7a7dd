//! Purchases while the financial service is slow, answers garbage, loses its answers, or can't be reached.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agora_frontends::financial::{Decisions, serve};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::api::{User, card, category, lamp, unique};
use crate::books::{self, History};
use crate::cluster::{Cluster, Shape};
use crate::points::{ANY, Points};

/// What stands between the frontends and the real financial service, and spoils its answers while it is told to. How it does
/// depends on what is paid, and on the transaction afterwards.
#[derive(Clone)]
struct Spoiler {
    real: String,
    http: reqwest::Client,
    spoils: Arc<AtomicBool>,
    /// What was asked for with each transaction id.
    seen: Arc<parking_lot::Mutex<Vec<(String, Spoilt)>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoilt {
    /// The answer comes when nobody waits any more.
    Late,
    /// It is no SOAP.
    Garbage,
    /// It says that the approval has no name.
    Nonsense,
    /// It never comes, though the payment was decided.
    Lost,
}

/// Each way to spoil, by the price of what is bought.
const WAYS: [(&str, Spoilt); 4] =
    [("1.01", Spoilt::Late), ("1.02", Spoilt::Garbage), ("1.03", Spoilt::Nonsense), ("1.04", Spoilt::Lost)];

impl Spoiler {
    /// Takes the place of a cluster's financial service, with the real one behind it.
    async fn in_place_of(address: SocketAddr, data: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let real = format!("http://{}", listener.local_addr().unwrap());
        let decisions = Decisions { approval_rate: 1.0, seed: 7 };
        tokio::spawn(serve(listener, data.to_owned(), decisions, CancellationToken::new()));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let spoiler = Spoiler { real, http, spoils: Arc::new(AtomicBool::new(true)), seen: Arc::default() };
        let listener = TcpListener::bind(address).await.unwrap();
        let router = Router::new().fallback(spoil).with_state(spoiler.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        spoiler
    }

    fn way(&self, message: &str) -> Option<Spoilt> {
        let value = |name: &str| {
            let (_, rest) = message.split_once(&format!("{name}>"))?;
            Some(rest.split_once('<')?.0.to_owned())
        };
        let transaction = value("transaction_id")?;
        let mut seen = self.seen.lock();
        if let Some(cents) = value("amount_cents") {
            let paid = WAYS.iter().find(|(price, _)| price.replace('.', "") == cents)?;
            seen.push((transaction, paid.1));
            return Some(paid.1);
        }
        seen.iter().find(|(id, _)| *id == transaction).map(|(_, way)| *way)
    }
}

async fn spoil(State(spoiler): State<Spoiler>, message: String) -> Response {
    let answer = spoiler.http.post(&spoiler.real).body(message.clone()).send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    let answer = (StatusCode::from_u16(status.as_u16()).unwrap(), text.clone()).into_response();
    if !spoiler.spoils.load(Ordering::Relaxed) {
        return answer;
    }
    match spoiler.way(&message) {
        None => answer,
        Some(Spoilt::Late) => {
            tokio::time::sleep(Duration::from_millis(2_500)).await;
            answer
        }
        Some(Spoilt::Garbage) => "<html>It works!</html>".into_response(),
        Some(Spoilt::Nonsense) => text.replace("auth-", "").replace(">true<", ">maybe<").into_response(),
        Some(Spoilt::Lost) => std::future::pending().await,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_that_nobody_heard_of_is_voided_and_the_same_key_buys_when_answers_are_right_again() {
    let cluster = Arc::new(Cluster::start(Shape { frontends: 1, ..Shape::SMALL }));
    cluster.kill("financial");
    let data = tempfile::tempdir().unwrap();
    let spoiler = Spoiler::in_place_of(cluster.file.financial.address, data.path()).await;
    let seller = User::seller(&cluster).await;
    let mut wishes = Vec::new();
    for (price, _) in WAYS {
        let buyer = User::buyer(&cluster).await;
        let mut offer = lamp(category());
        offer["price"] = json!(price);
        let item = seller.offers(offer).await;
        buyer.wants(&item, 1).await;
        wishes.push((buyer, item, unique("k")));
    }
    let buy_all = async || {
        let requests = wishes
            .iter()
            .map(|(buyer, _, key)| buyer.api.call("POST", "/purchases").key(key).json(card()).send());
        futures::future::join_all(requests).await
    };
    let asked = Instant::now();
    for (answer, (_, way)) in buy_all().await.iter().zip(WAYS) {
        answer.problem(503, "unavailable");
        assert!(asked.elapsed() < Duration::from_secs(15), "{way:?}: the answer took {:?}", asked.elapsed());
    }
    for (buyer, item, _) in &wishes {
        assert_eq!(buyer.api.get(&format!("/items/{item}")).await.ok(200)["quantity"], 10, "nothing is held");
        assert_eq!(buyer.api.get("/cart").await.ok(200)["lines"][0]["item_id"], *item.as_str());
    }
    assert_eq!(books::ledger(&spoiler.real).await["approved"]["count"], WAYS.len(), "all were approved");
    assert_ne!(books::unfinished(&cluster.customers()).await, 0, "no void was confirmed");

    spoiler.spoils.store(false, Ordering::Relaxed);
    books::all_finished(&cluster, Instant::now()).await;
    let buyers: Vec<_> = wishes.iter().map(|(buyer, ..)| buyer).collect();
    books::balance(&cluster, &spoiler.real, &buyers).await;
    for answer in buy_all().await {
        answer.ok(201);
    }
    books::balance(&cluster, &spoiler.real, &buyers).await;
    let ledger = books::ledger(&spoiler.real).await;
    assert_eq!((&ledger["charged"]["count"], &ledger["charged"]["cents"]), (&json!(4), &json!(410)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charge_whose_frontend_died_is_voided_even_if_the_repeat_finds_no_financial_service() {
    let points = Points::listen().await;
    let cluster = Arc::new(Cluster::start(Shape { crash_points: Some(points.address), ..Shape::SMALL }));
    let financial = format!("http://{}", cluster.file.financial.address);
    let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    let item = seller.offers(lamp(category())).await;
    buyer.wants(&item, 4).await;
    points.arm("authorized", ANY);
    let request = buyer.api.call("POST", "/purchases").key("k").json(card());
    let answer = tokio::spawn(request.attempt());
    let held = points.held("authorized", ANY).await;
    points.disarm("authorized", ANY);
    cluster.kill("buyer-1");
    cluster.kill("financial");
    drop(held);
    assert!(answer.await.unwrap().is_none());

    let elsewhere = buyer.api.at(&cluster.buyers[1]);
    let repeat = async || elsewhere.call("POST", "/purchases").key("k").json(card()).send().await;
    repeat().await.problem(503, "unavailable");
    cluster.run("financial");
    cluster.wait_for(&format!("{financial}/healthz"));
    books::all_finished(&cluster, Instant::now()).await;
    let ledger = books::ledger(&financial).await;
    assert_eq!((&ledger["voided"]["count"], &ledger["charged"]["count"]), (&json!(1), &json!(0)), "{ledger}");
    let made = repeat().await.ok(201);
    assert_eq!(repeat().await.ok(201), made);
    let buyer = User { api: elsewhere, ..buyer };
    books::balance(&cluster, &financial, &[&buyer]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_buyer_pays_what_the_purchase_froze_whatever_the_seller_does_meanwhile_and_a_repeat_needs_no_card()
{
    let points = Points::listen().await;
    let cluster = Arc::new(Cluster::start(Shape { crash_points: Some(points.address), ..Shape::SMALL }));
    let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    let item = seller.offers(lamp(category())).await;
    buyer.wants(&item, 2).await;
    points.arm("reserved", ANY);
    points.arm("committed", ANY);
    let request = buyer.api.call("POST", "/purchases").key("k").json(card());
    let answer = tokio::spawn(request.attempt());
    let reserved = points.held("reserved", ANY).await;
    seller.api.call("PATCH", &format!("/items/{item}")).json(json!({"price": "99.99"})).send().await.ok(200);
    seller.api.delete(&format!("/items/{item}")).await.ok(204);
    drop(reserved);
    let committed = points.held("committed", ANY).await;
    points.disarm("reserved", ANY);
    points.disarm("committed", ANY);

    // The frontend dies, and the buyer comes back with another card: the purchase is paid already.
    cluster.kill("buyer-1");
    drop(committed);
    assert!(answer.await.unwrap().is_none());
    let mut other = card();
    other["card"]["number"] = json!("5500005555555559");
    let elsewhere = buyer.api.at(&cluster.buyers[1]);
    let made = elsewhere.call("POST", "/purchases").key("k").json(other).send().await.ok(201);
    assert_eq!((&made["total"], &made["lines"][0]["price"]), (&json!("25.00"), &json!("12.50")));
    let buyer = User { api: elsewhere, ..buyer };
    assert_eq!(History::of(&buyer).await.cents, 2_500);
    let financial = format!("http://{}", cluster.file.financial.address);
    books::balance(&cluster, &financial, &[&buyer]).await;
}
