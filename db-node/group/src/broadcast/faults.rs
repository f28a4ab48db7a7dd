//! Faults that a member inflicts on the messages that it sends, for experiments: loss, duplication, delay.

use std::time::Duration;

use agora_sabotage::Messages;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What links do to messages. By default nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkFaults {
    /// The share of messages that are lost, 0 to 1.
    pub loss: f64,
    /// The share of messages that are sent twice, 0 to 1.
    pub duplication: f64,
    /// Each message is held back for a random time up to this, so messages overtake each other.
    pub delay_max: Duration,
    /// What the faults are drawn from.
    pub seed: u64,
}

impl LinkFaults {
    /// Whether there are none.
    pub fn are_none(&self) -> bool {
        self.loss <= 0.0 && self.duplication <= 0.0 && self.delay_max.is_zero()
    }
}

/// The fate of one link's messages, one after the other.
pub(super) struct Fate {
    faults: LinkFaults,
    random: StdRng,
}

impl Fate {
    /// Each link draws its own numbers.
    pub(super) fn new(faults: LinkFaults, from: usize, to: usize) -> Self {
        let link = (from as u64) << 32 | to as u64;
        let random = StdRng::seed_from_u64(faults.seed ^ link.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Fate { faults, random }
    }

    /// Whether anything may happen to the next message.
    pub(super) fn is_fickle(&self) -> bool {
        !self.faults_now().are_none()
    }

    /// What there is all the time, and what a sabotaged process's network does besides.
    fn faults_now(&self) -> LinkFaults {
        let Messages { loss_percent, duplication_percent, delay_ms } = agora_sabotage::messages();
        LinkFaults {
            loss: self.faults.loss + f64::from(loss_percent) / 100.0,
            duplication: self.faults.duplication + f64::from(duplication_percent) / 100.0,
            delay_max: self.faults.delay_max + Duration::from_millis(delay_ms),
            ..self.faults
        }
    }

    /// After which delays copies of the next message are sent; none if it is lost.
    pub(super) fn next(&mut self) -> impl Iterator<Item = Duration> + use<> {
        let faults = self.faults_now();
        let share = |share: f64| share.clamp(0.0, 1.0);
        let lost = self.random.random_bool(share(faults.loss));
        let doubled = self.random.random_bool(share(faults.duplication));
        let mut delay = || self.random.random_range(Duration::ZERO..=faults.delay_max);
        let delays = [delay(), delay()];
        delays.into_iter().take(if lost { 0 } else { 1 + usize::from(doubled) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_lost_doubled_and_delayed_as_often_as_was_asked_for() {
        let faults =
            LinkFaults { loss: 0.2, duplication: 0.1, delay_max: Duration::from_millis(20), seed: 7 };
        let mut fate = Fate::new(faults.clone(), 0, 1);
        let fates: Vec<Vec<Duration>> = (0..10_000).map(|_| fate.next().collect()).collect();
        let share = |copies: usize| fates.iter().filter(|f| f.len() == copies).count() as f64 / 10_000.0;
        assert!((share(0) - 0.2).abs() < 0.02 && (share(2) - 0.08).abs() < 0.02);
        assert!(fates.iter().flatten().all(|delay| *delay <= faults.delay_max));
        let mut again = Fate::new(faults, 0, 1);
        assert!(fates.iter().all(|f| again.next().eq(f.iter().copied())), "the same seed, the same faults");
    }
}
