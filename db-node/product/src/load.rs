//! The state out of its records: tables as they were, everything derived built anew.
//!
//! A node can't answer before this is done, so the work is spread: one thread reads the records wherever they are kept, one
//! makes tables of them, one takes in the remembered answers (there may be more of them than of all else); and the search
//! index is built beside what else is derived.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{ScopedJoinHandle, scope};

use agora_machine::{ANSWERS_BYTES_MAX, Answers, AnswersLoader, CorruptRecord, Record};

use crate::item::{Item, ItemKey};
use crate::same::SameItems;
use crate::search;
use crate::state::{ProductDb, table};

/// Records that go from thread to thread at once, and how many such batches may wait.
const BATCH: usize = 512;
const BATCHES_WAITING: usize = 8;

/// The records must be in the order of their keys, as they are in a snapshot and in a store.
pub fn load(records: impl Iterator<Item = Record>) -> Result<ProductDb, CorruptRecord> {
    scope(|scope| {
        let (to_tables, tables) = sync_channel(BATCHES_WAITING);
        let (to_answers, answers) = sync_channel(BATCHES_WAITING);
        let tables = scope.spawn(move || load_tables(&tables));
        let answers = scope.spawn(move || load_answers(&answers));
        let fed = feed(records, to_tables, to_answers);
        let (tables, answers) = (joined(tables), joined(answers));
        fed?;
        Ok(ProductDb { answers: answers?, ..tables? })
    })
}

/// Sends the answers, which come last, to the one and all else to the other. The tables are complete, and their loader
/// goes on, when the first answer comes.
fn feed(
    records: impl Iterator<Item = Record>,
    to_tables: SyncSender<Vec<Record>>,
    to_answers: SyncSender<Vec<Record>>,
) -> Result<(), CorruptRecord> {
    let mut to_tables = Some(to_tables);
    let mut batch = Vec::with_capacity(BATCH);
    for record in records {
        let is_answer = record.table()? == table::ANSWERS;
        if is_answer && let Some(to_tables) = to_tables.take() {
            // A loader that stopped has found an error, and returns it.
            let _ = to_tables.send(std::mem::take(&mut batch));
        }
        if !is_answer && to_tables.is_none() {
            return Err(record.corrupt("behind the answers, which come last"));
        }
        batch.push(record);
        if batch.len() >= BATCH {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
            if to_tables.as_ref().unwrap_or(&to_answers).send(full).is_err() {
                return Ok(());
            }
        }
    }
    let _ = to_tables.as_ref().unwrap_or(&to_answers).send(batch);
    Ok(())
}

fn load_tables(batches: &Receiver<Vec<Record>>) -> Result<ProductDb, CorruptRecord> {
    let mut db = ProductDb::default();
    for record in batches.iter().flatten() {
        db.load_record(&record)?;
    }
    db.audit()?;
    db.derive()?;
    Ok(db)
}

fn load_answers(batches: &Receiver<Vec<Record>>) -> Result<Answers, CorruptRecord> {
    let mut answers = AnswersLoader::new(table::ANSWERS, ANSWERS_BYTES_MAX);
    for record in batches.iter().flatten() {
        answers.load(&record)?;
    }
    answers.finish()
}

fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl ProductDb {
    /// Builds what is derived from the tables.
    fn derive(&mut self) -> Result<(), CorruptRecord> {
        let mut items: Vec<(ItemKey, &Item)> = Vec::with_capacity(self.items.len());
        items.extend(self.items.iter().map(|(key, item)| (*key, &**item)));
        let by_age = self.by_age(&items)?;
        let (search, same, of_seller) = scope(|scope| {
            let search = scope.spawn(|| search::build(&by_age));
            let same = SameItems::build(&items);
            let offered = items.iter().filter(|(_, item)| item.is_offered());
            let mut of_seller: Vec<_> = offered.map(|(key, item)| (item.seller, *key)).collect();
            of_seller.sort_unstable();
            let of_seller = of_seller.into_iter().collect();
            (joined(search), same, of_seller)
        });
        let idle = items.iter().filter(|(_, item)| !item.is_offered() && item.reserved == 0);
        self.removed = idle.map(|(key, _)| *key).collect();
        (self.search, self.same, self.of_seller) = (search, same, of_seller);
        self.due = self.reservations.iter().map(|(id, reservation)| (reservation.due_ms(), *id)).collect();
        Ok(())
    }

    /// The items in the order of their creation, in which no two have the same place.
    fn by_age<'a>(&self, items: &[(ItemKey, &'a Item)]) -> Result<Vec<(ItemKey, &'a Item)>, CorruptRecord> {
        // The places are copied next to each other, because sorting would look them up again and again.
        let mut by_age: Vec<(u64, ItemKey, &Item)> = Vec::with_capacity(items.len());
        by_age.extend(items.iter().map(|(key, item)| (item.created, *key, *item)));
        by_age.sort_unstable_by_key(|(created, ..)| *created);
        match by_age.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(CorruptRecord {
                key: self.items.record_key(&pair[1].1).to_vec(),
                why: "its place in the order of creation is another item's".into(),
            }),
            None => Ok(by_age.into_iter().map(|(_, key, item)| (key, item)).collect()),
        }
    }
}
