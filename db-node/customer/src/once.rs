//! Each command with an idempotency key takes effect once: the one place where repeats are recognised.
//!
//! Answers are remembered, refusals by the rules among them, because a repeat must not find other rules broken than the
//! first call did. Not remembered is what is no answer to the command: that it was malformed or that a bound was reached, and
//! that its session has ended, for without a session nobody may fill the memory.

use agora_machine::{Remembered, Timestamp};
use agora_proto::common::{Code, Idempotency, Refusal};
use agora_proto::customer::command::Body as Change;
use agora_proto::customer::{Response, response::Body};
use agora_proto::limits::ANSWER_KEPT;
use bytes::Bytes;
use prost::Message;

use crate::commands::respond;
use crate::limits::{DROPPED_PER_ADDED, ms};
use crate::state::CustomerDb;

/// A command's idempotency key and fingerprint, of the right lengths.
pub(crate) struct Once {
    key: [u8; 32],
    fingerprint: [u8; 32],
}

impl Once {
    pub(crate) fn new(idempotency: &Idempotency) -> Result<Self, Refusal> {
        let hash = |field: &'static str, bytes: &Bytes| {
            <[u8; 32]>::try_from(&bytes[..]).map_err(|_| Refusal::field(field, "must have 32 bytes"))
        };
        Ok(Once {
            key: hash("idempotency.key", &idempotency.key)?,
            fingerprint: hash("idempotency.fingerprint", &idempotency.fingerprint)?,
        })
    }
}

impl CustomerDb {
    pub(crate) fn execute_once(&mut self, now: Timestamp, once: &Once, change: Change) -> Bytes {
        self.answers.forget_older(now, ms(ANSWER_KEPT), DROPPED_PER_ADDED);
        match self.answers.recall(&once.key, &once.fingerprint) {
            // A purchase may have come further since: its own id keeps the repeat from doing anything twice.
            Remembered::Answered(answer) if is_by_purchase_id(&change) && is_purchase(&answer) => {
                respond(self.execute(now, change))
            }
            Remembered::Answered(answer) => answer,
            Remembered::Reused => respond(Err(Refusal::new(
                Code::IdempotencyKeyReused,
                "the idempotency key belongs to another request: use a new one",
            ))),
            Remembered::Full => respond(Err(Refusal::new(
                Code::RateLimited,
                "too many answers are being remembered: try again later",
            ))),
            Remembered::New => {
                let outcome = self.execute(now, change);
                let is_answer = outcome.as_ref().map_or_else(is_answer, |_| true);
                let response = respond(outcome);
                if is_answer {
                    self.answers.remember(now, once.key, once.fingerprint, &response);
                }
                response
            }
        }
    }
}

fn is_by_purchase_id(change: &Change) -> bool {
    matches!(change, Change::BeginPurchase(_) | Change::CompletePurchase(_) | Change::AbortPurchase(_))
}

fn is_purchase(answer: &[u8]) -> bool {
    matches!(Response::decode(answer), Ok(Response { body: Some(Body::Purchase(_)) }))
}

/// Whether a refusal answers the command, and is not about the circumstances.
fn is_answer(refusal: &Refusal) -> bool {
    !matches!(
        refusal.code(),
        Code::Unspecified
            | Code::MalformedRequest
            | Code::InvalidField
            | Code::MissingToken
            | Code::InvalidSession
            | Code::IdempotencyKeyReused
            | Code::RateLimited
            | Code::Unavailable
            | Code::OutcomeUnknown
    )
}
