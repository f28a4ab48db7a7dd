//! Long histories of one thing, with the models of the real checkers: that the time they take grows with their length alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use agora_clients::model::{RegisteredItem, SavedCart, UnitsOnSale};
use agora_clients::{Cents, ItemId};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::testing::{item, seen};
use super::{Check, carts, units};
use crate::history::{Action, Answer, CartSeen, Event, Offer, Outcome, Units};

/// Of so many changes one is never answered.
const LOST_ONE_IN: u32 = 50_000;
/// A machine that does other work besides may be slow for a while: one good round shows what can be done.
const ROUNDS: usize = 5;
/// What twice as long a history may cost: twice as much, and something for chance.
const FACTOR_MAX: f64 = 3.0;
const MILLION_WITHIN: Duration = Duration::from_secs(60);

/// Something that clients change at the same time: each call takes effect at one moment.
trait Thing {
    /// Does something to it: what, and the answer. It can't be told whether it was done if there is no answer.
    fn call(&mut self, rng: &mut StdRng, client: u32) -> (Action, Answer, Outcome);
    /// Before anything else.
    fn begin(&self) -> Vec<Event>;
    fn key(&self) -> String;
    /// How many are at work.
    fn clients(&self) -> u32;
}

/// A history of so many calls by clients at work at the same time.
fn history_of(thing: &mut impl Thing, length: usize, seed: u64) -> Vec<Event> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut calls = Vec::new();
    for client in 0..thing.clients() {
        let mut now = 100;
        for _ in 0..length / thing.clients() as usize {
            let start = now + rng.random_range(1..20);
            let end = start + rng.random_range(1..40);
            calls.push((rng.random_range(start..=end), start, end, client));
            now = end;
        }
    }
    calls.sort_unstable();
    let mut history = thing.begin();
    for (_, start_ns, end_ns, client) in calls {
        let (action, answer, outcome) = thing.call(&mut rng, client);
        let lost = outcome == Outcome::Ok && action.is_change() && rng.random_ratio(1, LOST_ONE_IN);
        let (answer, outcome, end_ns) = if lost {
            (Answer::None { error: "lost".into() }, Outcome::Info, None)
        } else {
            (answer, outcome, Some(end_ns))
        };
        let (session, key) = (Some(client), thing.key());
        history.push(Event { client, session, action, key, answer, outcome, start_ns, end_ns });
    }
    history
}

fn event(client: u32, action: Action, key: String, answer: Answer) -> Event {
    let (session, outcome) = (Some(client), Outcome::Ok);
    Event { client, session, action, key, answer, outcome, start_ns: 0, end_ns: Some(1) }
}

/// An item that no buyer wants.
struct Shelf(u64);

impl Thing for Shelf {
    fn call(&mut self, rng: &mut StdRng, _: u32) -> (Action, Answer, Outcome) {
        let delta = rng.random_range(-7..=7);
        match self.0.checked_add_signed(delta) {
            _ if rng.random_bool(0.5) => {
                (Action::GetItem, Answer::Item(seen(item(1), "lamp", 100, self.0)), Outcome::Ok)
            }
            Some(quantity) => {
                self.0 = quantity;
                let told = UnitsOnSale { item_id: item(1), quantity };
                (Action::AddUnits(delta), Answer::Units(told), Outcome::Ok)
            }
            None => {
                let refused = Answer::Refused { code: "insufficient_stock".into() };
                (Action::AddUnits(delta), refused, Outcome::Fail)
            }
        }
    }

    fn begin(&self) -> Vec<Event> {
        let offer = Offer { name: "lamp".into(), category: 1, price: Cents(100), quantity: self.0 };
        let told = RegisteredItem { item_id: item(1), quantity: self.0, merged: false };
        vec![event(0, Action::AddItem(offer), "seller:1".into(), Answer::Registered(told))]
    }

    fn key(&self) -> String {
        item(1).to_string()
    }

    fn clients(&self) -> u32 {
        8
    }
}

/// A buyer whose every client has a session.
#[derive(Default)]
struct Buyer {
    carts: BTreeMap<u32, BTreeMap<ItemId, u32>>,
    saved_version: u64,
}

impl Thing for Buyer {
    fn call(&mut self, rng: &mut StdRng, client: u32) -> (Action, Answer, Outcome) {
        let saved_version = self.saved_version;
        let cart = self.carts.entry(client).or_default();
        let item_id = item(rng.random_range(1..=3));
        let there = cart.get(&item_id).copied().unwrap_or(0);
        let units = Units { item_id, quantity: 1 };
        let action = match rng.random_range(0..10) {
            0..4 => Action::DisplayCart,
            4..9 if there < 5 => Action::AddToCart(units),
            4..9 => Action::RemoveFromCart(units),
            _ => {
                self.saved_version += 1;
                let saved = SavedCart { saved_version: self.saved_version };
                return (Action::SaveCart(Some(saved_version)), Answer::Saved(saved), Outcome::Ok);
            }
        };
        match &action {
            Action::AddToCart(_) => *cart.entry(item_id).or_default() += 1,
            Action::RemoveFromCart(_) => *cart.entry(item_id).or_default() -= 1,
            _ => {}
        }
        (action, Answer::Cart(CartSeen { lines: cart.clone(), saved_version }), Outcome::Ok)
    }

    fn begin(&self) -> Vec<Event> {
        let login = |client| event(client, Action::LoginBuyer, self.key(), Answer::User { user_id: 1 });
        (0..self.clients()).map(login).collect()
    }

    fn key(&self) -> String {
        "cart:1".into()
    }

    /// As many as share an account in a run: what each of them may have changed by then doubles the possibilities.
    fn clients(&self) -> u32 {
        4
    }
}

/// How long it takes to find that a history of this length is right.
fn time_of<T: Thing>(thing: impl Fn() -> T, check: fn(&[Event]) -> Check, length: usize) -> Duration {
    let history = history_of(&mut thing(), length, 7);
    let begun = Instant::now();
    let found = check(&history);
    let took = begun.elapsed();
    assert!(found.held() && found.examined as usize > length / 2, "{found:#?}");
    println!("{}: {length} operations in {took:?}", found.name);
    took
}

/// Twice as long takes about twice as long.
fn grows_with_the_length_alone<T: Thing>(thing: impl Fn() -> T, check: fn(&[Event]) -> Check) {
    let (mut short, mut long) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        short = short.min(time_of(&thing, check, 50_000));
        long = long.min(time_of(&thing, check, 100_000));
        if long <= short.mul_f64(FACTOR_MAX) {
            return;
        }
    }
    panic!("50 000 operations take {short:?}, 100 000 {long:?}");
}

#[test]
fn a_long_history_of_an_item_takes_time_that_grows_with_its_length_alone() {
    grows_with_the_length_alone(|| Shelf(1_000), units::check);
}

#[test]
fn a_long_history_of_a_buyer_s_carts_takes_time_that_grows_with_its_length_alone() {
    grows_with_the_length_alone(Buyer::default, carts::check);
}

#[test]
#[ignore = "for an optimised build: cargo test -p chaos --release --lib -- --ignored --nocapture"]
fn a_million_operations_on_one_item_and_on_the_carts_of_one_buyer_take_less_than_a_minute_each() {
    let took =
        [time_of(|| Shelf(1_000), units::check, 1_000_000), time_of(Buyer::default, carts::check, 1_000_000)];
    assert!(took.iter().all(|took| *took < MILLION_WITHIN), "{took:?}");
}
