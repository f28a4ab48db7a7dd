//! Commands: from bytes to the rule that they follow, and back to bytes.

use agora_machine::{Malformed, Timestamp};
use agora_proto::common::{Code, Refusal};
use agora_proto::customer::command::Body as Change;
use agora_proto::customer::{Command, Response, response::Body};
use agora_proto::limits::COMMAND_BYTES;
use bytes::Bytes;
use prost::Message;

use crate::once::Once;
use crate::state::CustomerDb;

/// A command as it is applied.
pub(crate) struct Parsed {
    once: Option<Once>,
    change: Change,
}

pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, Malformed> {
    if bytes.len() > COMMAND_BYTES {
        return Err(Malformed(format!("a command has at most {COMMAND_BYTES} bytes, not {}", bytes.len())));
    }
    let command = Command::decode(bytes).map_err(|error| Malformed(format!("no command: {error}")))?;
    let once = command.idempotency.as_ref().map(Once::new).transpose();
    let once = once.map_err(|refusal| Malformed(format!("{} {}", refusal.field, refusal.detail)))?;
    let change =
        command.body.ok_or_else(|| Malformed("a command without a body, or of a later version".into()))?;
    Ok(Parsed { once, change })
}

pub(crate) fn respond(outcome: Result<Body, Refusal>) -> Bytes {
    let body = outcome.unwrap_or_else(Body::Refusal);
    Response { body: Some(body) }.encode_to_vec().into()
}

impl CustomerDb {
    pub(crate) fn apply_command(&mut self, now: Timestamp, command: &[u8]) -> Bytes {
        let now = self.clock.advance(now);
        match parse(command) {
            Err(Malformed(why)) => respond(Err(Refusal::new(Code::MalformedRequest, why))),
            Ok(Parsed { once: Some(once), change }) => self.execute_once(now, &once, change),
            Ok(Parsed { once: None, change }) => respond(self.execute(now, change)),
        }
    }

    pub(crate) fn execute(&mut self, now: Timestamp, change: Change) -> Result<Body, Refusal> {
        match change {
            Change::CreateAccount(command) => self.create_account(command),
            Change::OpenSession(command) => self.open_session(now, &command),
            Change::CloseSession(command) => self.close_session(now, &command),
            Change::TouchSession(command) => self.touch_session(now, &command),
            Change::AddToCart(command) => self.add_to_cart(now, &command),
            Change::RemoveFromCart(command) => self.remove_from_cart(now, &command),
            Change::SaveCart(command) => self.save_cart(now, &command),
            Change::ClearCart(command) => self.clear_cart(now, &command),
            Change::BeginPurchase(command) => self.begin_purchase(now, &command),
            Change::CompletePurchase(command) => self.complete_purchase(now, command),
            Change::AbortPurchase(command) => self.abort_purchase(now, command),
            Change::SettlePurchase(command) => self.settle_purchase(&command),
            Change::ClaimPurchases(command) => self.claim_purchases(now, &command),
            Change::Sweep(_) => Ok(self.sweep(now)),
        }
    }
}
