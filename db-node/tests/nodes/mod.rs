//! Real node processes on free ports, with real disks: started, killed, paused, asked, looked into.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "each test uses a part of it, and may fail")]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use agora_db_client::{Customer, Database, Options, Product};
use agora_process::{ClusterFile, Endpoint, FreePorts, Role, standard_cluster};
use agora_proto::database::StatusReply;
use agora_proto::database::database_client::DatabaseClient;
use agora_proto::database::{BroadcastStatus, StatusRequest, status_reply};
use tempfile::TempDir;
use tonic::transport::Endpoint as Address;

pub mod accounts;
pub mod items;
pub mod limits;

/// How long anything may take before the test is taken to hang.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

/// What the dice of a test are seeded with: printed, and replayed with `AGORA_SEED`.
pub fn seed() -> u64 {
    let seed =
        std::env::var("AGORA_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("AGORA_SEED={seed}");
    seed
}

pub struct Nodes {
    root: TempDir,
    pub file: ClusterFile,
    running: BTreeMap<String, Child>,
    _ports: FreePorts,
}

impl Nodes {
    pub fn new(customer: usize, product: usize) -> Nodes {
        Nodes::with(customer, product, |_| {})
    }

    pub fn with(customer: usize, product: usize, change: impl FnOnce(&mut ClusterFile)) -> Nodes {
        let root = tempfile::tempdir().unwrap();
        let mut ports = FreePorts::claim(19).unwrap();
        let mut file = standard_cluster(root.path().join("data"), || ports.next().unwrap());
        file.customer.truncate(customer);
        file.product.truncate(product);
        change(&mut file);
        let nodes = Nodes { root, file, running: BTreeMap::new(), _ports: ports };
        std::fs::write(nodes.config(), nodes.file.to_toml().unwrap()).unwrap();
        nodes
    }

    pub fn config(&self) -> PathBuf {
        self.root.path().join("cluster.toml")
    }

    fn log_path(&self, name: &str) -> PathBuf {
        self.root.path().join(format!("{name}.log"))
    }

    /// All that a node has logged, over all its starts.
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.log_path(name)).unwrap_or_default()
    }

    pub fn command(&self, role: Role, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_db-node"));
        command.args(self.arguments(role, name));
        command.stdin(Stdio::null()).env("AGORA_LOG", "error,agora_group::broadcast=info,openraft=off");
        command
    }

    pub fn arguments(&self, role: Role, name: &str) -> Vec<String> {
        let config = self.config().display().to_string();
        [&role.to_string(), "--name", name, "--config", &config].map(str::to_owned).into()
    }

    pub fn start(&mut self, role: Role, name: &str) {
        let command = self.command(role, name);
        self.start_by(command, name);
    }

    /// Starts a node by a command that ends up in it.
    pub fn start_by(&mut self, mut command: Command, name: &str) {
        let log: File = OpenOptions::new().create(true).append(true).open(self.log_path(name)).unwrap();
        let child = command.stderr(log).spawn().unwrap();
        assert!(self.running.insert(name.into(), child).is_none(), "{name} runs already");
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

    pub fn customers(&self) -> Vec<String> {
        self.file.customer.iter().map(|node| node.name.clone()).collect()
    }

    pub fn pid(&self, name: &str) -> u32 {
        self.running[name].id()
    }

    /// kill -9.
    pub fn kill(&mut self, name: &str) {
        self.kill_all(&[name]);
    }

    /// kill -9 of several: all are dead before any of their ends is waited for.
    pub fn kill_all(&mut self, names: &[&str]) {
        let mut dying: Vec<Child> = names.iter().map(|name| self.running.remove(*name).unwrap()).collect();
        dying.iter_mut().for_each(|child| child.kill().unwrap());
        for child in &mut dying {
            child.wait().unwrap();
        }
    }

    pub fn signal(&self, name: &str, signal: &str) {
        let pid = self.pid(name).to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Waits for a node that ends by itself, or was told to.
    pub fn ended(&mut self, name: &str) -> ExitStatus {
        let mut child = self.running.remove(name).unwrap();
        let until = deadline();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() >= until {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("{name} does not end; it says:\n{}", self.log(name));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Runs a node that is expected to end by itself, and returns what it said.
    pub fn run(&self, role: Role, name: &str) -> Output {
        self.command(role, name).output().unwrap()
    }

    pub fn addresses(members: &[Endpoint]) -> Vec<(String, SocketAddr)> {
        members.iter().map(|member| (member.name.clone(), member.address)).collect()
    }

    pub fn customer(&self) -> Database<Customer> {
        Database::connect(Self::addresses(&self.file.customer), Options::default()).patient()
    }

    pub fn product(&self) -> Database<Product> {
        Database::connect(Self::addresses(&self.file.product), Options::default()).patient()
    }

    /// What a node says of itself, if it answers within a moment.
    pub async fn status(&self, name: &str, checksum: bool) -> Option<StatusReply> {
        let (role, _) = self.members().into_iter().find(|(_, member)| member == name)?;
        let address = self.file.find(role, name).unwrap().1;
        let asked = async {
            let endpoint = Address::from_shared(format!("http://{address}")).ok()?;
            let mut client = DatabaseClient::new(endpoint.connect().await.ok()?);
            Some(client.status(StatusRequest { checksum }).await.ok()?.into_inner())
        };
        tokio::time::timeout(Duration::from_secs(5), asked).await.ok()?
    }

    /// As the node sees its group.
    pub async fn group(&self, name: &str) -> Option<BroadcastStatus> {
        match self.status(name, false).await?.group? {
            status_reply::Group::Broadcast(group) => Some(group),
            status_reply::Group::Raft(_) => None,
        }
    }

    /// Waits until all these customer nodes take turns, as each of them sees it.
    pub async fn until_all_take_turns(&self, names: &[String]) {
        let until = deadline();
        for name in names {
            loop {
                let group = self.group(name).await;
                if group.as_ref().is_some_and(|group| names.iter().all(|name| group.roster.contains(name))) {
                    break;
                }
                assert!(Instant::now() < until, "{name} does not see all take turns but {group:?}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// Waits until all customer nodes that run are at the same slot, and checks that they hold the same there.
    pub async fn agree(&self) {
        let names: Vec<&String> = self.running.keys().filter(|name| name.starts_with("customer")).collect();
        let until = deadline();
        loop {
            let mut told = Vec::new();
            for name in &names {
                let status = self.status(name, true).await;
                told.push((name.as_str(), status.map(|status| (status.applied, status.checksum))));
            }
            let first = &told[0].1;
            if first.is_some() && told.iter().all(|(_, other)| other == first) {
                return;
            }
            for (name, one) in told.iter().filter_map(|(name, it)| Some((name, it.as_ref()?))) {
                let other = told.iter().filter_map(|(name, it)| Some((name, it.as_ref()?)));
                for (other_name, other) in other.filter(|(_, other)| other.0 == one.0) {
                    assert_eq!(one.1, other.1, "{name} and {other_name} differ at {}", one.0);
                }
            }
            assert!(Instant::now() < until, "they do not come to the same slot: {told:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            for (_, name) in self.members() {
                let log = self.log(&name);
                let last: Vec<&str> = log.lines().rev().take(12).collect();
                eprintln!("--- the end of {name}'s log");
                last.iter().rev().for_each(|line| eprintln!("{line}"));
            }
        }
    }
}
