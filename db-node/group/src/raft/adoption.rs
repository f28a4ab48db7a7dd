//! Raising this member's vote without an election: for nobody, or because a peer has a higher one.
//!
//! In Raft a higher vote may always be adopted, and grants nothing. openraft has no call for that; a snapshot of nothing, which
//! is therefore not installed, brings it about.

use std::sync::Arc;

use agora_machine::Record;

use super::types::{NodeId, Raft, RecordSource, Snapshot, SnapshotData, SnapshotMeta, SnapshotRecords, Vote};

/// The lowest vote of a term.
pub(crate) fn for_nobody(term: u64) -> Vote {
    Vote::new(term, NodeId::default())
}

/// What a member does for a higher vote of a peer's: not committed, since the peer is no proof of that, and never for itself,
/// which only an election may bring about.
pub(crate) fn yielding_to(vote: Vote, me: NodeId) -> Vote {
    let leader = vote.leader_id;
    if leader.node_id == me { for_nobody(leader.term + 1) } else { Vote::new(leader.term, leader.node_id) }
}

/// Whether this vote is the member's afterwards: it is not if a higher one was.
pub(crate) async fn adopt(raft: &Raft, vote: Vote) -> bool {
    let records = SnapshotRecords::Machine(Arc::new(Nothing));
    let snapshot = Box::new(SnapshotData { position: Vec::new(), records });
    let nothing = Snapshot { meta: SnapshotMeta::default(), snapshot };
    let reply = raft.install_full_snapshot(vote, nothing).await;
    reply.is_ok_and(|reply| reply.vote == vote)
}

struct Nothing;

impl RecordSource for Nothing {
    fn records(&self) -> Box<dyn Iterator<Item = Record> + '_> {
        Box::new(std::iter::empty())
    }
}
