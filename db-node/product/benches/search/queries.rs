//! The kinds of searches that are measured: those that buyers make, and those that someone would make to hurt.

use agora_proto::product::{Search, SearchCursor};
use rand::Rng;
use rand::rngs::StdRng;

use crate::fill::{APART, Market};

/// A kind of search.
pub struct Kind {
    pub name: &'static str,
    pub make: fn(&Market, &mut StdRng) -> Search,
    /// How many pages are turned.
    pub pages: usize,
}

const PAGE: u32 = 20;

fn search(keywords: Vec<String>) -> Search {
    Search { category: None, keywords, limit: PAGE, after: None }
}

fn within(category: u32, keywords: Vec<String>) -> Search {
    Search { category: Some(category), ..search(keywords) }
}

fn common(count: usize, market: &Market) -> Vec<String> {
    (0..count).map(|rank| market.ranked(rank)).collect()
}

fn rare(count: usize, market: &Market, random: &mut StdRng) -> Vec<String> {
    (0..count).map(|_| market.ranked(random.random_range(10_000..50_000))).collect()
}

fn apart() -> Vec<String> {
    APART.map(String::from).to_vec()
}

pub const KINDS: &[Kind] = &[
    Kind { name: "everything", make: |_, _| search(vec![]), pages: 1 },
    Kind { name: "a category", make: |market, random| within(market.category(random), vec![]), pages: 1 },
    Kind {
        name: "1 keyword, as buyers choose",
        make: |market, random| search(vec![market.word(random)]),
        pages: 1,
    },
    Kind {
        name: "3 keywords, as buyers choose",
        make: |market, random| search((0..3).map(|_| market.word(random)).collect()),
        pages: 1,
    },
    Kind {
        name: "category and 3 keywords, as buyers choose",
        make: |market, random| within(market.category(random), (0..3).map(|_| market.word(random)).collect()),
        pages: 1,
    },
    Kind { name: "2 most common keywords", make: |market, _| search(common(2, market)), pages: 1 },
    Kind { name: "5 most common keywords", make: |market, _| search(common(5, market)), pages: 1 },
    Kind {
        name: "5 most common keywords, 200 pages",
        make: |market, _| search(common(5, market)),
        pages: 200,
    },
    Kind {
        name: "5 most common keywords, pages of 100",
        make: |market, _| Search { limit: 100, ..search(common(5, market)) },
        pages: 1,
    },
    Kind { name: "5 rare keywords", make: |market, random| search(rare(5, market, random)), pages: 1 },
    Kind {
        name: "2 common and 3 rare keywords",
        make: |market, random| search([common(2, market), rare(3, market, random)].concat()),
        pages: 1,
    },
    Kind {
        name: "a category and the 5 most common keywords",
        make: |market, random| within(market.category(random), common(5, market)),
        pages: 1,
    },
    Kind {
        name: "largest category, 5 most common keywords",
        make: |market, _| within(0, common(5, market)),
        pages: 1,
    },
    Kind { name: "5 common keywords that never meet", make: |_, _| search(apart()), pages: 1 },
    Kind {
        name: "  the same, from anywhere in their order",
        make: |_, random| Search {
            after: Some(SearchCursor { matched: 1, created: random.random_range(0..1_000_000) }),
            ..search(apart())
        },
        pages: 1,
    },
    Kind {
        name: "category, 5 common keywords that never meet",
        make: |market, random| within(market.category(random), apart()),
        pages: 1,
    },
];
