//! Takes the whole state from a peer when the log no longer helps: into a file first, then, checked, into the replica.
//!
//! The state that was there stays until the new one is complete. A transfer that breaks off goes on where it was, as long as the giver
//! still has that state and this process lives; the checksum at the end is over all of it.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use agora_broadcast::{Base, Epoch, MemberId, Slot};
use agora_machine::Record;
use agora_proto::snapshot::snapshots_client::SnapshotsClient;
use agora_proto::snapshot::{End, Part, Records, Start, TakeRequest, part};
use prost::Message;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tonic::{Request, Status, Streaming};

use super::applier::Job;
use super::driver::Event;
use super::links::connect;
use super::peers::Peers;
use super::records;
use super::snapshot_check::Check;

/// A peer that sends nothing for this long is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest part that is taken.
const PART_BYTES: usize = 8 << 20;
const FILE: &str = "snapshot";

/// Why a snapshot could not be taken. Another attempt may do better.
#[derive(Debug, thiserror::Error)]
pub(super) enum TakeError {
    #[error("can't connect: {0}")]
    Connect(#[from] tonic::transport::Error),
    #[error("the peer: {0}")]
    Peer(#[from] Status),
    #[error("the peer sends nothing")]
    Silent,
    #[error("it is incomplete or damaged: {0}")]
    Damaged(String),
    #[error("it can't be put into {0}: {1}")]
    File(PathBuf, std::io::Error),
    #[error("this node is stopping")]
    Stopping,
}

/// What the task needs.
pub(super) struct Taker {
    pub(super) peers: Peers,
    /// Whom to ask, when one is needed.
    pub(super) wanted: mpsc::Receiver<MemberId>,
    pub(super) applier: mpsc::Sender<Job>,
    pub(super) events: mpsc::Sender<Event>,
    /// Where the file goes.
    pub(super) scratch: PathBuf,
    /// What there is of a snapshot that broke off.
    pub(super) begun: Option<Begun>,
}

/// A first part of a snapshot, in the file.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) giver: MemberId,
    pub(super) slot: Slot,
    check: Check,
}

impl Begun {
    fn nothing(giver: MemberId, slot: Slot) -> Self {
        Begun { giver, slot, check: Check::default() }
    }

    /// Whether this start goes on where it ends.
    fn goes_on_with(&self, giver: MemberId, base: &Base, start: &Start) -> bool {
        (self.giver, self.slot, self.check.records()) == (giver, base.slot, start.skipped)
    }
}

/// A snapshot as it comes in, after its start.
struct Coming {
    giver: MemberId,
    start: Start,
    parts: Streaming<Part>,
}

impl Taker {
    /// Takes a snapshot whenever one is wanted.
    pub(super) async fn run(mut self) {
        while let Some(from) = self.wanted.recv().await {
            match self.take(from).await {
                Ok(base) => tracing::info!(slot = base.slot.0, "installed a snapshot"),
                Err(error) => tracing::warn!(from = %from, %error, "could not take a snapshot"),
            }
            // What was asked for meanwhile is this one; if it did not help it is asked for again.
            while self.wanted.try_recv().is_ok() {}
        }
    }

    pub(super) async fn take(&mut self, from: MemberId) -> Result<Base, TakeError> {
        let file = self.scratch.join(FILE);
        let (giver, epoch, base) = self.fetch(from, &file).await?;
        let (done, installed) = oneshot::channel();
        let install = Job::Install { slot: base.slot, epoch: base.epoch, file, done };
        self.applier.send(install).await.map_err(|_| TakeError::Stopping)?;
        installed.await.map_err(|_| TakeError::Stopping)?.map_err(TakeError::Damaged)?;
        let event = Event::SnapshotInstalled { from: giver, epoch, base: base.clone() };
        self.events.send(event).await.map_err(|_| TakeError::Stopping)?;
        Ok(base)
    }

    /// The whole snapshot in the file: from this peer, or from who gave the first part of it.
    async fn fetch(&mut self, from: MemberId, file: &Path) -> Result<(MemberId, Epoch, Base), TakeError> {
        let Coming { giver, start, mut parts } = self.begin(from).await?;
        let (epoch, base) = read_start(&start)?;
        let begun = match self.begun.take() {
            Some(begun) if begun.goes_on_with(giver, &base, &start) => begun,
            _ if start.skipped == 0 => Begun::nothing(giver, base.slot),
            _ => return Err(TakeError::Damaged("it leaves out what was not taken".into())),
        };
        let (to_write, written) = write(file.to_owned(), begun);
        let ended = pass_on(&mut parts, to_write).await;
        let begun = written.await.map_err(|_| TakeError::Stopping)?;
        let begun = begun.map_err(|error| TakeError::File(file.to_owned(), error))?;
        match ended {
            Ok(end) if begun.check.finish() == (end.records, end.checksum) => Ok((giver, epoch, base)),
            Ok(_) => Err(TakeError::Damaged("its checksum is another one".into())),
            Err(error) => {
                self.begun = Some(begun);
                Err(error)
            }
        }
    }

    /// Begins, with who gave the first part of a snapshot if there is one and that peer answers.
    async fn begin(&self, from: MemberId) -> Result<Coming, TakeError> {
        if let Some(Begun { giver, slot, check }) = &self.begun {
            let rest = TakeRequest { slot: slot.0, records: check.records() };
            match self.ask(*giver, rest).await {
                Err(error) if *giver != from => tracing::info!(%giver, %error, "the rest is not to be had"),
                answer => return answer,
            }
        }
        self.ask(from, TakeRequest::default()).await
    }

    async fn ask(&self, giver: MemberId, asked: TakeRequest) -> Result<Coming, TakeError> {
        let peer = self.peers.all.get(usize::from(giver.0)).ok_or(TakeError::Silent)?;
        tracing::info!(peer = peer.name, has = asked.records, "taking a snapshot");
        let mut request = Request::new(asked);
        *request.metadata_mut() = self.peers.introduction(peer).metadata().clone();
        let mut client = SnapshotsClient::new(connect(peer).await?).max_decoding_message_size(PART_BYTES);
        let taken = timeout(PATIENCE, client.take(request)).await.map_err(|_| TakeError::Silent)??;
        let mut parts = taken.into_inner();
        match next(&mut parts).await? {
            part::Part::Start(start) => Ok(Coming { giver, start, parts }),
            _ => Err(TakeError::Damaged("it does not begin with a start".into())),
        }
    }
}

/// Hands records on to be written, until the end of the snapshot.
async fn pass_on(parts: &mut Streaming<Part>, to_write: mpsc::Sender<Records>) -> Result<End, TakeError> {
    loop {
        match next(parts).await? {
            // If the writer has ended it has an error to tell.
            part::Part::Records(records) => {
                to_write.send(records).await.map_err(|_| TakeError::Stopping)?;
            }
            part::Part::End(end) => return Ok(end),
            part::Part::Start(_) => return Err(TakeError::Damaged("it begins twice".into())),
        }
    }
}

async fn next(parts: &mut Streaming<Part>) -> Result<part::Part, TakeError> {
    let part = timeout(PATIENCE, parts.message()).await.map_err(|_| TakeError::Silent)??;
    part.and_then(|part| part.part).ok_or_else(|| TakeError::Damaged("it ends too early".into()))
}

fn read_start(start: &Start) -> Result<(Epoch, Base), TakeError> {
    let coordinator = u16::try_from(start.epoch_coordinator);
    let coordinator = coordinator.map_err(|_| TakeError::Damaged("it names no member".into()))?;
    let epoch = Epoch { counter: start.epoch_counter, coordinator: MemberId(coordinator) };
    let base = records::read_base(&start.base).map_err(|error| TakeError::Damaged(error.to_string()))?;
    Ok((epoch, base))
}

type Written = tokio::task::JoinHandle<std::io::Result<Begun>>;

/// Writes records to a file on a blocking thread, each chunk behind its length, after what is begun there.
fn write(path: PathBuf, mut begun: Begun) -> (mpsc::Sender<Records>, Written) {
    let (chunks, mut to_write) = mpsc::channel::<Records>(2);
    let written = tokio::task::spawn_blocking(move || {
        let file = match begun.check.records() {
            0 => File::create(path)?,
            _ => OpenOptions::new().append(true).open(path)?,
        };
        let mut file = BufWriter::new(file);
        while let Some(chunk) = to_write.blocking_recv() {
            chunk.records.iter().for_each(|record| begun.check.add(&record.key, &record.value));
            let bytes = chunk.encode_to_vec();
            file.write_all(&(bytes.len() as u64).to_be_bytes())?;
            file.write_all(&bytes)?;
        }
        file.flush()?;
        Ok(begun)
    });
    (chunks, written)
}

/// The records of a file that [`write`] wrote. Blocks.
pub(super) fn read(
    path: &Path,
) -> std::io::Result<impl Iterator<Item = Result<Record, std::io::Error>> + use<>> {
    let mut file = BufReader::new(File::open(path)?);
    let mut ended = false;
    let chunks = std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let chunk = read_chunk(&mut file).transpose();
        ended = !matches!(chunk, Some(Ok(_)));
        chunk
    });
    Ok(chunks.flat_map(|chunk| {
        let (records, error) = match chunk {
            Ok(chunk) => (chunk.records, None),
            Err(error) => (Vec::new(), Some(Err(error))),
        };
        records.into_iter().map(|record| Ok(Record { key: record.key, value: record.value })).chain(error)
    }))
}

fn read_chunk(file: &mut impl Read) -> std::io::Result<Option<Records>> {
    let mut length = [0; 8];
    match file.read_exact(&mut length) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = usize::try_from(u64::from_be_bytes(length)).ok().filter(|length| *length <= PART_BYTES);
    let mut bytes = vec![0; length.ok_or(std::io::ErrorKind::InvalidData)?];
    file.read_exact(&mut bytes)?;
    Records::decode(bytes::Bytes::from(bytes)).map(Some).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use agora_proto::snapshot;

    use super::*;

    #[tokio::test]
    async fn records_survive_the_file_and_damage_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let record = |n: u8| snapshot::Record { key: vec![n].into(), value: vec![n; 3].into() };
        let (chunks, written) = write(path.clone(), Begun::nothing(MemberId(1), Slot(7)));
        chunks.send(Records { records: vec![record(1), record(2)] }).await.unwrap();
        drop(chunks);
        let begun = written.await.unwrap().unwrap();
        assert_eq!(begun.check.records(), 2);
        let (chunks, written) = write(path.clone(), begun);
        chunks.send(Records { records: vec![record(3)] }).await.unwrap();
        drop(chunks);
        assert_eq!(written.await.unwrap().unwrap().check.records(), 3);
        let keys: Vec<u8> = read(&path).unwrap().map(|record| record.unwrap().key[0]).collect();
        assert_eq!(keys, [1, 2, 3]);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(read(&path).unwrap().any(|record| record.is_err()));
    }
}
