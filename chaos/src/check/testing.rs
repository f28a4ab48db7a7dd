//! Histories by hand, for the tests of the checkers. Operations follow each other, unless a test says when they happened.

use std::collections::BTreeMap;

use agora_clients::model::{Feedback, PurchaseLine, Rating, RegisteredItem, SavedCart, UnitsOnSale, Vote};
use agora_clients::{Cents, ItemId};

use crate::history::{Action, Answer, CartSeen, Event, ItemSeen, Offer, Outcome, PurchaseSeen, Units};
use crate::readings::SellerReading;
use crate::workload::{People, Person};

/// Each operation lasts from one of these to the next.
const STEP_NS: u64 = 1_000;

#[derive(Default)]
pub(super) struct History {
    events: Vec<Event>,
    /// The session of each client.
    sessions: BTreeMap<u32, u32>,
    sessions_opened: u32,
    /// As the answers from here on tell it.
    pub saved_version: u64,
}

/// An operation that waits to be told how it ended.
pub(super) struct Open<'a> {
    history: &'a mut History,
    event: Event,
}

impl Open<'_> {
    pub fn during(mut self, start_ns: u64, end_ns: u64) -> Self {
        // After everything that has no time of its own.
        let base = 1_000_000_000;
        (self.event.start_ns, self.event.end_ns) = (base + start_ns, Some(base + end_ns));
        self
    }

    pub fn telling(mut self, units: u64) -> Self {
        if let Answer::Registered(item) = &mut self.event.answer {
            item.quantity = units;
        }
        self
    }

    pub fn told_thumbs(mut self, thumbs_up: u64, thumbs_down: u64) -> Self {
        self.event.answer = Answer::Feedback(Feedback { thumbs_up, thumbs_down });
        self
    }

    pub fn ok(self) {
        self.history.events.push(self.event);
    }

    pub fn fail(self) {
        self.fail_with("refused");
    }

    pub fn fail_with(mut self, code: &str) {
        self.event.outcome = Outcome::Fail;
        self.event.answer = Answer::Refused { code: code.into() };
        self.history.events.push(self.event);
    }

    pub fn info(mut self) {
        self.event.outcome = Outcome::Info;
        self.event.answer = Answer::None { error: "no answer".into() };
        self.event.end_ns = None;
        self.history.events.push(self.event);
    }
}

impl History {
    pub fn events(self) -> Vec<Event> {
        self.events
    }

    fn open(&mut self, client: u32, action: Action, key: String, answer: Answer) -> Open<'_> {
        let start_ns = self.events.len() as u64 * 2 * STEP_NS;
        let end_ns = Some(start_ns + STEP_NS);
        let session = self.sessions.get(&client).copied();
        let event = Event { client, session, action, key, answer, outcome: Outcome::Ok, start_ns, end_ns };
        Open { history: self, event }
    }

    pub fn add_item(&mut self, client: u32, id: ItemId, name: &str, cents: u64, quantity: u64) -> Open<'_> {
        let offer = Offer { name: name.into(), category: id.category, price: Cents(cents), quantity };
        let registered = RegisteredItem { item_id: id, quantity, merged: false };
        self.open(client, Action::AddItem(offer), format!("seller:{client}"), Answer::Registered(registered))
    }

    pub fn add_equal_item(
        &mut self,
        client: u32,
        id: ItemId,
        name: &str,
        cents: u64,
        quantity: u64,
    ) -> Open<'_> {
        let mut open = self.add_item(client, id, name, cents, quantity);
        if let Answer::Registered(item) = &mut open.event.answer {
            item.merged = true;
        }
        open
    }

    pub fn add_units_telling(&mut self, client: u32, id: ItemId, delta: i64, quantity: u64) -> Open<'_> {
        let mut open = self.add_units(client, id, delta);
        open.event.answer = Answer::Units(UnitsOnSale { item_id: id, quantity });
        open
    }

    pub fn see_units(&mut self, client: u32, id: ItemId, quantity: u64) -> Open<'_> {
        self.open(client, Action::GetItem, id.to_string(), Answer::Item(seen(id, "lamp", 100, quantity)))
    }

    pub fn see_thumbs(&mut self, client: u32, id: ItemId, thumbs_up: u64, thumbs_down: u64) -> Open<'_> {
        let item = ItemSeen { thumbs_up, thumbs_down, ..seen(id, "lamp", 100, 1) };
        self.open(client, Action::GetItem, id.to_string(), Answer::Item(item))
    }

    pub fn set_price(&mut self, client: u32, id: ItemId, cents: u64) -> Open<'_> {
        self.open(client, Action::SetPrice(Cents(cents)), id.to_string(), Answer::Nothing)
    }

    pub fn add_units(&mut self, client: u32, id: ItemId, delta: i64) -> Open<'_> {
        self.open(client, Action::AddUnits(delta), id.to_string(), Answer::Nothing)
    }

    pub fn remove_item(&mut self, client: u32, id: ItemId) -> Open<'_> {
        self.open(client, Action::RemoveItem, id.to_string(), Answer::Nothing)
    }

    pub fn get_item(&mut self, client: u32, id: ItemId, cents: u64) -> Open<'_> {
        self.open(client, Action::GetItem, id.to_string(), Answer::Item(seen(id, "lamp", cents, 1)))
    }

    pub fn vote(&mut self, client: u32, id: ItemId, vote: Vote) -> Open<'_> {
        self.open(client, Action::GiveFeedback(vote), id.to_string(), Answer::Nothing)
    }

    pub fn buy(&mut self, client: u32, cart: &[(ItemId, u32)], purchase: &PurchaseSeen) -> Open<'_> {
        let cart =
            cart.iter().map(|(item_id, quantity)| Units { item_id: *item_id, quantity: *quantity }).collect();
        self.cart(client, Action::MakePurchase(cart), Answer::Purchase(purchase.clone()))
    }

    pub fn list_purchases(&mut self, client: u32, ids: &[&str]) -> Open<'_> {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        self.open(client, Action::ListPurchases, format!("buyer:{client}"), Answer::Purchases(ids))
    }

    pub fn login(&mut self, client: u32) -> Open<'_> {
        self.login_as(client, client)
    }

    /// Into the account of another client.
    pub fn login_as(&mut self, client: u32, account: u32) -> Open<'_> {
        self.sessions_opened += 1;
        self.sessions.insert(client, self.sessions_opened);
        let answer = Answer::User { user_id: account.into() };
        self.open(client, Action::LoginBuyer, format!("cart:{account}"), answer)
    }

    pub fn logout(&mut self, client: u32) -> Open<'_> {
        self.cart(client, Action::LogoutBuyer, Answer::Nothing)
    }

    pub fn logout_seller(&mut self, client: u32) -> Open<'_> {
        self.open(client, Action::LogoutSeller, format!("seller:{client}"), Answer::Nothing)
    }

    pub fn add_to_cart(&mut self, client: u32, id: ItemId, quantity: u32, after: &[(u64, u32)]) -> Open<'_> {
        let answer = self.shown(after);
        self.cart(client, Action::AddToCart(Units { item_id: id, quantity }), answer)
    }

    pub fn remove_from_cart(
        &mut self,
        client: u32,
        id: ItemId,
        quantity: u32,
        after: &[(u64, u32)],
    ) -> Open<'_> {
        let answer = self.shown(after);
        self.cart(client, Action::RemoveFromCart(Units { item_id: id, quantity }), answer)
    }

    pub fn display_cart(&mut self, client: u32, lines: &[(u64, u32)]) -> Open<'_> {
        let answer = self.shown(lines);
        self.cart(client, Action::DisplayCart, answer)
    }

    pub fn save_cart(&mut self, client: u32, told: u64) -> Open<'_> {
        self.save_cart_of(client, client, told)
    }

    pub fn save_cart_of(&mut self, client: u32, account: u32, told: u64) -> Open<'_> {
        let answer = Answer::Saved(SavedCart { saved_version: told });
        self.open(client, Action::SaveCart(None), format!("cart:{account}"), answer)
    }

    fn shown(&self, lines: &[(u64, u32)]) -> Answer {
        let lines = lines.iter().map(|(number, quantity)| (item(*number), *quantity)).collect();
        Answer::Cart(CartSeen { lines, saved_version: self.saved_version })
    }

    pub fn clear_cart(&mut self, client: u32) -> Open<'_> {
        self.cart(client, Action::ClearCart, Answer::Nothing)
    }

    fn cart(&mut self, client: u32, action: Action, answer: Answer) -> Open<'_> {
        self.open(client, action, format!("cart:{client}"), answer)
    }
}

pub(super) fn item(number: u64) -> ItemId {
    ItemId { category: 1, number }
}

pub(super) fn seen(item_id: ItemId, name: &str, cents: u64, quantity: u64) -> ItemSeen {
    ItemSeen { item_id, name: name.into(), price: Cents(cents), quantity, thumbs_up: 0, thumbs_down: 0 }
}

pub(super) fn seller(seller_id: u64, items: Vec<ItemSeen>) -> SellerReading {
    SellerReading { items, rating: Rating { seller_id, thumbs_up: 0, thumbs_down: 0, items_sold: 0 } }
}

pub(super) fn purchase(id: &str, lines: &[(ItemId, u64, u32)]) -> PurchaseSeen {
    let line = |(item_id, cents, quantity): &(ItemId, u64, u32)| PurchaseLine {
        item_id: *item_id,
        name: "lamp".into(),
        seller_id: 100,
        price: Cents(*cents),
        quantity: *quantity,
    };
    let total = Cents(lines.iter().map(|(_, cents, quantity)| cents * u64::from(*quantity)).sum());
    PurchaseSeen { purchase_id: id.into(), total, lines: lines.iter().map(line).collect() }
}

/// A seller, client 0 with the id 100, and a buyer, client 1 with the id 200.
pub(super) fn people() -> People {
    let person = |client, user_id, username: &str| Person { client, user_id, username: username.into() };
    People { sellers: vec![person(0, 100, "seller")], buyers: vec![person(1, 200, "buyer")] }
}
