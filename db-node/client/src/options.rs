//! How patient and how greedy a client is.

use std::time::Duration;

/// Bounds and times of a [`Database`](crate::Database). The defaults suit a frontend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Calls under way at a time; beyond it a call fails at once with `Overloaded`, or waits if it is a patient one.
    pub calls_max: usize,
    /// How long one node may take to answer before another one is asked too. Doubles with each repeat.
    pub attempt_timeout: Duration,
    /// How long it may take to open a stream to a node.
    pub connect_timeout: Duration,
    /// How long a status may take; one with a checksum may take thirty times as long.
    pub status_timeout: Duration,
    /// Only this node is asked, by its index: for load generators and tests.
    pub only_node: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            calls_max: 10_000,
            attempt_timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            status_timeout: Duration::from_secs(2),
            only_node: None,
        }
    }
}
