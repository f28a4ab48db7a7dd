//! Writers that open accounts without a pause, and remember which were acknowledged: what a database must not lose.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agora_db_client::{Customer, Database};
use agora_proto::common::{Idempotency, Role as UserRole};
use agora_proto::customer;
use futures::stream::{self, StreamExt};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::{PATIENCE, deadline};

/// Accounts that are looked for at a time: fewer than a node admits.
const CHECKS: usize = 128;

pub fn idempotency(key: &str) -> Option<Idempotency> {
    let hash = agora_proto::key_hash(&[b"test", key.as_bytes()]);
    Some(Idempotency { key: hash.to_vec().into(), fingerprint: hash.to_vec().into() })
}

pub async fn create_buyer(database: &Database<Customer>, username: &str) -> u64 {
    let account = customer::CreateAccount {
        role: UserRole::Buyer.into(),
        username: username.into(),
        display_name: username.into(),
        password_hash: "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA".into(),
    };
    let body = Some(customer::command::Body::CreateAccount(account));
    let command = customer::Command { idempotency: idempotency(username), body };
    match database.execute(&command, deadline()).await.unwrap().body {
        Some(customer::response::Body::AccountCreated(created)) => created.user_id,
        other => panic!("{other:?}"),
    }
}

pub async fn buyer(database: &Database<Customer>, username: &str) -> Option<u64> {
    let credentials = customer::GetCredentials { role: UserRole::Buyer.into(), username: username.into() };
    let query = customer::Query { body: Some(customer::query::Body::GetCredentials(credentials)) };
    match database.query(&query, deadline()).await.unwrap().body {
        Some(customer::response::Body::Credentials(credentials)) => Some(credentials.user_id),
        _ => None,
    }
}

/// What was acknowledged, and when the call for it was made.
#[derive(Debug)]
struct Acknowledged {
    username: String,
    user_id: u64,
    called: Instant,
    answered: Instant,
}

/// Writers at work. Each makes its next call once the last one was answered.
pub struct Writers {
    database: Database<Customer>,
    acknowledged: Arc<Mutex<Vec<Acknowledged>>>,
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<()>>,
}

impl Writers {
    pub fn start(database: &Database<Customer>, count: usize) -> Writers {
        let acknowledged = Arc::<Mutex<Vec<Acknowledged>>>::default();
        let stop = Arc::<AtomicBool>::default();
        let writer = |writer: usize| {
            let (database, acknowledged, stop) =
                (database.clone(), Arc::clone(&acknowledged), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    let username = format!("w{writer}-{number}");
                    let called = Instant::now();
                    let user_id = create_buyer(&database, &username).await;
                    let answered = Instant::now();
                    acknowledged.lock().push(Acknowledged { username, user_id, called, answered });
                }
            })
        };
        let writers = (0..count).map(writer).collect();
        Writers { database: database.clone(), acknowledged, stop, writers }
    }

    /// Waits until so many calls that were made after this moment are acknowledged.
    pub async fn go_on(&self, count: usize) {
        self.since(Instant::now(), count).await;
    }

    /// Waits until so many calls made after a moment are acknowledged; tells how long after it the first of them was.
    pub async fn since(&self, moment: Instant, count: usize) -> Duration {
        let until = Instant::now() + PATIENCE;
        loop {
            let answered: Vec<Instant> = {
                let acknowledged = self.acknowledged.lock();
                acknowledged.iter().filter(|it| it.called >= moment).map(|it| it.answered).collect()
            };
            if let Some(first) = answered.iter().min()
                && answered.len() >= count
            {
                return *first - moment;
            }
            assert!(Instant::now() < until, "writes do not go on: {} of {count}", answered.len());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Lets the calls under way end, and checks that all that was acknowledged is there, each once.
    pub async fn end_and_check(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.writers {
            writer.await.unwrap();
        }
        let acknowledged = std::mem::take(&mut *self.acknowledged.lock());
        let mut ids: Vec<u64> = acknowledged.iter().map(|it| it.user_id).collect();
        let check = async |it: &Acknowledged| {
            let found = buyer(&self.database, &it.username).await;
            assert_eq!(found, Some(it.user_id), "{} is lost", it.username);
        };
        stream::iter(&acknowledged).for_each_concurrent(CHECKS, check).await;
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), acknowledged.len(), "an account was given twice");
        acknowledged.len()
    }
}
