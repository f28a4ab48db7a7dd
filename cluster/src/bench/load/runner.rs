//! Runs the clients, and measures what is answered between the warm-up and the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Client, Miss, Op};
use crate::bench::latency::Latencies;

/// Kinds of errors that are told apart; the rest is counted together.
const KINDS_MAX: usize = 8;

/// When each client makes its next call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// As soon as the last one was answered.
    Closed,
    /// So many calls a second, of all clients together, whether or not they are answered. A call that could not be made in
    /// time, because its client still waited for an answer, counts from when it should have been made: or the slowest times
    /// would be those with the fewest calls, and hide ("coordinated omission").
    Open { per_second: f64 },
}

impl Pace {
    /// When this client, of so many, makes its next call.
    fn schedule(self, index: usize, clients: usize, begin: Instant) -> Schedule {
        match self {
            Pace::Closed => Schedule::Closed,
            Pace::Open { per_second } => {
                let spacing = Duration::from_secs_f64(1.0 / per_second);
                Schedule::Open { next: begin + spacing * index as u32, every: spacing * clients as u32 }
            }
        }
    }
}

/// The calls of one client.
enum Schedule {
    Closed,
    Open { next: Instant, every: Duration },
}

impl Schedule {
    /// When the next call is due, if not at once.
    fn next(&mut self) -> Option<Instant> {
        match self {
            Schedule::Closed => None,
            Schedule::Open { next, every } => {
                let due = *next;
                *next += *every;
                Some(due)
            }
        }
    }
}

/// When to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// For so long calls are made that do not count.
    pub warmup: Duration,
    /// For so long calls are made that count.
    pub measured: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub latencies: Latencies,
    pub errors: BTreeMap<String, u64>,
    /// The longest time without any success.
    pub max_gap: Duration,
    /// How long was measured: less than planned if it was interrupted.
    pub measured: Duration,
}

/// What some of the clients found.
#[derive(Debug)]
struct Part {
    latencies: Latencies,
    errors: BTreeMap<String, u64>,
}

/// Histograms are large, so clients share a few; and few enough share one to seldom wait for each other.
const PARTS: usize = 16;

/// Successes seen so far, on a clock that starts with the measurement.
#[derive(Debug, Default)]
pub(crate) struct Successes {
    pub count: AtomicU64,
    last_us: AtomicU64,
    max_gap_us: AtomicU64,
    /// When something was killed; 0 if nothing was.
    lost_us: AtomicU64,
    /// When the first call that began after that was answered; 0 if none was.
    recovered_us: AtomicU64,
}

impl Successes {
    /// A success: when its call began, and when it was answered, since the start.
    fn at(&self, called: Duration, answered: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.reach(answered);
        let lost = self.lost_us.load(Ordering::Relaxed);
        if lost > 0 && micros(called) >= lost && self.recovered_us.load(Ordering::Relaxed) == 0 {
            let (was, now) = (0, micros(answered));
            // Another one may just have been first.
            let _ = self.recovered_us.compare_exchange(was, now, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Notes that something is killed now.
    pub fn lost_at(&self, since_start: Duration) {
        self.lost_us.store(micros(since_start).max(1), Ordering::Relaxed);
    }

    /// From the kill to the first success of a call that began after it, in microseconds.
    pub fn recovery_us(&self) -> Option<u64> {
        let (lost, recovered) =
            (self.lost_us.load(Ordering::Relaxed), self.recovered_us.load(Ordering::Relaxed));
        (lost > 0 && recovered > 0).then(|| recovered.saturating_sub(lost))
    }

    /// Notes that there was no gap after this time, or that the measurement ended.
    fn reach(&self, since_start: Duration) {
        let now = micros(since_start);
        let last = self.last_us.fetch_max(now, Ordering::Relaxed);
        self.max_gap_us.fetch_max(now.saturating_sub(last), Ordering::Relaxed);
    }

    fn max_gap(&self) -> Duration {
        Duration::from_micros(self.max_gap_us.load(Ordering::Relaxed))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Runs all clients at once. A cancelled `stop` ends the measurement early; what there is then, is told.
pub(crate) async fn run(
    clients: Vec<Client>,
    op: Op,
    pace: Pace,
    timing: Timing,
    successes: Arc<Successes>,
    stop: &CancellationToken,
) -> anyhow::Result<Outcome> {
    let begin = Instant::now();
    let start = begin + timing.warmup;
    let end = start + timing.measured;
    let parts =
        (0..PARTS).map(|_| Part::new().map(Mutex::new).map(Arc::new)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut tasks = JoinSet::new();
    let count = clients.len();
    for ((index, client), part) in clients.into_iter().enumerate().zip(parts.iter().cycle()) {
        let calls = Calls { client, op, schedule: pace.schedule(index, count, begin), start, end };
        tasks.spawn(one(calls, Arc::clone(part), Arc::clone(&successes), stop.clone()));
    }
    let mut outcome = Outcome {
        latencies: Latencies::new()?,
        errors: BTreeMap::new(),
        max_gap: Duration::ZERO,
        measured: timing.measured,
    };
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    for part in &parts {
        let part = part.lock();
        outcome.latencies.add(&part.latencies);
        for (why, count) in &part.errors {
            *outcome.errors.entry(why.clone()).or_default() += count;
        }
    }
    outcome.measured = timing.measured.min(start.elapsed());
    successes.reach(outcome.measured);
    outcome.max_gap = successes.max_gap();
    Ok(outcome)
}

/// What one client does.
struct Calls {
    client: Client,
    op: Op,
    schedule: Schedule,
    start: Instant,
    end: Instant,
}

async fn one(calls: Calls, part: Arc<Mutex<Part>>, successes: Arc<Successes>, stop: CancellationToken) {
    let Calls { mut client, op, mut schedule, start, end } = calls;
    loop {
        let due = schedule.next();
        if let Some(due) = due {
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => {}
                () = stop.cancelled() => return,
            }
        }
        let now = Instant::now();
        if now >= end {
            return;
        }
        let called = due.unwrap_or(now);
        let outcome = tokio::select! {
            outcome = client.call(op.next()) => outcome,
            () = stop.cancelled() => return,
        };
        let answered = Instant::now();
        // What began in the warm-up, or ended too late, would tell of another load than this one.
        let counts = called >= start && answered <= end;
        match outcome {
            Ok(()) if counts => {
                part.lock().latencies.record(answered - called);
                successes.at(called - start, answered - start);
            }
            Ok(()) => {}
            Err(miss) => {
                if counts {
                    part.lock().count(&miss);
                }
                tokio::time::sleep(miss.pause).await;
            }
        }
    }
}

impl Part {
    fn new() -> anyhow::Result<Self> {
        Ok(Part { latencies: Latencies::new()?, errors: BTreeMap::new() })
    }

    fn count(&mut self, miss: &Miss) {
        let known = self.errors.len() < KINDS_MAX || self.errors.contains_key(&miss.why);
        let kind = if known { miss.why.clone() } else { "others".to_owned() };
        *self.errors.entry(kind).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_counts_from_the_start_and_to_the_end() {
        let ms = Duration::from_millis;
        let late_start = Successes::default();
        late_start.at(ms(400), ms(500));
        late_start.at(ms(500), ms(600));
        late_start.reach(ms(700));
        assert_eq!(late_start.max_gap(), ms(500));
        let early_end = Successes::default();
        early_end.at(ms(50), ms(100));
        early_end.at(ms(50), ms(90));
        early_end.reach(ms(1000));
        assert_eq!(early_end.max_gap(), ms(900));
        assert_eq!(early_end.count.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn only_calls_that_began_after_a_kill_show_that_it_is_over() {
        let ms = Duration::from_millis;
        let successes = Successes::default();
        successes.at(ms(10), ms(20));
        successes.lost_at(ms(30));
        successes.at(ms(25), ms(40));
        assert_eq!(successes.recovery_us(), None);
        successes.at(ms(35), ms(90));
        successes.at(ms(36), ms(95));
        assert_eq!(successes.recovery_us(), Some(60_000));
    }

    #[test]
    fn in_an_open_loop_calls_are_due_whether_or_not_earlier_ones_were_answered() {
        let begin = Instant::now();
        let due = |index| {
            let mut schedule = Pace::Open { per_second: 100.0 }.schedule(index, 2, begin);
            [(); 3].map(|()| (schedule.next().unwrap() - begin).as_millis())
        };
        assert_eq!((due(0), due(1)), ([0, 20, 40], [10, 30, 50]));
        assert_eq!(Pace::Closed.schedule(0, 2, begin).next(), None);
    }

    #[test]
    fn kinds_of_errors_are_bounded() {
        let mut part = Part::new().unwrap();
        for n in 0..100 {
            part.count(&Miss::new(format!("kind {n}")));
        }
        assert_eq!(part.errors.len(), KINDS_MAX + 1);
        assert_eq!(part.errors.values().sum::<u64>(), 100);
    }
}
