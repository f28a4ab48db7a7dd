//! How a call can fail, once repeats are used up.

use std::time::Duration;

/// Why there is no response. A refusal by the database's rules is a response, not an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The database does not understand the call. Nothing happened, and repeating is useless.
    #[error("the database does not understand this call: {0}")]
    Malformed(String),
    /// The nodes, or this client, have too much under way. Nothing happened.
    #[error("overloaded; retry after {} ms", retry_after.as_millis())]
    Overloaded {
        /// When to come back.
        retry_after: Duration,
    },
    /// No node could serve before the deadline. Nothing happened.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The command may have happened, or may yet. Repeat it with the same idempotency key.
    #[error("the outcome is unknown: {0}")]
    OutcomeUnknown(String),
}
