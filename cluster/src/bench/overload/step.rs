//! One step of the sweep: calls at one rate for some seconds, and what became of each.

use std::num::NonZero;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::callers::{Callers, Frontends};
use super::requests::Requests;
use crate::bench::latency::Latencies;
use crate::bench::load::own_processor_time;

/// An answer that comes later than this after its call was due is of no use to anyone any more.
const USEFUL: Duration = Duration::from_secs(1);
/// Clients at a time when the capacity is looked for.
const CLIENTS: [usize; 4] = [64, 128, 256, 512];
/// Calls of this long at the beginning of a step do not count: what the step before has left is still being done.
const SETTLE: Duration = Duration::from_millis(500);
/// Calls that are due are sent so many at a time before answers are looked at again.
const SENT_AT_ONCE: usize = 32;

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
    /// How long after they were due half of all calls were sent: so long the callers wait for a processor, also when an answer
    /// has come.
    pub behind_p50_us: u64,
    /// How long all but one in a hundred were.
    pub behind_p99_us: u64,
    /// The share of this machine's processors that the callers took.
    pub callers_share: f64,
}

/// Counts the calls of a step.
#[derive(Debug)]
struct Tally {
    good: Latencies,
    refused: Latencies,
    behind: Latencies,
    late: u64,
    failed: u64,
    offered: u64,
}

impl Tally {
    fn new() -> anyhow::Result<Self> {
        Ok(Tally {
            good: Latencies::new()?,
            refused: Latencies::new()?,
            behind: Latencies::new()?,
            late: 0,
            failed: 0,
            offered: 0,
        })
    }

    fn take_in(&mut self, other: &Tally) {
        self.good.add(&other.good);
        self.refused.add(&other.refused);
        self.behind.add(&other.behind);
        self.late += other.late;
        self.failed += other.failed;
        self.offered += other.offered;
    }

    fn add(&mut self, due: Instant, answer: Option<(u16, Instant)>) {
        let now = Instant::now();
        self.offered += 1;
        if let Some((_, sent)) = answer {
            self.behind.record(sent.saturating_duration_since(due));
        }
        match answer {
            Some((200..300, _)) if now - due <= USEFUL => self.good.record(now - due),
            Some((200..300, _)) => self.late += 1,
            Some((429 | 503, sent)) => self.refused.record(now - sent),
            _ => self.failed += 1,
        }
    }

    fn step(&self, length: Duration, callers_share: f64) -> Step {
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
            behind_p50_us: self.behind.quantile_us(0.5),
            behind_p99_us: self.behind.quantile_us(0.99),
            callers_share: (callers_share * 1000.0).round() / 1000.0,
        }
    }
}

/// Calls at this rate, for so long.
///
/// # Errors
/// There is no memory to count in, or a caller failed.
pub(crate) async fn step(
    callers: &Callers,
    requests: &Arc<Requests>,
    per_second: f64,
    length: Duration,
    stop: &CancellationToken,
) -> anyhow::Result<Step> {
    let (begin, used_before) = (Instant::now(), own_processor_time());
    let count = callers.count();
    let tallies = callers.all(|number, frontends| {
        let first = begin + Duration::from_secs_f64(number as f64 / per_second);
        let share =
            Share { frontends, requests: Arc::clone(requests), first, every: count as f64 / per_second };
        open_loop(share, begin + SETTLE, begin + SETTLE + length, stop.clone())
    });
    let tallies = tallies.await?;
    let used = own_processor_time().saturating_sub(used_before);
    let mut all = Tally::new()?;
    for tally in tallies {
        all.take_in(&tally?);
    }
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get) as f64;
    Ok(all.step(length, used.as_secs_f64() / begin.elapsed().as_secs_f64() / processors))
}

/// What one caller does of the calls.
struct Share {
    frontends: Arc<Frontends>,
    requests: Arc<Requests>,
    /// When its first call is due.
    first: Instant,
    /// Seconds from one call to the next.
    every: f64,
}

/// Makes calls when they are due, whether or not earlier ones are answered. Those that are due before the start do not count.
async fn open_loop(
    share: Share,
    start: Instant,
    end: Instant,
    stop: CancellationToken,
) -> anyhow::Result<Tally> {
    let Share { frontends, requests, first, every } = share;
    let tally = Arc::new(Mutex::new(Tally::new()?));
    let calls = TaskTracker::new();
    let mut at_once = 0;
    for number in 0.. {
        let due = first + Duration::from_secs_f64(f64::from(number) * every);
        if due >= end || stop.is_cancelled() {
            break;
        }
        at_once += 1;
        if due > Instant::now() {
            at_once = 0;
            tokio::time::sleep_until(due.into()).await;
        } else if at_once >= SENT_AT_ONCE {
            at_once = 0;
            tokio::task::yield_now().await;
        }
        let (frontends, requests, tally) =
            (Arc::clone(&frontends), Arc::clone(&requests), Arc::clone(&tally));
        calls.spawn(async move {
            let answer = frontends.call(&requests.next()).await;
            if due >= start {
                tally.lock().add(due, answer);
            }
        });
    }
    calls.close();
    calls.wait().await;
    let tally = std::mem::replace(&mut *tally.lock(), Tally::new()?);
    Ok(tally)
}

/// How many calls a second are done at most for clients that each wait for their answer, for few of them and for many.
///
/// # Errors
/// A caller failed.
pub(crate) async fn capacity(
    callers: &Callers,
    requests: &Arc<Requests>,
    length: Duration,
    stop: &CancellationToken,
) -> anyhow::Result<f64> {
    let mut most = 0.0;
    for clients in CLIENTS {
        let begin = Instant::now();
        let (start, end) = (begin + SETTLE, begin + SETTLE + length);
        let done = callers.all(|number, frontends| {
            let clients = (number..clients).step_by(callers.count()).count();
            closed_loop(frontends, Arc::clone(requests), clients, start..end, stop.clone())
        });
        let done: usize = done.await?.into_iter().sum();
        most = f64::max(most, done as f64 / length.as_secs_f64());
    }
    Ok(most)
}

/// Clients that each wait for their answer: how many calls were done meanwhile.
async fn closed_loop(
    frontends: Arc<Frontends>,
    requests: Arc<Requests>,
    clients: usize,
    meanwhile: Range<Instant>,
    stop: CancellationToken,
) -> usize {
    let done = Arc::new(AtomicUsize::new(0));
    let calls = TaskTracker::new();
    for _ in 0..clients {
        let (frontends, requests, done) = (Arc::clone(&frontends), Arc::clone(&requests), Arc::clone(&done));
        let (stop, meanwhile) = (stop.clone(), meanwhile.clone());
        calls.spawn(async move {
            while Instant::now() < meanwhile.end && !stop.is_cancelled() {
                let answer = frontends.call(&requests.next()).await;
                if matches!(answer, Some((200..300, _))) && meanwhile.contains(&Instant::now()) {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    calls.close();
    calls.wait().await;
    done.load(Ordering::Relaxed)
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
        let step = tally.step(Duration::from_secs(2), 0.25);
        assert_eq!((step.offered_per_s, step.goodput_per_s, step.refused_per_s), (3.5, 1.0, 1.0));
        assert_eq!((step.late, step.failed), (1, 2));
        assert!(step.refused_p99_us < 1_000_000, "a refusal counts from when its call was sent: {step:?}");
        assert!(step.behind_p50_us < 1_000 && step.behind_p99_us > 1_900_000, "two were sent late: {step:?}");
        assert_eq!(step.callers_share, 0.25);
        let mut all = Tally::new().unwrap();
        all.take_in(&tally);
        all.take_in(&tally);
        let all = all.step(Duration::from_secs(4), 0.25);
        assert_eq!((all.offered_per_s, all.goodput_per_s, all.refused_per_s), (3.5, 1.0, 1.0));
        assert_eq!((all.late, all.failed, all.behind_p99_us), (2, 4, step.behind_p99_us));
    }
}
