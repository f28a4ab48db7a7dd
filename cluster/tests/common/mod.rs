//! A launcher as a user starts it, and how to see what it left behind.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use agora_cluster::{Ports, StartOptions};
use agora_process::ClusterFile;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_cluster");
/// Generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One process of each role, on free ports.
pub fn small_cluster(data: &Path) -> ClusterFile {
    small_cluster_with(1, data)
}

/// So many customer nodes, and one process of each other role.
pub fn small_cluster_with(customer_nodes: usize, data: &Path) -> ClusterFile {
    small_cluster_of(customer_nodes, 1, data)
}

/// So many customer and product nodes, and one process of each other role.
pub fn small_cluster_of(customer_nodes: usize, product_nodes: usize, data: &Path) -> ClusterFile {
    let options = StartOptions::standard(data, Ports::Free).unwrap();
    let mut file = options.file;
    // The ports are this test's until its process ends.
    std::mem::forget(options.ports);
    file.customer.truncate(customer_nodes);
    file.product.truncate(product_nodes);
    file.buyer.truncate(1);
    file.seller.truncate(1);
    file
}

/// Writes the file next to the data.
pub fn write(file: &ClusterFile, directory: &Path) -> PathBuf {
    let path = directory.join("small.toml");
    std::fs::write(&path, file.to_toml().unwrap()).unwrap();
    path
}

/// A running `up`. Killed when the test ends, however it does.
pub struct Launcher {
    child: Child,
    /// The line that it printed when it was ready.
    pub ready: Value,
}

impl Launcher {
    /// Starts what this file says and waits for the ready line.
    pub fn up(config: &Path) -> Launcher {
        Launcher::start(&["--config", config.to_str().unwrap()])
    }

    /// Starts it with these arguments and waits for its ready line.
    pub fn start(arguments: &[&str]) -> Launcher {
        let mut command = Command::new(PROGRAM);
        command.args(["up", "--json"]).args(arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        match serde_json::from_str(&line) {
            Ok(ready) => Launcher { child, ready },
            Err(error) => {
                let ended = child.wait();
                panic!("no ready line but {line:?} ({error}); {ended:?}")
            }
        }
    }

    /// The process ids of all that it started.
    pub fn pids(&self) -> Vec<u32> {
        let processes = self.ready["processes"].as_array().unwrap();
        processes.iter().map(|process| process["pid"].as_u64().unwrap() as u32).collect()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Waits for its end, and tells its exit code.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Runs a command to its end.
pub fn cluster(args: &[&str], data: &Path) -> Output {
    Command::new(PROGRAM).args(args).arg("--data").arg(data).stdin(Stdio::null()).output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Of these processes those that live. What is dead and waits to be reaped has no command line any more.
pub fn alive(pids: &[u32]) -> Vec<u32> {
    let lives = |pid: &u32| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty());
    pids.iter().copied().filter(lives).collect()
}

/// Waits until none of them lives.
pub fn gone_within(pids: &[u32], patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while !alive(pids).is_empty() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}
