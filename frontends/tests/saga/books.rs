//! The books of a cluster: what must add up once nothing is under way.

use std::time::{Duration, Instant};

use agora_db_client::{Customer, Database, Product};
use agora_frontends::payment::{PaymentClient, PaymentTimeouts};
use agora_proto::customer::{self, GetUnfinished};
use agora_proto::product::{self, GetTotals, Totals};
use serde_json::Value;

use crate::api::User;
use crate::cluster::Cluster;

/// How long an unfinished purchase may take to be finished when nobody goes on with it.
pub const PROMISE: Duration = Duration::from_secs(60);

/// What a buyer's history says.
#[derive(Debug, Default)]
pub struct History {
    pub purchases: Vec<Value>,
    pub units: u64,
    pub cents: u64,
}

impl History {
    pub async fn of(buyer: &User) -> Self {
        let mut history = History::default();
        let mut cursor = String::new();
        loop {
            let page = buyer.api.get(&format!("/purchases?limit=100{cursor}")).await.ok(200);
            for purchase in page["purchases"].as_array().unwrap() {
                history.cents += cents(&purchase["total"]);
                let lines = purchase["lines"].as_array().unwrap();
                history.units += lines.iter().map(|line| line["quantity"].as_u64().unwrap()).sum::<u64>();
                history.purchases.push(purchase.clone());
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return history,
            }
        }
    }

    /// The purchase of this item, if it was bought.
    pub fn of_item(&self, item: &str) -> Option<&Value> {
        let mut bought = self.purchases.iter().filter(|purchase| purchase["lines"][0]["item_id"] == item);
        let first = bought.next();
        assert!(bought.next().is_none(), "item {item} was bought twice");
        first
    }
}

fn cents(dollars: &Value) -> u64 {
    dollars.as_str().unwrap().replace('.', "").parse().unwrap()
}

/// How many purchases are unfinished.
pub async fn unfinished(customers: &Database<Customer>) -> u64 {
    let question = customer::query::Body::GetUnfinished(GetUnfinished {});
    let deadline = Instant::now() + Duration::from_secs(10);
    let answer = customers.query(&customer::Query { body: Some(question) }, deadline).await.unwrap();
    match answer.body {
        Some(customer::response::Body::Unfinished(unfinished)) => unfinished.purchases,
        other => panic!("{other:?}"),
    }
}

/// Waits until no purchase is unfinished, and checks that it did not take longer than was promised.
pub async fn all_finished(cluster: &Cluster, since: Instant) {
    let customers = cluster.customers();
    loop {
        let left = unfinished(&customers).await;
        if left == 0 {
            return;
        }
        assert!(since.elapsed() < PROMISE, "{left} purchases are unfinished after {:?}", since.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub async fn totals(products: &Database<Product>) -> Totals {
    let question = product::query::Body::GetTotals(GetTotals {});
    let deadline = Instant::now() + Duration::from_secs(10);
    let answer = products.query(&product::Query { body: Some(question) }, deadline).await.unwrap();
    match answer.body {
        Some(product::response::Body::Totals(totals)) => totals,
        other => panic!("{other:?}"),
    }
}

/// The financial service's books.
pub async fn ledger(financial: &str) -> Value {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    http.get(format!("{financial}/ledger")).send().await.unwrap().json().await.unwrap()
}

/// Makes the financial service decline the payment of a purchase that it was not asked for yet, by a void that comes first.
pub async fn decline(financial: &str, purchase: &str) {
    let payments = PaymentClient::new(format!("{financial}/"), PaymentTimeouts::default()).unwrap();
    assert!(payments.void(purchase).await.unwrap());
}

/// Checks that stock, money and histories say the same: units sold and in stock are the units listed, what was charged and
/// not voided is what was bought, and nothing is reserved. These buyers are all there are.
pub async fn balance(cluster: &Cluster, financial: &str, buyers: &[&User]) {
    let totals = totals(&cluster.products()).await;
    assert_eq!((totals.units_reserved, totals.reservations_held), (0, 0), "{totals:?}");
    assert_eq!(totals.units_sold + totals.units_on_sale, totals.units_listed, "{totals:?}");
    let (mut units, mut cents, mut count) = (0, 0, 0);
    for buyer in buyers {
        let history = History::of(buyer).await;
        (units, cents, count) =
            (units + history.units, cents + history.cents, count + history.purchases.len());
    }
    assert_eq!(totals.units_sold, units, "units sold are units bought");
    let ledger = ledger(financial).await;
    assert_eq!(ledger["charged"]["count"], count, "{ledger}");
    assert_eq!(ledger["charged"]["cents"], cents, "{ledger}");
    let sum = |name: &str| ledger[name]["cents"].as_u64().unwrap();
    assert_eq!(sum("approved"), sum("voided") + sum("charged"), "{ledger}");
}
