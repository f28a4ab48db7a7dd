//! A product group of three members in this process, over loopback and real disks, and what fills it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use agora_group::raft::{RaftOptions, Running, start};
use agora_group::{Failure, GroupHandle, Protocol};
use agora_product::ProductDb;
use agora_storage::{Directory, Identity};
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::transport::server::TcpIncoming;

pub const MEMBERS: usize = 3;
/// Items that are listed at the same time while the market is filled.
const AT_ONCE: usize = 1024;
/// For so long a write is repeated.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Member {
    pub handle: GroupHandle,
    pub running: Running,
    server: tokio::task::JoinHandle<()>,
}

impl Member {
    /// Has it end as if its process were killed, and let go of its directory.
    pub async fn kill(self) {
        self.running.abandon().await;
        self.server.abort();
        // Its end is of no interest, only that it has let go.
        let _ = self.server.await;
    }
}

/// What the environment says, or the default.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

pub async fn addresses() -> Vec<(String, SocketAddr)> {
    let mut listeners = Vec::new();
    for at in 0..MEMBERS {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listeners.push((format!("m{at}"), listener));
    }
    let address = |(name, listener): (String, TcpListener)| (name, listener.local_addr().expect("its port"));
    listeners.into_iter().map(address).collect()
}

pub fn open(root: &Path, me: usize, members: &[(String, SocketAddr)]) -> Directory {
    let identity =
        Identity { cluster: "bench".into(), node: members[me].0.clone(), database: "product".into() };
    Directory::open(root.join(me.to_string()), &identity).expect("a directory")
}

pub async fn member(directory: Directory, me: usize, members: &[(String, SocketAddr)]) -> Member {
    let listener = TcpListener::bind(members[me].1).await.expect("its port");
    let options = RaftOptions {
        cluster: "bench".into(),
        me,
        members: members.iter().cloned().enumerate().collect(),
        directory,
    };
    let (handle, service, running) = start::<ProductDb>(options).await.expect("a member");
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = tokio::spawn(async move {
        let served = tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming);
        served.await.expect("a server");
    });
    Member { handle, running, server }
}

/// The leader, once there is one.
pub async fn leader(group: &[Member]) -> usize {
    loop {
        if let Some(Protocol::Raft { leader: Some(leader), .. }) = group[0].handle.status().protocol {
            return leader;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Has it carried out. On a machine that is busy the leader may change: then it is repeated, under its key.
async fn execute(handle: &GroupHandle, command: Bytes) -> Bytes {
    let begun = Instant::now();
    loop {
        match handle.execute(command.clone()).await {
            Ok(answer) => return answer,
            Err(Failure::Malformed(why)) => panic!("{why}"),
            Err(failure) => assert!(begun.elapsed() < PATIENCE, "{failure}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Has all of them carried out, many at a time.
pub async fn fill(handle: &GroupHandle, commands: impl Iterator<Item = Bytes>) {
    let mut under_way = JoinSet::new();
    for command in commands {
        if under_way.len() >= AT_ONCE {
            under_way.join_next().await;
        }
        let handle = handle.clone();
        under_way.spawn(async move { execute(&handle, command).await });
    }
    while let Some(done) = under_way.join_next().await {
        done.expect("a write");
    }
}
