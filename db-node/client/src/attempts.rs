//! One call on its way through its attempts: what is known of its fate, and how long to wait before the next.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use crate::error::CallError;
use crate::node::Node;
use crate::pipeline::{Failed, Sent};

/// Pauses after "overloaded" double up to this.
const OVERLOAD_PAUSE_MOST: Duration = Duration::from_secs(1);

/// What a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Command,
    Query,
}

/// What a caller wants when the database has too much under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnOverload {
    /// To be told at once: somebody else waits for the answer, and decides.
    Tell,
    /// To have it waited out until the deadline.
    WaitOut,
}

/// Whether another node may have room for a call when one has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Elsewhere {
    /// One that is well.
    Somebody,
    /// None, or it would only pass the call on to the same leader.
    Nobody,
}

/// One call on its way through its attempts.
pub(crate) struct Attempts {
    pub(crate) kind: Kind,
    pub(crate) on_overload: OnOverload,
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
    pub(crate) fn new(kind: Kind, on_overload: OnOverload, deadline: Instant) -> Self {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(10))
            .with_max_delay(Duration::from_millis(100))
            .with_jitter()
            .without_max_times();
        Attempts {
            kind,
            on_overload,
            deadline,
            sent: Sent::No,
            overloads: 0,
            failures: 0,
            just_failed: None,
            last: "no node can be reached".into(),
            pauses: pauses.build(),
        }
    }

    /// Decides what becomes of a call that a node has no room for. Ok: it is to be sent again.
    ///
    /// A caller who wants to be told is told, after one more node was asked if `elsewhere` there is one. But while an earlier
    /// attempt may have taken effect there is nothing to tell, and only a repeat finds out: then it is waited out all the same.
    pub(crate) async fn overloaded(
        &mut self,
        index: usize,
        retry_after: Duration,
        elsewhere: Elsewhere,
    ) -> Result<(), CallError> {
        let in_doubt = self.kind == Kind::Command && self.sent == Sent::Perhaps;
        self.overloads += 1;
        if self.on_overload == OnOverload::Tell && !in_doubt {
            if self.overloads > 1 || elsewhere == Elsewhere::Nobody {
                return Err(CallError::Overloaded { retry_after });
            }
            self.just_failed = Some(index);
            return Ok(());
        }
        let doubled = retry_after.saturating_mul(1 << (self.overloads - 1).min(10));
        let pause = doubled.min(OVERLOAD_PAUSE_MOST.max(retry_after)).mul_f64(rand::random_range(0.75..1.5));
        let again_at = Instant::now() + pause;
        if again_at >= self.deadline {
            return Err(if in_doubt {
                CallError::OutcomeUnknown(format!("{}; then the database was overloaded", self.last))
            } else {
                CallError::Overloaded { retry_after }
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
