//! What is known of a cluster at a moment: each process as the operating system sees it and as it speaks of itself.

use std::net::SocketAddr;
use std::path::PathBuf;

use agora_process::Role;
use agora_proto::database::StatusReply;
use agora_proto::database::status_reply::Group;
use serde::{Deserialize, Serialize};

/// A whole cluster at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// The cluster's name.
    pub cluster: String,
    /// Its data directory.
    pub data: PathBuf,
    /// Its processes, in the cluster file's order.
    pub processes: Vec<ProcessStatus>,
}

/// Whether a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// It runs.
    Up,
    /// It stands still.
    Paused,
    /// It does not run.
    Dead,
    /// Another machine's launcher knows.
    Elsewhere,
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Condition::Up => "up",
            Condition::Paused => "paused",
            Condition::Dead => "dead",
            Condition::Elsewhere => "elsewhere",
        })
    }
}

/// A process at a moment. What only a database node knows is absent elsewhere, and while the node does not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// Its name.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process id, while it has one.
    pub pid: Option<u32>,
    /// Whether it runs.
    #[serde(rename = "state")]
    pub condition: Condition,
    /// Whether it runs and does not stand still: `state` in short.
    pub up: bool,
    /// Whether it says that it can serve.
    pub ready: bool,
    /// Why not.
    pub not_ready_because: Option<String>,
    /// How it ended, if nobody had told it to.
    pub died: Option<String>,
    /// The product group's term, as this node knows it.
    pub term: Option<u64>,
    /// The product group's leader, as this node knows it.
    pub leader: Option<String>,
    /// What this product node is to its group: leader, follower, candidate, learner.
    pub raft_role: Option<String>,
    /// The customer group's epoch, as this node knows it.
    pub epoch: Option<u64>,
    /// Who started that epoch.
    pub epoch_coordinator: Option<String>,
    /// Why that epoch was begun; a node that has restarted since does not know.
    pub epoch_reason: Option<String>,
    /// Why this customer node takes no turns, if it doesn't.
    pub outside_because: Option<String>,
    /// The customer nodes that take turns in it.
    pub roster: Option<Vec<String>>,
    /// Whose turn the next slot is.
    pub next_owner: Option<String>,
    /// The disk that this customer node speaks from.
    pub disk: Option<String>,
    /// Per customer node, the disk that counts in the group's decisions, as this node knows it; empty while the seat is vacant.
    pub seats: Option<Vec<String>>,
    /// The customer nodes that learn, on a disk that has no seat yet, as this node hears.
    pub learners: Option<Vec<String>>,
    /// The last position (slot or index) applied to the state.
    pub applied: Option<u64>,
    /// The last position known to be committed.
    pub committed: Option<u64>,
    /// The last position in the node's log.
    pub last: Option<u64>,
    /// The first position that is still in it.
    pub first: Option<u64>,
    /// What the node's data takes on disk.
    pub disk_bytes: Option<u64>,
    /// How often the node's log has waited for the disk since its start.
    pub log_syncs: Option<u64>,
    /// The checksum of the node's whole state, if it was asked for.
    pub checksum: Option<String>,
}

impl ProcessStatus {
    /// A process of which nothing is known yet.
    pub fn new(name: &str, role: Role, address: SocketAddr) -> Self {
        ProcessStatus {
            name: name.to_owned(),
            role,
            address,
            pid: None,
            condition: Condition::Dead,
            up: false,
            ready: false,
            not_ready_because: None,
            died: None,
            term: None,
            leader: None,
            raft_role: None,
            epoch: None,
            epoch_coordinator: None,
            epoch_reason: None,
            outside_because: None,
            roster: None,
            next_owner: None,
            disk: None,
            seats: None,
            learners: None,
            applied: None,
            committed: None,
            last: None,
            first: None,
            disk_bytes: None,
            log_syncs: None,
            checksum: None,
        }
    }

    pub(crate) fn set_condition(&mut self, condition: Condition) {
        self.condition = condition;
        self.up = condition == Condition::Up;
    }

    /// Takes over what a database node says of itself.
    pub(crate) fn set_reply(&mut self, reply: StatusReply) {
        let said = |text: String| Some(text).filter(|text| !text.is_empty());
        self.ready = reply.ready;
        self.not_ready_because = said(reply.not_ready_because);
        self.applied = Some(reply.applied);
        self.last = Some(reply.last);
        self.first = Some(reply.first);
        self.disk_bytes = Some(reply.disk_bytes);
        self.log_syncs = Some(reply.log_syncs);
        self.checksum = said(reply.checksum);
        match reply.group {
            Some(Group::Raft(raft)) => {
                self.term = Some(raft.term);
                self.leader = said(raft.leader);
                self.raft_role = said(raft.role);
                self.committed = Some(raft.committed);
            }
            Some(Group::Broadcast(broadcast)) => {
                self.epoch = Some(broadcast.epoch_counter);
                self.epoch_coordinator = said(broadcast.epoch_coordinator);
                self.epoch_reason = said(broadcast.epoch_reason);
                self.outside_because = said(broadcast.outside_because);
                self.roster = Some(broadcast.roster);
                self.next_owner = said(broadcast.next_owner);
                self.disk = said(broadcast.disk);
                self.seats = Some(broadcast.seats);
                self.learners = Some(broadcast.learners);
                self.committed = Some(broadcast.committed);
            }
            None => {}
        }
    }

    pub(crate) fn epoch_or_term(&self) -> u64 {
        self.term.or(self.epoch).unwrap_or(0)
    }
}
