//! What buyers know of what is on sale: the items that sellers have told them of.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use agora_clients::ItemId;
use parking_lot::RwLock;
use rand::Rng;
use rand::seq::IndexedRandom;

/// Most items that buyers know of. Later ones are still found by search.
const KNOWN_MAX: usize = 10_000;

/// Categories of items that buyers know of.
pub(super) const CATEGORIES: std::ops::RangeInclusive<u32> = 1..=3;
/// A category of items that are put on sale only to be removed again: no buyer looks there.
pub(super) const ATTIC: u32 = 900;
pub(super) const KEYWORDS: [&str; 4] = ["lamp", "chair", "book", "cup"];

#[derive(Debug, Default)]
pub(super) struct Market {
    items: RwLock<Vec<Known>>,
    sellers: RwLock<BTreeSet<u64>>,
    next: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub id: ItemId,
    pub seller_id: u64,
    pub supply: Supply,
}

/// How much there is of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Supply {
    /// More than all buyers together can buy.
    Plenty,
    /// So little that it runs out.
    Scarce,
}

impl Market {
    pub fn tell(&self, item: Known) {
        let mut items = self.items.write();
        if items.len() < KNOWN_MAX {
            items.push(item);
        }
    }

    /// A seller takes part.
    pub fn join(&self, seller_id: u64) {
        self.sellers.write().insert(seller_id);
    }

    /// Whether this is a seller who takes part. Others may have left items on a marketplace that ran before.
    pub fn knows(&self, seller_id: u64) -> bool {
        self.sellers.read().contains(&seller_id)
    }

    pub fn any(&self, rng: &mut impl Rng) -> Option<Known> {
        self.items.read().choose(rng).copied()
    }

    /// One that does not run out.
    pub fn any_plenty(&self, rng: &mut impl Rng) -> Option<Known> {
        let items = self.items.read();
        let plenty: Vec<&Known> = items.iter().filter(|item| item.supply == Supply::Plenty).collect();
        plenty.choose(rng).map(|item| **item)
    }

    /// A number that nobody else gets.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}
