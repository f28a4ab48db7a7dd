//! The state: tables, which are stored, and what is derived from them.

use std::sync::Arc;

use agora_machine::{ANSWERS_BYTES_MAX, Answers, Change, Record, Table, TableId};
use imbl::OrdSet;

use crate::feedback::{Rating, Vote};
use crate::item::{Item, ItemKey};
use crate::same::SameItems;
use crate::search::SearchIndex;
use crate::stock::{Books, PurchaseId, Reservation};

/// The tables' ids: part of the format on disk.
pub mod table {
    use agora_machine::TableId;

    pub const BOOKS: TableId = TableId(1);
    pub const CATEGORIES: TableId = TableId(2);
    pub const ITEMS: TableId = TableId(3);
    pub const SELLERS: TableId = TableId(4);
    pub const VOTES: TableId = TableId(5);
    pub const RESERVATIONS: TableId = TableId(6);
    /// The last, so that all else is loaded and being indexed while they are read.
    pub const ANSWERS: TableId = TableId(7);
}

/// The product database.
///
/// It clones in constant time: all that is large shares its parts with the clone until one of the two changes them.
#[derive(Clone, Debug)]
pub struct ProductDb {
    pub(crate) answers: Answers,
    /// One row.
    pub(crate) books: Table<(), Books>,
    /// The last number given in each category.
    pub(crate) categories: Table<u32, u64>,
    pub(crate) items: Table<ItemKey, Arc<Item>>,
    /// Sellers with a vote or a sale.
    pub(crate) sellers: Table<u64, Rating>,
    /// By item and buyer.
    pub(crate) votes: Table<(ItemKey, u64), Vote>,
    pub(crate) reservations: Table<PurchaseId, Arc<Reservation>>,

    // Derived from the items that are offered.
    pub(crate) search: SearchIndex,
    pub(crate) same: SameItems,
    pub(crate) of_seller: OrdSet<(u64, ItemKey)>,
    // Derived from the other items: those that nothing is reserved of, and that a sweep may drop.
    pub(crate) removed: OrdSet<ItemKey>,
    // Derived from the reservations: when something is to be done about each, in ms.
    pub(crate) due: OrdSet<(u64, PurchaseId)>,
}

impl Default for ProductDb {
    fn default() -> Self {
        ProductDb {
            answers: Answers::new(table::ANSWERS, ANSWERS_BYTES_MAX),
            books: Table::new(table::BOOKS),
            categories: Table::new(table::CATEGORIES),
            items: Table::new(table::ITEMS),
            sellers: Table::new(table::SELLERS),
            votes: Table::new(table::VOTES),
            reservations: Table::new(table::RESERVATIONS),
            search: SearchIndex::default(),
            same: SameItems::default(),
            of_seller: OrdSet::new(),
            removed: OrdSet::new(),
            due: OrdSet::new(),
        }
    }
}

impl ProductDb {
    pub(crate) fn books(&self) -> Books {
        self.books.get(&()).copied().unwrap_or_default()
    }

    pub(crate) fn update_books(&mut self, change: impl FnOnce(&mut Books)) {
        let mut books = self.books();
        change(&mut books);
        self.books.insert((), books);
    }

    /// The item, if it is offered.
    pub(crate) fn offered(&self, key: ItemKey) -> Option<&Arc<Item>> {
        self.items.get(&key).filter(|item| item.is_offered())
    }

    pub(crate) fn changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        self.books.take_changes(&mut changes);
        self.categories.take_changes(&mut changes);
        self.items.take_changes(&mut changes);
        self.sellers.take_changes(&mut changes);
        self.votes.take_changes(&mut changes);
        self.reservations.take_changes(&mut changes);
        self.answers.take_changes(&mut changes);
        changes
    }

    /// In the order of their keys.
    pub(crate) fn all_records(&self) -> impl Iterator<Item = Record> + '_ {
        let items = self.books.records().chain(self.categories.records()).chain(self.items.records());
        let all_else = items.chain(self.sellers.records()).chain(self.votes.records());
        all_else.chain(self.reservations.records()).chain(self.answers.records())
    }

    /// Takes a record in that is not of an answer.
    pub(crate) fn load_record(&mut self, record: &Record) -> Result<(), agora_machine::CorruptRecord> {
        match record.table()? {
            table::BOOKS => self.books.load(record),
            table::CATEGORIES => self.categories.load(record),
            table::ITEMS => self.items.load(record),
            table::SELLERS => self.sellers.load(record),
            table::VOTES => self.votes.load(record),
            table::RESERVATIONS => self.reservations.load(record),
            TableId(unknown) => Err(record.corrupt(format!("there is no table {unknown}"))),
        }
    }
}
