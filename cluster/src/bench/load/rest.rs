//! Load on the frontends by buyers: they change their carts, look around, search, and buy.

use agora_clients::model::{Card, Condition, NewAccount, NewItem, Search};
use agora_clients::{BuyerClient, Cents, ClientOptions, ItemId, SellerClient, Start};
use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use rand::Rng;
use uuid::Uuid;

use super::{Miss, Next};
use crate::endpoints::Endpoints;

/// Each account costs the frontends two password hashes.
const PREPARED_AT_A_TIME: usize = 8;
const ITEMS: usize = 32;
const CATEGORY: u32 = 78;
const KEYWORDS: [&str; 4] = ["lamp", "desk", "tea", "book"];
const UNITS: u64 = 1_000_000;

/// A buyer who is logged in.
#[derive(Clone, Debug)]
pub(crate) struct RestClient {
    buyer: BuyerClient,
    item: ItemId,
    seller_id: u64,
    adds_next: bool,
    step: Step,
}

/// What a purchase needs next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Add,
    Look,
    Buy,
}

pub(crate) async fn prepare(endpoints: &Endpoints, clients: usize) -> anyhow::Result<Vec<RestClient>> {
    let (seller_id, items) = stock_a_shop(endpoints).await?;
    // One client of the library for each frontend; the others are its siblings and share its connections.
    let first = |server| {
        let options = ClientOptions { start: Start::At(server), ..ClientOptions::default() };
        BuyerClient::new(endpoints.buyer.clone(), options)
    };
    let firsts = (0..endpoints.buyer.len()).map(first).collect::<Result<Vec<_>, _>>()?;
    let prepared = stream::iter(0..clients).map(|index| {
        let (firsts, items) = (&firsts, &items);
        async move {
            let buyer = firsts.get(index % firsts.len().max(1)).context("no buyer frontend")?.sibling();
            let username = Uuid::new_v4().simple().to_string();
            buyer.create_account(&NewAccount::new(&username, "password", "load")).await?;
            buyer.login(&username, "password").await?;
            let item = *items.get(index % items.len().max(1)).context("no item")?;
            buyer.add_to_cart(item, 5).await?;
            anyhow::Ok(RestClient { buyer, item, seller_id, adds_next: true, step: Step::Buy })
        }
    });
    prepared.buffer_unordered(PREPARED_AT_A_TIME).try_collect().await
}

async fn stock_a_shop(endpoints: &Endpoints) -> anyhow::Result<(u64, Vec<ItemId>)> {
    let seller = SellerClient::new(endpoints.seller.clone(), ClientOptions::default())?;
    let username = Uuid::new_v4().simple().to_string();
    let seller_id = seller.create_account(&NewAccount::new(&username, "password", "load")).await?;
    seller.login(&username, "password").await?;
    let mut items = Vec::with_capacity(ITEMS);
    for n in 0..ITEMS {
        let keywords = KEYWORDS.iter().cycle().skip(n).take(2).map(|word| (*word).to_owned()).collect();
        let item = NewItem {
            name: format!("Load {n}"),
            category: CATEGORY,
            keywords,
            condition: Condition::New,
            price: Cents(100 + n as u64),
            quantity: UNITS,
        };
        items.push(seller.register_item(&item).await?.item_id);
    }
    Ok((seller_id, items))
}

impl RestClient {
    /// The session, for those who send requests of their own.
    pub fn token(&self) -> Option<String> {
        self.buyer.token()
    }

    /// What this client looks at and buys.
    pub fn item(&self) -> ItemId {
        self.item
    }

    pub async fn call(&mut self, next: Next) -> Result<(), Miss> {
        match next {
            Next::Write if self.adds_next => {
                self.adds_next = false;
                self.buyer.add_to_cart(self.item, 1).await?;
            }
            Next::Write => {
                self.adds_next = true;
                self.buyer.remove_from_cart(self.item, Some(1)).await?;
            }
            Next::Read => drop(self.buyer.item(self.item).await?),
            Next::Search => {
                let word =
                    KEYWORDS.get(rand::rng().random_range(0..KEYWORDS.len())).copied().unwrap_or("lamp");
                let search = Search { keywords: vec![word.to_owned()], ..Search::category(CATEGORY) };
                self.buyer.search(&search).await?;
            }
            Next::Cart => drop(self.buyer.cart().await?),
            Next::Rating => self.buyer.seller_rating(self.seller_id).await.map(|_| ())?,
            Next::Checkout => self.check_out().await?,
            Next::List | Next::Own => return Err(next.not_offered()),
        }
        Ok(())
    }

    async fn check_out(&mut self) -> Result<(), agora_clients::Error> {
        self.step = match self.step {
            Step::Add => {
                self.buyer.add_to_cart(self.item, 1).await?;
                Step::Look
            }
            Step::Look => {
                self.buyer.cart().await?;
                Step::Buy
            }
            Step::Buy => {
                self.buyer.purchase(&card()).await?;
                Step::Add
            }
        };
        Ok(())
    }
}

fn card() -> Card {
    Card {
        name: "A Buyer".into(),
        number: "4111111111111111".into(),
        expiry: "12/2049".into(),
        security_code: "737".into(),
    }
}
