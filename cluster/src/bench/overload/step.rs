//! One step of the sweep: calls at one rate for some seconds, and what became of each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::requests::Requests;
use super::wire::Connection;
use crate::bench::latency::Latencies;

/// An answer that comes later than this after its call was due is of no use to anyone any more.
const USEFUL: Duration = Duration::from_secs(1);
/// Connections at a time. Who has so many calls under way has its answer.
const CONNECTIONS_MAX: usize = 4_000;
/// Clients at a time when the capacity is looked for.
const CLIENTS: [usize; 4] = [64, 128, 256, 512];
/// Calls of this long at the beginning of a step do not count: what the step before has left is still being done.
const SETTLE: Duration = Duration::from_millis(500);

/// The frontends, called in turn.
#[derive(Debug)]
pub(crate) struct Frontends {
    members: Vec<Frontend>,
    turn: AtomicUsize,
    open: AtomicUsize,
}

/// A frontend, and the connections to it that nobody uses just now.
#[derive(Debug)]
struct Frontend {
    address: SocketAddr,
    idle: Mutex<Vec<Connection>>,
}

impl Frontends {
    /// # Errors
    /// There is none.
    pub fn new(addresses: Vec<SocketAddr>) -> anyhow::Result<Arc<Self>> {
        anyhow::ensure!(!addresses.is_empty(), "the cluster has no buyer frontend");
        let member = |address| Frontend { address, idle: Mutex::default() };
        let members = addresses.into_iter().map(member).collect();
        Ok(Arc::new(Frontends { members, turn: AtomicUsize::new(0), open: AtomicUsize::new(0) }))
    }

    /// Calls the next frontend. None: there was no answer.
    async fn call(&self, request: &[u8]) -> Option<(u16, Instant)> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let frontend = self.members.get(turn % self.members.len())?;
        let idle = frontend.idle.lock().pop();
        let mut connection = match idle {
            Some(idle) => idle,
            None => self.connect(frontend.address).await?,
        };
        let sent = Instant::now();
        match connection.ask(request).await {
            Ok(status) => {
                frontend.idle.lock().push(connection);
                Some((status, sent))
            }
            Err(_) => {
                self.open.fetch_sub(1, Ordering::Relaxed);
                None
            }
        }
    }

    async fn connect(&self, address: SocketAddr) -> Option<Connection> {
        if self.open.fetch_add(1, Ordering::Relaxed) < CONNECTIONS_MAX
            && let Ok(connection) = Connection::open(address).await
        {
            return Some(connection);
        }
        self.open.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

/// What became of the calls of one step.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    /// Calls a second that were made.
    pub offered_per_s: f64,
    /// Calls a second that were done within a second of when they were due.
    pub goodput_per_s: f64,
    /// When half of these were done, counted from when they were due.
    pub p50_us: u64,
    /// When all but one in a hundred were.
    pub p99_us: u64,
    /// Calls a second that were told to come back later (429, 503).
    pub refused_per_s: f64,
    /// How soon half of these were told, counted from when they were sent.
    pub refused_p50_us: u64,
    /// How soon all but one in a hundred were.
    pub refused_p99_us: u64,
    /// Calls that were done, but too late to be of use.
    pub late: u64,
    /// Calls that ended in any other way.
    pub failed: u64,
}

/// Counts the calls of a step.
#[derive(Debug)]
struct Tally {
    good: Latencies,
    refused: Latencies,
    late: u64,
    failed: u64,
    offered: u64,
}

impl Tally {
    fn new() -> anyhow::Result<Self> {
        Ok(Tally { good: Latencies::new()?, refused: Latencies::new()?, late: 0, failed: 0, offered: 0 })
    }

    fn add(&mut self, due: Instant, answer: Option<(u16, Instant)>) {
        let now = Instant::now();
        self.offered += 1;
        match answer {
            Some((200..300, _)) if now - due <= USEFUL => self.good.record(now - due),
            Some((200..300, _)) => self.late += 1,
            Some((429 | 503, sent)) => self.refused.record(now - sent),
            _ => self.failed += 1,
        }
    }

    fn step(&self, length: Duration) -> Step {
        let per_second = |count: u64| (count as f64 / length.as_secs_f64() * 10.0).round() / 10.0;
        Step {
            offered_per_s: per_second(self.offered),
            goodput_per_s: per_second(self.good.count()),
            p50_us: self.good.quantile_us(0.5),
            p99_us: self.good.quantile_us(0.99),
            refused_per_s: per_second(self.refused.count()),
            refused_p50_us: self.refused.quantile_us(0.5),
            refused_p99_us: self.refused.quantile_us(0.99),
            late: self.late,
            failed: self.failed,
        }
    }
}

/// Calls at this rate, for so long.
///
/// # Errors
/// There is no memory to count in.
pub(crate) async fn step(
    frontends: &Arc<Frontends>,
    requests: &Arc<Requests>,
    per_second: f64,
    length: Duration,
    stop: &CancellationToken,
) -> anyhow::Result<Step> {
    let begin = Instant::now();
    let (start, end) = (begin + SETTLE, begin + SETTLE + length);
    let tally = Arc::new(Mutex::new(Tally::new()?));
    let calls = TaskTracker::new();
    for number in 0.. {
        let due = begin + Duration::from_secs_f64(f64::from(number) / per_second);
        if due >= end || stop.is_cancelled() {
            break;
        }
        if due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
        }
        let (frontends, requests, tally) = (Arc::clone(frontends), Arc::clone(requests), Arc::clone(&tally));
        calls.spawn(async move {
            let answer = frontends.call(&requests.next()).await;
            if due >= start {
                tally.lock().add(due, answer);
            }
        });
    }
    calls.close();
    calls.wait().await;
    let measured = tally.lock().step(length);
    Ok(measured)
}

/// How many calls a second are done at most for clients that each wait for their answer, for few of them and for many.
pub(crate) async fn capacity(
    frontends: &Arc<Frontends>,
    requests: &Arc<Requests>,
    length: Duration,
    stop: &CancellationToken,
) -> f64 {
    let mut most = 0.0;
    for clients in CLIENTS {
        most = f64::max(most, closed_loop(frontends, requests, clients, length, stop).await);
    }
    most
}

async fn closed_loop(
    frontends: &Arc<Frontends>,
    requests: &Arc<Requests>,
    clients: usize,
    length: Duration,
    stop: &CancellationToken,
) -> f64 {
    let begin = Instant::now();
    let (start, end) = (begin + SETTLE, begin + SETTLE + length);
    let done = Arc::new(AtomicUsize::new(0));
    let calls = TaskTracker::new();
    for _ in 0..clients {
        let (frontends, requests, done) = (Arc::clone(frontends), Arc::clone(requests), Arc::clone(&done));
        let stop = stop.clone();
        calls.spawn(async move {
            while Instant::now() < end && !stop.is_cancelled() {
                let answer = frontends.call(&requests.next()).await;
                if matches!(answer, Some((200..300, _))) && (start..end).contains(&Instant::now()) {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    calls.close();
    calls.wait().await;
    done.load(Ordering::Relaxed) as f64 / length.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_apart_by_their_answers_and_by_whether_these_are_of_use() {
        let mut tally = Tally::new().unwrap();
        let now = Instant::now();
        let long_ago = now.checked_sub(2 * USEFUL).unwrap();
        tally.add(now, Some((200, now)));
        tally.add(now, Some((201, now)));
        tally.add(long_ago, Some((200, now)));
        tally.add(long_ago, Some((503, now)));
        tally.add(now, Some((429, now)));
        tally.add(now, Some((504, now)));
        tally.add(now, None);
        let step = tally.step(Duration::from_secs(2));
        assert_eq!((step.offered_per_s, step.goodput_per_s, step.refused_per_s), (3.5, 1.0, 1.0));
        assert_eq!((step.late, step.failed), (1, 2));
        assert!(step.refused_p99_us < 1_000_000, "a refusal counts from when its call was sent: {step:?}");
    }
}
