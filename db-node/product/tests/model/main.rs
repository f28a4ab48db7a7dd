//! The machine beside a model of plain collections, through random histories: every answer is the same, page by page; what
//! the store was told makes up the state; and the books balance at every step.
//!
//! `AGORA_SEED` replays a run, `PROPTEST_CASES` makes it longer; a failure prints the seed and the smallest history that
//! shows it.
#![allow(clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
mod marketplace;
mod steps;

use agora_machine::{StateMachine, Timestamp};
use agora_product::ProductDb;
use agora_proto::common::Code;
use agora_proto::product::response::Body;
use agora_proto::product::*;
use common::{Store, answer, keyed, unkeyed};
use marketplace::{Marketplace, Outcome};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use prost::Message;
use steps::Step;

/// Both, and what is between them.
#[derive(Default)]
struct Pair {
    db: ProductDb,
    model: Marketplace,
    store: Store,
    now: u64,
    keys: u64,
    next_search: Option<SearchCursor>,
}

impl Pair {
    fn step(&mut self, step: Step) {
        match step {
            Step::Wait(ms) => self.now += ms,
            Step::Command(body) => {
                self.keys += 1;
                self.command(Some(1000 + self.keys), &body);
            }
            Step::Again(key, body) => self.command(Some(key), &body),
            Step::Unkeyed(body) => self.command(None, &body),
            Step::Query(body) => drop(self.query(body)),
            Step::GoOn(search) => {
                let after = self.next_search;
                self.next_search = self.search(Search { after, ..search });
            }
            Step::Walk(mut search) => {
                while let Some(next) = self.search(search.clone()) {
                    search.after = Some(next);
                }
            }
            Step::Commit => self.store.commit(&mut self.db),
            Step::Restart => self.restart(),
        }
    }

    fn command(&mut self, key: Option<u64>, body: &command::Body) {
        let bytes = key.map_or_else(|| unkeyed(body.clone()), |key| keyed(key, body.clone()));
        let real = answer(self.db.apply(Timestamp(self.now), &bytes));
        assert_same(&real, &self.model.apply(self.now, key, body));
        self.query(query::Body::GetTotals(GetTotals {}));
    }

    fn query(&self, body: query::Body) -> Body {
        let bytes = Query { body: Some(body.clone()) }.encode_to_vec();
        let real = answer(self.db.query(Timestamp(0), &bytes).expect("a query"));
        assert_same(&real, &self.model.query(&body));
        real
    }

    fn search(&self, search: Search) -> Option<SearchCursor> {
        match self.query(query::Body::Search(search)) {
            Body::ItemPage(page) => page.next_search,
            other => panic!("no page: {other:?}"),
        }
    }

    /// The store holds the state, and the state that it makes up answers on.
    fn restart(&mut self) {
        self.store.commit(&mut self.db);
        assert!(self.db.take_changes().is_empty());
        assert!(self.db.records().eq(self.store.records()), "the store holds what the state is");
        let loaded = ProductDb::load(self.store.records()).expect("its own records");
        assert!(loaded.records().eq(self.db.records()));
        self.db = loaded;
        assert!(self.db.take_changes().is_empty(), "loading changes nothing");
    }
}

fn assert_same(real: &Body, model: &Outcome) {
    match (real, model) {
        (Body::Refusal(refusal), Err((code, field))) => {
            assert_eq!((refusal.code(), refusal.field.as_str()), (*code, *field), "{}", refusal.detail);
        }
        (real, Ok(body)) => assert_eq!(real, body),
        (real, Err(refused)) => panic!("{real:?}, but the model refuses: {refused:?}"),
    }
}

#[test]
fn every_answer_is_the_models_and_the_store_holds_the_state() {
    let seed = std::env::var("AGORA_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(rand::random::<u64>);
    println!("AGORA_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let result = runner.run(&steps::steps(), |history| {
        let mut pair = Pair::default();
        history.into_iter().for_each(|step| pair.step(step));
        pair.restart();
        Ok(())
    });
    assert!(result.is_ok(), "AGORA_SEED={seed}: {}", result.unwrap_err());
}

/// Histories reach what they are for; otherwise the comparison above would be of refusals.
#[test]
fn histories_sell_merge_and_run_out() {
    use proptest::strategy::{Strategy, ValueTree};

    let mut runner = TestRunner::deterministic();
    let (mut sold, mut merged, mut ran_out, mut pages) = (0, 0, 0, 0);
    for _ in 0..100 {
        let history = steps::steps().new_tree(&mut runner).expect("a history").current();
        let mut pair = Pair::default();
        for step in history {
            if let Step::Command(body) = &step {
                let outcome = pair.model_would(body);
                merged += usize::from(matches!(outcome, Some(Body::ItemRegistered(item)) if item.merged));
            }
            pair.step(step);
            pages += usize::from(pair.next_search.is_some());
            ran_out += usize::from(pair.db.maintenance(Timestamp(pair.now)).is_some());
        }
        if let Body::Totals(totals) = pair.query(query::Body::GetTotals(GetTotals {})) {
            sold += totals.units_sold;
        }
    }
    assert!(sold > 20 && merged > 20 && ran_out > 20 && pages > 20, "{sold} {merged} {ran_out} {pages}");
}

impl Pair {
    /// What a command would be answered: tried on a clone.
    fn model_would(&self, body: &command::Body) -> Option<Body> {
        let body = answer(self.db.clone().apply(Timestamp(self.now), &keyed(u64::MAX, body.clone())));
        let refused = matches!(&body, Body::Refusal(refusal) if refusal.code() != Code::Unspecified);
        (!refused).then_some(body)
    }
}
