//! The launcher with a small real cluster: started, steered, stopped; and nothing is left behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod common;

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use agora_clients::model::NewAccount;
use agora_clients::{BuyerClient, ClientOptions};
use agora_cluster::{Cluster, Condition, Life, StartOptions};
use common::{
    Launcher, PATIENCE, PROGRAM, alive, cluster, gone_within, small_cluster, small_cluster_with, text, write,
};
use nix::sys::signal::Signal;
use serde_json::Value;

/// The status of one process, as `status --json` tells it.
fn status_of(name: &str, data: &Path) -> Value {
    let output = cluster(&["status", "--json"], data);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    status["processes"].as_array().unwrap().iter().find(|process| process["name"] == name).unwrap().clone()
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

#[test]
fn a_cluster_is_steered_while_it_runs_and_goes_on_from_its_disks() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let config = write(&small_cluster(&data), directory.path());
    let mut launcher = Launcher::up(&config);
    assert_eq!(launcher.ready["ready"], true);
    assert_eq!(launcher.pids().len(), 5);
    sign_up(&launcher);
    steer(&data);
    assert!(refused(&["up", "--config", config.to_str().unwrap()], &data).contains("a cluster runs on"));
    let pids = launcher.pids();
    launcher.signal(Signal::SIGTERM);
    assert_eq!(launcher.ended(), Some(0));
    assert_eq!(alive(&pids), [] as [u32; 0]);
    assert!(refused(&["status"], &data).contains("no cluster runs on"));

    let mut again = Launcher::up(&config);
    log_in(&again);
    let pids = again.pids();
    assert!(done(&["stop"], &data).contains("stopping"));
    assert_eq!(again.ended(), Some(0));
    assert_eq!(alive(&pids), [] as [u32; 0]);
}

#[test]
fn a_database_node_is_replaced_by_one_with_an_empty_disk() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let file = small_cluster_with(3, &data);
    let config = write(&file, directory.path());
    let launcher = Launcher::up(&config);
    sign_up(&launcher);
    let before = status_of("customer-2", &data);
    assert!(done(&["replace-node", "customer-2"], &data).contains("customer-2: replaced, and taken in"));
    let after = status_of("customer-2", &data);
    assert_ne!(before["disk"], after["disk"]);
    assert_eq!((&after["ready"], &after["seats"][1]), (&true.into(), &after["disk"]));
    assert!(data.join("customer-2.replaced-1").is_dir());
    // One of the others may be away now: what the new one says counts.
    done(&["kill", "customer-1"], &data);
    log_in(&launcher);
}

fn steer(data: &Path) {
    let before = status_of("seller-1", data);
    assert_eq!(
        (&before["state"], &before["up"], &before["ready"]),
        (&"up".into(), &true.into(), &true.into())
    );
    assert!(done(&["kill", "seller-1"], data).contains("seller-1: killed"));
    let dead = status_of("seller-1", data);
    assert_eq!((&dead["state"], &dead["not_ready_because"]), (&"dead".into(), &"ended: SIGKILL".into()));
    assert!(refused(&["kill", "seller-1"], data).contains("seller-1 is not running"));
    done(&["restart", "seller-1"], data);
    let back = status_of("seller-1", data);
    assert_eq!((&back["state"], &back["ready"]), (&"up".into(), &true.into()));
    assert_ne!(back["pid"], before["pid"]);

    assert!(done(&["pause", "product-leader"], data).contains("product-1: paused"));
    assert_eq!(status_of("product-1", data)["state"], "paused");
    done(&["resume", "product-1"], data);
    assert_eq!(status_of("product-1", data)["state"], "up");
    assert!(refused(&["kill", "product-7"], data).contains("no process is called \"product-7\""));
    assert!(refused(&["replace-node", "seller-1"], data).contains("no database node"));
    assert!(refused(&["replace-node", "customer-1"], data).contains("can't be replaced now"));
    assert!(done(&["status"], data).contains("LEADER"));
    assert!(done(&["status", "--verify"], data).contains("customer replicas: all 1 hold the same"));
}

fn buyer(launcher: &Launcher) -> BuyerClient {
    let servers =
        launcher.ready["buyer"].as_array().unwrap().iter().map(|url| url.as_str().unwrap().to_owned());
    BuyerClient::new(servers.collect(), ClientOptions::default()).unwrap()
}

#[tokio::main(flavor = "current_thread")]
async fn sign_up(launcher: &Launcher) {
    buyer(launcher).create_account(&NewAccount::new("ada", "secret", "Ada")).await.unwrap();
}

#[tokio::main(flavor = "current_thread")]
async fn log_in(launcher: &Launcher) {
    buyer(launcher).login("ada", "secret").await.unwrap();
}

#[test]
fn nothing_is_left_when_the_launcher_itself_is_killed_not_even_what_stood_still() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut launcher = Launcher::up(&write(&small_cluster(&data), directory.path()));
    let pids = launcher.pids();
    assert_eq!(alive(&pids).len(), 5);
    done(&["pause", "customer-1"], &data);
    launcher.signal(Signal::SIGKILL);
    launcher.ended();
    assert!(gone_within(&pids, Duration::from_secs(20)), "still alive: {:?}", alive(&pids));
}

#[test]
fn ctrl_c_stops_everything_what_stands_still_too() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut launcher = Launcher::up(&write(&small_cluster(&data), directory.path()));
    let pids = launcher.pids();
    done(&["pause", "buyer-1"], &data);
    launcher.signal(Signal::SIGINT);
    assert_eq!(launcher.ended(), Some(0));
    assert_eq!(alive(&pids), [] as [u32; 0]);
}

#[test]
fn a_taken_port_is_told_with_who_needs_it_before_anything_starts() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let file = small_cluster(&data);
    let holder = TcpListener::bind(file.seller[0].address).unwrap();
    let config = write(&file, directory.path());
    let told = refused(&["up", "--config", config.to_str().unwrap()], &data);
    let port = holder.local_addr().unwrap().port();
    assert!(told.contains(&format!("port {port} is taken, and seller-1 needs it")), "{told}");
    assert!(told.contains("nothing was started"), "{told}");
    assert!(!data.exists(), "something is left behind");
}

#[test]
fn the_standard_cluster_starts_on_the_ports_that_its_base_gives() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let data = data.to_str().unwrap();
    // Others may listen on some of the ports; then it is refused, and another base is tried.
    let refused = |base: &u16| {
        let file = agora_cluster::standard(*base, data.into()).unwrap();
        file.processes().any(|(_, _, address)| TcpListener::bind(address).is_err())
    };
    let base = (11_000..30_000).step_by(1_300).find(|base| !refused(base)).unwrap();
    let mut launcher = Launcher::start(&["--base-port", &base.to_string(), "--data", data]);
    assert_eq!(launcher.pids().len(), 19);
    let address = |offset: u16| format!("127.0.0.1:{}", base + offset);
    let url = |offset: u16| format!("http://{}", address(offset));
    let told = &launcher.ready;
    assert_eq!(told["customer_db"][0], address(101));
    assert_eq!(told["product_db"][4], address(205));
    assert_eq!(told["financial"], url(1000));
    assert_eq!(told["seller"][0], url(1101));
    assert_eq!(told["buyer"][3], url(1204));
    let pids = launcher.pids();
    launcher.signal(Signal::SIGINT);
    assert_eq!(launcher.ended(), Some(0));
    assert_eq!(alive(&pids), [] as [u32; 0]);
}

#[test]
fn a_base_port_without_room_is_wrong_usage() {
    let directory = tempfile::tempdir().unwrap();
    for port in ["0", "64332", "65535", "65536", "-1"] {
        let output = cluster(&["up", "--base-port", port], directory.path());
        assert_eq!(output.status.code(), Some(2), "{port}: {}", text(&output.stderr));
    }
}

#[test]
fn a_process_that_dies_at_start_is_told_with_the_end_of_its_log() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    // A file where the node wants its directory.
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("product-1"), "in the way").unwrap();
    let config = write(&small_cluster(&data), directory.path());
    let told = refused(&["up", "--config", config.to_str().unwrap()], &data);
    assert!(told.contains("product-1 ended at start (exit code"), "{told}");
    assert!(told.contains("product-1.log"), "{told}");
    assert!(std::fs::metadata(data.join("logs/product-1.log")).unwrap().len() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_starts_kills_and_restarts_processes_and_a_dropped_cluster_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = StartOptions::from_file(small_cluster(directory.path()));
    options.program = Some(PROGRAM.into());
    options.ready_within = PATIENCE;
    let cluster = Cluster::start(options).await.unwrap();
    let pid = |name: &str| cluster.watch(name).unwrap().borrow().pid();
    let first = pid("customer-1").unwrap();
    assert_eq!(cluster.kill("customer-sequencer").await.unwrap(), "customer-1");
    assert!(matches!(*cluster.watch("customer-1").unwrap().borrow(), Life::Down { .. }));
    cluster.restart("customer-1").await.unwrap();
    cluster.wait_ready_of(&["customer-1"], PATIENCE).await.unwrap();
    assert_ne!(pid("customer-1").unwrap(), first);
    cluster.terminate("buyer-1").await.unwrap();
    let status = cluster.status(agora_cluster::Checksums::Skip).await;
    let conditions = status.processes.iter().filter(|process| process.condition == Condition::Dead);
    assert_eq!(conditions.map(|process| process.name.as_str()).collect::<Vec<_>>(), ["buyer-1"]);
    let pids: Vec<u32> = status.processes.iter().filter_map(|process| process.pid).collect();
    assert_eq!(alive(&pids).len(), 4);
    drop(cluster);
    let gone = tokio::task::spawn_blocking(move || gone_within(&pids, PATIENCE)).await.unwrap();
    assert!(gone, "a dropped cluster lives on");
}
