//! Collects the pieces of a snapshot in a file, checks them, and has openraft install the whole.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agora_proto::raft as pb;
use parking_lot::Mutex;

use super::log_store::LogStore;
use super::types::{Raft, ReceivedFile, Snapshot, SnapshotData, SnapshotMeta, SnapshotRecords};
use super::wire;
use crate::runtime;

/// Receives one snapshot at a time: the first piece of another one takes the place of what was there.
#[derive(Debug)]
pub(crate) struct SnapshotReceiver {
    scratch: PathBuf,
    log: LogStore,
    incoming: Arc<Mutex<Option<Incoming>>>,
    installing: Arc<tokio::sync::Mutex<()>>,
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
    /// Collects in files of this directory.
    pub(crate) fn new(scratch: PathBuf, log: LogStore) -> SnapshotReceiver {
        SnapshotReceiver { scratch, log, incoming: Arc::default(), installing: Arc::default() }
    }

    /// Takes a piece; with the last one the snapshot is installed.
    pub(crate) async fn receive(
        &self,
        raft: &Raft,
        mut chunk: pb::SnapshotChunk,
    ) -> Result<pb::SnapshotReply, String> {
        let vote = wire::peers_vote(chunk.vote).map_err(|malformed| malformed.0)?;
        let last = chunk.last.take();
        let snapshot_id = chunk.snapshot_id.clone();
        let (scratch, incoming) = (self.scratch.clone(), Arc::clone(&self.incoming));
        let whole = last.is_some();
        let taken = runtime::blocking(move || take(&scratch, &mut incoming.lock(), &chunk, whole)).await;
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
                let (raft, log) = (raft.clone(), self.log.clone());
                let one_at_a_time = Arc::clone(&self.installing);
                // It goes on when the peer does not wait for it any more.
                let installed = runtime::spawn(async move {
                    let _one_at_a_time = one_at_a_time.lock().await;
                    let _installing = meta.last_log_id.map(|covered| log.installing(covered.index));
                    raft.install_full_snapshot(vote, Snapshot { meta, snapshot }).await
                });
                let installed = installed.await.map_err(|error| error.to_string())?;
                let reply = installed.map_err(|error| error.to_string())?;
                Ok(pb::SnapshotReply { start_again: false, vote: Some(wire::vote_to_pb(reply.vote)) })
            }
            (Taken::StartAgain, _) => Ok(pb::SnapshotReply { start_again: true, vote: None }),
            _ => Ok(pb::SnapshotReply { start_again: false, vote: None }),
        }
    }
}

fn take(
    scratch: &Path,
    incoming: &mut Option<Incoming>,
    chunk: &pb::SnapshotChunk,
    whole: bool,
) -> Result<Taken, String> {
    if chunk.number == 0 {
        *incoming = Some(begin(scratch, &chunk.snapshot_id)?);
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

fn begin(scratch: &Path, snapshot_id: &str) -> Result<Incoming, String> {
    let path = scratch.join(format!("snapshot-{}", unique()));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(number: u64, records: &'static [u8], all_so_far: &[u8]) -> pb::SnapshotChunk {
        let checksum = crc32fast::hash(all_so_far);
        pb::SnapshotChunk {
            snapshot_id: "s".into(),
            number,
            records: records.into(),
            checksum,
            ..Default::default()
        }
    }

    fn files(scratch: &Path) -> usize {
        std::fs::read_dir(scratch).unwrap().count()
    }

    #[test]
    fn pieces_make_up_the_whole_and_nothing_is_left_of_it_afterwards() {
        let scratch = tempfile::tempdir().unwrap();
        let mut incoming = None;
        let first = take(scratch.path(), &mut incoming, &chunk(0, b"one ", b"one "), false).unwrap();
        assert!(matches!(first, Taken::More));
        let Ok(Taken::Whole(received)) =
            take(scratch.path(), &mut incoming, &chunk(1, b"two", b"one two"), true)
        else {
            panic!("the last piece makes it whole");
        };
        assert_eq!(std::fs::read(&received.path).unwrap(), b"one two");
        drop(received);
        assert_eq!(files(scratch.path()), 0);
    }

    #[test]
    fn a_damaged_piece_is_refused_and_all_before_it_dropped() {
        let scratch = tempfile::tempdir().unwrap();
        let mut incoming = None;
        take(scratch.path(), &mut incoming, &chunk(0, b"one ", b"one "), false).unwrap();
        let damaged = take(scratch.path(), &mut incoming, &chunk(1, b"tvo", b"one two"), true);
        assert!(damaged.is_err_and(|why| why.contains("checksum")));
        assert_eq!((incoming.is_none(), files(scratch.path())), (true, 0));
    }

    #[test]
    fn a_piece_that_is_not_the_next_one_starts_all_again() {
        let scratch = tempfile::tempdir().unwrap();
        let mut incoming = None;
        for (known, number) in [(false, 1), (true, 2), (true, 5)] {
            if known {
                take(scratch.path(), &mut incoming, &chunk(0, b"one ", b"one "), false).unwrap();
            }
            let taken = take(scratch.path(), &mut incoming, &chunk(number, b"x", b"x"), false);
            assert!(matches!(taken, Ok(Taken::StartAgain)));
            assert_eq!((incoming.is_none(), files(scratch.path())), (true, 0));
        }
    }

    #[test]
    fn another_snapshot_takes_the_place_of_a_half_one() {
        let scratch = tempfile::tempdir().unwrap();
        let mut incoming = None;
        take(scratch.path(), &mut incoming, &chunk(0, b"old", b"old"), false).unwrap();
        take(scratch.path(), &mut incoming, &chunk(0, b"new", b"new"), false).unwrap();
        assert_eq!(files(scratch.path()), 1);
        let Ok(Taken::Whole(received)) =
            take(scratch.path(), &mut incoming, &chunk(1, b"er", b"newer"), true)
        else {
            panic!("the last piece makes it whole");
        };
        assert_eq!(std::fs::read(&received.path).unwrap(), b"newer");
    }
}
