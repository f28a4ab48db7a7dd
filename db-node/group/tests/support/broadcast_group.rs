//! A broadcast group within a test: real members with real disks and real connections, in one process.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "each test uses a part of it, and may fail")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use agora_broadcast::Bounds;
use agora_group::broadcast::{self, BroadcastOptions, LinkFaults, Running};
use agora_group::{Failure, GroupHandle};
use agora_storage::{Directory, Identity};
use bytes::Bytes;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::support::{Counters, add, number};

/// How long anything may take before the test is taken to hang.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Group {
    pub members: Vec<(String, SocketAddr)>,
    pub faults: LinkFaults,
    pub bounds: Bounds,
    root: TempDir,
    nodes: Vec<Option<Node>>,
}

struct Node {
    handle: GroupHandle,
    running: Running,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
    close: CancellationToken,
}

/// What became of a command in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was applied, and this is its answer.
    Done(u64),
    /// It may have been applied, or may yet.
    Unknown,
}

impl Group {
    pub async fn start(members: usize) -> Group {
        Group::start_with(members, LinkFaults::default(), Bounds::default()).await
    }

    pub async fn start_with(members: usize, faults: LinkFaults, bounds: Bounds) -> Group {
        let mut listeners = Vec::new();
        for _ in 0..members {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let name = |(index, listener): (usize, &TcpListener)| {
            (format!("customer-{}", index + 1), listener.local_addr().unwrap())
        };
        let names = listeners.iter().enumerate().map(name).collect();
        let root = tempfile::tempdir().unwrap();
        let mut group = Group { members: names, faults, bounds, root, nodes: Vec::new() };
        for (me, listener) in listeners.into_iter().enumerate() {
            let node = group.node(me, listener).await;
            group.nodes.push(Some(node));
        }
        // A group is founded by all of its members together: whoever is stopped before that keeps it from ever being there.
        for index in 0..members {
            group.until(index, "serving", |status| status.not_ready_because.is_none()).await;
        }
        group
    }

    async fn node(&self, me: usize, listener: TcpListener) -> Node {
        let name = &self.members[me].0;
        let identity = Identity { cluster: "test".into(), node: name.clone(), database: "customer".into() };
        let options = BroadcastOptions {
            cluster: "test".into(),
            me,
            members: self.members.clone(),
            directory: Directory::open(self.root.path().join(name), &identity).unwrap(),
            calls_max: 10_000,
            faults: self.faults.clone(),
            bounds: self.bounds.clone(),
        };
        let (handle, service, running) = broadcast::start::<Counters>(options).unwrap();
        let mut routes = Routes::builder();
        service.add_to(&mut routes);
        let close = CancellationToken::new();
        let server = Server::builder()
            .add_routes(routes.routes())
            .serve_with_incoming_shutdown(TcpIncoming::from(listener), close.clone().cancelled_owned());
        Node { handle, running, server: tokio::spawn(server), close }
    }

    /// Stops a member, and waits until its disk is free.
    pub async fn stop(&mut self, index: usize) {
        let Node { handle, running, server, close } = self.nodes[index].take().unwrap();
        running.stop().await;
        close.cancel();
        server.abort();
        let _ = server.await;
        drop(handle);
    }

    /// Waits until a member can't go on, and tells why.
    pub async fn failed(&self, index: usize) -> String {
        let running = &self.nodes[index].as_ref().unwrap().running;
        tokio::time::timeout(PATIENCE, running.failed()).await.unwrap()
    }

    /// Deletes the data directory of a member that is stopped.
    pub fn delete(&self, index: usize) {
        std::fs::remove_dir_all(self.root.path().join(&self.members[index].0)).unwrap();
    }

    pub async fn restart(&mut self, index: usize) {
        let deadline = Instant::now() + PATIENCE;
        let listener = loop {
            match TcpListener::bind(self.members[index].1).await {
                Ok(listener) => break listener,
                Err(error) => assert!(Instant::now() < deadline, "can't listen again: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let node = self.node(index, listener).await;
        self.nodes[index] = Some(node);
    }

    pub fn handle(&self, index: usize) -> GroupHandle {
        self.nodes[index].as_ref().unwrap().handle.clone()
    }

    pub fn running(&self) -> impl Iterator<Item = usize> {
        let running = |(index, node): (usize, &Option<Node>)| node.as_ref().map(|_| index);
        self.nodes.iter().enumerate().filter_map(running).collect::<Vec<_>>().into_iter()
    }

    pub async fn add(&self, index: usize, name: &str, amount: u64) -> Outcome {
        execute(&self.handle(index), add(name, amount)).await
    }

    pub async fn value(&self, index: usize, name: &str) -> u64 {
        value(&self.handle(index), name).await
    }

    /// Waits until a member's status is as wanted.
    pub async fn until(&self, index: usize, what: &str, wanted: impl Fn(&agora_group::GroupStatus) -> bool) {
        let handle = self.handle(index);
        let deadline = Instant::now() + PATIENCE;
        while !wanted(&handle.status()) {
            assert!(Instant::now() < deadline, "member {index} is not {what}: {:?}", handle.status());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until all members that run have applied the same slots, and checks that they have the same state.
    pub async fn agree(&self) {
        let last = self.running().map(|index| self.handle(index).status().applied).max().unwrap();
        let mut sums = Vec::new();
        for index in self.running() {
            self.until(index, "as far as the others", |status| status.applied >= last).await;
            sums.push(self.handle(index).checksum().await.unwrap());
        }
        if sums.iter().any(|sum| sum.0 != sums[0].0) {
            // One of them got something new meanwhile, maintenance for example.
            return Box::pin(self.agree()).await;
        }
        assert!(sums.iter().all(|sum| *sum == sums[0]), "states differ: {sums:?}");
    }
}

/// Executes a command, again when it certainly did not happen.
pub async fn execute(handle: &GroupHandle, command: Bytes) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match handle.execute(command.clone()).await {
            Ok(response) => return Outcome::Done(number(&response)),
            Err(Failure::OutcomeUnknown(_)) => return Outcome::Unknown,
            Err(Failure::Malformed(why)) => panic!("malformed: {why}"),
            Err(failure) => assert!(Instant::now() < deadline, "{failure}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A counter's value, linearizably.
pub async fn value(handle: &GroupHandle, name: &str) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match handle.query(Bytes::copy_from_slice(name.as_bytes())).await {
            Ok(response) => return number(&response),
            Err(failure) => assert!(Instant::now() < deadline, "{failure}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
