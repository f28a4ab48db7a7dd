//! Which group replicates which state machine: the customer database by atomic broadcast, the product database by Raft.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use agora_customer::CustomerDb;
use agora_group::broadcast::{self, Bounds, BroadcastOptions, LinkFaults};
use agora_group::raft::{self, RaftOptions, Roster};
use agora_group::{GroupHandle, Protocol};
use agora_process::ClusterFile;
use agora_product::ProductDb;
use agora_storage::Directory;
use tonic::service::RoutesBuilder;

use crate::args::Kind;

/// How often it is looked whether a member that does not tell by itself has failed.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// A member that runs, whichever group it belongs to.
pub(crate) enum Running {
    Broadcast(broadcast::Running),
    Raft { running: Box<raft::Running>, group: GroupHandle, data: PathBuf },
}

/// Starts the member and mounts what it offers to its peers.
pub(crate) async fn start(
    kind: Kind,
    file: &ClusterFile,
    me: usize,
    directory: Directory,
    routes: &mut RoutesBuilder,
) -> anyhow::Result<(GroupHandle, Running)> {
    let cluster = file.cluster.clone();
    let members = members(kind, file);
    match kind {
        Kind::Customer => {
            let (faults, calls_max) = (faults(file), file.admission.node_calls);
            let (bounds, members) = (bounds(file), members.into_values().collect());
            let options = BroadcastOptions { cluster, me, members, directory, calls_max, faults, bounds };
            let start = move || broadcast::start::<CustomerDb>(options);
            let (group, service, running) = tokio::task::spawn_blocking(start).await??;
            service.add_to(routes);
            Ok((group, Running::Broadcast(running)))
        }
        Kind::Product => {
            let data = directory.path().to_owned();
            let options = RaftOptions { cluster, me, members, directory };
            let (group, service, running) = raft::start::<ProductDb>(options).await?;
            routes.add_service(service);
            Ok((group.clone(), Running::Raft { running: Box::new(running), group, data }))
        }
    }
}

/// The group's members by the cluster file: those of the customer group by their index, those of the product group by their
/// seat.
pub(crate) fn members(kind: Kind, file: &ClusterFile) -> BTreeMap<usize, (String, SocketAddr)> {
    let members = match kind {
        Kind::Customer => file.customer.iter().enumerate().collect(),
        Kind::Product => file.product_seats(),
    };
    members.into_iter().map(|(at, member)| (at, (member.name.clone(), member.address))).collect()
}

fn bounds(file: &ClusterFile) -> Bounds {
    Bounds {
        keep_log_slots: file.log.keep_slots,
        keep_log_bytes: file.log.keep_mebibytes << 20,
        ..Bounds::default()
    }
}

fn faults(file: &ClusterFile) -> LinkFaults {
    LinkFaults {
        loss: file.links.loss,
        duplication: file.links.duplication,
        delay_max: Duration::from_millis(file.links.delay_ms_max),
        seed: file.links.seed,
    }
}

impl Running {
    /// Returns, with the reason, when the member can't go on.
    pub(crate) async fn failed(&self) -> String {
        match self {
            Running::Broadcast(running) => running.failed().await,
            Running::Raft { group, data, .. } => {
                while !has_shut_down(group) {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                let why = group.status().not_ready_because;
                let why = why.as_deref().unwrap_or("nobody says why");
                // The error that came first may be an internal one: what people have to look at is named in any case.
                format!("openraft has shut down: {why} (its data directory is {})", data.display())
            }
        }
    }

    /// By which members are added and removed, where they can be.
    pub(crate) fn roster(&self) -> Option<Roster> {
        match self {
            Running::Broadcast(_) => None,
            Running::Raft { running, .. } => Some(running.roster()),
        }
    }

    /// Gives up what the others would miss if it stopped: its leadership.
    pub(crate) async fn hand_over(&self) {
        if let Running::Raft { running, .. } = self {
            running.hand_over().await;
        }
    }

    /// Stops it, and leaves its disk in order.
    pub(crate) async fn stop(self) {
        match self {
            Running::Broadcast(running) => running.stop().await,
            Running::Raft { running, .. } => {
                if let Err(error) = running.stop().await {
                    tracing::error!(%error, "the state was not made durable; the log has what it lacks");
                }
            }
        }
    }
}

/// openraft shuts itself down when it can't go on.
fn has_shut_down(group: &GroupHandle) -> bool {
    matches!(group.status().protocol, Some(Protocol::Raft { role: "shutdown", .. }))
}
