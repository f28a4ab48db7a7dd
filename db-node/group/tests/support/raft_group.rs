//! A Raft group within a test: real members with real disks and real connections, in one process.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "each test uses a part of it, and may fail")]

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agora_group::raft::{Changed, RaftOptions, Roster, Running, SeatChange, start};
use agora_group::{Failure, GroupHandle, Protocol};
use agora_storage::{Directory, Identity, StorageError};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;

use crate::relay::{Network, Relay};
use crate::support::{Counters, add, number};

/// What connects members.
enum Wires {
    Direct,
    Relayed,
}

/// How long anything may take on a busy machine before it counts as failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Member {
    pub handle: GroupHandle,
    pub running: Running,
    hang_up: CancellationToken,
    server: JoinHandle<()>,
}

pub struct Group {
    root: tempfile::TempDir,
    members: Vec<(String, SocketAddr)>,
    /// Where each member finds the others.
    seen: Vec<Vec<(String, SocketAddr)>>,
    pub running: Vec<Option<Member>>,
}

fn open(path: &Path, name: &str) -> Directory {
    let identity = Identity { cluster: "test".into(), node: name.into(), database: "product".into() };
    let begun = Instant::now();
    loop {
        match Directory::open(path, &identity) {
            Ok(directory) => return directory,
            // Tasks of the member that was cut off are still letting go.
            Err(StorageError::InUse { .. }) if begun.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

impl Group {
    pub async fn start(count: usize) -> Group {
        Group::start_over(count, Wires::Direct).await.0
    }

    /// A group whose members talk over links that can be cut.
    pub async fn start_relayed(count: usize) -> (Group, Network) {
        Group::start_over(count, Wires::Relayed).await
    }

    async fn start_over(count: usize, wires: Wires) -> (Group, Network) {
        // AGORA_LOG=info shows what the group does. Another test may have begun to show it.
        let filter = tracing_subscriber::EnvFilter::from_env("AGORA_LOG");
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let mut listeners = Vec::new();
        for _ in 0..count {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let address =
            |(at, listener): (usize, &TcpListener)| (format!("member-{at}"), listener.local_addr().unwrap());
        let members = listeners.iter().enumerate().map(address).collect();
        let root = tempfile::tempdir().unwrap();
        let members: Vec<(String, SocketAddr)> = members;
        let mut seen = vec![members.clone(); count];
        let mut relays = Vec::new();
        if let Wires::Relayed = wires {
            for (from, seen) in seen.iter_mut().enumerate() {
                for to in (0..count).filter(|to| *to != from) {
                    let relay = Relay::start(from, to, members[to].1).await;
                    seen[to].1 = relay.address;
                    relays.push(relay);
                }
            }
        }
        let mut group = Group { root, members, seen, running: (0..count).map(|_| None).collect() };
        for (at, listener) in listeners.into_iter().enumerate() {
            group.start_on(at, listener).await;
        }
        (group, Network { relays })
    }

    /// Starts a new node, with a cluster file that names it beside all others; theirs don't. Returns its seat.
    pub async fn start_new(&mut self) -> usize {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let seat = self.members.len();
        self.members.push((format!("member-{seat}"), listener.local_addr().unwrap()));
        self.seen.push(self.members.clone());
        self.running.push(None);
        self.start_on(seat, listener).await;
        seat
    }

    /// Asks one member to have another one added.
    pub async fn ask_to_add(&self, via: usize, seat: usize) -> Changed {
        let (name, address) = self.members[seat].clone();
        self.ask(via, SeatChange::Add { seat, name, address }).await
    }

    /// Asks one member to have another one removed.
    pub async fn ask_to_remove(&self, via: usize, seat: usize) -> Changed {
        let name = self.members[seat].0.clone();
        self.ask(via, SeatChange::Remove { seat, name, address: None }).await
    }

    /// Asks one member for a change of any kind.
    pub async fn ask(&self, via: usize, change: SeatChange) -> Changed {
        let roster: Roster = self.running[via].as_ref().unwrap().running.roster();
        roster.change(change).await
    }

    pub fn address(&self, member: usize) -> SocketAddr {
        self.members[member].1
    }

    pub fn path(&self, member: usize) -> PathBuf {
        self.root.path().join(member.to_string())
    }

    pub async fn restart(&mut self, member: usize) {
        let begun = Instant::now();
        let listener = loop {
            match TcpListener::bind(self.members[member].1).await {
                Ok(listener) => break listener,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        self.start_on(member, listener).await;
    }

    async fn start_on(&mut self, member: usize, listener: TcpListener) {
        let (path, name) = (self.path(member), self.members[member].0.clone());
        let directory = tokio::task::spawn_blocking(move || open(&path, &name)).await.unwrap();
        let members = self.seen[member].iter().cloned().enumerate().collect();
        let options = RaftOptions { cluster: "test".into(), me: member, members, directory };
        let (handle, service, running) = start::<Counters>(options).await.unwrap();
        let hang_up = CancellationToken::new();
        let incoming = TcpListenerStream::new(listener);
        let hung_up = hang_up.clone();
        let server = tokio::spawn(async move {
            let served =
                tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming);
            tokio::select! {
                served = served => served.unwrap(),
                () = hung_up.cancelled() => {},
            }
        });
        self.running[member] = Some(Member { handle, running, hang_up, server });
    }

    /// Cuts a member off in the middle of whatever it does.
    pub async fn kill(&mut self, member: usize) {
        let Member { handle, running, hang_up, server } = self.running[member].take().unwrap();
        hang_up.cancel();
        running.abandon().await;
        drop(handle);
        server.await.unwrap();
    }

    pub async fn stop(&mut self, member: usize) {
        let Member { handle, running, hang_up, server } = self.running[member].take().unwrap();
        running.stop().await.unwrap();
        hang_up.cancel();
        drop(handle);
        server.await.unwrap();
    }

    /// Kills a member and removes all that it had.
    pub async fn lose_disk(&mut self, member: usize) {
        self.kill(member).await;
        self.forget(member);
    }

    /// Removes all that a member had which is not running.
    pub fn forget(&self, member: usize) {
        std::fs::remove_dir_all(self.path(member)).unwrap();
    }

    pub fn handle(&self, member: usize) -> GroupHandle {
        self.running[member].as_ref().unwrap().handle.clone()
    }

    pub fn alive(&self) -> impl Iterator<Item = usize> {
        self.running.iter().enumerate().filter(|(_, member)| member.is_some()).map(|(at, _)| at)
    }

    /// The leader, once all living members agree on one that lives.
    pub async fn leader(&self) -> usize {
        eventually("a leader", async || {
            let mut leaders = self.alive().map(|member| leader_of(&self.handle(member)));
            let first = leaders.next()??;
            (self.running[first].is_some() && leaders.all(|leader| leader == Some(first))).then_some(first)
        })
        .await
    }

    pub async fn value(&self, member: usize, name: &str) -> u64 {
        number(&self.handle(member).query(name.to_string().into()).await.unwrap())
    }
}

pub fn leader_of(handle: &GroupHandle) -> Option<usize> {
    match handle.status().protocol {
        Some(Protocol::Raft { leader, .. }) => leader,
        _ => None,
    }
}

pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut check: impl FnMut() -> F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Adds 1 to a counter until it is acknowledged. Commands here have no idempotency key, so a repetition after an unknown
/// outcome may count twice: returns how often it may have been carried out.
pub async fn add_one(handles: &[GroupHandle], name: &str) -> u64 {
    let mut attempts = 1;
    let begun = Instant::now();
    for handle in handles.iter().cycle() {
        match handle.execute(add(name, 1)).await {
            Ok(_) => return attempts,
            Err(Failure::OutcomeUnknown(_)) => attempts += 1,
            Err(Failure::Unavailable(_) | Failure::Overloaded { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    unreachable!()
}
