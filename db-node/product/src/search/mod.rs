//! The search index: which items are on sale, by category and by keyword, in the order of their creation.
//!
//! Each category, each keyword (in lower case) and all items together have a posting list. A search within a category
//! meets the category's list with the keywords', chunk by chunk; so there is no list for each pair of a category and
//! a keyword, which would double the index for nothing: the meeting costs less than the page's rows.
//!
//! An item is in the index exactly while a search shows it: offered, with a quantity above 0. Its place in the order is
//! its creation number, which nothing changes; that is why a cursor stays where it is while items come and go.
//!
//! Everything in here is shared between clones until it changes, so that the clone that a snapshot is made of costs
//! nothing at once, and little later.

mod build;
mod members;
mod posting;
mod ranked;
mod scan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use imbl::{HashMap, OrdMap};

use crate::item::{Item, ItemKey};
use crate::keywords::Keywords;
pub use build::build;
use posting::Posting;
pub use ranked::Match;

/// The index over all items that are on sale.
#[derive(Clone, Debug, Default)]
pub struct SearchIndex {
    all: Posting,
    categories: OrdMap<u32, Posting>,
    keywords: HashMap<Arc<str>, Posting>,
    /// Which item a creation number is.
    items: OrdMap<u64, ItemKey>,
}

/// A search, validated.
pub struct Wanted {
    pub category: Option<u32>,
    pub keywords: Keywords,
    pub after: Option<Match>,
    pub limit: usize,
}

/// What a search found.
pub struct Found {
    pub items: Vec<ItemKey>,
    /// The place of the last item, if there are more behind it.
    pub next: Option<Match>,
}

impl SearchIndex {
    /// Takes an item in that is shown from now on.
    pub fn show(&mut self, key: ItemKey, item: &Item) {
        self.all.insert(item.created);
        self.categories.entry(key.category).or_default().insert(item.created);
        for keyword in item.keywords.lower_case() {
            match self.keywords.get_mut(&*keyword) {
                Some(posting) => posting.insert(item.created),
                None => {
                    let mut posting = Posting::default();
                    posting.insert(item.created);
                    self.keywords.insert(keyword.into(), posting);
                }
            }
        }
        self.items.insert(item.created, key);
    }

    /// Drops an item that is no longer shown.
    pub fn hide(&mut self, key: ItemKey, item: &Item) {
        self.all.remove(item.created);
        if let Some(posting) = self.categories.get_mut(&key.category) {
            posting.remove(item.created);
            if posting.is_empty() {
                self.categories.remove(&key.category);
            }
        }
        for keyword in item.keywords.lower_case() {
            if let Some(posting) = self.keywords.get_mut(&*keyword) {
                posting.remove(item.created);
                if posting.is_empty() {
                    self.keywords.remove(&*keyword);
                }
            }
        }
        self.items.remove(&item.created);
    }

    /// A page of a search.
    pub fn find(&self, wanted: &Wanted) -> Found {
        // One more than the page has: whether there are more.
        let mut matches = self.matches(wanted, wanted.limit + 1);
        let more = matches.len() > wanted.limit;
        matches.truncate(wanted.limit);
        Found {
            items: matches.iter().filter_map(|found| self.items.get(&found.created).copied()).collect(),
            next: matches.last().copied().filter(|_| more),
        }
    }

    fn matches(&self, wanted: &Wanted, most: usize) -> Vec<Match> {
        let category = match wanted.category.map(|category| self.categories.get(&category)) {
            None => None,
            Some(None) => return Vec::new(),
            of_category => of_category.flatten(),
        };
        let asked = wanted.keywords.iter().next().is_some();
        // A keyword that no item has matches nothing, and counts for nothing.
        let lists: Vec<&Posting> =
            wanted.keywords.lower_case().filter_map(|keyword| self.keywords.get(&*keyword)).collect();
        match (category, lists.as_slice()) {
            (category, []) if !asked => newest(category.unwrap_or(&self.all), 0, wanted.after, most),
            (None, [one]) => newest(one, 1, wanted.after, most),
            (category, lists) => ranked::best(category, lists, wanted.after, most),
        }
    }
}

/// The newest of one list, all of whose members match so many keywords.
fn newest(list: &Posting, matched: u32, after: Option<Match>, most: usize) -> Vec<Match> {
    let before = match after {
        // Behind the whole list.
        Some(after) if after.matched < matched => return Vec::new(),
        Some(after) if after.matched == matched => Some(after.created),
        _ => None,
    };
    let mut matches = Vec::with_capacity(most);
    list.descend(before, |created| {
        matches.push(Match { matched, created });
        matches.len() < most
    });
    matches
}
