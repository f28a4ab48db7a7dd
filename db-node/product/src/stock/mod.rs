//! Units: where they are, and the only way in which they move.

mod books;
mod reservation;
mod reserve;

use std::sync::Arc;

pub use books::Books;
pub use reservation::{Line, PurchaseId, Reservation, Standing};

use crate::item::ItemKey;
use crate::state::ProductDb;

/// A way in which units of an item move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Movement {
    /// Into the market, on sale.
    List,
    /// Out of the market, from what is on sale.
    Unlist,
    /// From on sale to reserved.
    Hold,
    /// From reserved back on sale; if the item was removed meanwhile, out of the market.
    Unhold,
    /// From reserved to sold.
    Sell,
}

impl ProductDb {
    /// Moves units of an item, and keeps the books and the search index along with it. The caller has checked that there
    /// are so many units where they come from, and that there is room for them.
    pub(crate) fn move_units(&mut self, key: ItemKey, movement: Movement, units: u64) {
        let Some(item) = self.items.get(&key) else {
            debug_assert!(false, "units of an item that is not there: {key:?}");
            return;
        };
        let (was_shown, offered) = (item.is_shown(), item.is_offered());
        self.items.update(&key, |item| {
            let item = Arc::make_mut(item);
            match movement {
                Movement::List => item.quantity += units,
                Movement::Unlist => item.quantity -= units,
                Movement::Hold => {
                    item.quantity -= units;
                    item.reserved += units;
                }
                Movement::Unhold => {
                    item.reserved -= units;
                    item.quantity += if offered { units } else { 0 };
                }
                Movement::Sell => item.reserved -= units,
            }
        });
        self.update_books(|books| books.post(movement, offered, units));
        let Some(item) = self.items.get(&key) else { return };
        match (was_shown, item.is_shown()) {
            (false, true) => self.search.show(key, item),
            (true, false) => self.search.hide(key, item),
            _ => {}
        }
        if !offered && item.reserved == 0 {
            self.removed.insert(key);
        }
    }
}
