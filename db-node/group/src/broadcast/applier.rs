//! The thread that applies committed slots: takes all that wait, one batch to the state machine and its store, then answers
//! the clients whose commands these were. A snapshot goes through it too, so that nothing is applied meanwhile.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use agora_broadcast::{Delivery, Epoch, Slot};
use agora_machine::{StateMachine, Timestamp};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::applied::Applied;
use super::fatal::Fatal;
use super::waiting::{Answers, answer_all};
use super::{position, snapshot_take};
use crate::replica::ReplicaError;
use crate::{Failure, Replica};

/// Jobs that wait. When it is full the driver waits: a group commits no faster than it applies.
const QUEUE: usize = 1024;
/// A batch takes no more slots once it has this many commands.
const BATCH_COMMANDS: usize = 4096;

/// Something for the state.
pub(super) enum Job {
    /// A committed slot, with the clients that wait for answers to its commands.
    Apply {
        delivery: Delivery,
        /// For some of the delivery's requests, by their index in it.
        answers: Vec<(usize, Answers)>,
    },
    /// A state that covers all slots up to this one, assigned in this epoch, to be installed unless there is a later one already.
    Install { slot: Slot, epoch: Epoch, file: PathBuf, done: oneshot::Sender<Result<(), String>> },
}

/// Starts the thread. It ends when the senders are dropped and all is applied, or when the store fails or the state machine
/// panics, which is fatal.
pub(super) fn start<M: StateMachine>(
    replica: Replica<M>,
    applied: Applied,
    fatal: Fatal,
) -> std::io::Result<(mpsc::Sender<Job>, JoinHandle<()>)> {
    let (queue, jobs) = mpsc::channel(QUEUE);
    let run = move || {
        let _end = applied.ends_with_holder();
        let applied = run(&replica, jobs, &applied);
        applied.map_err(|error| format!("committed slots can't be applied: {error}"))
    };
    let thread = fatal.thread("applier", run)?;
    Ok((queue, thread))
}

fn run<M: StateMachine>(
    replica: &Replica<M>,
    mut jobs: mpsc::Receiver<Job>,
    applied: &Applied,
) -> Result<(), ReplicaError> {
    while let Some(first) = jobs.blocking_recv() {
        let mut batch = Batch::after(applied.slot());
        let mut next = Some(first);
        while let Some(Job::Apply { delivery, answers }) = next {
            batch.add(&delivery, answers);
            next = if batch.commands.len() < BATCH_COMMANDS { jobs.try_recv().ok() } else { None };
        }
        batch.apply(replica, applied)?;
        if let Some(Job::Install { slot, epoch, file, done }) = next {
            // Who asked for it is gone only when the node stops.
            let _ = done.send(install(replica, applied, (slot, epoch), &file)?);
            // What can't be removed now is removed at the next start.
            let _ = std::fs::remove_file(&file);
        }
    }
    Ok(())
}

/// Slots that are applied together.
struct Batch {
    slot: Slot,
    /// The epoch in which the last of them was assigned.
    epoch: Option<Epoch>,
    commands: Vec<(Timestamp, Bytes)>,
    /// Where the commands of a request begin, and who waits for them.
    answers: Vec<(usize, Answers)>,
}

impl Batch {
    fn after(slot: Slot) -> Self {
        Batch { slot, epoch: None, commands: Vec::new(), answers: Vec::new() }
    }

    fn add(&mut self, delivery: &Delivery, answers: Vec<(usize, Answers)>) {
        if delivery.slot <= self.slot {
            // A snapshot has brought it already, and with it no answers.
            let unknown = Failure::OutcomeUnknown("this node was caught up by a snapshot".into());
            return answers.into_iter().for_each(|(_, answers)| answer_all(answers, &unknown));
        }
        let mut answers = answers.into_iter().peekable();
        let time = Timestamp(delivery.time_ms);
        for (index, request) in delivery.requests.iter().enumerate() {
            if let Some((_, answers)) = answers.next_if(|(of, _)| *of == index) {
                self.answers.push((self.commands.len(), answers));
            }
            self.commands.extend(request.commands.iter().map(|command| (time, command.clone())));
        }
        (self.slot, self.epoch) = (delivery.slot, Some(delivery.epoch));
    }

    fn apply<M: StateMachine>(self, replica: &Replica<M>, applied: &Applied) -> Result<(), ReplicaError> {
        let Some(epoch) = self.epoch else { return Ok(()) };
        let responses = replica.apply(&self.commands, position::of(self.slot, epoch))?;
        applied.advance(self.slot);
        for (start, answers) in self.answers {
            for (answer, response) in answers.into_iter().zip(responses.iter().skip(start)) {
                // Nobody waits any more when the client gave up.
                let _ = answer.send(Ok(response.clone()));
            }
        }
        Ok(())
    }
}

/// Installs a snapshot, unless the state covers all that it does. A bad one is told to who took it; a store that fails is an
/// error.
fn install<M: StateMachine>(
    replica: &Replica<M>,
    applied: &Applied,
    (slot, epoch): (Slot, Epoch),
    file: &Path,
) -> Result<Result<(), String>, ReplicaError> {
    if slot <= applied.slot() {
        return Ok(Ok(()));
    }
    let records = match snapshot_take::read(file) {
        Ok(records) => records,
        Err(error) => return Ok(Err(error.to_string())),
    };
    match replica.try_install(records, position::of(slot, epoch)) {
        Ok(()) => {
            applied.advance(slot);
            Ok(Ok(()))
        }
        Err(ReplicaError::Storage(error)) => Err(ReplicaError::Storage(error)),
        Err(error) => Ok(Err(error.to_string())),
    }
}
