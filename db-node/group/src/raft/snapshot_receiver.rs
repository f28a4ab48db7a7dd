//! Collects the pieces of a snapshot in a file, checks them, and has openraft install the whole.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use agora_proto::raft as pb;
use agora_storage::Directory;
use parking_lot::Mutex;

use super::types::{Raft, ReceivedFile, Snapshot, SnapshotData, SnapshotMeta, SnapshotRecords};
use super::wire;

/// Receives one snapshot at a time: the first piece of another one takes the place of what was there.
#[derive(Debug)]
pub(crate) struct SnapshotReceiver {
    directory: Directory,
    incoming: Arc<Mutex<Option<Incoming>>>,
}

#[derive(Debug)]
struct Incoming {
    snapshot_id: String,
    next: u64,
    checksum: crc32fast::Hasher,
    file: File,
    received: Arc<ReceivedFile>,
}

/// What became of a piece.
enum Taken {
    More,
    StartAgain,
    Whole(Arc<ReceivedFile>),
}

impl SnapshotReceiver {
    pub(crate) fn new(directory: Directory) -> SnapshotReceiver {
        SnapshotReceiver { directory, incoming: Arc::default() }
    }

    /// Takes a piece; with the last one the snapshot is installed.
    pub(crate) async fn receive(
        &self,
        raft: &Raft,
        mut chunk: pb::SnapshotChunk,
    ) -> Result<pb::SnapshotReply, String> {
        let vote = chunk.vote.map(wire::vote).ok_or("no vote")?;
        let last = chunk.last.take();
        let snapshot_id = chunk.snapshot_id.clone();
        let (directory, incoming) = (self.directory.clone(), Arc::clone(&self.incoming));
        let whole = last.is_some();
        let taken =
            tokio::task::spawn_blocking(move || take(&directory, &mut incoming.lock(), &chunk, whole)).await;
        match (taken.map_err(|error| error.to_string())??, last) {
            (Taken::Whole(received), Some(last)) => {
                let meta = SnapshotMeta {
                    last_log_id: wire::peers_log_id(last.log_id).map_err(|malformed| malformed.0)?,
                    last_membership: wire::stored_membership(last.membership)
                        .map_err(|malformed| malformed.0)?,
                    snapshot_id,
                };
                tracing::info!(snapshot = %meta, "installing a snapshot");
                let records = SnapshotRecords::File(received);
                let snapshot = Box::new(SnapshotData { position: last.position.to_vec(), records });
                let installed = raft.install_full_snapshot(vote, Snapshot { meta, snapshot }).await;
                let reply = installed.map_err(|error| error.to_string())?;
                Ok(pb::SnapshotReply { start_again: false, vote: Some(wire::vote_to_pb(reply.vote)) })
            }
            (Taken::StartAgain, _) => Ok(pb::SnapshotReply { start_again: true, vote: None }),
            _ => Ok(pb::SnapshotReply { start_again: false, vote: None }),
        }
    }
}

fn take(
    directory: &Directory,
    incoming: &mut Option<Incoming>,
    chunk: &pb::SnapshotChunk,
    whole: bool,
) -> Result<Taken, String> {
    if chunk.number == 0 {
        *incoming = Some(begin(directory, &chunk.snapshot_id)?);
    }
    let Some(current) = incoming.as_mut() else { return Ok(Taken::StartAgain) };
    if current.snapshot_id != chunk.snapshot_id || current.next != chunk.number {
        *incoming = None;
        return Ok(Taken::StartAgain);
    }
    current.checksum.update(&chunk.records);
    if current.checksum.clone().finalize() != chunk.checksum {
        *incoming = None;
        return Err("a piece of a snapshot does not match its checksum".into());
    }
    current.next += 1;
    current.file.write_all(&chunk.records).map_err(|error| format!("can't write a snapshot: {error}"))?;
    if !whole {
        return Ok(Taken::More);
    }
    // No fsync: if this process dies before the snapshot is installed, it is sent again.
    Ok(incoming.take().map_or(Taken::StartAgain, |done| Taken::Whole(done.received)))
}

fn begin(directory: &Directory, snapshot_id: &str) -> Result<Incoming, String> {
    let path: PathBuf =
        directory.scratch().map_err(|error| error.to_string())?.join(format!("snapshot-{}", unique()));
    let file =
        File::create_new(&path).map_err(|error| format!("can't create {}: {error}", path.display()))?;
    let received = Arc::new(ReceivedFile { path });
    Ok(Incoming {
        snapshot_id: snapshot_id.into(),
        next: 0,
        checksum: crc32fast::Hasher::new(),
        file,
        received,
    })
}

/// A number that no other file of this process has.
fn unique() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}
