//! Gives equal things the same number, so that the states of a whole group are a few numbers each. Told apart by 128 bits of hash.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use parking_lot::RwLock;

pub struct Interner<T> {
    inner: RwLock<Inner<T>>,
}

struct Inner<T> {
    ids: HashMap<(u64, u64), u32>,
    things: Vec<Arc<T>>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Interner { inner: RwLock::new(Inner { ids: HashMap::new(), things: Vec::new() }) }
    }
}

impl<T: Hash> Interner<T> {
    pub fn id(&self, thing: T) -> u32 {
        let half = |salt: u64| {
            let mut hasher = DefaultHasher::new();
            salt.hash(&mut hasher);
            thing.hash(&mut hasher);
            hasher.finish()
        };
        let key = (half(1), half(2));
        if let Some(id) = self.inner.read().ids.get(&key) {
            return *id;
        }
        let mut inner = self.inner.write();
        let Inner { ids, things } = &mut *inner;
        *ids.entry(key).or_insert_with(|| {
            things.push(Arc::new(thing));
            u32::try_from(things.len() - 1).unwrap()
        })
    }

    pub fn get(&self, id: u32) -> Arc<T> {
        Arc::clone(&self.inner.read().things[id as usize])
    }
}
