//! The state out of its records: tables as they were, everything derived built anew.

use agora_machine::{CorruptRecord, Record};

use crate::item::{Item, ItemKey};
use crate::same::SameItems;
use crate::search;
use crate::state::ProductDb;

pub fn load(records: impl Iterator<Item = Record>) -> Result<ProductDb, CorruptRecord> {
    let mut db = ProductDb::default();
    for record in records {
        db.load_record(&record)?;
    }
    db.audit()?;
    db.derive();
    Ok(db)
}

impl ProductDb {
    /// Builds what is derived from the tables: the search index on two threads, and the rest beside it.
    fn derive(&mut self) {
        let by_id: Vec<(ItemKey, &Item)> = self.items.iter().map(|(key, item)| (*key, &**item)).collect();
        let mut by_age = by_id.clone();
        by_age.sort_unstable_by_key(|(_, item)| item.created);
        let (search, same, of_seller) = std::thread::scope(|scope| {
            let search = scope.spawn(|| search::build(&by_age));
            let same = SameItems::build(&by_id);
            let mut of_seller: Vec<_> = by_id
                .iter()
                .filter(|(_, item)| item.is_offered())
                .map(|(key, item)| (item.seller, *key))
                .collect();
            of_seller.sort_unstable();
            match search.join() {
                Ok(search) => (search, same, of_seller.into_iter().collect()),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        });
        let idle = by_id.iter().filter(|(_, item)| !item.is_offered() && item.reserved == 0);
        self.removed = idle.map(|(key, _)| *key).collect();
        (self.search, self.same, self.of_seller) = (search, same, of_seller);
        self.due = self.reservations.iter().map(|(id, reservation)| (reservation.due_ms(), *id)).collect();
        self.answers.index();
    }
}
