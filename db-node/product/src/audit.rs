//! Checks the tables of a loaded state against each other, so that a damaged store is found at the start, by name, and not
//! later by a customer. What it lets pass, the rest of the machine can rely on.

use std::collections::{HashMap, HashSet};

use agora_machine::CorruptRecord;
use agora_proto::limits::{CART_LINE_UNITS, CART_LINES, CATEGORY_MAX, PRICE_MAX_CENTS, UNITS_MAX};

use crate::feedback::Vote;
use crate::item::{Item, ItemKey};
use crate::state::ProductDb;
use crate::stock::{Reservation, Standing};

impl ProductDb {
    /// Whether the records make a state that commands can have made.
    pub(crate) fn audit(&self) -> Result<(), CorruptRecord> {
        let reserved = self.audit_reservations()?;
        self.audit_items(&reserved)?;
        self.audit_votes()?;
        self.audit_books()
    }

    /// Each reservation by itself; the units that they hold of each item.
    fn audit_reservations(&self) -> Result<HashMap<ItemKey, u64>, CorruptRecord> {
        let mut reserved: HashMap<ItemKey, u64> = HashMap::new();
        for (id, reservation) in self.reservations.iter() {
            let corrupt = |why| Err(CorruptRecord { key: self.reservations.record_key(id).to_vec(), why });
            if !has_sound_lines(reservation) {
                return corrupt("a line, or their number, is beyond its limits".into());
            }
            for line in reservation.lines.iter().filter(|_| reservation.standing == Standing::Held) {
                if !self.items.contains_key(&line.item) {
                    return corrupt(format!("holds units of {:?}, which is not there", line.item));
                }
                *reserved.entry(line.item).or_default() += u64::from(line.quantity);
            }
        }
        Ok(reserved)
    }

    fn audit_items(&self, reserved: &HashMap<ItemKey, u64>) -> Result<(), CorruptRecord> {
        let registered = self.books().items;
        let mut created = HashSet::with_capacity(self.items.len());
        for (key, item) in self.items.iter() {
            let last_number = self.categories.get(&key.category).copied().unwrap_or(0);
            let held = reserved.get(key).copied().unwrap_or(0);
            let why = if key.category > CATEGORY_MAX || !(1..=last_number).contains(&key.number) {
                "its number was never given"
            } else if !has_sound_fields(item) {
                "a field is beyond its limits"
            } else if item.reserved != held {
                "reservations hold another number of units than it says"
            } else if !(1..=registered).contains(&item.created) || !created.insert(item.created) {
                "its place in the order of creation is another item's, or none"
            } else {
                continue;
            };
            return Err(CorruptRecord { key: self.items.record_key(key).to_vec(), why: why.into() });
        }
        Ok(())
    }

    fn audit_votes(&self) -> Result<(), CorruptRecord> {
        let mut counted: HashMap<ItemKey, (u64, u64)> = HashMap::new();
        for ((item, _), vote) in self.votes.iter() {
            let (up, down) = counted.entry(*item).or_default();
            match vote {
                Vote::Up => *up += 1,
                Vote::Down => *down += 1,
            }
        }
        // A removed item loses its votes piece by piece.
        let sound = |key, item: &Item| {
            let (up, down) = counted.get(key).copied().unwrap_or_default();
            !item.is_offered() || (up, down) == (item.thumbs_up, item.thumbs_down)
        };
        match self.items.iter().find(|(key, item)| !sound(key, item)) {
            None => Ok(()),
            Some((key, _)) => {
                let why = "it has other votes than it says".into();
                Err(CorruptRecord { key: self.items.record_key(key).to_vec(), why })
            }
        }
    }

    fn audit_books(&self) -> Result<(), CorruptRecord> {
        let books = self.books();
        let on_sale: u64 = self.items.iter().map(|(_, item)| item.quantity).sum();
        let reserved: u64 = self.items.iter().map(|(_, item)| item.reserved).sum();
        let held =
            self.reservations.iter().filter(|(_, found)| found.standing == Standing::Held).count() as u64;
        let listed = on_sale.checked_add(reserved).and_then(|kept| kept.checked_add(books.sold));
        if (books.on_sale, books.reserved, books.held, Some(books.listed))
            == (on_sale, reserved, held, listed)
        {
            return Ok(());
        }
        let why =
            format!("they don't balance: {books:?}, but {on_sale} on sale, {reserved} reserved by {held}");
        Err(CorruptRecord { key: self.books.record_key(&()).to_vec(), why })
    }
}

fn has_sound_fields(item: &Item) -> bool {
    let units = item.quantity.saturating_add(item.reserved);
    units <= UNITS_MAX
        && (1..=PRICE_MAX_CENTS).contains(&item.price_cents)
        && (item.is_offered() || item.quantity == 0)
}

fn has_sound_lines(reservation: &Reservation) -> bool {
    let sound = |quantity, price_cents| quantity <= CART_LINE_UNITS && price_cents <= PRICE_MAX_CENTS;
    reservation.lines.len() <= CART_LINES
        && reservation.lines.iter().all(|line| sound(line.quantity, line.price_cents))
}
