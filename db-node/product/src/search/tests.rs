//! The walk over posting lists against counting: lists of every density, over several chunks, from any place on.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::members::CHUNK;
use super::posting::Posting;
use super::ranked::{Match, best};

/// Creation numbers are below this: two chunks and a bit, with a chunk that nothing is in.
const NUMBERS: u64 = 2 * CHUNK + 5_000;
const GAP: u64 = 7 * CHUNK;

/// Numbers that share a thing: one of `every`, from `start` on, in runs of `run`.
#[derive(Clone, Debug)]
struct Spread {
    every: u64,
    run: u64,
    start: u64,
}

impl Spread {
    fn numbers(&self) -> BTreeSet<u64> {
        let has = |number: &u64| {
            (number / self.run).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20 & 0xffff < 0xffff / self.every
        };
        let numbers = (self.start..NUMBERS).filter(has);
        // The upper part is behind the gap.
        numbers.map(|number| if number >= CHUNK { number + GAP } else { number }).collect()
    }
}

fn spread() -> impl Strategy<Value = Spread> {
    let every = prop_oneof![Just(1), 2..5_u64, 5..200_u64, 200..20_000_u64];
    let start = prop_oneof![Just(0), 0..NUMBERS, CHUNK - 10..CHUNK + 10];
    (every, prop_oneof![Just(1), Just(64), 1..5_000_u64], start).prop_map(|(every, run, start)| Spread {
        every,
        run,
        start,
    })
}

fn cursor() -> impl Strategy<Value = Option<Match>> {
    let near_chunks =
        prop_oneof![0..NUMBERS + GAP, CHUNK - 3..CHUNK + 3, GAP + CHUNK..GAP + CHUNK + 3, Just(u64::MAX)];
    prop::option::of((0..8_u32, near_chunks).prop_map(|(matched, created)| Match { matched, created }))
}

/// All matches in their order, by counting for each number which lists have it.
fn counted(category: Option<&BTreeSet<u64>>, lists: &[BTreeSet<u64>]) -> Vec<Match> {
    let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
    for created in lists.iter().flatten() {
        *counts.entry(*created).or_default() += 1;
    }
    let all = counts.into_iter().map(|(created, matched)| Match { matched, created });
    let mut all: Vec<Match> =
        all.filter(|found| category.is_none_or(|category| category.contains(&found.created))).collect();
    all.sort_unstable_by_key(|found| Reverse((found.matched, found.created)));
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_best_are_those_that_counting_finds(
        lists in prop::collection::vec(spread(), 1..=5),
        category in prop::option::of(spread()),
        cursors in prop::collection::vec(cursor(), 8),
        most in prop_oneof![Just(1_usize), 2..30_usize, Just(101)],
    ) {
        let posting = |numbers: &BTreeSet<u64>| {
            let mut posting = Posting::default();
            numbers.iter().for_each(|created| posting.insert(*created));
            posting
        };
        let lists: Vec<_> = lists.iter().map(Spread::numbers).collect();
        let category = category.map(|spread| spread.numbers());
        let postings: Vec<Posting> = lists.iter().map(posting).collect();
        let of_category = category.as_ref().map(posting);
        let all = counted(category.as_ref(), &lists);
        for after in cursors {
            let found = best(of_category.as_ref(), &postings.iter().collect::<Vec<_>>(), after, most);
            let place = |found: &Match| (found.matched, found.created);
            let behind = all.iter().filter(|found| after.is_none_or(|after| place(found) < place(&after)));
            prop_assert_eq!(found, behind.take(most).copied().collect::<Vec<_>>(), "after {:?}", after);
        }
    }
}
