//! The customer database on top of each member, as in production: what clients call, what each member's database makes of what is
//! delivered, and what must be true of the answers.

use std::collections::{BTreeMap, HashMap};

use agora_broadcast::{Delivery, Slot};
use agora_customer::CustomerDb;
use agora_machine::{Record, StateMachine, Timestamp};
use agora_proto::common::{Code, Idempotency, ItemId, Role};
use agora_proto::customer::command::Body as Change;
use agora_proto::customer::response::Body;
use agora_proto::customer::{
    AbortPurchase, AddToCart, BeginPurchase, ClearCart, Command, CreateAccount, OpenSession, RemoveFromCart,
    Response, SaveCart,
};
use bytes::Bytes;
use prost::Message;

/// So many different calls are made; each of them again and again, which must not do it twice.
pub const CALLS: u16 = 400;

/// A call of a client, by its number: the same number is the same call with the same idempotency key, wherever it is repeated.
pub fn command(call: u16) -> Bytes {
    let (kind, nth) = (call % 16, call / 16);
    let few = |n: u16| u8::try_from(nth % n).unwrap_or(0);
    let token_hash = Bytes::from(vec![few(4); 32]);
    let purchase_id = Bytes::from(vec![few(20); 16]);
    let item = Some(ItemId { category: 1, number: u64::from(few(3)) + 1 });
    let change = match kind {
        0 | 1 => Change::CreateAccount(CreateAccount {
            role: Role::Buyer.into(),
            username: format!("buyer {}", few(4)),
            display_name: "A Buyer".into(),
            password_hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".into(),
        }),
        2..5 => Change::OpenSession(OpenSession {
            role: Role::Buyer.into(),
            user_id: u64::from(few(2)) + 1,
            token_hash,
        }),
        5..10 => {
            let (quantity, available) = (u32::from(few(3)) + 1, Some(1000));
            Change::AddToCart(AddToCart { token_hash, item, quantity, available })
        }
        10 => Change::RemoveFromCart(RemoveFromCart { token_hash, item, quantity: Some(1) }),
        11 | 12 => Change::SaveCart(SaveCart { token_hash, expected_version: None }),
        13 => Change::BeginPurchase(BeginPurchase { token_hash, purchase_id, only_go_on: false }),
        14 => Change::AbortPurchase(AbortPurchase { purchase_id, reason: None, void_owed: false }),
        _ => Change::ClearCart(ClearCart { token_hash }),
    };
    let mut key = vec![0; 30];
    key.extend(call.to_be_bytes());
    let idempotency = Idempotency { key: key.clone().into(), fingerprint: key.into() };
    Command { idempotency: Some(idempotency), body: Some(change) }.encode_to_vec().into()
}

/// A member's database: as it is, and as a crash may find it again.
pub struct Replica {
    /// The state at each slot since the one that is durable.
    states: BTreeMap<Slot, CustomerDb>,
}

impl Default for Replica {
    fn default() -> Self {
        Replica { states: BTreeMap::from([(Slot(0), CustomerDb::default())]) }
    }
}

impl Replica {
    fn last(&self) -> (Slot, &CustomerDb) {
        self.states.last_key_value().map(|(slot, state)| (*slot, state)).expect("there is always a state")
    }

    /// Applies a slot, and says what is answered, command by command.
    pub fn apply(&mut self, delivery: &Delivery) -> Vec<Bytes> {
        let (last, state) = self.last();
        assert_eq!(delivery.slot, last.next(), "the database is not where its member is");
        let mut state = state.clone();
        let now = Timestamp(delivery.time_ms);
        let commands = delivery.requests.iter().flat_map(|request| &request.commands);
        let answers = commands.map(|command| state.apply(now, command)).collect();
        // A node writes them to its store.
        state.take_changes();
        self.states.insert(delivery.slot, state);
        answers
    }

    /// The state as it is now is on the disk.
    pub fn sync(&mut self) {
        let last = self.last().0;
        self.states = self.states.split_off(&last);
    }

    /// A crash takes the state back to a slot: it is loaded from its records.
    pub fn crash(&mut self, applied: Slot) {
        self.states.retain(|slot, _| *slot <= applied);
        assert_eq!(self.last().0, applied, "the database is not where its disk is");
        let records = self.records();
        self.install(applied, records);
    }

    /// All there is to know about the state.
    pub fn records(&self) -> Vec<Record> {
        self.last().1.records().collect()
    }

    /// Takes a snapshot of this slot in place of what is here.
    pub fn install(&mut self, slot: Slot, records: Vec<Record>) {
        let state = CustomerDb::load(records.iter().cloned()).expect("a state's own records are sound");
        assert!(state.records().eq(records), "a state differs from the one that its records were taken from");
        self.states.insert(slot, state);
    }
}

/// What the databases have answered.
#[derive(Default)]
pub struct Answers {
    by_slot: Vec<Vec<Bytes>>,
    /// By idempotency key, the first answer.
    by_key: HashMap<Bytes, Bytes>,
    /// Commands that did what they were to do, and such that were answered before.
    pub done: u64,
    pub repeated: u64,
}

impl Answers {
    /// A member's database has answered what was delivered in a slot: as that of any other member, and to who repeats a call as
    /// it did the first time.
    pub fn given(&mut self, delivery: &Delivery, answers: Vec<Bytes>) {
        let index = usize::try_from(delivery.slot.0 - 1).unwrap();
        if let Some(known) = self.by_slot.get(index) {
            assert_eq!(*known, answers, "two databases answer slot {} differently", delivery.slot);
            return;
        }
        assert_eq!(index, self.by_slot.len(), "slots are applied in order");
        let commands = delivery.requests.iter().flat_map(|request| &request.commands);
        for (command, answer) in commands.zip(&answers) {
            self.check_repeat(command, answer);
        }
        self.by_slot.push(answers);
    }

    fn check_repeat(&mut self, command: &[u8], answer: &Bytes) {
        let Ok(Command { idempotency: Some(once), .. }) = Command::decode(command) else { return };
        let body = Response::decode(&answer[..]).expect("an answer").body.expect("an answer");
        match body {
            // It may have come further since.
            Body::Purchase(_) => return,
            // Without a session nobody is remembered.
            Body::Refusal(refusal) if refusal.code() == Code::InvalidSession => return,
            Body::Refusal(_) => {}
            _ => self.done += 1,
        }
        match self.by_key.get(&once.key) {
            Some(first) => {
                assert_eq!(first, answer, "exactly once: a repeat is answered in another way");
                self.repeated += 1;
            }
            None => {
                self.by_key.insert(once.key, answer.clone());
            }
        }
    }
}
