//! Real node processes within a test.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "each test uses a part of it, and may fail")]

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use agora_db_client::{Customer, Database, Options, Product};
use agora_process::{ClusterFile, Endpoint, Role, standard_cluster};
use agora_proto::common::Idempotency;
use agora_proto::product;
use tempfile::TempDir;

/// How long anything may take before the test is taken to hang.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Nodes {
    root: TempDir,
    pub file: ClusterFile,
    pub running: Vec<(String, Child)>,
}

impl Nodes {
    /// Groups of three.
    pub fn new() -> Nodes {
        Nodes::of(3)
    }

    /// Groups of so many, up to five.
    pub fn of(members: usize) -> Nodes {
        let root = tempfile::tempdir().unwrap();
        // All at once, so that no port is given twice.
        let ports: Vec<_> = (0..19).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let mut addresses = ports.iter().map(|port| port.local_addr().unwrap());
        let mut file = standard_cluster(root.path().join("data"), || addresses.next().unwrap());
        file.customer.truncate(members);
        file.product.truncate(members);
        let nodes = Nodes { root, file, running: Vec::new() };
        std::fs::write(nodes.config(), nodes.file.to_toml().unwrap()).unwrap();
        nodes
    }

    pub fn config(&self) -> PathBuf {
        self.root.path().join("cluster.toml")
    }

    fn command(&self, role: Role, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_db-node"));
        command.args([&role.to_string(), "--name", name, "--config"]).arg(self.config());
        command.stdin(Stdio::null()).env("AGORA_LOG", "error,openraft=off");
        command
    }

    pub fn start(&mut self, role: Role, name: &str) {
        let child = self.command(role, name).spawn().unwrap();
        self.running.push((name.into(), child));
    }

    pub fn start_all(&mut self) {
        for (role, name) in self.members() {
            self.start(role, &name);
        }
    }

    pub fn members(&self) -> Vec<(Role, String)> {
        let of = |role: Role, members: &[Endpoint]| {
            members.iter().map(|member| (role, member.name.clone())).collect::<Vec<_>>()
        };
        [of(Role::Customer, &self.file.customer), of(Role::Product, &self.file.product)].concat()
    }

    /// kill -9.
    pub fn kill(&mut self, name: &str) {
        let index = self.running.iter().position(|(running, _)| running == name).unwrap();
        let (_, mut child) = self.running.remove(index);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub fn process(&mut self, name: &str) -> &mut Child {
        let found = self.running.iter_mut().find(|(running, _)| running == name);
        &mut found.unwrap().1
    }

    /// Sends a signal, by its name.
    pub fn signal(&mut self, name: &str, signal: &str) {
        let process = self.process(name).id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &process]).status().unwrap().success());
    }

    /// Waits until a process has ended by itself.
    pub fn ended(&mut self, name: &str) {
        self.process(name).wait().unwrap();
        self.running.retain(|(running, _)| running != name);
    }

    pub fn addresses(members: &[Endpoint]) -> Vec<(String, SocketAddr)> {
        members.iter().map(|member| (member.name.clone(), member.address)).collect()
    }

    pub fn customer(&self) -> Database<Customer> {
        Database::connect(Self::addresses(&self.file.customer), Options::default())
    }

    pub fn product(&self) -> Database<Product> {
        Database::connect(Self::addresses(&self.file.product), Options::default())
    }

    /// Runs a node that is expected to end by itself, and returns what it said.
    pub fn run(&self, role: Role, name: &str) -> Output {
        self.command(role, name).output().unwrap()
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for (_, child) in &mut self.running {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

pub fn idempotency(key: &str) -> Option<Idempotency> {
    let hash = agora_proto::key_hash(&[b"test", key.as_bytes()]);
    Some(Idempotency { key: hash.to_vec().into(), fingerprint: hash.to_vec().into() })
}

pub async fn register_item(database: &Database<Product>, name: &str) -> product::ItemRegistered {
    let item = product::RegisterItem {
        seller_id: 1,
        name: name.into(),
        category: 3,
        condition: product::Condition::New.into(),
        price_cents: 500,
        quantity: 2,
        ..product::RegisterItem::default()
    };
    let body = Some(product::command::Body::RegisterItem(item));
    let command = product::Command { idempotency: idempotency(name), body };
    match database.execute(&command, deadline()).await.unwrap().body {
        Some(product::response::Body::ItemRegistered(registered)) => registered,
        other => panic!("{other:?}"),
    }
}
