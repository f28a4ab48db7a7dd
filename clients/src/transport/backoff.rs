//! Full jitter: the pause before a repeat is anything between nothing and a bound that doubles each time.

use std::time::Duration;

use rand::Rng;

/// The pauses of one call.
#[derive(Debug)]
pub(crate) struct Backoff {
    bound: Duration,
    max: Duration,
}

impl Backoff {
    pub fn new(first: Duration, max: Duration) -> Self {
        Backoff { bound: first.min(max), max }
    }

    /// The next pause.
    pub fn next(&mut self, rng: &mut impl Rng) -> Duration {
        let pause = self.bound.mul_f64(rng.random::<f64>());
        self.bound = (self.bound * 2).min(self.max);
        pause
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn pauses_are_spread_below_a_bound_that_doubles_up_to_its_maximum() {
        let seed: u64 =
            std::env::var("AGORA_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
        println!("AGORA_SEED={seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let (first, max) = (Duration::from_millis(20), Duration::from_millis(100));
        let mut longest = [Duration::ZERO; 6];
        for _ in 0..1_000 {
            let mut backoff = Backoff::new(first, max);
            for (n, bound) in [20, 40, 80, 100, 100, 100].into_iter().enumerate() {
                let pause = backoff.next(&mut rng);
                assert!(pause <= Duration::from_millis(bound));
                longest[n] = longest[n].max(pause);
            }
        }
        assert!(longest[5] > Duration::from_millis(80), "the bound is used: {longest:?}");
    }
}
