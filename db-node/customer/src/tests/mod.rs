//! What each rule does, told by example; and, in `random`, all of them against a model.

mod accounts;
mod carts;
mod finishing;
mod model;
mod once;
mod purchases;
mod random;
mod records;
mod sessions;
mod sweep;

use agora_machine::{StateMachine, Timestamp};
use agora_proto::common::{Code, Idempotency, ItemId, Refusal, Role};
use agora_proto::customer::command::Body as Change;
use agora_proto::customer::query::Body as Question;
use agora_proto::customer::response::Body;
use agora_proto::customer::*;
use bytes::Bytes;
use prost::Message;

use crate::CustomerDb;

const PASSWORD_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA";

/// A database with a time of its own, asked in messages and not in bytes.
#[derive(Default)]
struct Subject {
    db: CustomerDb,
    now: u64,
}

impl Subject {
    fn new() -> Self {
        Subject { db: CustomerDb::default(), now: 1_000_000 }
    }

    /// With a buyer `1` and a session `token(1)` of theirs.
    fn with_buyer() -> Self {
        let mut subject = Subject::new();
        subject.run(account(Role::Buyer, "ada")).unwrap();
        subject.login(1, 1).unwrap();
        subject
    }

    fn run(&mut self, change: Change) -> Result<Body, Refusal> {
        self.run_as(None, change)
    }

    fn run_as(&mut self, idempotency: Option<Idempotency>, change: Change) -> Result<Body, Refusal> {
        let command = Command { idempotency, body: Some(change) }.encode_to_vec();
        CustomerDb::check(&command).unwrap();
        read(&self.db.apply(Timestamp(self.now), &command))
    }

    fn ask(&self, question: Question) -> Result<Body, Refusal> {
        self.ask_at(self.now, question)
    }

    /// Asks a node whose clock says this.
    fn ask_at(&self, local_now: u64, question: Question) -> Result<Body, Refusal> {
        let query = Query { body: Some(question) }.encode_to_vec();
        read(&self.db.query(Timestamp(local_now), &query).unwrap())
    }

    fn refused(&mut self, change: Change) -> Code {
        self.run(change).unwrap_err().code()
    }

    fn login(&mut self, buyer_id: u64, n: u8) -> Result<Body, Refusal> {
        self.run(login(Role::Buyer, buyer_id, token(n)))
    }

    /// Puts so many of an item into the session's cart.
    fn add(&mut self, n: u8, number: u64, quantity: u32) -> Result<Body, Refusal> {
        self.run(Change::AddToCart(AddToCart {
            token_hash: token(n),
            item: item(number),
            quantity,
            available: Some(u64::from(u32::MAX)),
        }))
    }

    fn remove(&mut self, n: u8, number: u64, quantity: Option<u32>) -> Result<Body, Refusal> {
        self.run(Change::RemoveFromCart(RemoveFromCart {
            token_hash: token(n),
            item: item(number),
            quantity,
        }))
    }

    fn save(&mut self, n: u8, expected_version: Option<u64>) -> Result<Body, Refusal> {
        self.run(Change::SaveCart(SaveCart { token_hash: token(n), expected_version }))
    }

    /// The session's cart as pairs of item number and quantity, and the saved cart's version.
    fn cart(&self, n: u8) -> (Vec<(u64, u32)>, u64) {
        match self.ask(Question::GetCart(GetCart { token_hash: token(n) })).unwrap() {
            Body::Cart(cart) => (
                cart.lines.iter().map(|line| (line.item.unwrap().number, line.quantity)).collect(),
                cart.saved_version,
            ),
            other => panic!("no cart: {other:?}"),
        }
    }

    fn is_open(&self, n: u8) -> bool {
        self.ask(Question::GetSession(GetSession { token_hash: token(n) })).is_ok()
    }
}

fn read(response: &[u8]) -> Result<Body, Refusal> {
    match Response::decode(response).unwrap().body.unwrap() {
        Body::Refusal(refusal) => Err(refusal),
        body => Ok(body),
    }
}

fn account(role: Role, username: &str) -> Change {
    Change::CreateAccount(CreateAccount {
        role: role.into(),
        username: username.into(),
        display_name: "A Name".into(),
        password_hash: PASSWORD_HASH.into(),
    })
}

fn login(role: Role, user_id: u64, token_hash: Bytes) -> Change {
    Change::OpenSession(OpenSession { role: role.into(), user_id, token_hash })
}

fn token(n: u8) -> Bytes {
    Bytes::copy_from_slice(&[n; 32])
}

fn item(number: u64) -> Option<ItemId> {
    Some(ItemId { category: 3, number })
}

fn purchase_id(n: u8) -> Bytes {
    Bytes::copy_from_slice(&[n; 16])
}

fn begin(n: u8, purchase: u8) -> Change {
    Change::BeginPurchase(BeginPurchase {
        token_hash: token(n),
        purchase_id: purchase_id(purchase),
        only_go_on: false,
    })
}

fn go_on(n: u8, purchase: u8) -> Change {
    Change::BeginPurchase(BeginPurchase {
        token_hash: token(n),
        purchase_id: purchase_id(purchase),
        only_go_on: true,
    })
}

/// Completes a purchase of these item numbers and quantities, at 5 cents each.
fn complete(purchase: u8, lines: &[(u64, u32)]) -> Change {
    let line = |(number, quantity): &(u64, u32)| PurchaseLine {
        item: item(*number),
        quantity: *quantity,
        price_cents: 5,
        name: format!("thing {number}"),
        seller_id: 9,
    };
    Change::CompletePurchase(CompletePurchase {
        purchase_id: purchase_id(purchase),
        lines: lines.iter().map(line).collect(),
        total_cents: lines.iter().map(|(_, quantity)| 5 * u64::from(*quantity)).sum(),
        authorization_id: "auth-1".into(),
    })
}

fn abort(purchase: u8) -> Change {
    Change::AbortPurchase(AbortPurchase {
        purchase_id: purchase_id(purchase),
        reason: Some(Refusal::new(Code::PaymentDeclined, "declined")),
        void_owed: false,
    })
}

/// Aborts a purchase whose payment is still to be voided.
fn abort_owing(purchase: u8) -> Change {
    Change::AbortPurchase(AbortPurchase {
        purchase_id: purchase_id(purchase),
        reason: Some(Refusal::new(Code::Unavailable, "too late")),
        void_owed: true,
    })
}

fn settle(purchase: u8) -> Change {
    Change::SettlePurchase(SettlePurchase { purchase_id: purchase_id(purchase) })
}

fn claim(n: u8, limit: u32) -> Change {
    Change::ClaimPurchases(ClaimPurchases { claim_id: Bytes::copy_from_slice(&[n; 16]), limit })
}

fn key(n: u8, fingerprint: u8) -> Option<Idempotency> {
    Some(Idempotency {
        key: Bytes::copy_from_slice(&[n; 32]),
        fingerprint: Bytes::copy_from_slice(&[fingerprint; 32]),
    })
}

/// The state without the time and what is remembered: what a refused command may not change.
fn substance(db: &CustomerDb) -> Vec<(Bytes, Bytes)> {
    db.records().filter(|record| record.key[0] > 2).map(|record| (record.key, record.value)).collect()
}
