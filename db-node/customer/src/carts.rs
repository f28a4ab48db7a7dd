//! Carts: the active cart of each buyer's session, and the saved cart of each buyer.
//!
//! A saved cart has a version that grows with each change, and each session knows the version that it saw last. A save
//! that expects another version than there is gets a conflict: of two sessions that save at the same time, one is told.

use agora_machine::{CorruptRecord, Record, Table, TableId, Timestamp};
use agora_proto::common::{self, Code, Refusal};
use agora_proto::customer::{
    AddToCart, Cart, CartLine, CartSaved, ClearCart, Done, GetCart, RemoveFromCart, SaveCart, response::Body,
};
use agora_proto::limits::{CART_LINE_UNITS, CART_LINES};
use serde::{Deserialize, Serialize};

use crate::keys::{ItemKey, TokenHash};
use crate::state::CustomerDb;
use crate::validate;

/// So many units of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub item: ItemKey,
    pub quantity: u32,
}

/// The lines of a cart in the order of their items, each item once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lines(pub(crate) Vec<Line>);

impl Lines {
    fn find(&self, item: ItemKey) -> Result<usize, usize> {
        self.0.binary_search_by_key(&item, |line| line.item)
    }

    fn quantity(&self, item: ItemKey) -> u32 {
        self.find(item).ok().and_then(|at| self.0.get(at)).map_or(0, |line| line.quantity)
    }

    /// Makes this the quantity of the item: none removes the line.
    fn set(&mut self, item: ItemKey, quantity: u32) {
        match (self.find(item), quantity) {
            (Ok(at), 0) => drop(self.0.remove(at)),
            (Ok(at), _) => {
                if let Some(line) = self.0.get_mut(at) {
                    line.quantity = quantity;
                }
            }
            (Err(_), 0) => {}
            (Err(at), _) => self.0.insert(at, Line { item, quantity }),
        }
    }

    /// Takes as much of each line out as there is; says whether anything was.
    fn subtract(&mut self, bought: &[Line]) -> bool {
        let mut changed = false;
        for line in bought {
            let there = self.quantity(line.item);
            changed |= there > 0;
            self.set(line.item, there.saturating_sub(line.quantity));
        }
        changed
    }

    fn to_wire(&self) -> Vec<CartLine> {
        self.0.iter().map(|line| CartLine { item: Some(line.item.into()), quantity: line.quantity }).collect()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ActiveCart {
    pub lines: Lines,
    /// The version of the saved cart that the session saw last.
    seen_version: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedCart {
    version: u64,
    lines: Lines,
}

/// All carts.
#[derive(Clone, Debug)]
pub(crate) struct Carts {
    pub(crate) active: Table<TokenHash, ActiveCart>,
    /// By the buyer's id.
    pub(crate) saved: Table<u64, SavedCart>,
}

impl Carts {
    pub(crate) fn new(active: TableId, saved: TableId) -> Self {
        Carts { active: Table::new(active), saved: Table::new(saved) }
    }

    fn saved_version(&self, buyer_id: u64) -> u64 {
        self.saved.get(&buyer_id).map_or(0, |saved| saved.version)
    }

    /// Gives a new session a copy of the buyer's saved cart.
    pub(crate) fn open_active(&mut self, token: TokenHash, buyer_id: u64) {
        let saved = self.saved.get(&buyer_id).cloned().unwrap_or_default();
        self.active.insert(token, ActiveCart { lines: saved.lines, seen_version: saved.version });
    }

    pub(crate) fn drop_active(&mut self, token: &TokenHash) {
        self.active.remove(token);
    }

    pub(crate) fn active_lines(&self, token: &TokenHash) -> Lines {
        self.active.get(token).map(|cart| cart.lines.clone()).unwrap_or_default()
    }

    fn set_active(&mut self, token: &TokenHash, item: ItemKey, quantity: u32) {
        self.active.update(token, |cart| cart.lines.set(item, quantity));
    }

    /// Writes the buyer's saved cart as its next version, which the session has thereby seen.
    fn save(&mut self, token: &TokenHash, buyer_id: u64, lines: Lines) -> u64 {
        let version = self.saved_version(buyer_id).saturating_add(1);
        self.saved.insert(buyer_id, SavedCart { version, lines });
        self.active.update(token, |cart| cart.seen_version = version);
        version
    }

    /// Empties the session's cart and the buyer's saved cart.
    fn clear(&mut self, token: &TokenHash, buyer_id: u64) {
        if self.saved.get(&buyer_id).is_some_and(|saved| !saved.lines.0.is_empty()) {
            self.save(token, buyer_id, Lines::default());
        }
        let seen_version = self.saved_version(buyer_id);
        self.active.update(token, |cart| *cart = ActiveCart { lines: Lines::default(), seen_version });
    }

    /// Takes what was bought out of the cart of the session that bought it, if it is still there, and out of the saved cart.
    pub(crate) fn subtract(&mut self, session: Option<&TokenHash>, buyer_id: u64, bought: &[Line]) {
        if let Some(token) = session {
            self.active.update(token, |cart| cart.lines.subtract(bought));
        }
        let Some(mut saved) = self.saved.get(&buyer_id).cloned() else { return };
        let before = saved.version;
        if saved.lines.subtract(bought) {
            saved.version = before.saturating_add(1);
            if let Some(token) = session {
                self.active.update(token, |cart| {
                    // The session knows of this change if it knew of the one before; else it is still to be told of that.
                    if cart.seen_version == before {
                        cart.seen_version = saved.version;
                    }
                });
            }
            self.saved.insert(buyer_id, saved);
        }
    }

    fn to_wire(&self, token: &TokenHash, buyer_id: u64) -> Cart {
        let lines = self.active.get(token).map(|cart| cart.lines.to_wire()).unwrap_or_default();
        Cart { lines, saved_version: self.saved_version(buyer_id) }
    }

    pub(crate) fn load_active(&mut self, record: &Record) -> Result<(), CorruptRecord> {
        self.active.load(record)
    }

    pub(crate) fn load_saved(&mut self, record: &Record) -> Result<(), CorruptRecord> {
        self.saved.load(record)
    }
}

impl CustomerDb {
    pub(crate) fn add_to_cart(&mut self, now: Timestamp, command: &AddToCart) -> Result<Body, Refusal> {
        let token = validate::token_hash(&command.token_hash)?;
        let item = validate::item(command.item)?;
        let added = validate::quantity(command.quantity)?;
        let buyer_id = self.sessions.buyer(&token, now)?;
        let available = command.available.ok_or_else(|| {
            Refusal::new(Code::ItemNotFound, format!("no item {} is on sale", common::ItemId::from(item)))
        })?;
        let lines = self.carts.active.get(&token).map(|cart| &cart.lines);
        let there = lines.map_or(0, |lines| lines.quantity(item));
        if there == 0 && lines.is_some_and(|lines| lines.0.len() >= CART_LINES) {
            let detail = format!("a cart has at most {CART_LINES} different items");
            return Err(Refusal::new(Code::CartFull, detail));
        }
        let quantity = there.saturating_add(added);
        if u64::from(quantity) > available {
            let detail = format!("{quantity} in the cart would be more than the {available} in stock");
            return Err(Refusal::new(Code::InsufficientStock, detail));
        }
        if quantity > CART_LINE_UNITS {
            let detail =
                format!("with the {there} there it would be more than {CART_LINE_UNITS} of one item");
            return Err(Refusal { field: "quantity".into(), ..Refusal::new(Code::CartFull, detail) });
        }
        self.carts.set_active(&token, item, quantity);
        self.sessions.used(&token, now);
        Ok(Body::Cart(self.carts.to_wire(&token, buyer_id)))
    }

    pub(crate) fn remove_from_cart(
        &mut self,
        now: Timestamp,
        command: &RemoveFromCart,
    ) -> Result<Body, Refusal> {
        let token = validate::token_hash(&command.token_hash)?;
        let item = validate::item(command.item)?;
        let removed = command.quantity.map(validate::quantity).transpose()?;
        let buyer_id = self.sessions.buyer(&token, now)?;
        let there = self.carts.active.get(&token).map_or(0, |cart| cart.lines.quantity(item));
        let rest = there.checked_sub(removed.unwrap_or(there)).filter(|_| there > 0).ok_or_else(|| {
            Refusal::new(
                Code::NotInCart,
                format!("the cart has {there} of that item, fewer than are to be removed"),
            )
        })?;
        self.carts.set_active(&token, item, rest);
        self.sessions.used(&token, now);
        Ok(Body::Cart(self.carts.to_wire(&token, buyer_id)))
    }

    pub(crate) fn save_cart(&mut self, now: Timestamp, command: &SaveCart) -> Result<Body, Refusal> {
        let token = validate::token_hash(&command.token_hash)?;
        let buyer_id = self.sessions.buyer(&token, now)?;
        let cart = self.carts.active.get(&token).cloned().unwrap_or_default();
        let expected = command.expected_version.unwrap_or(cart.seen_version);
        let current = self.carts.saved_version(buyer_id);
        if expected != current {
            let detail =
                format!("the saved cart has version {current}, not {expected}: another session changed it");
            return Err(Refusal::new(Code::SavedCartConflict, detail));
        }
        let saved_version = self.carts.save(&token, buyer_id, cart.lines);
        self.sessions.used(&token, now);
        Ok(Body::CartSaved(CartSaved { saved_version }))
    }

    pub(crate) fn clear_cart(&mut self, now: Timestamp, command: &ClearCart) -> Result<Body, Refusal> {
        let token = validate::token_hash(&command.token_hash)?;
        let buyer_id = self.sessions.buyer(&token, now)?;
        self.carts.clear(&token, buyer_id);
        self.sessions.used(&token, now);
        Ok(Body::Done(Done {}))
    }

    pub(crate) fn get_cart(&self, query: &GetCart) -> Result<Body, Refusal> {
        let token = validate::token_hash(&query.token_hash)?;
        let buyer_id = self.sessions.buyer(&token, self.clock.now())?;
        Ok(Body::Cart(self.carts.to_wire(&token, buyer_id)))
    }
}
