//! Takes a node's commands and brings them to the leader, wherever that is.
//!
//! Commands that wait together travel together. While no leader is known they wait, up to a deadline. A command is sent
//! again only if it certainly did not enter the log; otherwise its caller is told that the outcome is unknown.

use std::collections::VecDeque;
use std::time::Duration;

use agora_proto::raft as pb;
use agora_proto::raft::forward_reply::Outcome;
use agora_proto::raft::raft_reply::Body as Reply;
use agora_proto::raft::raft_request::Body as Request;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::link::LinkError;
use super::proposer::{LAST_WORD, Proposed, Proposer};
use super::types::NodeId;
use super::view::View;
use crate::handle::{Command, Failure};
use crate::runtime;

/// How long a command may take before its caller is told that it has failed, or may have.
const DEADLINE: Duration = Duration::from_secs(5);
/// Commands taken in at a time, besides those in the queue in front.
const WAITING_MAX: usize = 4096;
/// Commands that travel together, at most.
const BATCH_COMMANDS: usize = 1024;
const BATCH_BYTES: usize = 512 << 10;
/// Batches under way at a time.
const BATCHES_UNDER_WAY: usize = 3;
/// A pause before the next attempt, after one that found no leader where one was expected.
const PAUSE: Duration = Duration::from_millis(5);
/// When callers are asked to come back if the leader has too much to do.
const RETRY_AFTER: Duration = Duration::from_millis(50);

struct Waiting {
    command: Command,
    deadline: Instant,
}

/// What is left of a batch that certainly did not happen.
type Returned = Vec<Waiting>;

/// Brings commands to the leader; once `closing`, no new ones, and it ends when all are answered.
pub(crate) async fn run(
    view: View,
    proposer: Proposer,
    mut commands: mpsc::Receiver<Command>,
    closing: CancellationToken,
) {
    let mut under_way = 0;
    // Not more batches can return than are under way.
    let (give_back, mut given_back) = mpsc::channel::<Returned>(BATCHES_UNDER_WAY);
    let mut leader_changes = view.leader_changes();
    let mut waiting: VecDeque<Waiting> = VecDeque::new();
    let mut pause_until = Instant::now();
    let mut open = true;
    while open || !waiting.is_empty() || under_way > 0 {
        expire(&mut waiting);
        while waiting.len() < WAITING_MAX
            && let Ok(command) = commands.try_recv()
        {
            waiting.push_back(Waiting { command, deadline: Instant::now() + DEADLINE });
        }
        let may_send = !waiting.is_empty() && under_way < BATCHES_UNDER_WAY && Instant::now() >= pause_until;
        if let Some(leader) = view.leader().filter(|_| may_send) {
            under_way += 1;
            let batch = take_batch(&mut waiting);
            let (view, proposer, give_back) = (view.clone(), proposer.clone(), give_back.clone());
            runtime::spawn(async move {
                let returned = carry_out(&view, &proposer, leader, batch).await;
                // It fails only if the node is stopping.
                let _ = give_back.send(returned).await;
            });
            continue;
        }
        let next_deadline = waiting.front().map_or_else(|| Instant::now() + DEADLINE, |first| first.deadline);
        let wake = if pause_until > Instant::now() { pause_until.min(next_deadline) } else { next_deadline };
        runtime::select! {
            () = closing.cancelled(), if !commands.is_closed() => commands.close(),
            command = commands.recv(), if open && waiting.len() < WAITING_MAX => match command {
                Some(command) => waiting.push_back(Waiting { command, deadline: Instant::now() + DEADLINE }),
                None => open = false,
            },
            Some(returned) = given_back.recv() => {
                under_way -= 1;
                if !returned.is_empty() {
                    pause_until = Instant::now() + PAUSE;
                }
                for again in returned.into_iter().rev() {
                    waiting.push_front(again);
                }
            },
            changed = leader_changes.changed(), if !waiting.is_empty() => {
                if changed.is_err() {
                    return fail_all(waiting, "the node is stopping");
                }
                pause_until = Instant::now();
            },
            () = sleep_until(wake), if !waiting.is_empty() => {},
        }
    }
}

fn expire(waiting: &mut VecDeque<Waiting>) {
    let now = Instant::now();
    while waiting.front().is_some_and(|first| first.deadline <= now) {
        if let Some(expired) = waiting.pop_front() {
            answer(expired, Err(Failure::Unavailable("the group has no leader".into())));
        }
    }
}

fn fail_all(waiting: VecDeque<Waiting>, why: &str) {
    for one in waiting {
        answer(one, Err(Failure::Unavailable(why.into())));
    }
}

fn answer(waiting: Waiting, outcome: Result<Bytes, Failure>) {
    // Whoever no longer waits needs no answer.
    let _ = waiting.command.answer.send(outcome);
}

fn take_batch(waiting: &mut VecDeque<Waiting>) -> Vec<Waiting> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    while batch.len() < BATCH_COMMANDS && bytes < BATCH_BYTES {
        match waiting.pop_front() {
            // Nobody waits for it, and it has not been sent: it need not happen.
            Some(left) if left.command.answer.is_closed() => {}
            Some(next) => {
                bytes += next.command.command.len();
                batch.push(next);
            }
            None => break,
        }
    }
    batch
}

/// Has a batch replicated and answers its commands. Returns those that certainly did not happen and may be tried again.
async fn carry_out(view: &View, proposer: &Proposer, leader: NodeId, batch: Vec<Waiting>) -> Returned {
    let Some(deadline) = batch.iter().map(|one| one.deadline).max() else { return Vec::new() };
    let commands: Vec<Bytes> = batch.iter().map(|one| one.command.command.clone()).collect();
    let outcome = async {
        match leader == view.me {
            true => proposer.propose(commands).await,
            false => forward(view, leader, commands).await,
        }
    };
    let outcome = timeout_at(deadline, outcome).await;
    match outcome.unwrap_or_else(|_| Proposed::Unknown("no answer in time".into())) {
        Proposed::Applied(responses) if responses.len() == batch.len() => {
            for (one, response) in batch.into_iter().zip(responses) {
                answer(one, Ok(response));
            }
        }
        Proposed::NotLeader => return batch,
        Proposed::Overloaded => {
            for one in batch {
                answer(one, Err(Failure::Overloaded { retry_after: RETRY_AFTER }));
            }
        }
        Proposed::Applied(_) => unknown(batch, "the leader's answer does not fit"),
        Proposed::Unknown(why) => unknown(batch, &why),
    }
    Vec::new()
}

fn unknown(batch: Vec<Waiting>, why: &str) {
    for one in batch {
        answer(one, Err(Failure::OutcomeUnknown(why.into())));
    }
}

async fn forward(view: &View, leader: NodeId, commands: Vec<Bytes>) -> Proposed {
    let mut changes = view.leader_changes();
    let request = view.links.request(leader, Request::Forward(pb::Forward { commands }));
    let another = async {
        // An error means that the node is stopping.
        let _ = changes.wait_for(|now| now.node.is_some_and(|node| node != leader)).await;
        // A leader that has handed over is about to say what became of it.
        sleep(LAST_WORD).await;
    };
    let reply = runtime::select! {
        reply = request => reply,
        // An old leader may be stopped, or cut off, and never answer.
        () = another => Err(LinkError::Broken),
    };
    match reply {
        Ok(Reply::Forward(reply)) => match Outcome::try_from(reply.outcome) {
            Ok(Outcome::Applied) => Proposed::Applied(reply.responses),
            Ok(Outcome::NotLeader) => Proposed::NotLeader,
            Ok(Outcome::Overloaded) => Proposed::Overloaded,
            _ => Proposed::Unknown("leadership was lost".into()),
        },
        Ok(_) => Proposed::Unknown("the leader replied to something else".into()),
        Err(LinkError::Down) => Proposed::NotLeader,
        Err(error) => Proposed::Unknown(error.to_string()),
    }
}
