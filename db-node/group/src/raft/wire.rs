//! Between openraft's types and their protobuf messages. Whatever bytes arrive, decoding never panics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use agora_machine::Malformed;
use agora_proto::raft as pb;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse};
use openraft::{CommittedLeaderId, EntryPayload};
use prost::Message;

use super::types::{Batch, Entry, LogId, Member, Membership, NodeId, StoredMembership, TypeConfig, Vote};

/// Largest index that is believed to be one.
const INDEX_MAX: u64 = 1 << 62;
/// Terms beyond are no group's: what begins the next one could not be counted.
pub(crate) const TERM_MAX: u64 = 1 << 62;

fn missing(what: &str) -> Malformed {
    Malformed(format!("no {what}"))
}

pub(crate) fn log_id_to_pb(id: LogId) -> pb::LogId {
    pb::LogId { term: id.leader_id.term, node: id.leader_id.node_id.to_bits(), index: id.index }
}

pub(crate) fn log_id(id: pb::LogId) -> LogId {
    LogId::new(CommittedLeaderId::new(id.term, NodeId::from(id.node)), id.index)
}

/// A log id that a peer names. openraft calculates with indexes, so those that no log can have are refused here.
pub(crate) fn peers_log_id(id: Option<pb::LogId>) -> Result<Option<LogId>, Malformed> {
    match id {
        Some(id) if id.index > INDEX_MAX => Err(Malformed(format!("log index {} is out of range", id.index))),
        Some(id) if id.term > TERM_MAX => Err(Malformed(format!("term {} is out of range", id.term))),
        id => Ok(id.map(log_id)),
    }
}

pub(crate) fn vote_to_pb(vote: Vote) -> pb::Vote {
    pb::Vote { term: vote.leader_id.term, node: vote.leader_id.node_id.to_bits(), committed: vote.committed }
}

pub(crate) fn vote(vote: pb::Vote) -> Vote {
    match vote.committed {
        true => Vote::new_committed(vote.term, vote.node.into()),
        false => Vote::new(vote.term, vote.node.into()),
    }
}

pub(crate) fn peers_vote(given: Option<pb::Vote>) -> Result<Vote, Malformed> {
    match given.ok_or_else(|| missing("vote"))? {
        given if given.term > TERM_MAX => Err(Malformed(format!("term {} is out of range", given.term))),
        given => Ok(vote(given)),
    }
}

fn membership_to_pb(membership: &Membership) -> pb::Membership {
    let voters =
        |config: &BTreeSet<NodeId>| pb::Voters { nodes: config.iter().map(|node| node.to_bits()).collect() };
    let member = |(node, about): (&NodeId, &Member)| pb::Member {
        node: node.to_bits(),
        address: about.address.clone(),
        name: about.name.clone(),
    };
    pb::Membership {
        configs: membership.get_joint_config().iter().map(voters).collect(),
        members: membership.nodes().map(member).collect(),
    }
}

fn membership(membership: pb::Membership) -> Result<Membership, Malformed> {
    let nodes: BTreeMap<NodeId, Member> = membership
        .members
        .into_iter()
        .map(|member| (member.node.into(), Member { name: member.name, address: member.address }))
        .collect();
    let configs: Vec<BTreeSet<NodeId>> = membership
        .configs
        .into_iter()
        .map(|voters| voters.nodes.into_iter().map(NodeId::from).collect())
        .collect();
    if configs.iter().flatten().any(|voter| !nodes.contains_key(voter)) {
        return Err(Malformed("a voter that is no member".into()));
    }
    Ok(Membership::new(configs, nodes))
}

pub(crate) fn stored_membership_to_pb(stored: &StoredMembership) -> pb::StoredMembership {
    pb::StoredMembership {
        log_id: stored.log_id().map(log_id_to_pb),
        membership: Some(membership_to_pb(stored.membership())),
    }
}

pub(crate) fn stored_membership(stored: Option<pb::StoredMembership>) -> Result<StoredMembership, Malformed> {
    let stored = stored.ok_or_else(|| missing("stored membership"))?;
    let config = stored.membership.ok_or_else(|| missing("membership"))?;
    Ok(StoredMembership::new(peers_log_id(stored.log_id)?, membership(config)?))
}

fn entry_to_pb(entry: &Entry) -> pb::Entry {
    let payload = match &entry.payload {
        EntryPayload::Blank => pb::entry::Payload::Blank(pb::Blank {}),
        EntryPayload::Normal(batch) => {
            pb::entry::Payload::Batch(pb::Batch { time_ms: batch.time_ms, commands: batch.commands.to_vec() })
        }
        EntryPayload::Membership(membership) => pb::entry::Payload::Membership(membership_to_pb(membership)),
    };
    pb::Entry { log_id: Some(log_id_to_pb(entry.log_id)), payload: Some(payload) }
}

fn entry(entry: pb::Entry) -> Result<Entry, Malformed> {
    let payload = match entry.payload.ok_or_else(|| missing("payload of an entry"))? {
        pb::entry::Payload::Blank(_) => EntryPayload::Blank,
        pb::entry::Payload::Batch(batch) => {
            EntryPayload::Normal(Batch { time_ms: batch.time_ms, commands: Arc::from(batch.commands) })
        }
        pb::entry::Payload::Membership(config) => EntryPayload::Membership(membership(config)?),
    };
    Ok(Entry { log_id: peers_log_id(entry.log_id)?.ok_or_else(|| missing("log id of an entry"))?, payload })
}

/// An entry as it lies in the log.
pub(crate) fn encode_entry(entry: &Entry) -> Vec<u8> {
    entry_to_pb(entry).encode_to_vec()
}

pub(crate) fn decode_entry(bytes: Vec<u8>) -> Result<Entry, Malformed> {
    // From `Bytes`, so that the commands share the buffer.
    let decoded =
        pb::Entry::decode(bytes::Bytes::from(bytes)).map_err(|error| Malformed(error.to_string()))?;
    entry(decoded)
}

pub(crate) fn append_to_pb(request: &AppendEntriesRequest<TypeConfig>) -> pb::AppendEntries {
    pb::AppendEntries {
        vote: Some(vote_to_pb(request.vote)),
        prev: request.prev_log_id.map(log_id_to_pb),
        leader_commit: request.leader_commit.map(log_id_to_pb),
        entries: request.entries.iter().map(entry_to_pb).collect(),
    }
}

/// An append request. openraft trusts that entries follow each other, so that is checked here.
pub(crate) fn append(request: pb::AppendEntries) -> Result<AppendEntriesRequest<TypeConfig>, Malformed> {
    let prev_log_id = peers_log_id(request.prev)?;
    let entries = request.entries.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    let first = prev_log_id.map_or(0, |id| id.index + 1);
    for (next, entry) in (first..).zip(&entries) {
        if entry.log_id.index != next {
            return Err(Malformed(format!(
                "an entry with index {} where {next} comes next",
                entry.log_id.index
            )));
        }
    }
    Ok(AppendEntriesRequest {
        vote: peers_vote(request.vote)?,
        prev_log_id,
        leader_commit: peers_log_id(request.leader_commit)?,
        entries,
    })
}

pub(crate) fn append_reply_to_pb(reply: AppendEntriesResponse<NodeId>) -> pb::AppendReply {
    use pb::append_reply::Outcome;
    let outcome = match reply {
        AppendEntriesResponse::Success => Outcome::Success(pb::Blank {}),
        AppendEntriesResponse::PartialSuccess(matching) => {
            Outcome::PartialSuccess(pb::PartialSuccess { matching: matching.map(log_id_to_pb) })
        }
        AppendEntriesResponse::HigherVote(vote) => Outcome::HigherVote(vote_to_pb(vote)),
        AppendEntriesResponse::Conflict => Outcome::Conflict(pb::Blank {}),
    };
    pb::AppendReply { outcome: Some(outcome) }
}

pub(crate) fn append_reply(reply: pb::AppendReply) -> Result<AppendEntriesResponse<NodeId>, Malformed> {
    use pb::append_reply::Outcome;
    Ok(match reply.outcome.ok_or_else(|| missing("outcome"))? {
        Outcome::Success(_) => AppendEntriesResponse::Success,
        Outcome::PartialSuccess(partial) => {
            AppendEntriesResponse::PartialSuccess(peers_log_id(partial.matching)?)
        }
        Outcome::HigherVote(given) => AppendEntriesResponse::HigherVote(peers_vote(Some(given))?),
        Outcome::Conflict(_) => AppendEntriesResponse::Conflict,
    })
}

pub(crate) fn vote_request_to_pb(request: &VoteRequest<NodeId>) -> pb::VoteRequest {
    pb::VoteRequest { vote: Some(vote_to_pb(request.vote)), last: request.last_log_id.map(log_id_to_pb) }
}

pub(crate) fn vote_request(request: pb::VoteRequest) -> Result<VoteRequest<NodeId>, Malformed> {
    Ok(VoteRequest { vote: peers_vote(request.vote)?, last_log_id: peers_log_id(request.last)? })
}

pub(crate) fn vote_reply_to_pb(reply: &VoteResponse<NodeId>) -> pb::VoteReply {
    pb::VoteReply {
        vote: Some(vote_to_pb(reply.vote)),
        granted: reply.vote_granted,
        last: reply.last_log_id.map(log_id_to_pb),
    }
}

pub(crate) fn vote_reply(reply: pb::VoteReply) -> Result<VoteResponse<NodeId>, Malformed> {
    Ok(VoteResponse {
        vote: peers_vote(reply.vote)?,
        vote_granted: reply.granted,
        last_log_id: peers_log_id(reply.last)?,
    })
}

#[cfg(test)]
mod tests {
    use openraft::LeaderId;

    use super::*;

    fn id(term: u64, index: u64) -> LogId {
        LogId::new(LeaderId::new(term, NodeId::from(1)), index)
    }

    fn entries() -> Vec<Entry> {
        let about = |node| Member { name: format!("product-{node}"), address: format!("10.0.0.{node}:1") };
        let nodes: BTreeMap<_, _> = (0..4_u64).map(|node| (node.into(), about(node))).collect();
        let voters = |nodes: &[u64]| nodes.iter().copied().map(NodeId::from).collect::<BTreeSet<_>>();
        let voters = vec![voters(&[0, 1, 2]), voters(&[1, 2])];
        let batch =
            Batch { time_ms: 5, commands: Arc::from(vec!["a".into(), "".into(), vec![0, 255].into()]) };
        vec![
            Entry { log_id: id(1, 0), payload: EntryPayload::Membership(Membership::new(voters, nodes)) },
            Entry { log_id: id(1, 1), payload: EntryPayload::Blank },
            Entry { log_id: id(2, 2), payload: EntryPayload::Normal(batch) },
        ]
    }

    #[test]
    fn entries_come_back_as_they_were() {
        for entry in entries() {
            assert_eq!(decode_entry(encode_entry(&entry)).unwrap(), entry);
        }
    }

    #[test]
    fn append_requests_come_back_as_they_were() {
        let request = AppendEntriesRequest {
            vote: Vote::new_committed(2, NodeId::from(1)),
            prev_log_id: None,
            leader_commit: Some(id(1, 1)),
            entries: entries(),
        };
        let back = append(append_to_pb(&request)).unwrap();
        assert_eq!(
            (back.vote, back.prev_log_id, back.leader_commit),
            (request.vote, None, request.leader_commit)
        );
        assert_eq!(back.entries, request.entries);
    }

    #[test]
    fn replies_come_back_as_they_were() {
        let replies = [
            AppendEntriesResponse::Success,
            AppendEntriesResponse::PartialSuccess(Some(id(3, 7))),
            AppendEntriesResponse::PartialSuccess(None),
            AppendEntriesResponse::HigherVote(Vote::new(4, NodeId::from(2))),
            AppendEntriesResponse::Conflict,
        ];
        for reply in replies {
            let message = append_reply_to_pb(reply);
            assert_eq!(append_reply_to_pb(append_reply(message).unwrap()), message);
        }
    }

    #[test]
    fn entries_that_do_not_follow_each_other_are_refused() {
        let mut message = append_to_pb(&AppendEntriesRequest {
            vote: Vote::new_committed(2, NodeId::from(1)),
            prev_log_id: None,
            leader_commit: None,
            entries: entries(),
        });
        message.entries.remove(1);
        assert!(append(message).is_err());
    }

    #[test]
    fn an_index_that_no_log_can_have_is_refused() {
        let vote = Some(vote_to_pb(Vote::new(1, NodeId::from(1))));
        let prev = Some(pb::LogId { term: 1, node: 1, index: u64::MAX });
        assert!(append(pb::AppendEntries { vote, prev, leader_commit: None, entries: vec![] }).is_err());
        assert!(vote_request(pb::VoteRequest { vote, last: prev }).is_err());
    }

    #[test]
    fn a_voter_must_be_a_member() {
        let membership = pb::Membership { configs: vec![pb::Voters { nodes: vec![3] }], members: vec![] };
        assert!(super::membership(membership).is_err());
    }

    #[test]
    fn cut_off_or_altered_entries_never_panic() {
        for entry in entries() {
            let good = encode_entry(&entry);
            for cut in 0..good.len() {
                let _ = decode_entry(good[..cut].to_vec());
                for bit in 0..8 {
                    let mut bad = good.clone();
                    bad[cut] ^= 1 << bit;
                    let _ = decode_entry(bad);
                }
            }
        }
    }
}
