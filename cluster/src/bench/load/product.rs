//! Load on the product database: writes change prices, reads look at items, searches find them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agora_db_client::{CallError, Database, Options, Product};
use agora_process::ClusterFile;
use agora_proto::common::{Idempotency, ItemId};
use agora_proto::product::{
    ChangePrice, Command, Condition, GetItems, Query, RegisterItem, Response, Search, command, query,
    response,
};
use anyhow::{Context, bail};
use futures::{StreamExt, TryStreamExt, stream};
use rand::Rng;
use uuid::Uuid;

use super::{Miss, Next, Wares, Ways};

const DEADLINE: Duration = Duration::from_secs(10);
const PREPARED_AT_A_TIME: usize = 64;
/// Items of each client.
const ITEMS: usize = 4;
const CATEGORY: u32 = 77;
const KEYWORDS: [&str; 8] = ["lamp", "desk", "tea", "book", "chair", "cup", "pen", "clock"];
/// As many as a page of a shop window shows.
const PAGE: u32 = 20;

/// A seller with a few items.
#[derive(Clone)]
pub(crate) struct ProductClient {
    database: Database<Product>,
    seller_id: u64,
    items: Vec<ItemId>,
    wares: Wares,
}

impl std::fmt::Debug for ProductClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProductClient").field("items", &self.items).finish_non_exhaustive()
    }
}

pub(crate) async fn prepare(
    file: &ClusterFile,
    clients: usize,
    wares: Wares,
    ways: &Ways,
) -> anyhow::Result<Vec<ProductClient>> {
    let nodes: Vec<_> = file.product.iter().map(|node| (node.name.clone(), node.address)).collect();
    let options = Options { only_node: ways.only_node, ..Options::default() };
    let connect = |_| Database::<Product>::connect(nodes.clone(), options.clone()).patient();
    let databases: Arc<[_]> = (0..ways.connections).map(connect).collect();
    let prepared = stream::iter(0..clients).map(|index| {
        let databases = Arc::clone(&databases);
        async move {
            let database = databases.get(index % databases.len().max(1)).context("no connection")?.clone();
            ProductClient::open(database, wares).await
        }
    });
    prepared.buffer_unordered(PREPARED_AT_A_TIME).try_collect().await
}

impl ProductClient {
    async fn open(database: Database<Product>, wares: Wares) -> anyhow::Result<Self> {
        let seller_id = rand::rng().random_range(1..u64::MAX / 2);
        let mut client = ProductClient { database, seller_id, items: Vec::with_capacity(ITEMS), wares };
        for _ in 0..ITEMS {
            let response = client.execute(client.register()).await?;
            let Some(response::Body::ItemRegistered(item)) = response.body else {
                bail!("no item was registered")
            };
            client.items.push(item.id.context("an item without an id")?);
        }
        Ok(client)
    }

    fn register(&self) -> command::Body {
        let word = || KEYWORDS.get(rand::rng().random_range(0..KEYWORDS.len())).copied().unwrap_or("lamp");
        command::Body::RegisterItem(RegisterItem {
            seller_id: self.seller_id,
            name: self.wares.name(),
            category: CATEGORY,
            keywords: vec![word().into(), word().into()],
            condition: Condition::New.into(),
            price_cents: price(),
            quantity: 1_000,
        })
    }

    pub async fn call(&mut self, next: Next) -> Result<(), Miss> {
        match next {
            Next::Write => {
                let body = ChangePrice { seller_id: self.seller_id, item: self.item(), price_cents: price() };
                check(self.execute(command::Body::ChangePrice(body)).await?, |body| {
                    matches!(body, response::Body::Item(_))
                })
            }
            Next::Read => {
                let question = query::Body::GetItems(GetItems { ids: self.item().into_iter().collect() });
                check(
                    self.query(question).await?,
                    |body| matches!(body, response::Body::Items(items) if items.items.len() == 1),
                )
            }
            Next::Search => {
                let word =
                    KEYWORDS.get(rand::rng().random_range(0..KEYWORDS.len())).copied().unwrap_or("lamp");
                let search = Search {
                    category: Some(CATEGORY),
                    keywords: vec![word.into()],
                    limit: PAGE,
                    after: None,
                };
                check(self.query(query::Body::Search(search)).await?, |body| {
                    matches!(body, response::Body::ItemPage(_))
                })
            }
            Next::List | Next::Own => check(self.execute(self.register()).await?, |body| {
                matches!(body, response::Body::ItemRegistered(_))
            }),
            Next::Cart | Next::Rating | Next::Checkout => Err(next.not_offered()),
        }
    }

    fn item(&self) -> Option<ItemId> {
        let index = rand::rng().random_range(0..self.items.len().max(1));
        self.items.get(index).copied()
    }

    async fn execute(&self, body: command::Body) -> Result<Response, CallError> {
        let key = Uuid::new_v4();
        let idempotency = Idempotency::new("load", key.as_bytes(), &[key.as_bytes()]);
        let command = Command { idempotency: Some(idempotency), body: Some(body) };
        self.database.execute(&command, Instant::now() + DEADLINE).await
    }

    async fn query(&self, body: query::Body) -> Result<Response, CallError> {
        self.database.query(&Query { body: Some(body) }, Instant::now() + DEADLINE).await
    }
}

fn price() -> u64 {
    rand::rng().random_range(100..10_000)
}

fn check(response: Response, expected: impl Fn(&response::Body) -> bool) -> Result<(), Miss> {
    match response.body {
        Some(response::Body::Refusal(refusal)) => Err(Miss::new(refusal.code().as_str_name())),
        Some(body) if expected(&body) => Ok(()),
        _ => Err(Miss::new("another answer than asked for")),
    }
}
