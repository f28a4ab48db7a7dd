//! The driver alone: one of three members whose peers are nowhere, with channels in place of its disk and its state.

use std::collections::BTreeMap;

use agora_broadcast::{Config, DiskId, Durable, Incarnation, Slot};
use tokio::sync::oneshot;

use super::super::faults::LinkFaults;
use super::super::peers::{Peer, Peers};
use super::*;
use crate::handle::Command;

const ME: MemberId = MemberId(1);
const INCARNATION: Incarnation = Incarnation(4);

struct Alone {
    events: mpsc::Sender<Event>,
    commands: mpsc::Sender<Command>,
    stop: CancellationToken,
    /// The other ends, which keep the driver going.
    _ends: Box<dyn std::any::Any + Send>,
}

impl Alone {
    fn start() -> Alone {
        let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
        let peer = |id| Peer { id: MemberId(id), name: format!("customer-{id}"), address: nowhere };
        let peers = Peers { cluster: "test".into(), me: ME.0.into(), all: (0..3).map(peer).collect() };
        let stop = CancellationToken::new();
        let (events_in, events) = mpsc::channel(16);
        // The links report to nobody: what becomes of the peers is up to the test.
        let links = Links::start(&peers, &LinkFaults::default(), &mpsc::channel(1).0, &stop);
        let (commands_in, commands) = mpsc::channel(64);
        let (queries_in, queries) = mpsc::channel(64);
        let (queue, persists) = mpsc::channel(64);
        let (report, persisted) = watch::channel(agora_broadcast::PersistId(0));
        let (applier, jobs) = mpsc::channel(64);
        let (readers, read_jobs) = mpsc::channel(64);
        let (snapshots, wanted) = mpsc::channel(1);
        let (state_report, state_durable) = watch::channel(Slot(0));
        let (status, status_out) = StatusReport::new(Vec::new());
        let clock = Clock::start();
        let durable = founded();
        let member = Member::new(Config::new(ME, 3), durable, clock.now());
        let (commands, queries) = (Commands::new(commands), Queries::new(queries));
        let inputs = Inputs { events, commands, queries, state_durable };
        let log = LogWriter { queue, persisted };
        let outlets = Outlets { log, applier, readers, links, snapshots, status };
        let waiting = Waiting::new(ME, INCARNATION);
        let driver = Driver::new(member, waiting, clock, Applied::new(Slot(0)), inputs, outlets);
        tokio::spawn(driver.run(stop.clone()));
        let ends = (persists, report, jobs, read_jobs, wanted, queries_in, state_report, status_out);
        Alone { events: events_in, commands: commands_in, stop, _ends: Box::new(ends) }
    }

    fn command(&self) -> oneshot::Receiver<Result<Bytes, Failure>> {
        let (answer, answered) = oneshot::channel();
        self.commands.try_send(Command { command: Bytes::from_static(b"x"), answer }).unwrap();
        answered
    }

    /// So many commands, each a request of its own.
    async fn requests(&self, count: usize) -> Vec<oneshot::Receiver<Result<Bytes, Failure>>> {
        let mut answers = Vec::new();
        for _ in 0..count {
            answers.push(self.command());
            while self.commands.capacity() < self.commands.max_capacity() {
                tokio::task::yield_now().await;
            }
        }
        answers
    }

    /// A snapshot that covers this member's requests up to this one is installed.
    async fn installed(&self, local_seq: u64) {
        let mut base = founded().base;
        base.slot = Slot(9);
        base.sequenced = BTreeMap::from([((ME, INCARNATION), local_seq)]);
        let event = Event::SnapshotInstalled { from: MemberId(0), epoch: base.epoch, base };
        assert!(self.events.send(event).await.is_ok());
    }
}

/// The disk of a member whose group was founded.
fn founded() -> Durable {
    let disks = [1, 2, 3].map(DiskId);
    Durable { incarnation: INCARNATION, ..Durable::founded(ME, &disks) }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn is_unknown(answer: &Result<Result<Bytes, Failure>, oneshot::error::RecvError>) -> bool {
    matches!(answer, Ok(Err(Failure::OutcomeUnknown(_))))
}

#[tokio::test]
async fn requests_that_a_snapshot_covers_are_answered_and_make_way_for_others() {
    let alone = Alone::start();
    let mut answers = alone.requests(REQUESTS_UNDER_WAY).await;
    let mut next = alone.command();
    alone.installed(3).await;
    let mut last = answers.pop().unwrap();
    for answer in answers {
        let answer = answer.await;
        assert!(is_unknown(&answer), "{answer:?}");
    }
    assert!(last.try_recv().is_err(), "it is not covered, and still under way");
    // There is room for the next one, so that the snapshot after it can cover both.
    while alone.commands.capacity() < alone.commands.max_capacity() {
        tokio::task::yield_now().await;
    }
    assert!(next.try_recv().is_err());
    alone.installed(5).await;
    let (last, next) = (last.await, next.await);
    assert!(is_unknown(&last) && is_unknown(&next), "{last:?}, {next:?}");
}

#[tokio::test]
async fn who_is_cut_off_refuses_what_would_wait_behind_requests_under_way() {
    let alone = Alone::start();
    let under_way = alone.requests(REQUESTS_UNDER_WAY).await;
    let next = alone.command();
    // Nobody was heard within the time of first contact: now this member knows that it is cut off.
    assert!(matches!(next.await, Ok(Err(Failure::Unavailable(_)))));
    drop(under_way);
}
