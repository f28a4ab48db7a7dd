//! What sellers do with their items.

use std::sync::Arc;

use agora_proto::common::{Code, ItemId, Refusal};
use agora_proto::limits::UNITS_MAX;
use agora_proto::product as proto;
use agora_proto::product::response::Body;

use crate::bounds::{CATEGORIES_MAX, ITEMS_MAX};
use crate::item::{Item, ItemKey, Listing};
use crate::same::Sameness;
use crate::state::ProductDb;
use crate::stock::Movement;
use crate::validate;

/// There is no such item, or its seller removed it.
pub fn not_found(key: ItemKey) -> Refusal {
    Refusal::new(Code::ItemNotFound, format!("there is no item {}", ItemId::from(key)))
}

impl ProductDb {
    /// Puts an item on sale, or adds to the one that is the same.
    pub(crate) fn register_item(&mut self, wanted: &proto::RegisterItem) -> Result<Body, Refusal> {
        let item = new_item(wanted)?;
        let sameness = Sameness::of(wanted.category, &item);
        if let Some(key) = self.same.find(sameness, &self.items, wanted.category, &item) {
            let quantity = self.list_units(key, "quantity", wanted.quantity)?;
            return Ok(registered(key, quantity, true));
        }
        let last_number = self.categories.get(&wanted.category).copied();
        if self.items.len() >= ITEMS_MAX {
            return Err(validate::full("items"));
        }
        if last_number.is_none() && self.categories.len() >= CATEGORIES_MAX {
            return Err(validate::full("categories"));
        }
        let number = last_number.unwrap_or(0) + 1;
        let key = ItemKey { category: wanted.category, number };
        self.categories.insert(wanted.category, number);
        let mut created = 0;
        self.update_books(|books| {
            books.items += 1;
            created = books.items;
        });
        self.same.insert(sameness, key);
        self.of_seller.insert((item.seller, key));
        self.items.insert(key, Arc::new(Item { created, ..item }));
        self.move_units(key, Movement::List, wanted.quantity);
        Ok(registered(key, wanted.quantity, false))
    }

    /// Adds units to an offered item, and returns how many are on sale then.
    fn list_units(&mut self, key: ItemKey, field: &str, units: u64) -> Result<u64, Refusal> {
        let item = self.offered(key).ok_or_else(|| not_found(key))?;
        validate::units(field, (item.quantity + item.reserved).saturating_add(units))?;
        let quantity = item.quantity + units;
        self.move_units(key, Movement::List, units);
        Ok(quantity)
    }

    /// The item, if it is offered, and by this seller.
    fn own(&self, seller: u64, key: ItemKey) -> Result<&Arc<Item>, Refusal> {
        let item = self.offered(key).ok_or_else(|| not_found(key))?;
        if item.seller == seller {
            Ok(item)
        } else {
            let detail = format!("item {} is another seller's", ItemId::from(key));
            Err(Refusal::new(Code::NotOwner, detail))
        }
    }

    pub(crate) fn change_price(
        &mut self,
        seller: u64,
        key: ItemKey,
        price_cents: u64,
    ) -> Result<Body, Refusal> {
        let old = self.own(seller, key)?.clone();
        validate::price(price_cents)?;
        if old.price_cents == price_cents {
            return Ok(Body::Item(old.to_proto(key)));
        }
        let new = Item { price_cents, ..(*old).clone() };
        self.same.remove(key, &old);
        self.same.insert(Sameness::of(key.category, &new), key);
        let answer = new.to_proto(key);
        self.items.insert(key, Arc::new(new));
        Ok(Body::Item(answer))
    }

    pub(crate) fn update_units(&mut self, seller: u64, key: ItemKey, delta: i64) -> Result<Body, Refusal> {
        let on_sale = self.own(seller, key)?.quantity;
        let units = delta.unsigned_abs();
        if units > UNITS_MAX {
            return Err(Refusal::field("delta", format!("at most {UNITS_MAX} units at once, not {units}")));
        }
        let quantity = if delta >= 0 {
            self.list_units(key, "delta", units)?
        } else if units <= on_sale {
            self.move_units(key, Movement::Unlist, units);
            on_sale - units
        } else {
            let detail = format!("{on_sale} units are on sale, fewer than the {units} to take away");
            return Err(Refusal { field: "delta".into(), ..Refusal::new(Code::InsufficientStock, detail) });
        };
        Ok(Body::UnitsUpdated(proto::UnitsUpdated { id: Some(key.into()), quantity }))
    }

    /// Takes an item off sale. Its row stays while something of it is reserved, and until a sweep drops it.
    pub(crate) fn remove_item(&mut self, seller: u64, key: ItemKey) -> Result<Body, Refusal> {
        let item = self.own(seller, key)?.clone();
        self.move_units(key, Movement::Unlist, item.quantity);
        self.same.remove(key, &item);
        self.of_seller.remove(&(seller, key));
        self.items.update(&key, |item| Arc::make_mut(item).listing = Listing::Removed);
        if item.reserved == 0 {
            self.removed.insert(key);
        }
        Ok(Body::Done(proto::Done {}))
    }
}

fn new_item(wanted: &proto::RegisterItem) -> Result<Item, Refusal> {
    validate::name(&wanted.name)?;
    validate::category(wanted.category)?;
    let keywords = validate::keywords(&wanted.keywords)?;
    let condition = validate::condition(wanted.condition)?;
    validate::price(wanted.price_cents)?;
    validate::units("quantity", wanted.quantity)?;
    Ok(Item {
        seller: wanted.seller_id,
        name: wanted.name.as_str().into(),
        keywords,
        condition,
        listing: Listing::Offered,
        price_cents: wanted.price_cents,
        quantity: 0,
        reserved: 0,
        thumbs_up: 0,
        thumbs_down: 0,
        created: 0,
    })
}

fn registered(key: ItemKey, quantity: u64, merged: bool) -> Body {
    Body::ItemRegistered(proto::ItemRegistered { id: Some(key.into()), quantity, merged })
}
