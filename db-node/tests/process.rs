//! Real node processes: they serve, survive kill -9 one by one and all at once, stop when told, and refuse to start wrongly.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use agora_db_client::{Customer, Database, Options, Product};
use agora_process::{ClusterFile, Endpoint, Role, standard_cluster};
use agora_proto::common::{Idempotency, Role as UserRole};
use agora_proto::{customer, product};
use tempfile::TempDir;

/// How long anything may take before the test is taken to hang.
const PATIENCE: Duration = Duration::from_secs(60);

struct Nodes {
    root: TempDir,
    file: ClusterFile,
    running: Vec<(String, Child)>,
}

impl Nodes {
    fn new() -> Nodes {
        let root = tempfile::tempdir().unwrap();
        // All at once, so that no port is given twice.
        let ports: Vec<_> = (0..19).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let mut addresses = ports.iter().map(|port| port.local_addr().unwrap());
        let mut file = standard_cluster(root.path().join("data"), || addresses.next().unwrap());
        file.customer.truncate(3);
        file.product.truncate(3);
        let nodes = Nodes { root, file, running: Vec::new() };
        std::fs::write(nodes.config(), nodes.file.to_toml().unwrap()).unwrap();
        nodes
    }

    fn config(&self) -> PathBuf {
        self.root.path().join("cluster.toml")
    }

    fn command(&self, role: Role, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_db-node"));
        command.args([&role.to_string(), "--name", name, "--config"]).arg(self.config());
        command.stdin(Stdio::null()).env("AGORA_LOG", "error,openraft=off");
        command
    }

    fn start(&mut self, role: Role, name: &str) {
        let child = self.command(role, name).spawn().unwrap();
        self.running.push((name.into(), child));
    }

    fn start_all(&mut self) {
        for (role, name) in self.members() {
            self.start(role, &name);
        }
    }

    fn members(&self) -> Vec<(Role, String)> {
        let of = |role: Role, members: &[Endpoint]| {
            members.iter().map(|member| (role, member.name.clone())).collect::<Vec<_>>()
        };
        [of(Role::Customer, &self.file.customer), of(Role::Product, &self.file.product)].concat()
    }

    /// kill -9.
    fn kill(&mut self, name: &str) {
        let index = self.running.iter().position(|(running, _)| running == name).unwrap();
        let (_, mut child) = self.running.remove(index);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn addresses(members: &[Endpoint]) -> Vec<(String, SocketAddr)> {
        members.iter().map(|member| (member.name.clone(), member.address)).collect()
    }

    fn customer(&self) -> Database<Customer> {
        Database::connect(Self::addresses(&self.file.customer), Options::default())
    }

    fn product(&self) -> Database<Product> {
        Database::connect(Self::addresses(&self.file.product), Options::default())
    }

    /// Runs a node that is expected to end by itself, and returns what it said.
    fn run(&self, role: Role, name: &str) -> Output {
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

fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

fn idempotency(key: &str) -> Option<Idempotency> {
    let hash = agora_proto::key_hash(&[b"test", key.as_bytes()]);
    Some(Idempotency { key: hash.to_vec().into(), fingerprint: hash.to_vec().into() })
}

async fn create_buyer(database: &Database<Customer>, username: &str) -> u64 {
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

async fn buyer(database: &Database<Customer>, username: &str) -> Option<u64> {
    let credentials = customer::GetCredentials { role: UserRole::Buyer.into(), username: username.into() };
    let query = customer::Query { body: Some(customer::query::Body::GetCredentials(credentials)) };
    match database.query(&query, deadline()).await.unwrap().body {
        Some(customer::response::Body::Credentials(credentials)) => Some(credentials.user_id),
        _ => None,
    }
}

async fn register_item(database: &Database<Product>, name: &str) -> product::ItemRegistered {
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

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9_of_one_and_of_all() {
    let mut nodes = Nodes::new();
    nodes.start_all();
    let (customers, products) = (nodes.customer(), nodes.product());
    let first = create_buyer(&customers, "first").await;
    let item = register_item(&products, "first").await;

    nodes.kill("customer-2");
    nodes.kill("product-1");
    let second = create_buyer(&customers, "second").await;
    register_item(&products, "second").await;
    nodes.start(Role::Customer, "customer-2");
    nodes.start(Role::Product, "product-1");
    let third = create_buyer(&customers, "third").await;

    for (_, name) in nodes.members() {
        nodes.kill(&name);
    }
    nodes.start_all();
    for (username, id) in [("first", first), ("second", second), ("third", third)] {
        assert_eq!(buyer(&customers, username).await, Some(id));
        assert_eq!(create_buyer(&customers, username).await, id, "the same key gets the same answer");
    }
    assert_eq!(register_item(&products, "first").await, item);
    assert_eq!(buyer(&customers, "nobody").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_tells_its_status_and_stops_when_told() {
    let mut nodes = Nodes::new();
    nodes.start_all();
    let (customers, products) = (nodes.customer(), nodes.product());
    create_buyer(&customers, "first").await;
    register_item(&products, "first").await;
    let until = deadline();
    for index in 0..3 {
        loop {
            let (customer, product) =
                (customers.status(index, true).await, products.status(index, true).await);
            if let (Ok(customer), Ok(product)) = (customer, product)
                && (customer.ready && product.ready && customer.applied > 0 && product.applied > 0)
            {
                assert_eq!(customer.node, nodes.file.customer[index].name);
                assert_eq!((customer.database.as_str(), product.database.as_str()), ("customer", "product"));
                assert!(customer.disk_bytes > 0 && product.disk_bytes > 0);
                assert!(customer.checksum.len() == 8 && product.checksum.len() == 8);
                break;
            }
            assert!(Instant::now() < until, "node {index} does not get ready");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    for (name, child) in &mut nodes.running {
        let told = Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert!(told.success());
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{name}");
    }
}

#[test]
fn a_node_that_can_not_start_says_why() {
    let nodes = Nodes::new();
    let wrong = |output: Output, code: i32, reason: &str| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(reason), "{said}");
    };
    wrong(nodes.run(Role::Buyer, "customer-1"), 2, "possible values: customer, product");
    wrong(nodes.run(Role::Customer, "customer-9"), 1, "customer-1, customer-2, customer-3");

    let taken = TcpListener::bind(nodes.file.customer[0].address).unwrap();
    wrong(nodes.run(Role::Customer, "customer-1"), 1, "can't listen on");
    drop(taken);

    let data = nodes.file.data_of("customer-1");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("letters"), "private").unwrap();
    wrong(nodes.run(Role::Customer, "customer-1"), 1, &data.display().to_string());
    assert!(data.join("letters").exists());

    std::fs::write(nodes.config(), "cluster = 7").unwrap();
    wrong(nodes.run(Role::Customer, "customer-1"), 1, "cluster.toml");
}
