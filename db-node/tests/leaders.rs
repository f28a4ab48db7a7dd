//! Real product nodes whose leader dies, is told to stop, or is paused, and one that loses its disk.
//!
//! How long writes wait is printed: `AGORA_ROUNDS=20 cargo test --release -p agora-db-node --test leaders -- --nocapture
//! --test-threads=1`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod nodes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agora_db_client::{CallError, Database, Options, Product};
use agora_process::Role;
use agora_proto::product;
use nodes::items::register_item;
use nodes::{Nodes, deadline};

/// Set to how often it shall be measured.
const ROUNDS: &str = "AGORA_ROUNDS";
const ROUNDS_IF_NOT_SET: usize = 2;
const NODES: usize = 5;

fn rounds() -> usize {
    std::env::var(ROUNDS).map_or(ROUNDS_IF_NOT_SET, |text| text.parse().unwrap())
}

fn start() -> Nodes {
    let mut nodes = Nodes::new(NODES, NODES);
    for member in nodes.file.product.clone() {
        nodes.start(Role::Product, &member.name);
    }
    nodes
}

fn report(what: &str, mut waits: Vec<Duration>) {
    waits.sort_unstable();
    println!(
        "{what}: {} rounds, median {:?}, longest {:?}",
        waits.len(),
        waits[waits.len() / 2],
        waits[waits.len() - 1]
    );
}

/// Waits until all nodes are ready and follow the same leader; returns its name.
async fn leader(database: &Database<Product>) -> String {
    let until = deadline();
    loop {
        let mut leaders = Vec::new();
        for node in 0..NODES {
            if let Ok(status) = database.status(node, false).await
                && let Some(agora_proto::database::status_reply::Group::Raft(raft)) = status.group
                && status.ready
            {
                leaders.push(raft.leader);
            }
        }
        if leaders.len() == NODES && leaders.iter().all(|leader| *leader == leaders[0]) {
            return leaders.remove(0);
        }
        assert!(Instant::now() < until, "no leader that all follow: {leaders:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Asks only one node for an item.
async fn ask(
    nodes: &Nodes,
    node: usize,
    item: &product::ItemRegistered,
    until: Instant,
) -> Result<Vec<product::Item>, CallError> {
    let options = Options { only_node: Some(node), ..Options::default() };
    let database: Database<Product> = Database::connect(Nodes::addresses(&nodes.file.product), options);
    let ids = item.id.into_iter().collect();
    let query = product::Query { body: Some(product::query::Body::GetItems(product::GetItems { ids })) };
    match database.query(&query, until).await?.body {
        Some(product::response::Body::Items(found)) => Ok(found.items),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_dies_is_replaced() {
    let mut nodes = start();
    let database = nodes.product();
    let mut waits = Vec::new();
    for round in 0..rounds() {
        let leader = leader(&database).await;
        register_item(&database, &format!("before {round}")).await;
        let begun = Instant::now();
        nodes.kill(&leader);
        register_item(&database, &format!("after {round}")).await;
        waits.push(begun.elapsed());
        nodes.start(Role::Product, &leader);
    }
    report("kill -9 of the leader until the next write is done", waits);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_told_to_stop_hands_over_first() {
    let mut nodes = start();
    let database = Arc::new(nodes.product());
    let mut waits = Vec::new();
    for round in 0..rounds() {
        let leader = leader(&database).await;
        let stop = Arc::new(AtomicBool::new(false));
        let writer = tokio::spawn({
            let (database, stop) = (Arc::clone(&database), Arc::clone(&stop));
            async move {
                let (mut longest, mut number) = (Duration::ZERO, 0);
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    register_item(&database, &format!("{round} {number}")).await;
                    longest = longest.max(begun.elapsed());
                    number += 1;
                }
                longest
            }
        });
        register_item(&database, &format!("before {round}")).await;
        nodes.signal(&leader, "-TERM");
        tokio::task::block_in_place(|| nodes.ended(&leader));
        register_item(&database, &format!("after {round}")).await;
        stop.store(true, Ordering::Relaxed);
        waits.push(writer.await.unwrap());
        nodes.start(Role::Product, &leader);
    }
    report("the longest write while the leader was told to stop, and stopped", waits);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_paused_answers_nothing_old() {
    let nodes = start();
    let database = nodes.product();
    for round in 0..rounds() {
        let leader = leader(&database).await;
        let index = nodes.file.product.iter().position(|member| member.name == leader).unwrap();
        register_item(&database, &format!("before {round}")).await;
        nodes.signal(&leader, "-STOP");
        let item = register_item(&database, &format!("meanwhile {round}")).await;
        nodes.signal(&leader, "-CONT");
        let found = ask(&nodes, index, &item, deadline()).await.unwrap();
        assert_eq!(found.len(), 1, "{leader} does not know what was written while it was paused");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_data_is_deleted_is_taken_in_again() {
    let mut nodes = start();
    let database = nodes.product();
    let leader = leader(&database).await;
    let item = register_item(&database, "first").await;
    nodes.kill(&leader);
    std::fs::remove_dir_all(nodes.file.data_of(&leader)).unwrap();
    nodes.start(Role::Product, &leader);
    register_item(&database, "second").await;
    // All are ready, it is one of them, and it knows what it never saw.
    self::leader(&database).await;
    let index = nodes.file.product.iter().position(|member| member.name == leader).unwrap();
    assert_eq!(ask(&nodes, index, &item, deadline()).await.unwrap().len(), 1);
}
