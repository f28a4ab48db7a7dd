//! What a node tells of itself: members by their names instead of their indexes.

use std::collections::BTreeMap;
use std::sync::Arc;

use agora_group::{GroupStatus, Protocol};
use agora_proto::database::{
    BroadcastStatus, RaftMember, RaftStatus, StatusReply, StatusRequest, status_reply,
};
use tonic::Status;

use super::Shared;

pub(super) async fn status(shared: &Shared, request: StatusRequest) -> Result<StatusReply, Status> {
    let disk = Arc::clone(&shared.options.disk);
    let disk = tokio::task::spawn_blocking(move || disk());
    let disk = disk.await.map_err(|_| Status::unavailable("this node is stopping"))?;
    let mut reply = describe(&shared.group.status(), &shared.options.members);
    reply.node.clone_from(&shared.options.node);
    reply.database = shared.options.database.into();
    (reply.disk_bytes, reply.log_syncs) = (disk.bytes, disk.log_syncs);
    if request.checksum {
        let computed = shared.group.checksum().await;
        let (applied, checksum) = computed.map_err(|failure| Status::unavailable(failure.to_string()))?;
        // The two belong together: the checksum is that of the state at this position.
        reply.applied = applied;
        reply.checksum = format!("{checksum:08x}");
    }
    Ok(reply)
}

/// Who was added since this node has read its cluster file is called as the group says.
fn known_names(status: &GroupStatus, file: &BTreeMap<usize, String>) -> BTreeMap<usize, String> {
    let mut names = file.clone();
    if let Some(Protocol::Raft { members, .. }) = &status.protocol {
        let named = members.iter().filter(|member| !member.name.is_empty());
        names.extend(named.map(|member| (member.seat, member.name.clone())));
    }
    names
}

fn describe(status: &GroupStatus, file: &BTreeMap<usize, String>) -> StatusReply {
    let names = known_names(status, file);
    let name = |index: usize| names.get(&index).cloned().unwrap_or_default();
    let names = |indexes: &[usize]| indexes.iter().copied().map(name).collect::<Vec<_>>();
    let group = status.protocol.as_ref().map(|protocol| match protocol {
        Protocol::Broadcast {
            epoch,
            roster,
            next_owner,
            incarnation,
            epoch_reason,
            outside_because,
            disk,
            seats,
            learners,
        } => status_reply::Group::Broadcast(BroadcastStatus {
            epoch_counter: epoch.0,
            epoch_coordinator: name(epoch.1),
            roster: names(roster),
            next_owner: name(*next_owner),
            committed: status.committed,
            incarnation: *incarnation,
            epoch_reason: epoch_reason.clone().unwrap_or_default(),
            outside_because: outside_because.clone().unwrap_or_default(),
            disk: disk.clone(),
            seats: seats.iter().map(|seat| seat.clone().unwrap_or_default()).collect(),
            learners: names(learners),
        }),
        Protocol::Raft { term, leader, role, voters, learners, members, members_since } => {
            status_reply::Group::Raft(RaftStatus {
                members_since: *members_since,
                members: members
                    .iter()
                    .map(|member| RaftMember {
                        seat: member.seat as u64,
                        name: name(member.seat),
                        address: member.address.clone(),
                        votes: member.votes,
                    })
                    .collect(),
                term: *term,
                leader: leader.map(name).unwrap_or_default(),
                role: (*role).into(),
                voters: names(voters),
                learners: names(learners),
                committed: status.committed,
            })
        }
    });
    StatusReply {
        ready: status.not_ready_because.is_none(),
        not_ready_because: status.not_ready_because.clone().unwrap_or_default(),
        applied: status.applied,
        last: status.last,
        first: status.first,
        group,
        ..StatusReply::default()
    }
}
