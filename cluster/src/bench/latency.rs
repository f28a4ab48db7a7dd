//! Distributions of response times.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Longer ones are counted as this long. It is far beyond every deadline.
const HIGHEST_US: u64 = 600_000_000;
/// Relative precision: three digits.
const DIGITS: u8 = 3;

/// Response times in microseconds, to three digits.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    histogram: Histogram<u64>,
}

impl Latencies {
    /// # Errors
    /// There is no memory for it.
    pub fn new() -> anyhow::Result<Self> {
        let histogram = Histogram::new_with_bounds(1, HIGHEST_US, DIGITS);
        Ok(Latencies { histogram: histogram.map_err(|error| anyhow::anyhow!("no histogram: {error}"))? })
    }

    pub fn record(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.histogram.saturating_record(us.max(1));
    }

    /// Takes in those of another distribution.
    pub fn add(&mut self, other: &Latencies) {
        // Fails only if the other one had wider bounds; all have the same.
        self.histogram.add(&other.histogram).ok();
    }

    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    pub fn mean_us(&self) -> f64 {
        self.histogram.mean()
    }

    /// The time within which this share of the calls was answered; 0 if there were none.
    pub fn quantile_us(&self, share: f64) -> u64 {
        self.histogram.value_at_quantile(share)
    }

    pub fn max_us(&self) -> u64 {
        self.histogram.max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_tells_its_mean_quantiles_and_maximum() {
        let mut some = Latencies::new().unwrap();
        let mut others = Latencies::new().unwrap();
        for ms in 1..=50 {
            some.record(Duration::from_millis(ms));
            others.record(Duration::from_millis(50 + ms));
        }
        some.add(&others);
        let near = |value: f64, expected: f64| (value - expected).abs() < expected * 0.01;
        assert_eq!(some.count(), 100);
        assert!(near(some.mean_us(), 50_500.0), "{}", some.mean_us());
        assert!(near(some.quantile_us(0.5) as f64, 50_000.0));
        assert!(near(some.quantile_us(0.99) as f64, 99_000.0));
        assert!(near(some.max_us() as f64, 100_000.0));
    }

    #[test]
    fn no_calls_have_no_times_and_endless_ones_are_counted() {
        let mut none = Latencies::new().unwrap();
        assert_eq!((none.quantile_us(0.99), none.max_us()), (0, 0));
        none.record(Duration::from_secs(1_000_000));
        assert_eq!(none.count(), 1);
    }
}
