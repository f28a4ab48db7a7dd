//! Checks the tables of a loaded state against each other, so that a damaged store is found at the start, by name, and not
//! later by a customer. What it lets pass, the rest of the machine can rely on.

use std::collections::HashMap;

use agora_machine::CorruptRecord;
use agora_proto::limits::{CART_LINE_UNITS, CART_LINES, CATEGORY_MAX, PRICE_MAX_CENTS, UNITS_MAX};

use crate::feedback::Vote;
use crate::item::{Item, ItemKey};
use crate::state::ProductDb;
use crate::stock::{Reservation, Standing};

/// What other tables say of an item.
#[derive(Clone, Copy, Default)]
struct Said {
    reserved: u64,
    thumbs_up: u64,
    thumbs_down: u64,
}

impl ProductDb {
    /// Whether the records make a state that commands can have made.
    pub(crate) fn audit(&self) -> Result<(), CorruptRecord> {
        let mut said = HashMap::new();
        let held = self.audit_reservations(&mut said)?;
        for ((item, _), vote) in self.votes.iter() {
            let said: &mut Said = said.entry(*item).or_default();
            match vote {
                Vote::Up => said.thumbs_up += 1,
                Vote::Down => said.thumbs_down += 1,
            }
        }
        let (on_sale, reserved) = self.audit_items(&said)?;
        self.audit_books(held, on_sale, reserved)
    }

    /// Each reservation by itself, and what they say of items; how many are held.
    fn audit_reservations(&self, said: &mut HashMap<ItemKey, Said>) -> Result<u64, CorruptRecord> {
        let mut held = 0;
        for (id, reservation) in self.reservations.iter() {
            let corrupt = |why| Err(CorruptRecord { key: self.reservations.record_key(id).to_vec(), why });
            if !has_sound_lines(reservation) {
                return corrupt("a line, or their number, is beyond its limits".into());
            }
            if reservation.standing != Standing::Held {
                continue;
            }
            held += 1;
            for line in &reservation.lines {
                if !self.items.contains_key(&line.item) {
                    return corrupt(format!("holds units of {:?}, which is not there", line.item));
                }
                said.entry(line.item).or_default().reserved += u64::from(line.quantity);
            }
        }
        Ok(held)
    }

    /// Each item against what is said of it; the units on sale and reserved.
    fn audit_items(&self, said: &HashMap<ItemKey, Said>) -> Result<(u64, u64), CorruptRecord> {
        let registered = self.books().items;
        let (mut on_sale, mut reserved) = (0, 0);
        let (mut category, mut last_number) = (0, 0);
        for (key, item) in self.items.iter() {
            if key.category != category || last_number == 0 {
                category = key.category;
                last_number = self.categories.get(&category).copied().unwrap_or(0);
            }
            if let Some(why) = unsound(item, said.get(key).copied().unwrap_or_default())
                .or((category > CATEGORY_MAX).then_some("there is no such category"))
                .or((!(1..=last_number).contains(&key.number)).then_some("its number was never given"))
                .or((!(1..=registered).contains(&item.created)).then_some("it was never registered"))
            {
                return Err(CorruptRecord { key: self.items.record_key(key).to_vec(), why: why.into() });
            }
            on_sale += item.quantity;
            reserved += item.reserved;
        }
        Ok((on_sale, reserved))
    }

    fn audit_books(&self, held: u64, on_sale: u64, reserved: u64) -> Result<(), CorruptRecord> {
        let books = self.books();
        let listed = on_sale.checked_add(reserved).and_then(|kept| kept.checked_add(books.sold));
        if (books.held, books.on_sale, books.reserved, Some(books.listed))
            == (held, on_sale, reserved, listed)
        {
            return Ok(());
        }
        let why =
            format!("they don't balance: {books:?}, but {on_sale} on sale, {reserved} reserved by {held}");
        Err(CorruptRecord { key: self.books.record_key(&()).to_vec(), why })
    }
}

/// What is wrong with an item by itself, or with what is said of it.
fn unsound(item: &Item, said: Said) -> Option<&'static str> {
    let units = item.quantity.saturating_add(item.reserved);
    if units > UNITS_MAX || !(1..=PRICE_MAX_CENTS).contains(&item.price_cents) {
        Some("its units or its price are beyond their limits")
    } else if !item.is_offered() && item.quantity > 0 {
        Some("it was removed, but has units on sale")
    } else if item.reserved != said.reserved {
        Some("reservations hold another number of units than it says")
    } else if item.is_offered() && (item.thumbs_up, item.thumbs_down) != (said.thumbs_up, said.thumbs_down) {
        // A removed item loses its votes piece by piece.
        Some("it has other votes than it says")
    } else {
        None
    }
}

fn has_sound_lines(reservation: &Reservation) -> bool {
    let sound = |quantity, price_cents| quantity <= CART_LINE_UNITS && price_cents <= PRICE_MAX_CENTS;
    reservation.lines.len() <= CART_LINES
        && reservation.lines.iter().all(|line| sound(line.quantity, line.price_cents))
}
