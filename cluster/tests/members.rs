//! A database whose nodes are added and removed while it is written to, with real processes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use agora_clients::model::{Condition, NewAccount, NewItem};
use agora_clients::{Cents, ClientOptions, ItemId, SellerClient};
use agora_process::ClusterFile;
use common::{Launcher, PATIENCE, cluster, small_cluster_of, text, write};
use nix::sys::signal::Signal;
use serde_json::Value;

fn processes(data: &Path) -> Vec<Value> {
    let output = cluster(&["status", "--json"], data);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    status["processes"].as_array().unwrap().clone()
}

fn status_of(name: &str, data: &Path) -> Value {
    processes(data).into_iter().find(|process| process["name"] == name).unwrap()
}

fn done(args: &[&str], data: &Path) -> String {
    let output = cluster(args, data);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn refused(args: &[&str], data: &Path) -> String {
    let output = cluster(args, data);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {}", text(&output.stdout));
    text(&output.stderr)
}

/// A seller who puts one more unit of an item on sale, again and again, until told to stop.
struct Load {
    acknowledged: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

fn seller(launcher: &Launcher) -> SellerClient {
    let servers =
        launcher.ready["seller"].as_array().unwrap().iter().map(|url| url.as_str().unwrap().to_owned());
    SellerClient::new(servers.collect(), ClientOptions::default()).unwrap()
}

#[tokio::main(flavor = "current_thread")]
async fn put_on_sale(launcher: &Launcher) -> ItemId {
    let seller = seller(launcher);
    seller.create_account(&NewAccount::new("sam", "secret", "Sam")).await.unwrap();
    seller.login("sam", "secret").await.unwrap();
    let item = NewItem {
        name: "lamp".into(),
        category: 1,
        keywords: vec![],
        condition: Condition::New,
        price: Cents(100),
        quantity: 1,
    };
    seller.register_item(&item).await.unwrap().item_id
}

/// One unit more, and how many there are then.
#[tokio::main(flavor = "current_thread")]
async fn units(launcher: &Launcher, item: ItemId) -> u64 {
    let seller = seller(launcher);
    seller.login("sam", "secret").await.unwrap();
    seller.update_units(item, 1).await.unwrap().quantity
}

impl Load {
    fn on(launcher: &Launcher, item: ItemId) -> Load {
        let (acknowledged, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped, seller) = (Arc::clone(&acknowledged), Arc::clone(&stop), seller(launcher));
        let load = async move {
            seller.login("sam", "secret").await.unwrap();
            while !stopped.load(Ordering::Relaxed) {
                // The client repeats it with the same key, so that it counts once: nobody is to see an error.
                seller.update_units(item, 1).await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let thread = std::thread::spawn(move || runtime.block_on(load));
        Load { acknowledged, stop, thread }
    }

    fn goes_on(&self) {
        let before = self.acknowledged.load(Ordering::Relaxed);
        let begun = Instant::now();
        while self.acknowledged.load(Ordering::Relaxed) < before + 2 {
            assert!(begun.elapsed() < PATIENCE, "writes stand still");
            assert!(!self.thread.is_finished(), "the load has ended with an error");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it, and tells how many units it has put on sale.
    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.acknowledged.load(Ordering::Relaxed)
    }
}

fn equal_at_all_of(count: usize, data: &Path) {
    let told = done(&["status", "--verify"], data);
    assert!(told.contains(&format!("product replicas: all {count} hold the same")), "{told}");
}

#[test]
fn a_product_node_is_added_and_the_leader_removed_under_load_and_nothing_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let file = small_cluster_of(1, 3, &data);
    let config = write(&file, directory.path());
    let mut launcher = Launcher::up(&config);
    assert!(refused(&["add-node", "customer"], &data).contains("the customer group's members are fixed"));
    assert!(refused(&["remove-node", "customer-1"], &data).contains("members are fixed"));
    assert!(refused(&["remove-node", "seller-1"], &data).contains("no database node"));
    assert!(refused(&["remove-node", "product-9"], &data).contains("no process is called \"product-9\""));
    assert!(refused(&["remove-node", "product-2"], &data).contains("2 voters would be left"));

    let item = put_on_sale(&launcher);
    let load = Load::on(&launcher, item);
    load.goes_on();
    assert!(done(&["add-node", "product"], &data).contains("product-4: added, and votes"));
    let new = status_of("product-4", &data);
    assert_eq!((&new["ready"], &new["raft_role"]), (&true.into(), &"follower".into()));
    load.goes_on();
    let removed = done(&["remove-node", "product-leader"], &data);
    let removed = removed.split_once(':').unwrap().0.to_owned();
    assert!(data.join(format!("{removed}.removed-1")).is_dir() && !data.join(&removed).exists());
    assert!(processes(&data).iter().all(|process| process["name"] != *removed));
    load.goes_on();
    // The new one is steered like the others, and is needed now: without another one it is one of two.
    done(&["kill", "product-4"], &data);
    load.goes_on();
    done(&["restart", "product-4"], &data);
    let old = (1..=3).map(|n| format!("product-{n}")).find(|name| *name != removed).unwrap();
    done(&["kill", &old], &data);
    load.goes_on();
    done(&["restart", &old], &data);
    let written = load.end();
    equal_at_all_of(3, &data);
    assert_eq!(units(&launcher, item), 1 + written + 1);

    // Started again by the file of the first day, it is the group that it has become.
    launcher.signal(Signal::SIGTERM);
    assert_eq!(launcher.ended(), Some(0));
    let mut again = Launcher::up(&config);
    let names: Vec<String> = ClusterFile::read(&data.join("cluster.toml"))
        .unwrap()
        .product
        .into_iter()
        .map(|node| node.name)
        .collect();
    assert!(names.len() == 3 && names.contains(&"product-4".to_owned()) && !names.contains(&removed));
    assert_eq!(units(&again, item), 1 + written + 2);
    equal_at_all_of(3, &data);
    again.signal(Signal::SIGTERM);
    assert_eq!(again.ended(), Some(0));
}

#[test]
fn the_names_and_numbers_of_added_nodes_are_checked() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let launcher = Launcher::up(&write(&small_cluster_of(1, 1, &data), directory.path()));
    let told = refused(&["add-node", "product", "--name", "product-1"], &data);
    assert!(told.contains("two processes are called \"product-1\""), "{told}");
    let told = refused(&["add-node", "product", "--name", "../x"], &data);
    assert!(told.contains("a name is"), "{told}");
    assert!(done(&["add-node", "product", "--name", "spare"], &data).contains("spare: added, and votes"));
    assert!(!data.join("run/spare.joining.toml").exists());
    drop(launcher);
}
