//! The check at the end: everything that must be true is looked up where it is kept, and compared with the books.

use std::time::Duration;

use agora_clients::model::Page;
use agora_db_client::{Database, Options, Product};
use agora_process::Role;
use agora_proto::product::{GetTotals, Query, Totals, query, response};
use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use tokio::time::Instant;

use super::books::Books;
use super::cast::Cast;
use super::narrator::Narrator;
use crate::cluster::Cluster;
use crate::prober::{Checksums, http};
use crate::verify::{Verdict, compare};

const QUERY_WITHIN: Duration = Duration::from_secs(10);
/// How long replicas that were away may take to catch up.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(20);
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Checks every promise of which the story can tell.
pub(crate) async fn check(
    cluster: &Cluster,
    tell: &mut Narrator,
    books: &Books,
    cast: &Cast,
) -> anyhow::Result<()> {
    tell.chapter("Every promise, checked");
    tell.step_with(
        "the stock of every item is what was listed minus what was sold",
        stock(books, cast),
        items,
    )
    .await?;
    tell.step_with("every purchase is in its buyer's history, once", history(books, cast), |n| {
        format!("{n}")
    })
    .await?;
    tell.step_with(
        "the bank charged every purchase, once, and nothing else",
        charges(cluster, books),
        |total| format!("${total}"),
    )
    .await?;
    tell.step_with("units listed = on sale + reserved + sold", totals(cluster, books), |t| {
        format!("{} = {} + {} + {}", t.units_listed, t.units_on_sale, t.units_reserved, t.units_sold)
    })
    .await?;
    tell.step("sellers' ratings and units sold add up", ratings(books, cast)).await?;
    for role in [Role::Customer, Role::Product] {
        let what = format!("all replicas of the {role} database hold the same");
        tell.step_with(what, replicas(cluster, role), |checksum| format!("checksum {checksum}")).await?;
    }
    Ok(())
}

fn items(count: &usize) -> String {
    format!("{count} items")
}

async fn stock(books: &Books, cast: &Cast) -> anyhow::Result<usize> {
    for (id, expected) in &books.items {
        let item = cast.ada.client.item(*id).await?;
        let (name, on_sale) = (&expected.name, expected.on_sale());
        ensure!(item.quantity == on_sale, "{name}: {} are on sale instead of {on_sale}", item.quantity);
        ensure!(item.price == expected.price, "{name} costs ${} instead of ${}", item.price, expected.price);
        let votes = (item.thumbs_up, item.thumbs_down);
        ensure!(votes == (expected.thumbs_up, expected.thumbs_down), "{name} has votes {votes:?}");
    }
    Ok(books.items.len())
}

async fn history(books: &Books, cast: &Cast) -> anyhow::Result<usize> {
    let mut found = Vec::new();
    for buyer in cast.buyers() {
        let page = Page { limit: Some(100), cursor: None };
        found.extend(buyer.client.purchases(&page).await?.purchases);
    }
    for purchase in &books.purchases {
        let same = found.iter().filter(|other| other.purchase_id == purchase.purchase_id);
        let same: Vec<_> = same.collect();
        ensure!(same.len() == 1, "purchase {} is recorded {} times", purchase.purchase_id, same.len());
        ensure!(
            same.iter().all(|other| other.total == purchase.total),
            "purchase {} has another total",
            purchase.purchase_id
        );
    }
    ensure!(
        found.len() == books.purchases.len(),
        "{} are recorded, {} were made",
        found.len(),
        books.purchases.len()
    );
    Ok(found.len())
}

/// The bank's books, as far as they matter here.
#[derive(Debug, Deserialize)]
struct Ledger {
    charged: Charged,
}

#[derive(Debug, Deserialize)]
struct Charged {
    count: usize,
    cents: u64,
}

async fn charges(cluster: &Cluster, books: &Books) -> anyhow::Result<agora_clients::Cents> {
    let url = format!("{}/ledger", cluster.endpoints().financial);
    let ledger: Ledger = http().get(url).send().await?.error_for_status()?.json().await?;
    let Charged { count, cents } = ledger.charged;
    ensure!(
        count == books.purchases.len(),
        "it charged {count} times, for {} purchases",
        books.purchases.len()
    );
    ensure!(cents == books.charged().0, "it charged {cents} cents instead of {}", books.charged().0);
    Ok(books.charged())
}

async fn totals(cluster: &Cluster, books: &Books) -> anyhow::Result<Totals> {
    let nodes = cluster.file().product.iter().map(|node| (node.name.clone(), node.address)).collect();
    let database = Database::<Product>::connect(nodes, Options::default()).patient();
    let question = Query { body: Some(query::Body::GetTotals(GetTotals {})) };
    let answer = database.query(&question, std::time::Instant::now() + QUERY_WITHIN).await?;
    let Some(response::Body::Totals(totals)) = answer.body else {
        bail!("it answers something else: {answer:?}")
    };
    let sum = totals.units_on_sale + totals.units_reserved + totals.units_sold;
    ensure!(totals.units_listed == sum, "the books do not balance: {totals:?}");
    ensure!(totals.units_reserved == 0, "{} units are still reserved", totals.units_reserved);
    ensure!(totals.units_listed == books.units_listed(), "{} units were listed", books.units_listed());
    ensure!(totals.units_sold == books.units_sold(), "{} units were sold", books.units_sold());
    Ok(totals)
}

async fn ratings(books: &Books, cast: &Cast) -> anyhow::Result<()> {
    for seller in cast.sellers() {
        let own = seller.client.rating().await?;
        let seen_by_buyers = cast.bob.client.seller_rating(seller.id).await?;
        ensure!(own == seen_by_buyers, "{} and buyers see different ratings", seller.name);
        let (rating, expected) = ((own.thumbs_up, own.thumbs_down, own.items_sold), books.rating(seller.id));
        ensure!(rating == expected, "{}: up, down, sold are {rating:?} instead of {expected:?}", seller.name);
    }
    Ok(())
}

async fn replicas(cluster: &Cluster, role: Role) -> anyhow::Result<String> {
    let members = cluster.file().processes().filter(|(of, _, _)| *of == role).count();
    let deadline = Instant::now() + CATCH_UP_WITHIN;
    loop {
        let verdict = compare(&cluster.status(Checksums::Compute).await, role);
        match verdict {
            Verdict::Agree { nodes, checksum, .. } if nodes == members => return Ok(checksum),
            Verdict::Differ { detail } => bail!("they differ: {detail}"),
            late if Instant::now() >= deadline => {
                return Err(anyhow::anyhow!("{late:?}"))
                    .context("they did not all come to the same position in time");
            }
            _ => tokio::time::sleep(ASK_EVERY).await,
        }
    }
}
