//! Puts the commands that wait at the leader, its own and those forwarded to it, into log entries.
//!
//! A few entries are under way at a time; while they are, what comes waits, and then travels together in the next one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::sleep;

use super::types::{Batch, Responses};
use super::view::{Leader, View};
use crate::runtime;

/// Proposals that may wait; more are refused as overload.
pub(crate) const PROPOSALS_MAX: usize = 4096;
/// Entries under way at a time. openraft writes them one after the other, so two keep disk and network busy.
const ENTRIES_UNDER_WAY: usize = 2;
/// An entry takes no further proposal beyond so many commands, or so many bytes of them.
const ENTRY_COMMANDS: usize = 2048;
const ENTRY_BYTES: usize = 1 << 20;
/// How long one who leads no more may take to learn that an entry was committed all the same.
pub(crate) const LAST_WORD: Duration = Duration::from_millis(50);

/// Commands that came together, with the way back for their responses.
#[derive(Debug)]
pub(crate) struct Proposal {
    pub(crate) commands: Vec<Bytes>,
    pub(crate) answer: oneshot::Sender<Proposed>,
}

/// What became of a proposal.
#[derive(Debug)]
pub(crate) enum Proposed {
    /// Replicated and applied: one response for each command.
    Applied(Vec<Bytes>),
    /// This node does not lead: nothing happened.
    NotLeader,
    /// Too much waits: nothing happened.
    Overloaded,
    /// The commands may or may not have entered the log.
    Unknown(String),
}

/// Queues proposals for the entries to come. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Proposer {
    queue: mpsc::Sender<Proposal>,
    under_way: Arc<Semaphore>,
}

impl Proposer {
    /// A proposer, and its task, which ends when all clones of the proposer are dropped.
    pub(crate) fn new(view: View) -> (Proposer, impl Future<Output = ()>) {
        let (queue, waiting) = mpsc::channel(PROPOSALS_MAX);
        let under_way = Arc::new(Semaphore::new(ENTRIES_UNDER_WAY));
        (Proposer { queue, under_way: Arc::clone(&under_way) }, run(view, waiting, under_way))
    }

    /// Waits until no entry is under way, and lets none be made for as long as the result lives.
    pub(crate) async fn pause(&self) -> Option<OwnedSemaphorePermit> {
        let all = u32::try_from(ENTRIES_UNDER_WAY).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        Arc::clone(&self.under_way).acquire_many_owned(all).await.ok()
    }

    /// Proposes commands, and waits until they are applied here, however long that takes.
    pub(crate) async fn propose(&self, commands: Vec<Bytes>) -> Proposed {
        let (answer, answered) = oneshot::channel();
        match self.queue.try_send(Proposal { commands, answer }) {
            Ok(()) => answered.await.unwrap_or_else(|_| Proposed::Unknown("the node is stopping".into())),
            Err(mpsc::error::TrySendError::Full(_)) => Proposed::Overloaded,
            Err(mpsc::error::TrySendError::Closed(_)) => Proposed::NotLeader,
        }
    }
}

async fn run(view: View, mut waiting: mpsc::Receiver<Proposal>, under_way: Arc<Semaphore>) {
    while let Some(first) = waiting.recv().await {
        let Ok(permit) = Arc::clone(&under_way).acquire_owned().await else { return };
        let mut proposals = vec![first];
        let (mut commands, mut bytes) = (0, 0);
        loop {
            if let Some(last) = proposals.last() {
                commands += last.commands.len();
                bytes += last.commands.iter().map(Bytes::len).sum::<usize>();
            }
            if commands >= ENTRY_COMMANDS || bytes >= ENTRY_BYTES {
                break;
            }
            match waiting.try_recv() {
                // A proposal whose owner has left need not be carried out.
                Ok(next) if next.answer.is_closed() => {}
                Ok(next) => proposals.push(next),
                Err(_) => break,
            }
        }
        propose(&view, proposals, permit).await;
    }
}

async fn propose(view: &View, mut proposals: Vec<Proposal>, permit: OwnedSemaphorePermit) {
    let Some(term) = view.leads_in() else { return answer_all(proposals, || Proposed::NotLeader) };
    let commands: Vec<Bytes> = match proposals.as_mut_slice() {
        [only] => only.commands.clone(),
        several => several.iter().flat_map(|proposal| proposal.commands.iter().cloned()).collect(),
    };
    let batch = Batch { time_ms: view.now_ms(), commands: commands.into() };
    let Ok(written) = view.raft.client_write_ff(batch).await else {
        // openraft has stopped without having taken it.
        return answer_all(proposals, || Proposed::NotLeader);
    };
    let (mut changes, me) = (view.leader_changes(), view.me);
    runtime::spawn(async move {
        // openraft never tells what became of an entry that a snapshot of the next leader took the place of.
        let deposed = async {
            // An error means that the node is stopping.
            let another = |now: &Leader| now.node.is_some_and(|node| node != me);
            let _ = changes.wait_for(|now| now.term > term || now.term == term && another(now)).await;
            sleep(LAST_WORD).await;
        };
        let outcome = runtime::select! {
            outcome = written => outcome.ok(),
            () = deposed => None,
        };
        drop(permit);
        match outcome {
            Some(Ok(done)) => answer_applied(proposals, done.data),
            // It entered the log, or it was refused because leadership had just been lost: there is no telling which. And
            // an entry that was removed from this log may still be in another one.
            Some(Err(_)) | None => answer_all(proposals, || Proposed::Unknown("leadership was lost".into())),
        }
    });
}

fn answer_applied(proposals: Vec<Proposal>, responses: Responses) {
    let mut responses = responses.0.into_iter();
    for proposal in proposals {
        let own = responses.by_ref().take(proposal.commands.len()).collect();
        // Whoever no longer waits needs no answer.
        let _ = proposal.answer.send(Proposed::Applied(own));
    }
}

fn answer_all(proposals: Vec<Proposal>, proposed: impl Fn() -> Proposed) {
    for proposal in proposals {
        // Whoever no longer waits needs no answer.
        let _ = proposal.answer.send(proposed());
    }
}
