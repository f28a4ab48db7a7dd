//! Waits until the marketplace is quiet, and reads what there is: as any buyer and seller would, and the books besides.

use std::time::Duration;

use agora_clients::model::Page;
use agora_clients::{BuyerClient, SellerClient};
use agora_cluster::{Checksums, Verdict, compare};
use agora_db_client::{Database, Options, Product};
use agora_process::Role;
use agora_proto::product::{GetTotals, Query, query, response};
use anyhow::{Context, bail};
use tokio::time::{Instant, sleep};

use super::{Books, Ledger, Readings, ReplicaReading, ReplicaState, SellerReading, Totals};
use crate::history::{ItemSeen, PurchaseSeen};
use crate::subject::Subject;
use crate::workload::{PASSWORD, People, Place, client_options};

/// A reservation may outlive its purchase by a minute; sweeps take a few seconds more.
const RESERVATIONS_WITHIN: Duration = Duration::from_secs(90);
/// How long replicas may take to come to rest at one position.
const REST_WITHIN: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_millis(250);
const CALL_WITHIN: Duration = Duration::from_secs(20);

/// Reads a marketplace.
pub struct Collector {
    cluster: Subject,
    product: Database<Product>,
}

impl Collector {
    /// One for this cluster.
    #[must_use]
    pub fn new(cluster: Subject) -> Self {
        let nodes = cluster.file().product.iter().map(|node| (node.name.clone(), node.address)).collect();
        Collector { cluster, product: Database::connect(nodes, Options::default()).patient() }
    }

    /// Waits until no purchase holds stock any more. Whether that came to pass shows in the totals.
    ///
    /// # Errors
    /// The product database can't be asked.
    pub async fn settle(&self) -> anyhow::Result<()> {
        let give_up = Instant::now() + RESERVATIONS_WITHIN;
        while self.totals().await?.reservations_held > 0 && Instant::now() < give_up {
            sleep(ASK_EVERY).await;
        }
        Ok(())
    }

    /// The books as they are now.
    ///
    /// # Errors
    /// They can't be read.
    pub async fn books(&self) -> anyhow::Result<Books> {
        Ok(Books { totals: self.totals().await?, ledger: self.ledger().await? })
    }

    /// Reads everything.
    ///
    /// # Errors
    /// Something can't be read.
    pub async fn read(&self, place: &Place, people: &People) -> anyhow::Result<Readings> {
        let Books { totals, ledger } = self.books().await?;
        let mut readings = Readings { totals, ledger, ..Readings::default() };
        for seller in &people.sellers {
            let reading = seller_reading(place, &seller.username).await;
            let reading = reading.with_context(|| format!("can't read what {} has", seller.username))?;
            readings.sellers.insert(seller.user_id, reading);
        }
        for buyer in &people.buyers {
            let purchases = purchases(place, &buyer.username).await;
            let purchases =
                purchases.with_context(|| format!("can't read what {} bought", buyer.username))?;
            readings.purchases.insert(buyer.user_id, purchases);
        }
        for role in [Role::Customer, Role::Product] {
            readings.replicas.push(self.replicas(role).await);
        }
        Ok(readings)
    }

    async fn totals(&self) -> anyhow::Result<Totals> {
        let query = Query { body: Some(query::Body::GetTotals(GetTotals {})) };
        let deadline = std::time::Instant::now() + CALL_WITHIN;
        let response =
            self.product.query(&query, deadline).await.context("can't read the product database's books")?;
        let Some(response::Body::Totals(totals)) = response.body else {
            bail!("the product database answers something else than its books: {response:?}");
        };
        Ok(Totals {
            items: totals.items,
            units_on_sale: totals.units_on_sale,
            units_reserved: totals.units_reserved,
            units_sold: totals.units_sold,
            units_listed: totals.units_listed,
            reservations_held: totals.reservations_held,
        })
    }

    async fn ledger(&self) -> anyhow::Result<Ledger> {
        let url = format!("{}/ledger", self.cluster.endpoints().financial.trim_end_matches('/'));
        let http = reqwest::Client::builder().no_proxy().timeout(CALL_WITHIN).build()?;
        let answer = http.get(url).send().await.and_then(reqwest::Response::error_for_status);
        answer.context("can't read the ledger")?.json().await.context("can't understand the ledger")
    }

    async fn replicas(&self, role: Role) -> ReplicaReading {
        let file = self.cluster.file();
        let nodes = if role == Role::Customer { file.customer.len() } else { file.product.len() };
        let give_up = Instant::now() + REST_WITHIN;
        let state = loop {
            let status = self.cluster.status(Checksums::Compute).await;
            let verdict = status.map_or(Verdict::Silent, |status| compare(&status, role));
            match verdict {
                Verdict::Agree { nodes: told, applied, .. } if told == nodes => {
                    break ReplicaState::Equal { told, applied };
                }
                Verdict::Differ { detail } => break ReplicaState::Differ { detail },
                _ if Instant::now() >= give_up => break ReplicaState::Restless,
                _ => sleep(ASK_EVERY).await,
            }
        };
        ReplicaReading { database: role.to_string(), nodes, state }
    }
}

async fn seller_reading(place: &Place, username: &str) -> anyhow::Result<SellerReading> {
    let client = SellerClient::new(place.seller_servers.clone(), client_options())?;
    client.login(username, PASSWORD).await?;
    let mut items = Vec::new();
    let mut page = Page { limit: Some(100), cursor: None };
    loop {
        let found = client.items(&page).await?;
        items.extend(found.items.iter().map(ItemSeen::from));
        match found.next_cursor {
            Some(cursor) => page.cursor = Some(cursor),
            None => break,
        }
    }
    Ok(SellerReading { items, rating: client.rating().await? })
}

async fn purchases(place: &Place, username: &str) -> anyhow::Result<Vec<PurchaseSeen>> {
    let client = BuyerClient::new(place.buyer_servers.clone(), client_options())?;
    client.login(username, PASSWORD).await?;
    let mut purchases = Vec::new();
    let mut page = Page { limit: Some(100), cursor: None };
    loop {
        let found = client.purchases(&page).await?;
        purchases.extend(found.purchases.iter().map(PurchaseSeen::from));
        match found.next_cursor {
            Some(cursor) => page.cursor = Some(cursor),
            None => return Ok(purchases),
        }
    }
}
