//! Random commands and queries, compared answer by answer with a model, on machines that are saved, loaded and cloned
//! on the way. `AGORA_SEED` replays a run.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::model::{Model, Outcome};
use super::*;

const RUNS: u64 = 40;
const STEPS: usize = 600;

/// Small numbers, so that commands meet each other.
struct Chance(StdRng);

impl Chance {
    fn below(&mut self, end: u8) -> u8 {
        self.0.random_range(0..end)
    }

    fn one_in(&mut self, n: u8) -> bool {
        self.below(n) == 0
    }

    fn role(&mut self) -> Role {
        if self.one_in(40) {
            Role::Unspecified
        } else if self.one_in(5) {
            Role::Seller
        } else {
            Role::Buyer
        }
    }

    fn token(&mut self) -> Bytes {
        if self.one_in(60) { Bytes::from_static(b"short") } else { token(self.below(6)) }
    }

    fn purchase_id(&mut self) -> Bytes {
        if self.one_in(60) { Bytes::new() } else { purchase_id(self.below(12)) }
    }

    fn item(&mut self) -> Option<ItemId> {
        if self.one_in(60) { None } else { item(u64::from(self.below(5))) }
    }

    fn idempotency(&mut self) -> Option<Idempotency> {
        if self.one_in(2) { None } else { key(self.below(30), self.below(2)) }
    }

    fn change(&mut self, model: &Model) -> Change {
        match self.below(34) {
            0 | 1 => {
                let username =
                    if self.one_in(20) { String::new() } else { format!("user {}", self.below(5)) };
                account(self.role(), &username)
            }
            2..=5 => login(self.role(), 1 + u64::from(self.below(4)), self.token()),
            6 => Change::CloseSession(CloseSession { token_hash: self.token() }),
            7 => Change::TouchSession(TouchSession { token_hash: self.token() }),
            8..=13 => Change::AddToCart(AddToCart {
                token_hash: self.token(),
                item: self.item(),
                quantity: u32::from(self.below(4)),
                available: if self.one_in(20) { None } else { Some(u64::from(self.below(10))) },
            }),
            14..=16 => {
                let quantity = if self.one_in(3) { None } else { Some(u32::from(self.below(4))) };
                Change::RemoveFromCart(RemoveFromCart {
                    token_hash: self.token(),
                    item: self.item(),
                    quantity,
                })
            }
            17..=19 => {
                let expected_version = if self.one_in(2) { None } else { Some(u64::from(self.below(6))) };
                Change::SaveCart(SaveCart { token_hash: self.token(), expected_version })
            }
            20 => Change::ClearCart(ClearCart { token_hash: self.token() }),
            21..=23 => Change::BeginPurchase(BeginPurchase {
                token_hash: self.token(),
                purchase_id: self.purchase_id(),
                only_go_on: self.one_in(6),
            }),
            24..=26 => {
                let n = self.below(12);
                let lines = model.completion(&purchase_id(n)).filter(|_| !self.one_in(10));
                complete(n, &lines.unwrap_or(vec![(1, 1)]))
            }
            27 => abort(self.below(12)),
            28 => abort_owing(self.below(12)),
            29 => settle(self.below(12)),
            30 | 31 => claim(self.below(30), u32::from(self.below(4))),
            _ => Change::Sweep(Sweep {}),
        }
    }

    fn question(&mut self) -> Question {
        match self.below(7) {
            0 => Question::GetCredentials(GetCredentials {
                role: self.role().into(),
                username: format!("user {}", self.below(6)),
            }),
            1 => Question::GetSession(GetSession { token_hash: self.token() }),
            2 => Question::GetCart(GetCart { token_hash: self.token() }),
            3 => {
                let after = if self.one_in(2) {
                    None
                } else {
                    Some(PurchaseCursor { number: u64::from(self.below(6)) })
                };
                Question::ListPurchases(ListPurchases {
                    token_hash: self.token(),
                    limit: u32::from(self.below(4)),
                    after,
                })
            }
            4 => Question::GetUnfinished(GetUnfinished {}),
            5 => Question::GetPurchase(GetPurchase { purchase_id: self.purchase_id() }),
            _ => Question::GetAccount(GetAccount {
                role: self.role().into(),
                user_id: u64::from(self.below(6)),
            }),
        }
    }

    /// How far the time moves: mostly little, sometimes past a session's or an answer's end, and sometimes back.
    fn moved(&mut self, now: u64) -> u64 {
        match self.below(100) {
            0 => now + 25 * 60 * 60 * 1000,
            1..=3 => now + 5 * 60 * 1000,
            4..=15 => now + 16_000,
            16..=20 => now.saturating_sub(50_000),
            _ => now + u64::from(self.below(200)),
        }
    }
}

fn same(expected: &Outcome, found: &Result<Body, Refusal>) -> bool {
    match (expected, found) {
        (Ok(expected), Ok(found)) => expected == found,
        (Err((code, field)), Err(found)) => *code == found.code() && *field == found.field,
        _ => false,
    }
}

fn run(seed: u64) -> usize {
    let mut chance = Chance(StdRng::seed_from_u64(seed));
    let (mut model, mut db, mut store) = (Model::default(), CustomerDb::default(), BTreeMap::new());
    let (mut now, mut successes) = (1_000_000, 0);
    for step in 0..STEPS {
        now = chance.moved(now);
        let command = Command { idempotency: chance.idempotency(), body: Some(chance.change(&model)) };
        let expected = model.apply(now, &command);
        let before = db.clone();
        let bytes = command.encode_to_vec();
        let found = read(&db.apply(Timestamp(now), &bytes));
        assert!(
            same(&expected, &found),
            "seed {seed}, step {step}: {command:?}\nexpected {expected:?}\nfound {found:?}"
        );
        if found.is_err() {
            assert_eq!(
                substance(&before),
                substance(&db),
                "seed {seed}, step {step}: a refusal changed something"
            );
        }
        successes += usize::from(found.is_ok());
        // The same command at the same time on the same state.
        let mut again = before;
        assert_eq!(
            read(&again.apply(Timestamp(now), &bytes)),
            found,
            "seed {seed}, step {step}: not deterministic"
        );

        let (question, local_now) = (chance.question(), chance.moved(now));
        let query = Query { body: Some(question.clone()) }.encode_to_vec();
        let answer = read(&db.query(Timestamp(local_now), &query).unwrap());
        let expected = model.answer(local_now, &question);
        assert!(
            same(&expected, &answer),
            "seed {seed}, step {step}: {question:?}\nexpected {expected:?}\nfound {answer:?}"
        );

        if chance.one_in(20) {
            let now_changes = db.take_changes();
            for change in now_changes {
                match change.value {
                    Some(value) => drop(store.insert(change.key, value)),
                    None => drop(store.remove(&change.key)),
                }
            }
            let records: Vec<_> = db.records().collect();
            assert!(
                store.iter().eq(records.iter().map(|record| (&record.key, &record.value))),
                "seed {seed}, step {step}: the store differs"
            );
            db = CustomerDb::load(records.into_iter()).unwrap();
        }
    }
    successes
}

#[test]
fn every_answer_is_that_of_the_model() {
    if let Ok(seed) = std::env::var("AGORA_SEED") {
        run(seed.parse().expect("AGORA_SEED must be a number"));
        return;
    }
    let first: u64 = rand::random_range(0..1 << 40);
    println!("seeds from {first}");
    let successes: usize = (first..first + RUNS).map(run).sum();
    assert!(
        successes > RUNS as usize * STEPS / 5,
        "only {successes} commands had an effect: the test shows little"
    );
}
