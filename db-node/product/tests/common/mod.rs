//! A product database to try things at: commands and queries in, answers out.
#![allow(dead_code, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use agora_machine::{Record, StateMachine, Timestamp};
use agora_product::ProductDb;
use agora_proto::common::{Code, Idempotency, ItemId, Refusal};
use agora_proto::product::response::Body;
use agora_proto::product::*;
use bytes::Bytes;
use prost::Message;

pub fn id(category: u32, number: u64) -> ItemId {
    ItemId { category, number }
}

pub fn purchase(number: u8) -> Bytes {
    Bytes::from(vec![number; 16])
}

/// A command with an idempotency key of its own.
pub fn keyed(key: u64, body: command::Body) -> Vec<u8> {
    let fingerprint = Command { idempotency: None, body: Some(body.clone()) }.encode_to_vec();
    let idempotency = Some(Idempotency::new("test", &key.to_be_bytes(), &[&fingerprint]));
    Command { idempotency, body: Some(body) }.encode_to_vec()
}

/// What the machine knows the key of such a command by.
pub fn key_hash(key: u64) -> Bytes {
    Idempotency::new("test", &key.to_be_bytes(), &[]).key
}

pub fn unkeyed(body: command::Body) -> Vec<u8> {
    Command { idempotency: None, body: Some(body) }.encode_to_vec()
}

pub fn answer(bytes: Bytes) -> Body {
    Response::decode(bytes).expect("a response").body.expect("a body")
}

/// A red shoe of seller 1 in category 7.
pub fn shoe() -> RegisterItem {
    RegisterItem {
        seller_id: 1,
        name: "Shoe".into(),
        category: 7,
        keywords: vec!["red".into(), "shoe".into()],
        condition: Condition::New.into(),
        price_cents: 1999,
        quantity: 10,
    }
}

/// The machine, with a clock of its own and a fresh key for each command. The books are checked after each.
#[derive(Default)]
pub struct Shop {
    pub db: ProductDb,
    pub now: u64,
    pub keys: u64,
}

impl Shop {
    pub fn apply(&mut self, command: &[u8]) -> Body {
        let body = answer(self.db.apply(Timestamp(self.now), command));
        let books = self.totals();
        assert_eq!(
            books.units_listed,
            books.units_on_sale + books.units_reserved + books.units_sold,
            "{books:?}"
        );
        body
    }

    /// Applies a client's command with a fresh key.
    pub fn run(&mut self, body: command::Body) -> Body {
        self.keys += 1;
        let command = keyed(self.keys, body);
        self.apply(&command)
    }

    pub fn refused(&mut self, body: command::Body) -> (Code, String) {
        let before = self.items_and_books();
        let refusal = refusal(self.run(body));
        assert_eq!(self.items_and_books(), before, "a refusal changes nothing");
        refusal
    }

    /// All records but the remembered answers.
    fn items_and_books(&self) -> Vec<Record> {
        self.db.records().filter(|record| record.key[0] != 7).collect()
    }

    pub fn register(&mut self, item: RegisterItem) -> ItemRegistered {
        match self.run(command::Body::RegisterItem(item)) {
            Body::ItemRegistered(registered) => registered,
            other => panic!("not registered: {other:?}"),
        }
    }

    pub fn sweep(&mut self) {
        assert_eq!(self.apply(&unkeyed(command::Body::Sweep(Sweep {}))), Body::Done(Done {}));
    }

    pub fn query(&self, body: query::Body) -> Body {
        answer(self.db.query(Timestamp(0), &Query { body: Some(body) }.encode_to_vec()).expect("a query"))
    }

    pub fn totals(&self) -> Totals {
        match self.query(query::Body::GetTotals(GetTotals {})) {
            Body::Totals(totals) => totals,
            other => panic!("no totals: {other:?}"),
        }
    }

    pub fn item(&self, id: ItemId) -> Option<Item> {
        match self.query(query::Body::GetItems(GetItems { ids: vec![id] })) {
            Body::Items(Items { mut items }) => items.pop(),
            other => panic!("no items: {other:?}"),
        }
    }

    pub fn page(&self, search: Search) -> ItemPage {
        match self.query(query::Body::Search(search)) {
            Body::ItemPage(page) => page,
            other => panic!("no page: {other:?}"),
        }
    }

    /// The ids that a search finds, over all pages of this length.
    pub fn found(&self, category: Option<u32>, keywords: &[&str], limit: u32) -> Vec<ItemId> {
        let keywords = keywords.iter().map(|word| (*word).to_string()).collect();
        let mut search = Search { category, keywords, limit, after: None };
        let mut found = Vec::new();
        loop {
            let page = self.page(search.clone());
            assert!(page.items.len() <= limit as usize);
            found.extend(page.items.iter().filter_map(|item| item.id));
            match page.next_search {
                Some(next) => search.after = Some(next),
                None => return found,
            }
        }
    }

    pub fn rating(&self, seller_id: u64) -> (u64, u64, u64) {
        match self.query(query::Body::GetSellerRating(GetSellerRating { seller_id })) {
            Body::SellerRating(rating) => (rating.thumbs_up, rating.thumbs_down, rating.items_sold),
            other => panic!("no rating: {other:?}"),
        }
    }
}

pub fn refusal(body: Body) -> (Code, String) {
    match body {
        Body::Refusal(refusal) => {
            assert!(!refusal.detail.is_empty(), "a refusal says why");
            (refusal.code(), refusal.field)
        }
        other => panic!("not refused: {other:?}"),
    }
}

pub fn invalid(field: &str) -> (Code, String) {
    (Code::InvalidField, field.to_string())
}

pub fn plain(code: Code) -> (Code, String) {
    (code, Refusal::new(code, "").field)
}

/// What a store would hold that took each batch of changes in.
#[derive(Default)]
pub struct Store(pub BTreeMap<Bytes, Bytes>);

impl Store {
    pub fn commit(&mut self, db: &mut ProductDb) {
        for change in db.take_changes() {
            match change.value {
                Some(value) => self.0.insert(change.key, value),
                None => self.0.remove(&change.key),
            };
        }
    }

    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.0.iter().map(|(key, value)| Record { key: key.clone(), value: value.clone() })
    }
}
