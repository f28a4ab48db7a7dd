//! How a call ends when it does not end well.

use std::time::Duration;

/// Why a call gave no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The marketplace said no. Repeating the call unchanged is useless.
    #[error("{detail} ({code})")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The stable code: `item_not_found`, `insufficient_stock`…
        code: String,
        /// For people: what was wrong.
        detail: String,
        /// The field at fault, if one is.
        field: Option<String>,
        /// An earlier attempt of this call had no answer, and the refusal is that of a repeat. If the marketplace's rules
        /// refused, that is the call's one answer, under its key, and the earlier attempt had no effect; else it may have had.
        repeated: bool,
    },
    /// No frontend could serve the call before its deadline. It certainly had no effect.
    #[error("the marketplace can't be reached: {0}")]
    Unavailable(Failure),
    /// The deadline passed after an attempt that may have taken effect. Repeat the call with the same idempotency key.
    #[error("it is not known whether this was done: {0}")]
    OutcomeUnknown(Failure),
    /// An answer came, but it is none that this client understands.
    #[error("the server's answer makes no sense: {0}")]
    BadAnswer(String),
    /// The client was set up wrongly: no server, or one that is no URL.
    #[error("{0}")]
    Configuration(String),
}

/// What was tried before a call was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the last attempt failed of.
    pub reason: String,
    /// How many times the call was sent, or was tried to be sent.
    pub attempts: u32,
    /// How long that took.
    pub elapsed: Duration,
    /// The idempotency key of the call: repeat a call whose outcome is unknown with it.
    pub key: Option<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tries = if self.attempts == 1 { "try" } else { "tries" };
        write!(f, "{} ({} {tries} in {:.1} s)", self.reason, self.attempts, self.elapsed.as_secs_f64())
    }
}

impl Error {
    /// The stable code of a refusal.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Error::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether this is a refusal by the marketplace's rules, remembered under the idempotency key: had any attempt under this
    /// key taken effect, this one would have got its success instead. Other refusals come before anyone looks for the key:
    /// the session may have ended between two attempts, or the card's month.
    #[must_use]
    pub fn is_the_one_answer(&self) -> bool {
        matches!(self, Error::Refused { status: 402 | 403 | 404 | 409, .. })
    }

    /// Whether the call may have taken effect, or may yet.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        match self {
            Error::Refused { repeated, .. } => *repeated && !self.is_the_one_answer(),
            Error::Unavailable(_) | Error::Configuration(_) => false,
            Error::OutcomeUnknown(_) | Error::BadAnswer(_) => true,
        }
    }
}
