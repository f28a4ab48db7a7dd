//! The one task that owns the protocol: feeds it what happened, and carries out what it says.
//!
//! Each turn takes all that waits: messages, reports from the disk, commands (as one request), queries (as one read). So under
//! load the cost of a turn, of a message and of an fsync is shared by many.

use std::collections::HashMap;
use std::time::Duration;

use agora_broadcast::{
    Base, Epoch, Input, Member, MemberId, Message, Output, ProposalId, ReadId, Refused, Slot,
};
use agora_machine::Timestamp;
use agora_sabotage::Promise;
use bytes::Bytes;
use prost::Message as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::applied::Applied;
use super::applier::Job;
use super::clock::Clock;
use super::intake::{Commands, Queries};
use super::links::Links;
use super::log_writer::{LogWriter, Persist};
use super::reader::ReadJob;
use super::status_report::StatusReport;
use super::waiting::{Waiting, answer_all};
use super::wire;
use crate::handle::{Failure, Query};

/// Messages taken in one turn, so that clients and the clock get theirs in between.
const EVENTS_AT_ONCE: usize = 512;
/// Own requests under way. With more, commands wait and travel together: fewer, larger messages and fsyncs.
const REQUESTS_UNDER_WAY: usize = 4;
/// Reads under way; further queries share the next one.
const READS_UNDER_WAY: usize = 2;
/// How long callers are asked to stay away when the protocol has too much under way.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Something for the driver, from outside.
pub(super) enum Event {
    /// A message from a peer.
    Received { from: MemberId, message: Message },
    /// The connection with a peer broke, or none can be made.
    PeerLost(MemberId),
    /// Asks for the protocol's part of a snapshot of the state at this slot, which a peer is to be given.
    BaseAt { to: MemberId, slot: Slot, answer: oneshot::Sender<Option<(Epoch, Base)>> },
    /// A peer is being given a snapshot, or has just been given it.
    GivesSnapshot { to: MemberId, slot: Slot },
    /// A peer's snapshot is installed.
    SnapshotInstalled { from: MemberId, epoch: Epoch, base: Base },
}

/// What the driver listens to, besides the log.
pub(super) struct Inputs {
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) commands: Commands,
    pub(super) queries: Queries,
    pub(super) state_durable: watch::Receiver<Slot>,
}

/// Where the driver sends things.
pub(super) struct Outlets {
    pub(super) log: LogWriter,
    pub(super) applier: mpsc::Sender<Job>,
    pub(super) readers: mpsc::Sender<ReadJob>,
    pub(super) links: Links,
    /// Whom to fetch a snapshot from, when one is needed.
    pub(super) snapshots: mpsc::Sender<MemberId>,
    pub(super) status: StatusReport,
}

/// The driver's state.
pub(super) struct Driver {
    member: Member,
    clock: Clock,
    applied: Applied,
    inputs: Inputs,
    outlets: Outlets,
    waiting: Waiting,
    reads: HashMap<ReadId, Vec<Query>>,
    last_proposal: u64,
    last_read: u64,
    /// What the protocol said in this turn and is not carried out yet.
    outputs: Vec<Output>,
}

/// A thread that the driver needs has ended; it has told why.
struct Gone;

impl Driver {
    pub(super) fn new(
        member: Member,
        waiting: Waiting,
        clock: Clock,
        applied: Applied,
        inputs: Inputs,
        outlets: Outlets,
    ) -> Self {
        let (reads, outputs) = (HashMap::new(), Vec::new());
        Driver {
            member,
            clock,
            applied,
            inputs,
            outlets,
            waiting,
            reads,
            last_proposal: 0,
            last_read: 0,
            outputs,
        }
    }

    /// Runs until told to stop, or until a thread that it needs has ended.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        while let Some(Ok(first)) = stop.run_until_cancelled(self.next()).await {
            self.turn(first);
            if self.carry_out().await.is_err() {
                break;
            }
            self.outlets.status.tell(&self.member, self.applied.slot(), self.outlets.links.dropped());
        }
        self.abandon();
    }

    /// Waits until there is something to do.
    async fn next(&mut self) -> Result<Option<Event>, Gone> {
        let (may_propose, may_read) = (self.may_propose(), self.may_read());
        let due = self.member.next_wakeup().map(|due| self.clock.at(due));
        let due = async move {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let Inputs { events, commands, queries, state_durable } = &mut self.inputs;
        tokio::select! {
            Some(event) = events.recv() => Ok(Some(event)),
            persisted = self.outlets.log.persisted.changed() => {
                // The turn looks for the news itself.
                self.outlets.log.persisted.mark_changed();
                persisted.map(|()| None).map_err(|_| Gone)
            }
            () = commands.wait(), if may_propose => Ok(None),
            () = queries.wait(), if may_read => Ok(None),
            durable = state_durable.changed() => {
                state_durable.mark_changed();
                durable.map(|()| None).map_err(|_| Gone)
            }
            () = due => Ok(None),
        }
    }

    fn may_propose(&self) -> bool {
        self.waiting.requests() < REQUESTS_UNDER_WAY
    }

    /// Reads must not fill the readers' queue: the driver must never wait for it, since readers wait for slots that the
    /// driver delivers.
    fn may_read(&self) -> bool {
        self.reads.len() < READS_UNDER_WAY && self.outlets.readers.capacity() > READS_UNDER_WAY
    }

    /// Tells the protocol all that happened.
    fn turn(&mut self, first: Option<Event>) {
        if let Some(event) = first {
            self.take(event);
        }
        for _ in 0..EVENTS_AT_ONCE {
            let Ok(event) = self.inputs.events.try_recv() else { break };
            self.take(event);
        }
        if self.outlets.log.persisted.has_changed().unwrap_or(false) {
            let upto = *self.outlets.log.persisted.borrow_and_update();
            self.step(Input::Persisted { upto });
        }
        if self.inputs.state_durable.has_changed().unwrap_or(false) {
            let slot = *self.inputs.state_durable.borrow_and_update();
            self.step(Input::StateDurable { slot });
        }
        self.propose();
        self.read();
        if self.member.next_wakeup().is_some_and(|due| due <= self.clock.now().monotonic) {
            self.step(Input::Tick);
        }
    }

    fn step(&mut self, input: Input) {
        self.member.step(self.clock.now(), input, &mut self.outputs);
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Received { from, message } => self.step(Input::Receive { from, message }),
            Event::PeerLost(peer) => self.step(Input::PeerLost { peer }),
            Event::SnapshotInstalled { from, epoch, base } => {
                if let Some(local_seq) = base.sequenced.get(&self.waiting.sender()) {
                    self.waiting.covered(*local_seq);
                }
                self.step(Input::SnapshotInstalled { from, epoch, base });
            }
            Event::GivesSnapshot { to, slot } => self.step(Input::GivesSnapshot { to, slot }),
            Event::BaseAt { to, slot, answer } => {
                let base = self.member.base_at(slot);
                if base.is_some() {
                    self.step(Input::GivesSnapshot { to, slot });
                }
                // The asker may have given up.
                let _ = answer.send(base);
            }
        }
    }

    /// Makes one request of all commands that wait, unless enough requests are under way.
    fn propose(&mut self) {
        if !self.may_propose() {
            if self.member.is_cut_off() {
                // Those under way may take as long as the network does: nobody is to wait behind them.
                answer_all(self.inputs.commands.take().1, &failure(Refused::Unavailable));
            }
            return;
        }
        let (commands, answers) = self.inputs.commands.take();
        if commands.is_empty() {
            return;
        }
        self.last_proposal += 1;
        let proposal = ProposalId(self.last_proposal);
        self.waiting.propose(proposal, answers);
        self.step(Input::Propose { proposal, commands });
    }

    /// Makes one read of all queries that wait, unless enough reads are under way.
    fn read(&mut self) {
        if !self.may_read() {
            return;
        }
        let queries = self.inputs.queries.take();
        if queries.is_empty() {
            return;
        }
        self.last_read += 1;
        let read = ReadId(self.last_read);
        self.reads.insert(read, queries);
        if agora_sabotage::breaks(Promise::FreshCustomerReads) {
            // From the state as it is. That the readers are gone is noticed elsewhere.
            let _ = self.answer_queries(read, Slot(0));
            return;
        }
        self.step(Input::Read { read });
    }

    /// Does what the protocol said, in its order.
    async fn carry_out(&mut self) -> Result<(), Gone> {
        let mut outputs = std::mem::take(&mut self.outputs);
        for output in outputs.drain(..) {
            match output {
                Output::Send { to, message } => self.outlets.links.send(to, &frame(&message)),
                Output::SendAll { message } => self.outlets.links.send_all(&frame(&message)),
                Output::Persist { id, writes } => {
                    let persist = Persist { id, writes };
                    self.outlets.log.queue.send(persist).await.map_err(|_| Gone)?;
                }
                Output::Deliver(delivery) => {
                    let answers = self.waiting.delivered(&delivery);
                    self.outlets.applier.send(Job::Apply { delivery, answers }).await.map_err(|_| Gone)?;
                }
                Output::Proposed { proposal, request } => self.waiting.proposed(proposal, request),
                Output::ProposalRefused { proposal, why } => self.waiting.refused(proposal, &failure(why)),
                Output::ReadReady { read, slot } => self.answer_queries(read, slot)?,
                Output::ReadRefused { read, why } => {
                    let queries = self.reads.remove(&read).unwrap_or_default();
                    answer_all(queries.into_iter().map(|query| query.answer).collect(), &failure(why));
                }
                Output::Incarnation(incarnation) => {
                    tracing::info!(
                        incarnation = incarnation.0,
                        "taken in: this node has a seat in its group"
                    );
                    self.waiting.begin(incarnation);
                }
                // It is said again until it is done: while one is fetched the channel is full.
                Output::NeedSnapshot { from } => drop(self.outlets.snapshots.try_send(from)),
            }
        }
        self.outputs = outputs;
        Ok(())
    }

    fn answer_queries(&mut self, read: ReadId, slot: Slot) -> Result<(), Gone> {
        let queries = self.reads.remove(&read).unwrap_or_default();
        let now = Timestamp(self.member.agreed_wall_ms());
        match self.outlets.readers.try_send(ReadJob { slot, now, queries }) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(job)) => {
                let answers = job.queries.into_iter().map(|query| query.answer).collect();
                answer_all(answers, &failure(Refused::Overloaded));
                Ok(())
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Gone),
        }
    }

    /// Tells everyone who waits that nothing will come.
    fn abandon(mut self) {
        let stopping = Failure::Unavailable("this node is stopping".into());
        answer_all(self.inputs.commands.close(), &stopping);
        answer_all(self.inputs.queries.close(), &stopping);
        for queries in self.reads.into_values() {
            answer_all(queries.into_iter().map(|query| query.answer).collect(), &stopping);
        }
        self.waiting.abandon();
    }
}

fn frame(message: &Message) -> Bytes {
    wire::encode(message).encode_to_vec().into()
}

fn failure(why: Refused) -> Failure {
    match why {
        Refused::Overloaded => Failure::Overloaded { retry_after: RETRY_AFTER },
        Refused::NotARequest => Failure::Malformed("the command is too large to be replicated".into()),
        Refused::Unavailable => Failure::Unavailable("this node reaches no majority of its group".into()),
    }
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
