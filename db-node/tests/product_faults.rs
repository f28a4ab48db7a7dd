//! What real product nodes survive: kill -9 of any two and of all, two that stand still, a full disk. Clients wait a little and see
//! no error, what was acknowledged is there, and in the end all replicas hold the same.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod nodes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agora_db_client::{Database, Product};
use agora_process::Role;
use agora_proto::common::ItemId;
use agora_proto::product;
use nodes::items::register_item;
use nodes::{Nodes, deadline, limits, seed};
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use tokio::task::JoinHandle;
use tokio::time::sleep;

const NODES: usize = 5;
const WRITERS: usize = 8;
/// Acknowledged writes after which writes count as going on.
const SOME: usize = 40;

fn names(nodes: &Nodes) -> Vec<String> {
    nodes.file.product.iter().map(|node| node.name.clone()).collect()
}

/// Clients that list items, and remember which were acknowledged. One that gets an error fails the test.
struct Writers {
    database: Arc<Database<Product>>,
    acknowledged: Arc<Mutex<Vec<ItemId>>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Writers {
    fn start(nodes: &Nodes) -> Writers {
        let (database, stop) = (Arc::new(nodes.product()), Arc::new(AtomicBool::new(false)));
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let write = |writer: usize| {
            let (database, stop) = (Arc::clone(&database), Arc::clone(&stop));
            let acknowledged = Arc::clone(&acknowledged);
            tokio::spawn(async move {
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let item = register_item(&database, &format!("{writer} {number}")).await;
                    acknowledged.lock().push(item.id.unwrap());
                }
            })
        };
        let tasks = (0..WRITERS).map(write).collect();
        Writers { database, acknowledged, stop, tasks }
    }

    /// Waits until writes have gone on for a while.
    async fn go_on(&self) {
        let (goal, until) = (self.acknowledged.lock().len() + SOME, deadline());
        while self.acknowledged.lock().len() < goal {
            assert!(self.tasks.iter().all(|task| !task.is_finished()), "a client got an error");
            assert!(Instant::now() < until, "writes do not go on");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Checks that all that was acknowledged is there, at each node, and that they are equal.
    async fn end_and_check(self) {
        self.go_on().await;
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        let acknowledged = std::mem::take(&mut *self.acknowledged.lock());
        assert!(acknowledged.len() >= SOME);
        for some in acknowledged.chunks(50) {
            let body = product::query::Body::GetItems(product::GetItems { ids: some.to_vec() });
            let query = product::Query { body: Some(body) };
            match self.database.query(&query, deadline()).await.unwrap().body {
                Some(product::response::Body::Items(found)) => assert_eq!(found.items.len(), some.len()),
                other => panic!("{other:?}"),
            }
        }
        agree(&self.database).await;
    }
}

/// Waits until all nodes are ready and at the same place, and checks that they hold the same there.
async fn agree(database: &Database<Product>) {
    let until = deadline();
    loop {
        let mut told = Vec::new();
        for node in 0..NODES {
            if let Ok(status) = database.status(node, true).await
                && status.ready
            {
                told.push((status.applied, status.checksum));
            }
        }
        if told.len() == NODES && told.iter().all(|(applied, _)| *applied == told[0].0) {
            assert!(told.iter().all(|(_, checksum)| *checksum == told[0].1), "{told:?}");
            return;
        }
        assert!(Instant::now() < until, "not all nodes come to the same place: {told:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn at_work() -> (Nodes, Writers) {
    let mut nodes = Nodes::new(1, NODES);
    for name in names(&nodes) {
        nodes.start(Role::Product, &name);
    }
    let writers = Writers::start(&nodes);
    writers.go_on().await;
    agree_on_readiness(&writers.database).await;
    (nodes, writers)
}

async fn agree_on_readiness(database: &Database<Product>) {
    let until = deadline();
    for node in 0..NODES {
        while !database.status(node, false).await.is_ok_and(|status| status.ready) {
            assert!(Instant::now() < until, "node {node} does not become ready");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_two_nodes_may_be_killed_at_once_and_then_all_five() {
    let (mut nodes, writers) = at_work().await;
    let mut random = StdRng::seed_from_u64(seed());
    let mut names = names(&nodes);
    for _ in 0..3 {
        names.shuffle(&mut random);
        let pair = [names[0].as_str(), names[1].as_str()];
        println!("killing {pair:?}");
        nodes.kill_all(&pair);
        writers.go_on().await;
        pair.iter().for_each(|name| nodes.start(Role::Product, name));
        agree_on_readiness(&writers.database).await;
    }
    println!("killing all");
    nodes.kill_all(&names.iter().map(String::as_str).collect::<Vec<_>>());
    names.iter().for_each(|name| nodes.start(Role::Product, name));
    writers.end_and_check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_two_nodes_may_stand_still_and_go_on_later() {
    let (nodes, writers) = at_work().await;
    let mut random = StdRng::seed_from_u64(seed());
    let mut names = names(&nodes);
    for _ in 0..2 {
        names.shuffle(&mut random);
        names[..2].iter().for_each(|name| nodes.signal(name, "-STOP"));
        writers.go_on().await;
        names[..2].iter().for_each(|name| nodes.signal(name, "-CONT"));
        agree_on_readiness(&writers.database).await;
    }
    writers.end_and_check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_may_not_write_more_ends_with_its_directory_named_and_catches_up_later() {
    let (mut nodes, writers) = at_work().await;
    let name = names(&nodes).remove(2);
    nodes.signal(&name, "-TERM");
    nodes.ended(&name);
    let limited = limits::without_room(&nodes, Role::Product, &name);
    nodes.start_by(limited, &name);
    let status = tokio::task::block_in_place(|| nodes.ended(&name));
    let log = nodes.log(&name);
    assert_eq!(status.code(), Some(1), "{status:?}: {log}");
    let data = nodes.file.data_of(&name).display().to_string();
    let last = log.lines().rfind(|line| line.starts_with("error: ")).unwrap_or_default();
    assert!(last.contains(&data), "the error names no directory: {log}");
    writers.go_on().await;
    nodes.start(Role::Product, &name);
    writers.end_and_check().await;
}
