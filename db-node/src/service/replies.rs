//! Replies, from what a group answers.

use std::time::Duration;

use agora_group::Failure;
use agora_proto::database::{self, Reply, failure};
use bytes::Bytes;

/// How long callers are asked to stay away when a node has as many calls under way as it takes.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// The reply to a call whose outcome is this.
pub(super) fn reply(id: u64, outcome: Result<Bytes, Failure>) -> Reply {
    let body = match outcome {
        Ok(response) => database::reply::Body::Response(response),
        Err(failure) => database::reply::Body::Failure(on_the_wire(failure)),
    };
    Reply { id, body: Some(body) }
}

/// The reply to a call that was not taken in.
pub(super) fn overloaded(id: u64) -> Reply {
    reply(id, Err(Failure::Overloaded { retry_after: RETRY_AFTER }))
}

fn on_the_wire(failure: Failure) -> database::Failure {
    let (kind, detail, retry_after) = match failure {
        Failure::Malformed(why) => (failure::Kind::Malformed, why, Duration::ZERO),
        Failure::Overloaded { retry_after } => (failure::Kind::Overloaded, String::new(), retry_after),
        Failure::Unavailable(why) => (failure::Kind::Unavailable, why, Duration::ZERO),
        Failure::OutcomeUnknown(why) => (failure::Kind::OutcomeUnknown, why, Duration::ZERO),
    };
    let retry_after_ms = u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX);
    database::Failure { kind: kind.into(), detail, retry_after_ms }
}
