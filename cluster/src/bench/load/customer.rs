//! Load on the customer database: writes change a session's cart, reads look at it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agora_db_client::{Customer, Database, Options};
use agora_process::ClusterFile;
use agora_proto::common::{Idempotency, ItemId, Role};
use agora_proto::customer::{
    AddToCart, Command, CreateAccount, GetCart, OpenSession, Query, RemoveFromCart, Response, TouchSession,
    command, query, response,
};
use agora_proto::key_hash;
use anyhow::{Context, bail};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use super::{Miss, Next, Ways};

const DEADLINE: Duration = Duration::from_secs(10);
/// A session ends when it is not used for minutes; a frontend would note its use now and then, and so do these clients.
const TOUCH_EVERY: Duration = Duration::from_secs(60);
const PREPARED_AT_A_TIME: usize = 64;
/// What every cart holds from the start, so that taking one unit out leaves a line.
const HELD: u32 = 5;
const ITEM: ItemId = ItemId { category: 1, number: 1 };

/// A buyer with a session, who puts a unit into the cart and takes it out again.
#[derive(Clone)]
pub(crate) struct CustomerClient {
    database: Database<Customer>,
    token_hash: Bytes,
    touched: Instant,
    adds_next: bool,
}

impl std::fmt::Debug for CustomerClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CustomerClient").finish_non_exhaustive()
    }
}

pub(crate) async fn prepare(
    file: &ClusterFile,
    clients: usize,
    ways: &Ways,
) -> anyhow::Result<Vec<CustomerClient>> {
    let nodes: Vec<_> = file.customer.iter().map(|node| (node.name.clone(), node.address)).collect();
    let options = Options { only_node: ways.only_node, ..Options::default() };
    let connect = |_| Database::<Customer>::connect(nodes.clone(), options.clone()).patient();
    let databases: Arc<[_]> = (0..ways.connections).map(connect).collect();
    let prepared = stream::iter(0..clients).map(|index| {
        let databases = Arc::clone(&databases);
        async move {
            let database = databases.get(index % databases.len().max(1)).context("no connection")?.clone();
            CustomerClient::open(database).await
        }
    });
    prepared.buffer_unordered(PREPARED_AT_A_TIME).try_collect().await
}

impl CustomerClient {
    async fn open(database: Database<Customer>) -> anyhow::Result<Self> {
        let username = Uuid::new_v4().simple().to_string();
        let created = execute(
            &database,
            command::Body::CreateAccount(CreateAccount {
                role: Role::Buyer.into(),
                username,
                display_name: "load".into(),
                // Nobody logs in with a password here, so any text of the form will do.
                password_hash: "$argon2id$v=19$m=19456,t=2,p=1$bG9hZA$bG9hZA".into(),
            }),
        );
        let Some(response::Body::AccountCreated(account)) = created.await?.body else {
            bail!("no account was created")
        };
        let token_hash = Bytes::from(key_hash(&[Uuid::new_v4().as_bytes()]).to_vec());
        let opened = execute(
            &database,
            command::Body::OpenSession(OpenSession {
                role: Role::Buyer.into(),
                user_id: account.user_id,
                token_hash: token_hash.clone(),
            }),
        );
        let Some(response::Body::SessionOpened(_)) = opened.await?.body else {
            bail!("no session was opened")
        };
        let client = CustomerClient { database, token_hash, touched: Instant::now(), adds_next: true };
        let filled = client.change(client.add(HELD)).await;
        filled.map_err(|miss| anyhow::anyhow!("the cart can't be filled: {}", miss.why))?;
        Ok(client)
    }

    pub async fn call(&mut self, next: Next) -> Result<(), Miss> {
        if self.touched.elapsed() > TOUCH_EVERY {
            self.touched = Instant::now();
            let touch = TouchSession { token_hash: self.token_hash.clone() };
            execute(&self.database, command::Body::TouchSession(touch)).await?;
        }
        match next {
            Next::Write => {
                let body = if self.adds_next { self.add(1) } else { self.remove() };
                self.adds_next = !self.adds_next;
                self.change(body).await
            }
            Next::Read => self.read().await,
            Next::Search | Next::Cart | Next::Rating | Next::Checkout | Next::List | Next::Own => {
                Err(next.not_offered())
            }
        }
    }

    fn add(&self, quantity: u32) -> command::Body {
        let token_hash = self.token_hash.clone();
        command::Body::AddToCart(AddToCart {
            token_hash,
            item: Some(ITEM),
            quantity,
            available: Some(1_000_000),
        })
    }

    fn remove(&self) -> command::Body {
        let token_hash = self.token_hash.clone();
        command::Body::RemoveFromCart(RemoveFromCart { token_hash, item: Some(ITEM), quantity: Some(1) })
    }

    async fn change(&self, body: command::Body) -> Result<(), Miss> {
        is_cart(execute(&self.database, body).await?)
    }

    async fn read(&self) -> Result<(), Miss> {
        let query =
            Query { body: Some(query::Body::GetCart(GetCart { token_hash: self.token_hash.clone() })) };
        is_cart(self.database.query(&query, Instant::now() + DEADLINE).await?)
    }
}

async fn execute(
    database: &Database<Customer>,
    body: command::Body,
) -> Result<Response, agora_db_client::CallError> {
    let key = Uuid::new_v4();
    let idempotency = Idempotency::new("load", key.as_bytes(), &[key.as_bytes()]);
    let command = Command { idempotency: Some(idempotency), body: Some(body) };
    database.execute(&command, Instant::now() + DEADLINE).await
}

fn is_cart(response: Response) -> Result<(), Miss> {
    match response.body {
        Some(response::Body::Cart(_)) => Ok(()),
        Some(response::Body::Refusal(refusal)) => Err(Miss::new(refusal.code().as_str_name())),
        _ => Err(Miss::new("another answer than asked for")),
    }
}
