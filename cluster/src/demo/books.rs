//! What must be true of the marketplace if nothing is lost, doubled or invented: kept by the story itself, beside the
//! databases.

use std::collections::BTreeMap;

use agora_clients::model::Purchase;
use agora_clients::{Cents, ItemId};

/// An item as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub name: String,
    pub seller: u64,
    pub price: Cents,
    /// Units listed by its seller, all in all.
    pub listed: u64,
    /// Units sold.
    pub sold: u64,
    pub thumbs_up: u64,
    pub thumbs_down: u64,
}

impl Expected {
    pub fn on_sale(&self) -> u64 {
        self.listed.saturating_sub(self.sold)
    }
}

/// All items and purchases, as they must be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    pub items: BTreeMap<ItemId, Expected>,
    pub purchases: Vec<Purchase>,
}

impl Books {
    /// Notes a purchase that was acknowledged.
    pub fn bought(&mut self, purchase: &Purchase) {
        for line in &purchase.lines {
            if let Some(item) = self.items.get_mut(&line.item_id) {
                item.sold += u64::from(line.quantity);
            }
        }
        self.purchases.push(purchase.clone());
    }

    pub fn item(&mut self, id: ItemId) -> anyhow::Result<&mut Expected> {
        self.items.get_mut(&id).ok_or_else(|| anyhow::anyhow!("nobody listed {id}"))
    }

    pub fn units_listed(&self) -> u64 {
        self.items.values().map(|item| item.listed).sum()
    }

    pub fn units_sold(&self) -> u64 {
        self.items.values().map(|item| item.sold).sum()
    }

    pub fn charged(&self) -> Cents {
        Cents(self.purchases.iter().map(|purchase| purchase.total.0).sum())
    }

    /// Up, down and units sold, over all items of a seller.
    pub fn rating(&self, seller: u64) -> (u64, u64, u64) {
        let own = self.items.values().filter(|item| item.seller == seller);
        own.fold((0, 0, 0), |(up, down, sold), item| {
            (up + item.thumbs_up, down + item.thumbs_down, sold + item.sold)
        })
    }
}

#[cfg(test)]
mod tests {
    use agora_clients::model::PurchaseLine;

    use super::*;

    #[test]
    fn a_purchase_moves_units_from_on_sale_to_sold() {
        let id = ItemId { category: 1, number: 1 };
        let item = Expected {
            name: "Lamp".into(),
            seller: 4,
            price: Cents(250),
            listed: 5,
            sold: 0,
            thumbs_up: 1,
            thumbs_down: 0,
        };
        let mut books = Books { items: [(id, item)].into(), ..Books::default() };
        let line =
            PurchaseLine { item_id: id, name: "Lamp".into(), seller_id: 1, price: Cents(250), quantity: 2 };
        let purchase = Purchase { purchase_id: "p".into(), at: None, lines: vec![line], total: Cents(500) };
        books.bought(&purchase);
        assert_eq!((books.item(id).unwrap().on_sale(), books.units_listed(), books.units_sold()), (3, 5, 2));
        assert_eq!((books.charged(), books.rating(4)), (Cents(500), (1, 0, 2)));
    }
}
