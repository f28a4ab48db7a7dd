//! What was answered well around the moment of the failure: how many calls in each short stretch of time, and the longest
//! time without any.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::report::rounded;
use super::run::Sample;

/// How long a stretch is, in milliseconds.
const BIN_MS: u32 = 25;
/// So much before the failure, and after it, is kept.
const BEFORE: Duration = Duration::from_millis(1_000);
const AFTER: Duration = Duration::from_millis(2_000);

/// Times are in milliseconds after the failure, negative before it. Without a failure: after the middle of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Timeline {
    pub bin_ms: u32,
    /// When the first stretch begins.
    pub from_ms: f64,
    /// Calls that ended well in each stretch.
    pub successes: Vec<u32>,
    /// The longest time after the failure in which none did: from, to.
    pub gap: (f64, f64),
}

impl Timeline {
    /// That of a run that began then, and in whose middle it happened.
    pub fn around(samples: &[Sample], began: Instant, failure: Instant) -> Self {
        let well = samples.iter().filter(|sample| sample.error.is_none()).map(|sample| sample.ended);
        let mut ends: Vec<Instant> = well.collect();
        ends.sort_unstable();
        let from = failure.checked_sub(BEFORE).map_or(began, |from| from.max(began));
        let to = ends.last().copied().unwrap_or(from).min(failure + AFTER).max(from);
        let bin = |at: Instant| (at.duration_since(from).as_millis() / u128::from(BIN_MS)) as usize;
        // A stretch that is not whole would look like a dip.
        let mut successes = vec![0; bin(to)];
        for end in ends.iter().filter(|end| **end >= from) {
            if let Some(count) = successes.get_mut(bin(*end)) {
                *count += 1;
            }
        }
        let after = |at: Instant| match at.checked_duration_since(failure) {
            Some(after) => rounded(after.as_secs_f64() * 1000.0),
            None => -rounded(failure.duration_since(at).as_secs_f64() * 1000.0),
        };
        let (gap_from, gap_to) = longest_gap(&ends, failure);
        Timeline { bin_ms: BIN_MS, from_ms: after(from), successes, gap: (after(gap_from), after(gap_to)) }
    }

    pub fn gap_ms(&self) -> f64 {
        rounded(self.gap.1 - self.gap.0)
    }
}

/// From then on. What was answered last ends it: after that nobody asks any more.
fn longest_gap(ends: &[Instant], from: Instant) -> (Instant, Instant) {
    let later = ends.iter().copied().filter(|end| *end > from);
    let mut gap = (from, from);
    let mut last = from;
    for end in later {
        if end.duration_since(last) > gap.1.duration_since(gap.0) {
            gap = (last, end);
        }
        last = end;
    }
    gap
}

#[cfg(test)]
mod tests {
    use super::super::function::Function;
    use super::*;

    #[test]
    fn the_gap_is_the_longest_time_after_the_failure_without_an_answer() {
        let began = Instant::now();
        let at = |ms: u64| began + Duration::from_millis(ms);
        let sample = |ms: u64| Sample {
            function: Function::SearchItems,
            took: Duration::from_millis(1),
            ended: at(ms),
            error: None,
        };
        // A longer gap before the failure is none of its doing.
        let samples = [10, 1_500, 1_510, 1_590, 1_600].map(sample);
        let timeline = Timeline::around(&samples, began, at(1_505));
        assert_eq!(timeline.gap, (5.0, 85.0));
        assert_eq!(timeline.gap_ms(), 80.0);
        assert_eq!(timeline.from_ms, -1_000.0);
        assert_eq!(timeline.successes.iter().sum::<u32>(), 2, "the last stretch is not whole and not shown");
        assert_eq!(timeline.successes.len(), (1_600 - 505) / 25);
    }

    #[test]
    fn a_run_without_answers_has_an_empty_picture() {
        let began = Instant::now();
        let timeline = Timeline::around(&[], began, began);
        assert_eq!((timeline.successes.len(), timeline.gap_ms()), (0, 0.0));
    }
}
