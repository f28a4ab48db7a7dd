//! The state machine: bytes in, bytes out, and each command of a client takes effect once.

use agora_machine::{Change, CorruptRecord, Malformed, Record, Remembered, StateMachine, Timestamp};
use agora_proto::common::{Code, Refusal};
use agora_proto::product::response::Body;
use agora_proto::product::{Done, Response, query};
use bytes::Bytes;
use prost::Message;

use crate::bounds::FORGET_ALONG;
use crate::request::{self, Identity, Request};
use crate::state::ProductDb;
use crate::sweep::ANSWER_KEPT_MS;
use crate::validate;

impl StateMachine for ProductDb {
    fn check(command: &[u8]) -> Result<(), Malformed> {
        request::command(command).map(|_| ())
    }

    fn apply(&mut self, now: Timestamp, command: &[u8]) -> Bytes {
        match request::command(command) {
            Ok((Some(identity), request)) => self.once(now, &identity, &request),
            Ok((None, request)) => encode(self.execute(now, &request)),
            Err(Malformed(why)) => encode(Err(Refusal::new(Code::MalformedRequest, why))),
        }
    }

    fn query(&self, _local_now: Timestamp, query: &[u8]) -> Result<Bytes, Malformed> {
        Ok(encode(match request::query(query)? {
            query::Body::GetItems(get) => self.get_items(&get.ids),
            query::Body::Search(search) => self.search(&search),
            query::Body::ListItemsOfSeller(list) => {
                self.items_of_seller(list.seller_id, list.limit, list.after)
            }
            query::Body::GetSellerRating(get) => Ok(self.seller_rating(get.seller_id)),
            query::Body::GetTotals(_) => Ok(Body::Totals(self.books().to_proto())),
        }))
    }

    fn maintenance(&self, local_now: Timestamp) -> Option<Bytes> {
        self.sweep_if_due(local_now)
    }

    fn take_changes(&mut self) -> Vec<Change> {
        self.changes()
    }

    fn records(&self) -> Box<dyn Iterator<Item = Record> + '_> {
        Box::new(self.all_records())
    }

    fn load(records: impl Iterator<Item = Record>) -> Result<Self, CorruptRecord> {
        crate::load::load(records)
    }
}

impl ProductDb {
    /// Executes a command that is new, and answers one that is not as it was answered first. Refusals are remembered too,
    /// so that a repetition can't succeed behind the back of a client that was told no; but not that something was full,
    /// because the client is told to try again.
    fn once(&mut self, now: Timestamp, identity: &Identity, request: &Request) -> Bytes {
        match self.answers.recall(&identity.key, &identity.fingerprint) {
            Remembered::Answered(response) => response,
            Remembered::Reused => {
                let detail = "the idempotency key was used for another request";
                encode(Err(Refusal::new(Code::IdempotencyKeyReused, detail)))
            }
            Remembered::Full => encode(Err(validate::full("answers"))),
            Remembered::New => {
                let answer = self.execute(now, request);
                let full = answer.as_ref().is_err_and(|refusal| refusal.code() == Code::RateLimited);
                let response = encode(answer);
                if !full {
                    self.answers.remember(now, identity.key, identity.fingerprint, &response);
                    self.answers.forget_older(now, ANSWER_KEPT_MS, FORGET_ALONG);
                }
                response
            }
        }
    }

    fn execute(&mut self, now: Timestamp, request: &Request) -> Result<Body, Refusal> {
        match request {
            Request::Register(item) => self.register_item(item),
            Request::ChangePrice { seller, item, price_cents } => {
                self.change_price(*seller, *item, *price_cents)
            }
            Request::UpdateUnits { seller, item, delta } => self.update_units(*seller, *item, *delta),
            Request::Remove { seller, item } => self.remove_item(*seller, *item),
            Request::Feedback { buyer, item, vote } => self.give_feedback(*buyer, *item, *vote),
            Request::Reserve { id, buyer, lines } => self.reserve(now, *id, *buyer, lines),
            Request::Commit { id, authorization_id } => self.commit_reservation(now, *id, authorization_id),
            Request::Release(id) => self.release_reservation(now, *id),
            Request::Sweep => {
                self.sweep(now);
                Ok(Body::Done(Done {}))
            }
        }
    }
}

fn encode(answer: Result<Body, Refusal>) -> Bytes {
    Response { body: Some(answer.unwrap_or_else(Body::Refusal)) }.encode_to_vec().into()
}
