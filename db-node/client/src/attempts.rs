//! One call on its way through its attempts: what is known of its fate, and how long to wait before the next.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use crate::error::CallError;
use crate::node::Node;
use crate::options::Options;
use crate::pipeline::{Failed, Sent};

/// What a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Command,
    Query,
}

/// One call on its way through its attempts.
pub(crate) struct Attempts {
    pub(crate) kind: Kind,
    pub(crate) deadline: Instant,
    /// Whether an attempt left open whether the call took effect.
    sent: Sent,
    overloads: u32,
    pub(crate) failures: u32,
    pub(crate) just_failed: Option<usize>,
    /// What to tell if no attempt succeeds.
    last: String,
    pauses: ExponentialBackoff,
}

impl Attempts {
    pub(crate) fn new(kind: Kind, deadline: Instant) -> Self {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(10))
            .with_max_delay(Duration::from_millis(100))
            .with_jitter()
            .without_max_times();
        Attempts {
            kind,
            deadline,
            sent: Sent::No,
            overloads: 0,
            failures: 0,
            just_failed: None,
            last: "no node can be reached".into(),
            pauses: pauses.build(),
        }
    }

    /// Stays away as long as it was told, or gives up when that was said too often or would be too late.
    pub(crate) async fn overloaded(
        &mut self,
        retry_after: Duration,
        options: &Options,
    ) -> Result<(), CallError> {
        self.overloads += 1;
        let again_at = Instant::now() + retry_after.mul_f64(rand::random_range(0.75..1.5));
        if self.overloads > options.overload_retries || again_at >= self.deadline {
            return Err(match (self.kind, self.sent) {
                (Kind::Query, _) | (Kind::Command, Sent::No) => CallError::Overloaded { retry_after },
                (Kind::Command, Sent::Perhaps) => {
                    CallError::OutcomeUnknown(format!("{}; then the database was overloaded", self.last))
                }
            });
        }
        tokio::time::sleep_until(again_at).await;
        Ok(())
    }

    /// Notes what happened. Once every node has had its chance, each further attempt waits a little.
    pub(crate) async fn failed(&mut self, index: usize, node: &Node, failed: Failed, nodes: usize) {
        let why = match failed {
            Failed::NotSent => format!("{} can't be reached", node.name),
            Failed::Unavailable(why) => format!("{}: {why}", node.name),
            Failed::Lost => {
                self.sent = Sent::Perhaps;
                format!("the connection to {} broke", node.name)
            }
            Failed::OutcomeUnknown(why) => {
                self.sent = Sent::Perhaps;
                why
            }
            Failed::Malformed(why) => why,
            Failed::Overloaded(_) => "overloaded".into(),
        };
        tracing::debug!(node = node.name, why, "asking another node");
        self.last = why;
        self.just_failed = Some(index);
        self.failures += 1;
        if self.failures as usize >= nodes
            && let Some(pause) = self.pauses.next()
        {
            tokio::time::sleep_until(self.deadline.min(Instant::now() + pause)).await;
        }
    }

    pub(crate) fn give_up(self) -> CallError {
        match (self.kind, self.sent) {
            (Kind::Command, Sent::Perhaps) => CallError::OutcomeUnknown(self.last),
            _ => CallError::Unavailable(self.last),
        }
    }
}
