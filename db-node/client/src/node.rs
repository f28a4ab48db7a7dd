//! One node of a group: its stream if it has one, and what is remembered of how it answers.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::keeper;
use crate::pipeline::Pipeline;

/// How long a node is passed over after it failed for the first time; doubles up to the most.
const PASSED_OVER: Duration = Duration::from_millis(100);
const PASSED_OVER_MOST: Duration = Duration::from_secs(5);

pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    /// For statuses, apart from the pipeline: made when first needed.
    channel: OnceLock<Result<Channel, String>>,
    /// Cancelled when the group does not name it any more.
    let_go: CancellationToken,
    state: Mutex<State>,
}

struct State {
    pipeline: Option<Arc<Pipeline>>,
    failures: u32,
    passed_over_until: Option<Instant>,
}

/// How likely a node is to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Health {
    /// There is no stream to it.
    Down,
    /// It is connected, but failed lately.
    Suspect,
    /// It is connected.
    Good,
}

impl Node {
    pub(crate) fn new(name: String, address: SocketAddr) -> Self {
        let state = State { pipeline: None, failures: 0, passed_over_until: None };
        let (channel, let_go) = (OnceLock::new(), CancellationToken::new());
        Node { name, address, channel, let_go, state: Mutex::new(state) }
    }

    /// A channel to ask it how it is.
    pub(crate) fn channel(&self, connect_timeout: Duration) -> Result<Channel, String> {
        let connect = || keeper::endpoint(self, connect_timeout).map(|endpoint| endpoint.connect_lazy());
        self.channel.get_or_init(|| connect().map_err(|error| error.to_string())).clone()
    }

    /// It belongs to the group no more: there is no need to keep a stream to it.
    pub(crate) fn let_go(&self) {
        self.let_go.cancel();
    }

    pub(crate) fn was_let_go(&self) -> bool {
        self.let_go.is_cancelled()
    }

    /// Waits until it belongs to the group no more.
    pub(crate) async fn when_let_go(&self) {
        self.let_go.cancelled().await;
    }

    pub(crate) fn pipeline(&self) -> Option<Arc<Pipeline>> {
        self.state.lock().pipeline.clone()
    }

    pub(crate) fn health(&self, now: Instant) -> Health {
        let state = self.state.lock();
        match (&state.pipeline, state.passed_over_until) {
            (None, _) => Health::Down,
            (Some(_), Some(until)) if now < until => Health::Suspect,
            (Some(_), _) => Health::Good,
        }
    }

    /// A stream is open. What went wrong on an earlier one counts no more.
    pub(crate) fn connected(&self, pipeline: Arc<Pipeline>) {
        *self.state.lock() = State { pipeline: Some(pipeline), failures: 0, passed_over_until: None };
    }

    /// The stream is gone.
    pub(crate) fn disconnected(&self) {
        self.state.lock().pipeline = None;
    }

    /// It answered.
    pub(crate) fn answered(&self) {
        let mut state = self.state.lock();
        state.failures = 0;
        state.passed_over_until = None;
    }

    /// It could not serve, or did not answer in time: others are preferred for a while.
    pub(crate) fn failed(&self, now: Instant) {
        let mut state = self.state.lock();
        let passed_over = PASSED_OVER.saturating_mul(1 << state.failures.min(10)).min(PASSED_OVER_MOST);
        state.failures = state.failures.saturating_add(1);
        state.passed_over_until = Some(now + passed_over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_failed_is_passed_over_for_a_while_or_until_it_answers() {
        let node = Node::new("n".into(), SocketAddr::from(([127, 0, 0, 1], 1)));
        let now = Instant::now();
        assert_eq!(node.health(now), Health::Down);
        node.connected(Arc::new(Pipeline::new().0));
        assert_eq!(node.health(now), Health::Good);
        node.failed(now);
        assert_eq!(node.health(now), Health::Suspect);
        assert_eq!(node.health(now + PASSED_OVER), Health::Good);
        node.failed(now);
        assert_eq!(node.health(now + PASSED_OVER), Health::Suspect, "longer the second time");
        node.answered();
        assert_eq!(node.health(now), Health::Good);
    }
}
