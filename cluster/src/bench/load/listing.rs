//! Load on the frontends by sellers: they put items on sale, change prices, and look at what they have.

use agora_clients::model::{Condition, NewAccount, NewItem, Page};
use agora_clients::{Cents, ClientOptions, ItemId, SellerClient, Start};
use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use rand::Rng;
use uuid::Uuid;

use super::{Miss, Next, Wares};
use crate::endpoints::Endpoints;

/// Each account costs the frontends two password hashes.
const PREPARED_AT_A_TIME: usize = 8;
const CATEGORY: u32 = 79;

/// A seller who is logged in, with an item on sale.
#[derive(Clone, Debug)]
pub(crate) struct ListingClient {
    seller: SellerClient,
    item: ItemId,
    wares: Wares,
}

pub(super) async fn prepare(
    endpoints: &Endpoints,
    clients: usize,
    wares: Wares,
) -> anyhow::Result<Vec<ListingClient>> {
    // One client of the library for each frontend; the others are its siblings and share its connections.
    let first = |server| {
        let options = ClientOptions { start: Start::At(server), ..ClientOptions::default() };
        SellerClient::new(endpoints.seller.clone(), options)
    };
    let firsts = (0..endpoints.seller.len()).map(first).collect::<Result<Vec<_>, _>>()?;
    let prepared = stream::iter(0..clients).map(|index| {
        let firsts = &firsts;
        async move {
            let seller = firsts.get(index % firsts.len().max(1)).context("no seller frontend")?.sibling();
            let username = Uuid::new_v4().simple().to_string();
            seller.create_account(&NewAccount::new(&username, "password", "load")).await?;
            seller.login(&username, "password").await?;
            let item = seller.register_item(&new_item(wares)).await?.item_id;
            anyhow::Ok(ListingClient { seller, item, wares })
        }
    });
    prepared.buffer_unordered(PREPARED_AT_A_TIME).try_collect().await
}

impl ListingClient {
    pub async fn call(&mut self, next: Next) -> Result<(), Miss> {
        match next {
            Next::List => self.item = self.seller.register_item(&new_item(self.wares)).await?.item_id,
            Next::Write => {
                self.seller.change_price(self.item, price()).await?;
            }
            Next::Own => drop(self.seller.items(&Page::default()).await?),
            Next::Read | Next::Search | Next::Cart | Next::Rating | Next::Checkout => {
                return Err(next.not_offered());
            }
        }
        Ok(())
    }
}

fn new_item(wares: Wares) -> NewItem {
    NewItem {
        name: wares.name(),
        category: CATEGORY,
        keywords: vec!["lamp".into(), "desk".into()],
        condition: Condition::New,
        price: price(),
        quantity: 1,
    }
}

fn price() -> Cents {
    Cents(rand::rng().random_range(100..10_000))
}
