//! Both ends of a snapshot, over a connection that breaks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agora_broadcast::{DiskId, Durable, MemberId, Slot};
use agora_machine::Record;
use agora_proto::snapshot::snapshots_server::SnapshotsServer;
use bytes::Bytes;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use super::applier::Job;
use super::driver::Event;
use super::peers::{Peer, Peers};
use super::snapshot_give::{SnapshotService, Source, State};
use super::snapshot_take::{self, Taker};

const GIVER: MemberId = MemberId(0);
const RECORDS: u64 = 4000;
const RECORD_BYTES: usize = 4 << 10;
const STATE_BYTES: u64 = RECORDS * RECORD_BYTES as u64;
/// A connection carries so much to the taker, and breaks.
const CONNECTION_BYTES: u64 = STATE_BYTES / 4;

/// A state that is another one, and a slot further, each time that it is asked for.
#[derive(Clone, Default)]
struct Moving(Arc<AtomicU64>);

struct At(u64);

impl Source for Moving {
    fn take(&self) -> (Slot, Arc<dyn State>) {
        let slot = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        (Slot(slot), Arc::new(At(slot)))
    }
}

impl State for At {
    fn each(&self, record: &mut dyn FnMut(Record) -> bool) {
        let _ = (0..RECORDS).all(|n| record(self.record(n)));
    }
}

impl At {
    fn record(&self, n: u64) -> Record {
        let value = vec![u8::try_from((n + self.0) % 251).unwrap(); RECORD_BYTES];
        Record { key: Bytes::copy_from_slice(&n.to_be_bytes()), value: value.into() }
    }
}

/// The taker, and what is around both ends.
struct Ends {
    taker: Taker,
    jobs: mpsc::Receiver<Job>,
    states: Moving,
    carried: Arc<AtomicU64>,
    _scratch: TempDir,
}

impl Ends {
    async fn start() -> Ends {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let carried = Arc::new(AtomicU64::new(0));
        let relay = relay(listener.local_addr().unwrap(), Arc::clone(&carried)).await;
        let peers = |me| {
            let peer = |id| Peer { id: MemberId(id), name: format!("customer-{id}"), address: relay };
            Peers { cluster: "test".into(), me, all: (0..2).map(peer).collect() }
        };
        let (events_in, events) = mpsc::channel(16);
        tokio::spawn(answer(events));
        let states = Moving::default();
        let service = SnapshotService::new(peers(0), states.clone(), events_in.clone());
        let server = Server::builder().add_service(SnapshotsServer::new(service));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        let (applier, jobs) = mpsc::channel(1);
        let scratch = tempfile::tempdir().unwrap();
        let taker = Taker {
            peers: peers(1),
            wanted: mpsc::channel(1).1,
            applier,
            events: events_in,
            scratch: scratch.path().to_owned(),
            begun: None,
        };
        Ends { taker, jobs, states, carried, _scratch: scratch }
    }

    /// Takes a snapshot, in so many attempts; its slot and its records.
    async fn take(&mut self) -> (u64, Slot, Vec<Record>) {
        for attempt in 1..100 {
            let Ends { taker, jobs, .. } = self;
            let installed = async {
                let Some(Job::Install { slot, file, done, .. }) = jobs.recv().await else { panic!("no job") };
                let records = snapshot_take::read(&file).unwrap().map(Result::unwrap).collect();
                done.send(Ok(())).unwrap();
                (slot, records)
            };
            tokio::select! {
                taken = taker.take(GIVER) => println!("attempt {attempt}: {taken:?}"),
                (slot, records) = installed => return (attempt, slot, records),
            }
        }
        panic!("it never comes to an end");
    }
}

/// The giver's driver, which has all of its log.
async fn answer(mut events: mpsc::Receiver<Event>) {
    while let Some(event) = events.recv().await {
        if let Event::BaseAt { slot, answer, .. } = event {
            let founded = Durable::founded(GIVER, &[DiskId(1), DiskId(2)]);
            let mut base = founded.base.clone();
            base.slot = slot;
            let _ = answer.send(Some((founded.accepted, base)));
        }
    }
}

/// Where connections to the target break after so many bytes from it.
async fn relay(target: SocketAddr, carried: Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(target).await.unwrap();
            let (mut near_in, mut near_out) = near.into_split();
            let (far_in, mut far_out) = far.into_split();
            let there = tokio::spawn(async move { tokio::io::copy(&mut near_in, &mut far_out).await });
            let carried = Arc::clone(&carried);
            tokio::spawn(async move {
                let mut back = far_in.take(CONNECTION_BYTES);
                let mut bytes = vec![0; 64 << 10];
                while let Ok(count @ 1..) = back.read(&mut bytes).await {
                    carried.fetch_add(count as u64, Ordering::Relaxed);
                    if near_out.write_all(&bytes[..count]).await.is_err() {
                        break;
                    }
                }
                there.abort();
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_whose_transfer_breaks_again_and_again_is_sent_about_once_in_all() {
    let mut ends = Ends::start().await;
    let (attempts, slot, records) = ends.take().await;
    assert!(attempts > 4, "{attempts} connections of {CONNECTION_BYTES} bytes can't carry {STATE_BYTES}");
    // The state has moved on for everybody else, but this is the one that was begun.
    assert_eq!((slot, ends.states.0.load(Ordering::Relaxed)), (Slot(1), 1));
    let expected = At(slot.0);
    assert_eq!(records.len() as u64, RECORDS);
    assert!(records.iter().zip(0..).all(|(record, n)| *record == expected.record(n)));
    let carried = ends.carried.load(Ordering::Relaxed);
    println!("{attempts} attempts, {carried} bytes carried for a state of {STATE_BYTES}");
    assert!(carried < STATE_BYTES * 3 / 2, "{carried} bytes for a state of {STATE_BYTES}");
    // The next one is another one, from its start.
    let (_, slot, records) = ends.take().await;
    assert_eq!((slot, records.len() as u64), (Slot(2), RECORDS));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_its_giver_does_not_have_any_more_begins_anew() {
    let mut ends = Ends::start().await;
    ends.taker.take(GIVER).await.unwrap_err();
    ends.taker.begun.as_mut().unwrap().slot = Slot(77);
    let (_, slot, records) = ends.take().await;
    assert_eq!((slot, records.len() as u64), (Slot(2), RECORDS));
    assert!(records.iter().zip(0..).all(|(record, n)| *record == At(2).record(n)));
}
