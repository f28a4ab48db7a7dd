//! The threads that answer queries: wait until the read slot is applied, then ask the state machine.

use std::sync::Arc;
use std::thread::JoinHandle;

use agora_broadcast::Slot;
use agora_machine::{StateMachine, Timestamp};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::applied::Applied;
use super::fatal::Fatal;
use crate::{Failure, Query, Replica};

/// Groups of queries that wait for a thread; their number is also bounded by the rounds that may be under way.
const QUEUE: usize = 64;
/// More would only contend for the state.
const THREADS_MAX: usize = 4;

/// Queries that share a read slot.
pub(super) struct ReadJob {
    pub(super) slot: Slot,
    /// The time when they began to wait for it, or later.
    pub(super) now: Timestamp,
    pub(super) queries: Vec<Query>,
}

/// Starts the threads. They end when the sender is dropped and all queries are answered.
pub(super) fn start<M: StateMachine>(
    replica: &Replica<M>,
    applied: &Applied,
    fatal: &Fatal,
) -> std::io::Result<(mpsc::Sender<ReadJob>, Vec<JoinHandle<()>>)> {
    let (queue, jobs) = mpsc::channel(QUEUE);
    let jobs = Arc::new(Mutex::new(jobs));
    let count = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let start = |_| {
        let (replica, applied, jobs) = (replica.clone(), applied.clone(), Arc::clone(&jobs));
        fatal.thread("reader", move || {
            run(&replica, &applied, &jobs);
            Ok(())
        })
    };
    Ok((queue, (0..count).map(start).collect::<std::io::Result<Vec<_>>>()?))
}

fn run<M: StateMachine>(replica: &Replica<M>, applied: &Applied, jobs: &Mutex<mpsc::Receiver<ReadJob>>) {
    loop {
        // One thread waits at the queue, the others at its lock: whoever gets a job lets the next one in.
        let job = jobs.lock().blocking_recv();
        let Some(ReadJob { slot, now, queries }) = job else { return };
        let reached = applied.wait(slot).is_ok();
        for Query { query, answer } in queries {
            let result = match reached {
                true => replica.query(now, &query).map_err(|malformed| Failure::Malformed(malformed.0)),
                false => Err(Failure::Unavailable("this node is stopping".into())),
            };
            // Nobody waits any more when the client gave up.
            let _ = answer.send(result);
        }
    }
}
