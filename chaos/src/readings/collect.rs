//! Waits until the marketplace is quiet, and reads what there is: as any buyer and seller would, and the books besides.

use std::collections::BTreeMap;
use std::time::Duration;

use agora_clients::model::Page;
use agora_clients::{BuyerClient, SellerClient};
use agora_cluster::{Checksums, ClusterStatus, Verdict, compare};
use agora_db_client::{Database, Options, Product};
use agora_process::Role;
use agora_proto::product::{GetTotals, Query, query, response};
use anyhow::{Context, bail};
use tokio::time::{Instant, sleep};

use super::{Books, Ledger, Part, Readings, ReplicaReading, ReplicaState, SellerReading, Totals};
use crate::history::{ItemSeen, PurchaseSeen};
use crate::subject::Subject;
use crate::workload::{PASSWORD, People, Place, client_options};

/// A reservation may outlive its purchase by a minute; sweeps take a few seconds more.
const RESERVATIONS_WITHIN: Duration = Duration::from_secs(90);
/// So often all is read again because something changed meanwhile.
const TRIES: u32 = 5;
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(3);
const ASK_EVERY: Duration = Duration::from_millis(250);
const CALL_WITHIN: Duration = Duration::from_secs(20);

/// Reads a marketplace.
pub struct Collector {
    cluster: Subject,
    product: Database<Product>,
    rest_within: Duration,
}

impl Collector {
    /// One for this cluster, whose replicas may take so long to come to rest at one position.
    #[must_use]
    pub fn new(cluster: Subject, rest_within: Duration) -> Self {
        let nodes = cluster.file().product.iter().map(|node| (node.name.clone(), node.address)).collect();
        let product = Database::connect(nodes, Options::default()).patient();
        Collector { cluster, product, rest_within }
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

    /// Reads what can be read, once no purchase holds stock any more.
    pub async fn read(&self, place: &Place, people: &People) -> Readings {
        let mut readings = match self.settle().await {
            Ok(()) => self.read_at_rest(place, people).await,
            Err(error) => {
                let mut readings = Readings::default();
                readings.miss(Part::Books, format!("{error:#}"));
                self.read_accounts(place, people, &mut readings).await;
                readings
            }
        };
        for role in [Role::Customer, Role::Product] {
            readings.replicas.push(self.replicas(role).await);
        }
        readings
    }

    /// Books and accounts of one moment: what clients gave up waiting for may come about while they are read.
    async fn read_at_rest(&self, place: &Place, people: &People) -> Readings {
        let mut tries = 0;
        loop {
            tries += 1;
            let before = self.books().await;
            let mut readings = Readings::default();
            self.read_accounts(place, people, &mut readings).await;
            match (before, self.books().await) {
                (Ok(before), Ok(now)) if before == now || tries == TRIES => {
                    (readings.totals, readings.ledger) = (now.totals, now.ledger);
                    return readings;
                }
                (Ok(_), Ok(_)) => sleep(TRY_AGAIN_AFTER).await,
                (Err(error), _) | (_, Err(error)) => {
                    readings.miss(Part::Books, format!("{error:#}"));
                    return readings;
                }
            }
        }
    }

    async fn read_accounts(&self, place: &Place, people: &People, readings: &mut Readings) {
        if let Err(error) = accounts(place, people, readings).await {
            readings.miss(Part::Accounts, format!("{error:#}"));
        }
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
        let give_up = Instant::now() + self.rest_within;
        let state = loop {
            let status = self.cluster.status(Checksums::Compute).await.ok();
            let detail = || status.as_ref().map_or_else(|| "nobody answers".into(), |it| positions(it, role));
            match status.as_ref().map_or(Verdict::Silent, |status| compare(status, role)) {
                Verdict::Agree { nodes: told, applied, .. } if told == nodes => {
                    break ReplicaState::Equal { told, applied };
                }
                Verdict::Differ { .. } => break ReplicaState::Differ { detail: detail() },
                Verdict::Agree { nodes: told, applied, .. } if Instant::now() >= give_up => {
                    break ReplicaState::Equal { told, applied };
                }
                _ if Instant::now() >= give_up => break ReplicaState::Restless { detail: detail() },
                _ => sleep(ASK_EVERY).await,
            }
        };
        ReplicaReading { database: role.to_string(), nodes, state }
    }
}

/// Which nodes of a group hold the same, and at which positions.
fn positions(status: &ClusterStatus, role: Role) -> String {
    let mut groups: BTreeMap<(Option<u64>, Option<&str>), Vec<&str>> = BTreeMap::new();
    for node in status.processes.iter().filter(|node| node.role == role) {
        groups.entry((node.applied, node.checksum.as_deref())).or_default().push(&node.name);
    }
    let tell = |((applied, checksum), names): ((Option<u64>, Option<&str>), Vec<&str>)| {
        let names = names.join(", ");
        match (applied, checksum) {
            (Some(applied), Some(checksum)) => format!("{names}: {checksum} at {applied}"),
            _ => format!("{names}: no answer"),
        }
    };
    groups.into_iter().map(tell).collect::<Vec<_>>().join("; ")
}

/// All accounts, or those before the first that can't be read.
async fn accounts(place: &Place, people: &People, readings: &mut Readings) -> anyhow::Result<()> {
    for seller in &people.sellers {
        let reading = seller_reading(place, &seller.username).await;
        let reading = reading.with_context(|| format!("can't read what {} has", seller.username))?;
        readings.sellers.insert(seller.user_id, reading);
    }
    for buyer in &people.buyers {
        let purchases = purchases(place, &buyer.username).await;
        let purchases = purchases.with_context(|| format!("can't read what {} bought", buyer.username))?;
        readings.purchases.insert(buyer.user_id, purchases);
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use agora_cluster::ProcessStatus;

    use super::*;

    #[test]
    fn who_holds_what_is_told_of_all_nodes() {
        let node = |(name, told): (&str, Option<(u64, &str)>)| {
            let mut node = ProcessStatus::new(name, Role::Product, ([127, 0, 0, 1], 1).into());
            (node.applied, node.checksum) = told.map(|(at, sum)| (at, sum.to_owned())).unzip();
            node
        };
        let processes = [("a", Some((8, "x"))), ("b", Some((8, "y"))), ("c", Some((8, "x"))), ("d", None)];
        let status = ClusterStatus {
            cluster: "test".into(),
            data: "data".into(),
            processes: processes.into_iter().map(node).collect(),
        };
        assert_eq!(positions(&status, Role::Product), "d: no answer; a, c: x at 8; b: y at 8");
    }
}
