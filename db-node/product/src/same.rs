//! Which items are the same to their seller: equal in name, category, keywords, condition and price. Registering such an
//! item again adds to it.
//!
//! A price change may make two items the same. Both stay, because both ids are out in the world; what is registered from
//! then on is added to the one with the lower number, the older.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use agora_machine::Table;
use imbl::OrdSet;

use crate::item::{Item, ItemKey};

/// The offered items by what makes them the same.
#[derive(Clone, Debug, Default)]
pub struct SameItems {
    by_hash: OrdSet<(Sameness, ItemKey)>,
}

/// The hash of what makes an item the same as another. It only finds candidates: no answer depends on it, and it is not
/// stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sameness(u64);

impl SameItems {
    pub fn insert(&mut self, sameness: Sameness, key: ItemKey) {
        self.by_hash.insert((sameness, key));
    }

    pub fn remove(&mut self, key: ItemKey, item: &Item) {
        self.by_hash.remove(&(Sameness::of(key.category, item), key));
    }

    /// The offered item that is the same as this one, which would be of that category.
    pub fn find(
        &self,
        sameness: Sameness,
        items: &Table<ItemKey, Arc<Item>>,
        category: u32,
        wanted: &Item,
    ) -> Option<ItemKey> {
        let mut candidates = self.by_hash.range((sameness, ItemKey::MIN)..=(sameness, ItemKey::MAX));
        candidates.find_map(|(_, key)| {
            let same = key.category == category && items.get(key).is_some_and(|item| are_same(item, wanted));
            same.then_some(*key)
        })
    }

    /// Of these items; those that are not offered are left out.
    pub fn build(items: &[(ItemKey, &Item)]) -> Self {
        let offered = items.iter().filter(|(_, item)| item.is_offered());
        let mut hashes: Vec<_> =
            offered.map(|(key, item)| (Sameness::of(key.category, item), *key)).collect();
        hashes.sort_unstable();
        SameItems { by_hash: hashes.into_iter().collect() }
    }
}

impl Sameness {
    /// Of an item in that category.
    pub fn of(category: u32, item: &Item) -> Self {
        // A sum, because the order of keywords makes no difference.
        let keywords = item.keywords.lower_case().map(hash).fold(0_u64, u64::wrapping_add);
        Sameness(hash((item.seller, category, item.price_cents, item.condition, &item.name, keywords)))
    }
}

fn hash(part: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    part.hash(&mut hasher);
    hasher.finish()
}

fn are_same(a: &Item, b: &Item) -> bool {
    (a.seller, a.price_cents, a.condition) == (b.seller, b.price_cents, b.condition)
        && a.name == b.name
        && (a.keywords == b.keywords || a.keywords.as_set() == b.keywords.as_set())
}
