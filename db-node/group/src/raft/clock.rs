//! The time that a leader puts into log entries: its own clock's, unless most of the group have another time.
//!
//! Replicated time never goes back, so a clock that was set an hour ahead would end every reservation at once, and none after
//! that for an hour. Each reply of a peer carries its clock; a leader whose own clock is far from the middle of all takes
//! the middle.

use std::time::Duration;

use tokio::time::Instant;

use crate::runtime;

/// How far the own clock may be from the middle: more than messages take, less than anybody would miss.
const TOLERANCE_MS: u64 = 1000;
/// A peer that has said nothing for so long has no say.
const HEARD_WITHIN: Duration = Duration::from_secs(30);
/// With fewer clocks there is no telling which is wrong.
const CLOCKS_MIN: usize = 3;

/// The milliseconds since the Unix epoch on this node's clock.
pub(crate) fn own_ms() -> u64 {
    agora_sabotage::clock_ms(runtime::system_clock_ms())
}

/// A peer's clock, as it was when it was heard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) clock_ms: u64,
    pub(crate) at: Instant,
}

impl Heard {
    /// The peer's clock now, by the time that has passed since, which no setting of clocks changes.
    pub(crate) fn now_ms(&self) -> Option<u64> {
        let since = self.at.elapsed();
        let passed = u64::try_from(since.as_millis()).ok()?;
        (since <= HEARD_WITHIN).then(|| self.clock_ms.saturating_add(passed))
    }
}

/// The time to go by.
pub(crate) fn agreed_ms(own: u64, peers: impl Iterator<Item = u64>) -> u64 {
    let mut all: Vec<u64> = peers.chain([own]).collect();
    all.sort_unstable();
    match all.get(all.len() / 2) {
        Some(middle) if all.len() >= CLOCKS_MIN && middle.abs_diff(own) > TOLERANCE_MS => *middle,
        _ => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn agreed(own: u64, peers: &[u64]) -> u64 {
        agreed_ms(own, peers.iter().copied())
    }

    #[test]
    fn a_clock_that_most_agree_with_is_gone_by() {
        let own = 10 * HOUR;
        assert_eq!(agreed(own, &[own + 3, own - 900, own + HOUR, own - HOUR]), own);
        assert_eq!(agreed(own, &[own + 900, own + 950]), own);
    }

    #[test]
    fn a_clock_that_was_set_wrong_is_not() {
        let right = 10 * HOUR;
        for wrong in [right + HOUR, right - HOUR, 0, u64::MAX] {
            assert_eq!(agreed(wrong, &[right, right + 5]), if wrong > right { right + 5 } else { right });
            let middle = agreed(wrong, &[right, right + 5, right - 5, wrong]);
            assert!(middle.abs_diff(right) <= 5, "{middle}");
        }
    }

    #[test]
    fn two_clocks_can_not_tell_which_is_wrong() {
        assert_eq!(agreed(HOUR, &[9 * HOUR]), HOUR);
        assert_eq!(agreed(HOUR, &[]), HOUR);
    }

    #[test]
    fn a_peers_clock_goes_on_and_is_forgotten_in_time() {
        let heard = Heard { clock_ms: HOUR, at: Instant::now() };
        assert!(heard.now_ms().is_some_and(|now| (HOUR..HOUR + 30_000).contains(&now)));
        if let Some(long_ago) = Instant::now().checked_sub(HEARD_WITHIN * 2) {
            assert_eq!(Heard { clock_ms: HOUR, at: long_ago }.now_ms(), None);
        }
    }
}
