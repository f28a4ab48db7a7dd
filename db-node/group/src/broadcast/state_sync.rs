//! The thread that makes the applied state durable now and then, so that the log below it can be purged.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use agora_broadcast::Slot;
use agora_machine::StateMachine;
use tokio::sync::watch;

use super::applied::Applied;
use super::fatal::Fatal;
use super::position;
use crate::Replica;

/// How often the state is made durable while it changes. What it lacks after a crash is applied from the log again.
const PERIOD: Duration = Duration::from_secs(2);

/// Keeps the thread alive; it makes the state durable a last time when this is dropped.
pub(super) struct StateSync {
    _alive: Sender<()>,
    /// The slot up to which the state is durable.
    pub(super) durable: watch::Receiver<Slot>,
}

pub(super) fn start<M: StateMachine>(
    replica: Replica<M>,
    applied: Applied,
    fatal: Fatal,
) -> std::io::Result<(StateSync, JoinHandle<()>)> {
    let (alive, ended) = channel();
    // Nothing is known to be durable before the first sync, whatever was found on the disk.
    let (report, durable) = watch::channel(Slot(0));
    let run = move || run(&replica, &applied, &ended, &report);
    let thread = fatal.thread("state-sync", run)?;
    Ok((StateSync { _alive: alive, durable }, thread))
}

fn run<M: StateMachine>(
    replica: &Replica<M>,
    applied: &Applied,
    ended: &Receiver<()>,
    report: &watch::Sender<Slot>,
) -> Result<(), String> {
    loop {
        let last_time = !matches!(ended.recv_timeout(PERIOD), Err(RecvTimeoutError::Timeout));
        if applied.slot() > *report.borrow() {
            match replica.sync() {
                Ok(position) => drop(report.send_replace(position::slot(position.as_deref()))),
                Err(error) => return Err(format!("the state can't be made durable: {error}")),
            }
        }
        if last_time {
            return Ok(());
        }
    }
}
