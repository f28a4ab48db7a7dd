//! A market as markets are: a few categories and words are everywhere, and most are rare (Zipf's law).

use agora_machine::{StateMachine, Timestamp};
use agora_product::ProductDb;
use agora_proto::common::{Idempotency, ItemId};
use agora_proto::product::response::Body;
use agora_proto::product::{
    ChangePrice, Command, Condition, GetItems, ItemPage, Query, RegisterItem, Response, Search, UpdateUnits,
    command, query,
};
use prost::Message;
use rand::Rng;
use rand::rngs::StdRng;

const CATEGORIES: usize = 1_000;
const WORDS: usize = 50_000;
const SELLERS: u64 = 10_000;
/// Each item may have one of these beside its other keywords: common words that never meet in an item.
pub const APART: [&str; 5] = ["apart-a", "apart-b", "apart-c", "apart-d", "apart-e"];

/// What items are made of.
pub struct Market {
    categories: Zipf,
    words: Zipf,
    spelled: Vec<String>,
}

struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    fn new(count: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let weights = (1..=count).map(|rank| (rank as f64).powf(-exponent));
        Zipf {
            cumulative: weights
                .map(|weight| {
                    sum += weight;
                    sum
                })
                .collect(),
        }
    }

    /// A rank from 0, the lower the likelier.
    fn draw(&self, random: &mut StdRng) -> usize {
        let all = self.cumulative.last().copied().unwrap_or(1.0);
        let at = random.random_range(0.0..all);
        self.cumulative.partition_point(|sum| *sum <= at).min(self.cumulative.len() - 1)
    }
}

impl Market {
    pub fn new(random: &mut StdRng) -> Self {
        let spelled = (0..WORDS).map(|rank| {
            let prefix: String = (0..3).map(|_| random.random_range('a'..='z')).collect();
            format!("{prefix}{rank}")
        });
        Market {
            spelled: spelled.collect(),
            categories: Zipf::new(CATEGORIES, 0.9),
            words: Zipf::new(WORDS, 1.0),
        }
    }

    pub fn category(&self, random: &mut StdRng) -> u32 {
        self.categories.draw(random) as u32
    }

    pub fn word(&self, random: &mut StdRng) -> String {
        self.spelled[self.words.draw(random)].clone()
    }

    /// The word of a rank; 0 is the most common.
    pub fn ranked(&self, rank: usize) -> String {
        self.spelled[rank].clone()
    }

    /// A command that puts an item on sale.
    pub fn register(&self, at: u64, random: &mut StdRng) -> Vec<u8> {
        let mut keywords: Vec<String> = (0..random.random_range(1..=4)).map(|_| self.word(random)).collect();
        if random.random_bool(0.5) {
            keywords.push(APART[random.random_range(0..APART.len())].into());
        }
        let register = RegisterItem {
            seller_id: random.random_range(1..=SELLERS),
            name: format!("An item of the market {at}"),
            category: self.category(random),
            keywords,
            condition: Condition::New.into(),
            price_cents: random.random_range(1..100_000),
            quantity: random.random_range(1..100),
        };
        keyed(at, command::Body::RegisterItem(register))
    }

    /// A command that changes an item's price, sells it out, or puts some of it on sale.
    pub fn change(&self, at: u64, db: &ProductDb, random: &mut StdRng) -> Vec<u8> {
        let id = ItemId { category: self.category(random), number: random.random_range(1..1000) };
        let found = Query { body: Some(query::Body::GetItems(GetItems { ids: vec![id] })) };
        let answer = db.query(Timestamp(0), &found.encode_to_vec()).expect("a query");
        let item = match Response::decode(answer).expect("an answer").body {
            Some(Body::Items(items)) => items.items.into_iter().next().unwrap_or_default(),
            other => panic!("no items, but {other:?}"),
        };
        let seller_id = item.seller_id;
        keyed(
            at,
            match random.random_range(0..4) {
                0 => command::Body::UpdateUnits(UpdateUnits {
                    seller_id,
                    item: Some(id),
                    delta: if item.quantity > 0 { -(item.quantity as i64) } else { 10 },
                }),
                _ => command::Body::ChangePrice(ChangePrice {
                    seller_id,
                    item: Some(id),
                    price_cents: random.random_range(1..100_000),
                }),
            },
        )
    }
}

fn keyed(at: u64, body: command::Body) -> Vec<u8> {
    let at = at.to_be_bytes();
    let idempotency = Some(Idempotency::new("bench", &at, &[&at]));
    Command { idempotency, body: Some(body) }.encode_to_vec()
}

pub fn query(search: &Search) -> Vec<u8> {
    Query { body: Some(query::Body::Search(search.clone())) }.encode_to_vec()
}

pub fn page(answer: &bytes::Bytes) -> ItemPage {
    match Response::decode(answer.clone()).expect("an answer").body {
        Some(Body::ItemPage(page)) => page,
        other => panic!("no page, but {other:?}"),
    }
}
