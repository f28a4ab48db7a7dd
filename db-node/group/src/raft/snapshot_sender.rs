//! Sends a snapshot to a peer, piece by piece: each piece after the reply to the one before, so that neither side holds
//! more than a piece in memory.

use std::time::Duration;

use agora_machine::Record;
use agora_proto::raft as pb;
use agora_proto::raft::raft_reply::Body as Reply;
use agora_proto::raft::raft_request::Body as Request;
use prost::Message;
use tokio::time::timeout;

use super::link::{LinkError, Links};
use super::snapshot_file;
use super::types::{NodeId, Snapshot, SnapshotData, SnapshotRecords, Vote};
use super::wire;
use crate::runtime;

/// About how large a piece is.
const PIECE_BYTES: usize = if cfg!(test) { 1 << 10 } else { 256 << 10 };
/// Pieces that are cut before they can be sent.
const PIECES_AHEAD: usize = 2;
/// How long a peer may take for a piece; the last one it installs.
const PIECE_TIMEOUT: Duration = Duration::from_secs(10);
const INSTALL_TIMEOUT: Duration = Duration::from_secs(120);

/// Sends a snapshot, and returns the vote of the peer that installed it.
pub(crate) async fn send(
    links: &Links,
    target: NodeId,
    vote: Vote,
    snapshot: Snapshot,
) -> Result<Vote, LinkError> {
    let meta = pb::SnapshotMeta {
        log_id: snapshot.meta.last_log_id.map(wire::log_id_to_pb),
        membership: Some(wire::stored_membership_to_pb(&snapshot.meta.last_membership)),
        position: snapshot.snapshot.position.clone().into(),
    };
    let SnapshotData { records, .. } = *snapshot.snapshot;
    let mut cut = runtime::produce(PIECES_AHEAD, move |give| cut_records(&records, give));
    let mut checksum = crc32fast::Hasher::new();
    let mut number = 0;
    loop {
        let piece = cut.recv().await.transpose().map_err(LinkError::Failed)?;
        let last = piece.is_none();
        let records = piece.unwrap_or_default();
        checksum.update(&records);
        let chunk = pb::SnapshotChunk {
            vote: Some(wire::vote_to_pb(vote)),
            snapshot_id: snapshot.meta.snapshot_id.clone(),
            number,
            records: records.into(),
            checksum: checksum.clone().finalize(),
            last: last.then(|| meta.clone()),
        };
        tracing::debug!(peer = %target, number, bytes = chunk.encoded_len(), "sending a piece of a snapshot");
        let limit = if last { INSTALL_TIMEOUT } else { PIECE_TIMEOUT };
        let reply = timeout(limit, links.request(target, Request::Snapshot(chunk))).await;
        match reply.map_err(|_| LinkError::Broken)?? {
            Reply::Snapshot(reply) if reply.start_again => {
                return Err(LinkError::Failed("it lost an earlier piece".into()));
            }
            Reply::Snapshot(reply) if last => {
                tracing::info!(peer = %target, pieces = number + 1, "sent a snapshot");
                return reply
                    .vote
                    .map(wire::vote)
                    .ok_or_else(|| LinkError::Failed("no vote in its reply".into()));
            }
            Reply::Snapshot(_) => number += 1,
            _ => return Err(LinkError::Failed("it replied to something else".into())),
        }
    }
}

/// Takes a piece, and says whether more are wanted.
type Give<'a> = &'a mut dyn FnMut(Result<Vec<u8>, String>) -> bool;

fn cut_records(records: &SnapshotRecords, give: Give<'_>) {
    match records {
        SnapshotRecords::Machine(machine) => cut(machine.records().map(Ok), give),
        SnapshotRecords::File(received) => match std::fs::File::open(&received.path) {
            Ok(file) => cut(snapshot_file::records(std::io::BufReader::with_capacity(1 << 20, file)), give),
            Err(error) => cut(std::iter::once(Err(error.to_string())), give),
        },
    }
}

fn cut(records: impl Iterator<Item = Result<Record, String>>, give: Give<'_>) {
    let mut piece = Vec::with_capacity(PIECE_BYTES + 4096);
    for record in records {
        match record {
            Ok(record) => snapshot_file::put(record, &mut piece),
            Err(why) => {
                // If nobody takes it, sending has ended for another reason.
                give(Err(why));
                return;
            }
        }
        if piece.len() >= PIECE_BYTES {
            let full = std::mem::replace(&mut piece, Vec::with_capacity(PIECE_BYTES + 4096));
            if !give(Ok(full)) {
                return;
            }
        }
    }
    if !piece.is_empty() {
        give(Ok(piece));
    }
}
