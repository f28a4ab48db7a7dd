//! How patient a client is, and how hard it tries.

use std::time::Duration;

/// With which frontend a client begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Any: spreads clients over the frontends.
    #[default]
    Random,
    /// The one at this position in the list of servers (counted round).
    At(usize),
}

/// How a client behaves. The defaults suit people and programs alike.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientOptions {
    /// The hard deadline of a call, all of its attempts together.
    pub deadline: Duration,
    /// How long one attempt waits for its answer. Shorter finds hung frontends sooner; repeats are safe, but cost.
    pub attempt_timeout: Duration,
    /// The same for an attempt to purchase: a frontend may take ten seconds for it, because it pays on the way. Whoever waits
    /// less takes a frontend for hung that is well.
    pub purchase_timeout: Duration,
    /// How long one attempt waits for its connection.
    pub connect_timeout: Duration,
    /// With which frontend to begin.
    pub start: Start,
    /// The pause before a repeat is a random share of a bound that doubles from here…
    pub backoff_first: Duration,
    /// …up to here.
    pub backoff_max: Duration,
    /// A server's `Retry-After` is honoured up to this.
    pub retry_after_max: Duration,
    /// Repeats that may be made at once. Each costs one token of a bucket this large.
    pub retry_burst: u32,
    /// Tokens that come back every second.
    pub retry_rate: f64,
    /// Tokens that come back with every call that succeeds.
    pub retry_share: f64,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            deadline: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(5),
            purchase_timeout: Duration::from_secs(11),
            connect_timeout: Duration::from_secs(1),
            start: Start::Random,
            backoff_first: Duration::from_millis(20),
            backoff_max: Duration::from_secs(1),
            retry_after_max: Duration::from_secs(2),
            retry_burst: 20,
            retry_rate: 4.0,
            retry_share: 0.1,
        }
    }
}
