//! A small real cluster for tests: database nodes, frontends and a financial service, each a process, on free ports.
//!
//! The frontends and the financial service are this crate's own programs. A database node is this very test program, started
//! again to run the one "test" that is a node.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use agora_db_client::{Customer, Database, Options, Product};
use agora_process::{Admission, ClusterFile, Endpoint, Financial, LIFELINE_VARIABLE, Links, Log, Seats};
use tempfile::TempDir;

/// Set for a test program that is to be a node: its arguments, one a line.
const NODE_ARGUMENTS: &str = "AGORA_TEST_NODE_ARGUMENTS";
/// How long a cluster may take to be ready, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where free ports are looked for: below those that the system gives to connections, which could take one between its being
/// found free and its being used.
const PORTS: Range<u16> = 12_000..32_000;
/// How often a cluster is started anew because somebody else took a port.
const STARTS: usize = 5;

/// How many of each, and how it is tuned.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub nodes: usize,
    pub frontends: usize,
    pub approval_rate: f64,
    pub admission: fn() -> Admission,
    /// Where processes tell of their crash points.
    pub crash_points: Option<SocketAddr>,
}

impl Shape {
    /// One node for each database, two frontends of each kind, and every payment is approved.
    pub const SMALL: Shape =
        Shape { nodes: 1, frontends: 2, approval_rate: 1.0, admission: Shape::patient, crash_points: None };

    /// On a busy machine the nodes of a test may stand still for longer than in earnest.
    fn patient() -> Admission {
        Admission { answer_within_ms: 10_000, ..Admission::default() }
    }
}

/// A running cluster. Ends with its last user.
pub struct Cluster {
    pub file: ClusterFile,
    pub buyers: Vec<String>,
    pub sellers: Vec<String>,
    processes: Mutex<Vec<(String, Child)>>,
    crash_points: Option<SocketAddr>,
    directory: TempDir,
}

/// Runs as a database node, if this program was started to be one.
#[test]
#[ignore = "not a test: it is how this program becomes a database node"]
fn node() {
    if let Ok(arguments) = std::env::var(NODE_ARGUMENTS) {
        let ended = agora_db_node::main(arguments.lines().map(OsString::from).collect());
        assert_eq!(format!("{ended:?}"), format!("{:?}", std::process::ExitCode::SUCCESS));
    }
}

/// The cluster that all tests share that ask nothing special of it.
pub fn shared() -> Arc<Cluster> {
    static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let cluster = Arc::new(Cluster::start(Shape::SMALL));
        *shared = Arc::downgrade(&cluster);
        cluster
    })
}

impl Cluster {
    /// Starts a cluster, and waits until all of it is ready.
    pub fn start(shape: Shape) -> Self {
        let mut started = Cluster::spawn(shape);
        for _ in 1..STARTS {
            if started.is_up() {
                break;
            }
            started = Cluster::spawn(shape);
        }
        for url in started.readiness() {
            started.wait_for(&url);
        }
        started
    }

    fn spawn(shape: Shape) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = cluster_file(shape, directory.path().join("data"));
        std::fs::write(directory.path().join("cluster.toml"), file.to_toml().unwrap()).unwrap();
        let urls =
            |endpoints: &[Endpoint]| endpoints.iter().map(|e| format!("http://{}", e.address)).collect();
        let cluster = Cluster {
            buyers: urls(&file.buyer),
            sellers: urls(&file.seller),
            file,
            processes: Mutex::new(Vec::new()),
            crash_points: shape.crash_points,
            directory,
        };
        for (_, name, _) in cluster.file.processes() {
            cluster.run(name);
        }
        cluster
    }

    fn readiness(&self) -> Vec<String> {
        let frontends = self.buyers.iter().chain(&self.sellers).map(|url| format!("{url}/readyz"));
        frontends.chain([format!("http://{}/healthz", self.file.financial.address)]).collect()
    }

    /// Waits until all of it is ready; false if a process could not have its port.
    fn is_up(&self) -> bool {
        let began = Instant::now();
        for url in self.readiness() {
            while !get(&url).is_ok_and(|(status, _)| status == 200) {
                let names = self.file.processes().map(|(_, name, _)| name);
                if names.into_iter().any(|name| self.logged(name).contains("Address already in use")) {
                    return false;
                }
                if began.elapsed() > PATIENCE {
                    return true;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        true
    }

    /// Starts a process by its name.
    pub fn run(&self, name: &str) {
        let config = self.directory.path().join("cluster.toml").display().to_string();
        let role = self.file.processes().find(|(_, n, _)| *n == name).unwrap().0;
        let mut command = match role {
            agora_process::Role::Customer | agora_process::Role::Product => {
                let arguments =
                    ["db-node", &role.to_string(), "--name", name, "--config", &config].join("\n");
                let mut command = Command::new(std::env::current_exe().unwrap());
                command
                    .args(["cluster::node", "--exact", "--ignored", "--nocapture"])
                    .env(NODE_ARGUMENTS, arguments);
                command
            }
            agora_process::Role::Buyer => program(env!("CARGO_BIN_EXE_buyer-frontend"), name, &config),
            agora_process::Role::Seller => program(env!("CARGO_BIN_EXE_seller-frontend"), name, &config),
            agora_process::Role::Financial => program(env!("CARGO_BIN_EXE_financial-service"), name, &config),
        };
        let log = std::fs::File::create(self.log(name)).unwrap();
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).env(LIFELINE_VARIABLE, "1");
        if let Some(listener) = self.crash_points {
            command.env("AGORA_CRASH_POINTS", listener.to_string());
        }
        self.processes.lock().unwrap().push((name.to_owned(), command.spawn().unwrap()));
    }

    /// The name of a running process.
    pub fn name_of(&self, pid: u32) -> Option<String> {
        let processes = self.processes.lock().unwrap();
        processes.iter().find(|(_, child)| child.id() == pid).map(|(name, _)| name.clone())
    }

    /// A client of the customer database.
    pub fn customers(&self) -> Database<Customer> {
        Database::connect(addresses(&self.file.customer), Options::default()).patient()
    }

    /// A client of the product database.
    pub fn products(&self) -> Database<Product> {
        Database::connect(addresses(&self.file.product), Options::default()).patient()
    }

    /// Kills a process as the operating system would.
    pub fn kill(&self, name: &str) {
        let mut processes = self.processes.lock().unwrap();
        let at = processes.iter().position(|(n, _)| n == name).unwrap();
        let (_, mut child) = processes.swap_remove(at);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Tells a process to stop.
    pub fn terminate(&self, name: &str) {
        let id = self.processes.lock().unwrap().iter().find(|(n, _)| n == name).unwrap().1.id();
        assert!(Command::new("kill").arg(id.to_string()).status().unwrap().success());
    }

    /// Waits until a process that was told to stop has ended.
    pub fn ended(&self, name: &str) -> ExitStatus {
        let mut processes = self.processes.lock().unwrap();
        let at = processes.iter().position(|(n, _)| n == name).unwrap();
        processes.swap_remove(at).1.wait().unwrap()
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("{name}.log"))
    }

    /// What a process has logged.
    pub fn logged(&self, name: &str) -> String {
        std::fs::read_to_string(self.log(name)).unwrap()
    }

    /// Waits until a database node takes part again.
    pub async fn wait_for_node(&self, name: &str) {
        let (customers, products) = (self.customers(), self.products());
        let index = |nodes: &[Endpoint]| nodes.iter().position(|node| node.name == name);
        let is_ready = async || match (index(&self.file.customer), index(&self.file.product)) {
            (Some(node), _) => customers.status(node, false).await.is_ok_and(|status| status.ready),
            (None, node) => products.status(node.unwrap(), false).await.is_ok_and(|status| status.ready),
        };
        let began = Instant::now();
        while !is_ready().await {
            assert!(began.elapsed() < PATIENCE, "{name} is not ready\n{}", self.logged(name));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a GET of this URL gives 200.
    pub fn wait_for(&self, url: &str) {
        let began = Instant::now();
        let mut answer = String::new();
        while began.elapsed() < PATIENCE {
            match get(url) {
                Ok((200, _)) => return,
                Ok((status, body)) => answer = format!("{status} {body}"),
                Err(error) => answer = error.to_string(),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let logs: Vec<_> =
            self.file.processes().map(|(_, name, _)| format!("== {name}\n{}", self.logged(name))).collect();
        panic!("{url} is not ready: {answer}\n{}", logs.join("\n"));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut processes = self.processes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (_, child) in processes.iter_mut() {
            // It may be gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn addresses(nodes: &[Endpoint]) -> Vec<(String, SocketAddr)> {
    nodes.iter().map(|node| (node.name.clone(), node.address)).collect()
}

fn program(path: &str, name: &str, config: &str) -> Command {
    let mut command = Command::new(path);
    command.args(["--name", name, "--config", config]);
    command
}

/// A GET without a client library: tests that wait are not asynchronous.
fn get(url: &str) -> std::io::Result<(u16, String)> {
    use std::io::{Read, Write};
    let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap();
    let address: SocketAddr = host.parse().unwrap();
    let mut stream = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    Ok((status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()))
}

fn cluster_file(shape: Shape, data: PathBuf) -> ClusterFile {
    // All are held until all are known, so that no two are the same.
    let mut held = Vec::new();
    let mut address = || loop {
        let port = rand::random_range(PORTS);
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            held.push(listener);
            return SocketAddr::from(([127, 0, 0, 1], port));
        }
    };
    let mut endpoints = |role: &str, count: usize| -> Vec<Endpoint> {
        (1..=count).map(|n| Endpoint { name: format!("{role}-{n}"), address: address() }).collect()
    };
    ClusterFile {
        cluster: "test".into(),
        data,
        customer: endpoints("customer", shape.nodes),
        product: endpoints("product", shape.nodes),
        buyer: endpoints("buyer", shape.frontends),
        seller: endpoints("seller", shape.frontends),
        financial: Financial {
            name: "financial".into(),
            address: address(),
            approval_rate: shape.approval_rate,
            seed: 7,
        },
        links: Links::default(),
        admission: (shape.admission)(),
        log: Log::default(),
        seats: Seats::default(),
    }
}
