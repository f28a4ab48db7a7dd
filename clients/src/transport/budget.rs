//! The retry budget: a token bucket that every repeat is paid from. Time and successes fill it. When it is empty, a
//! repeat waits; so a client in trouble repeats at a bounded rate, however many of its calls are in trouble.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Budget {
    size: f64,
    per_second: f64,
    per_success: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Below zero: promised to repeats that wait.
    tokens: f64,
    at: Instant,
}

impl Budget {
    pub fn new(size: u32, per_second: f64, per_success: f64, now: Instant) -> Self {
        // At least a trickle: else a repeat might wait for ever.
        let per_second = if per_second.is_finite() { per_second.max(0.1) } else { 0.1 };
        let size = f64::from(size.max(1));
        Budget { size, per_second, per_success, state: Mutex::new(State { tokens: size, at: now }) }
    }

    /// Takes a token, and says how long to wait until it is there.
    pub fn take(&self, now: Instant) -> Duration {
        let mut state = self.filled(now);
        state.tokens -= 1.0;
        if state.tokens >= 0.0 {
            Duration::ZERO
        } else {
            Duration::from_secs_f64(-state.tokens / self.per_second)
        }
    }

    /// A token that was taken and not used.
    pub fn give_back(&self, now: Instant) {
        let mut state = self.filled(now);
        state.tokens = (state.tokens + 1.0).min(self.size);
    }

    pub fn succeeded(&self, now: Instant) {
        let mut state = self.filled(now);
        state.tokens = (state.tokens + self.per_success).min(self.size);
    }

    fn filled(&self, now: Instant) -> parking_lot::MutexGuard<'_, State> {
        let mut state = self.state.lock();
        let passed = now.saturating_duration_since(state.at).as_secs_f64();
        state.tokens = (state.tokens + passed * self.per_second).min(self.size);
        state.at = state.at.max(now);
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_is_free_and_then_repeats_wait_their_turn() {
        let start = Instant::now();
        let budget = Budget::new(2, 10.0, 0.5, start);
        assert_eq!([budget.take(start), budget.take(start)], [Duration::ZERO; 2]);
        assert_eq!([budget.take(start), budget.take(start)], [ms(100), ms(200)]);
        assert_eq!(budget.take(start + ms(200)), ms(100));
    }

    #[test]
    fn successes_and_time_fill_it_but_not_beyond_its_size() {
        let start = Instant::now();
        let budget = Budget::new(1, 1.0, 0.5, start);
        budget.take(start);
        budget.succeeded(start);
        budget.succeeded(start);
        assert_eq!(budget.take(start), Duration::ZERO);
        let later = start + Duration::from_secs(100);
        assert_eq!(budget.take(later), Duration::ZERO);
        assert!(budget.take(later) > Duration::ZERO);
    }

    #[test]
    fn what_was_not_used_is_given_back() {
        let start = Instant::now();
        let budget = Budget::new(1, 1.0, 0.0, start);
        budget.take(start);
        budget.give_back(start);
        assert_eq!(budget.take(start), Duration::ZERO);
    }
}
