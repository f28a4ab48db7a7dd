//! The two clocks that the protocol is told of.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use agora_broadcast::Now;

/// Milliseconds since the Unix epoch, as this machine has it.
pub(super) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    agora_sabotage::clock_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Tells the time since a start.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Clock { start: Instant::now() }
    }

    pub(super) fn now(self) -> Now {
        Now { monotonic: self.start.elapsed(), wall_ms: wall_ms() }
    }

    /// The moment that the protocol calls this.
    pub(super) fn at(self, monotonic: std::time::Duration) -> tokio::time::Instant {
        (self.start + monotonic).into()
    }
}
