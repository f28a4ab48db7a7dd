//! Carts are linearizable: the active carts of a buyer's sessions, the saved cart and its version, together one thing, because
//! a login copies one into the other. A lost change, one that took effect twice, a stale read, and a save that overwrote
//! another one unseen all contradict some answer.
//!
//! A purchase of unknown outcome and unknown content ends what is looked at of that buyer.

use std::collections::{BTreeMap, BTreeSet};

use agora_clients::ItemId;

use super::Check;
use super::linear::{Model, Operation};
use super::registers::{Parts, check_parts, operation, refusal};
use crate::history::{Action, Answer, CartSeen, Event, Outcome, Units};

type Lines = BTreeMap<ItemId, u32>;

struct Carts;

/// All carts of a buyer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Buyer {
    saved: Lines,
    version: u64,
    /// By session.
    active: BTreeMap<u32, Active>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Active {
    lines: Lines,
    /// The version of the saved cart that the session saw last.
    seen: u64,
}

#[derive(Clone, Debug)]
struct Op {
    session: u32,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Opened,
    Closed,
    /// Nobody will use the session any more.
    Forgotten,
    Added(Units, Option<CartSeen>),
    Removed(Units, Option<CartSeen>),
    Shown(CartSeen),
    /// If the saved cart has this version, or else the one that the session saw last; with the version that was told.
    Saved(Option<u64>, Option<u64>),
    Conflicted(Option<u64>),
    NotThere(Units),
    Cleared,
    Bought(Lines),
}

impl Model for Carts {
    type State = Buyer;
    type Op = Op;

    fn initial(&self) -> Buyer {
        Buyer::default()
    }

    fn step(&self, state: &Buyer, op: &Op) -> Option<Buyer> {
        let mut buyer = state.clone();
        let so = match &op.what {
            What::Opened => {
                let copy = Active { lines: buyer.saved.clone(), seen: buyer.version };
                buyer.active.insert(op.session, copy);
                true
            }
            What::Closed | What::Forgotten => {
                buyer.active.remove(&op.session);
                true
            }
            What::Added(units, told) => {
                buyer.change(op.session, |lines| *lines.entry(units.item_id).or_default() += units.quantity);
                buyer.shows(op.session, told.as_ref())
            }
            What::Removed(units, told) => {
                let there = state.quantity(op.session, units.item_id);
                if there >= units.quantity {
                    buyer.change(op.session, |lines| set(lines, units.item_id, there - units.quantity));
                }
                (told.is_none() || there >= units.quantity) && buyer.shows(op.session, told.as_ref())
            }
            What::Shown(cart) => buyer.shows(op.session, Some(cart)),
            What::Saved(expected, told) => {
                let saved = buyer.save(op.session, *expected);
                told.is_none_or(|told| saved && told == buyer.version)
            }
            What::Conflicted(expected) => state
                .active
                .get(&op.session)
                .is_some_and(|active| expected.unwrap_or(active.seen) != state.version),
            What::NotThere(units) => state.quantity(op.session, units.item_id) < units.quantity,
            What::Cleared => {
                buyer.clear(op.session);
                true
            }
            What::Bought(lines) => {
                buyer.take_out(op.session, lines);
                true
            }
        };
        so.then_some(buyer)
    }

    fn is_read(&self, op: &Op) -> bool {
        matches!(op.what, What::Shown(_) | What::Conflicted(_) | What::NotThere(_))
    }

    fn tell(&self, state: &Buyer) -> String {
        let active = state.active.iter().map(|(session, active)| {
            format!("session {session}: {}, saw version {}", text(&active.lines), active.seen)
        });
        let saved = format!("saved: {} at version {}", text(&state.saved), state.version);
        format!("({})", active.chain([saved]).collect::<Vec<_>>().join("; "))
    }
}

impl Buyer {
    fn change(&mut self, session: u32, change: impl FnOnce(&mut Lines)) {
        if let Some(active) = self.active.get_mut(&session) {
            change(&mut active.lines);
        }
    }

    fn quantity(&self, session: u32, item: ItemId) -> u32 {
        self.active.get(&session).and_then(|active| active.lines.get(&item)).copied().unwrap_or(0)
    }

    fn shows(&self, session: u32, told: Option<&CartSeen>) -> bool {
        told.is_none_or(|told| {
            let active = self.active.get(&session);
            active.is_some_and(|active| active.lines == told.lines) && self.version == told.saved_version
        })
    }

    fn save(&mut self, session: u32, expected: Option<u64>) -> bool {
        let Some(active) = self.active.get_mut(&session) else { return false };
        if expected.unwrap_or(active.seen) != self.version {
            return false;
        }
        self.version += 1;
        active.seen = self.version;
        self.saved.clone_from(&active.lines);
        true
    }

    fn clear(&mut self, session: u32) {
        if !self.saved.is_empty() {
            self.saved.clear();
            self.version += 1;
        }
        if let Some(active) = self.active.get_mut(&session) {
            *active = Active { lines: Lines::new(), seen: self.version };
        }
    }

    /// What was bought is taken out of the cart of the session that bought it, and out of the saved cart.
    fn take_out(&mut self, session: u32, bought: &Lines) {
        self.change(session, |lines| subtract(lines, bought));
        let before = (self.version, self.saved.clone());
        subtract(&mut self.saved, bought);
        if self.saved != before.1 {
            self.version += 1;
            if let Some(active) = self.active.get_mut(&session)
                && active.seen == before.0
            {
                active.seen = self.version;
            }
        }
    }
}

fn set(lines: &mut Lines, item: ItemId, quantity: u32) {
    lines.insert(item, quantity);
    lines.retain(|_, quantity| *quantity > 0);
}

fn subtract(lines: &mut Lines, bought: &Lines) {
    for (item, quantity) in bought {
        if let Some(there) = lines.get(item).copied() {
            set(lines, *item, there.saturating_sub(*quantity));
        }
    }
}

fn text(lines: &Lines) -> String {
    if lines.is_empty() {
        return "nothing".to_owned();
    }
    lines.iter().map(|(item, quantity)| format!("{quantity} of {item}")).collect::<Vec<_>>().join(", ")
}

pub(super) fn check(history: &[Event]) -> Check {
    let mut check = Check::new(
        "carts",
        "carts are linearizable: they hold what was put into them, once; a login finds the saved cart",
    );
    let mut parts: Parts<String, Op> = Parts::new();
    for (index, event) in history.iter().enumerate().filter(|(_, event)| event.key.starts_with("cart:")) {
        if let (Some(session), Some((what, refused))) = (event.session, what(event)) {
            let make = if refused { refusal } else { operation };
            parts.entry(event.key.clone()).or_default().push(make(index, event, Op { session, what }));
        }
    }
    for (key, operations) in &mut parts {
        let unclear = history.iter().filter(|event| event.key == *key && is_unclear(event));
        if let Some(from) = unclear.map(|event| event.start_ns).min() {
            operations.retain(|operation| operation.start_ns < from);
        }
        forget(operations);
    }
    check_parts(&mut check, &Carts, history, &parts);
    check
}

/// What an event is to the carts, and whether it is a refusal.
fn what(event: &Event) -> Option<(What, bool)> {
    let cart = || if let Answer::Cart(cart) = &event.answer { Some(cart.clone()) } else { None };
    if event.outcome == Outcome::Fail {
        let Answer::Refused { code } = &event.answer else { return None };
        return match (&event.action, code.as_str()) {
            (Action::SaveCart(expected), "saved_cart_conflict") => Some((What::Conflicted(*expected), true)),
            (Action::RemoveFromCart(units), "not_in_cart") => Some((What::NotThere(*units), true)),
            _ => None,
        };
    }
    let what = match &event.action {
        Action::LoginBuyer if event.is_ok() => What::Opened,
        Action::LogoutBuyer => What::Closed,
        Action::AddToCart(units) => What::Added(*units, cart()),
        Action::RemoveFromCart(units) => What::Removed(*units, cart()),
        Action::DisplayCart => What::Shown(cart()?),
        Action::SaveCart(expected) => {
            let told =
                if let Answer::Saved(saved) = &event.answer { Some(saved.saved_version) } else { None };
            What::Saved(*expected, told)
        }
        Action::ClearCart => What::Cleared,
        Action::MakePurchase(cart) => What::Bought(match &event.answer {
            Answer::Purchase(purchase) => {
                purchase.lines.iter().map(|line| (line.item_id, line.quantity)).collect()
            }
            _ => cart.iter().map(|units| (units.item_id, units.quantity)).collect(),
        }),
        _ => return None,
    };
    Some((what, false))
}

/// A purchase of which neither is known whether it happened nor what was bought.
fn is_unclear(event: &Event) -> bool {
    event.outcome == Outcome::Info && matches!(&event.action, Action::MakePurchase(cart) if cart.is_empty())
}

/// Says of each session when nobody uses it any more, so that states do not grow with all sessions that ever were. But a save
/// of unknown outcome may still come, and needs its session's cart.
fn forget(operations: &mut Vec<Operation<Op>>) {
    let mut last: BTreeMap<u32, u64> = BTreeMap::new();
    let mut needed = BTreeSet::new();
    for operation in operations.iter() {
        let end = last.entry(operation.op.session).or_default();
        *end = (*end).max(operation.end_ns.unwrap_or(operation.start_ns));
        if operation.end_ns.is_none() && matches!(operation.op.what, What::Saved(..)) {
            needed.insert(operation.op.session);
        }
    }
    for (session, end) in last.into_iter().filter(|(session, _)| !needed.contains(session)) {
        let op = Op { session, what: What::Forgotten };
        operations.push(Operation { op, index: usize::MAX, start_ns: end + 1, end_ns: Some(end + 1) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{History, item, purchase};

    fn found(build: impl FnOnce(&mut History)) -> Vec<String> {
        let mut history = History::default();
        history.login(1).ok();
        build(&mut history);
        check(&history.events()).violations.into_iter().map(|violation| violation.what).collect()
    }

    #[test]
    fn carts_that_hold_what_was_put_into_them_are_right() {
        let wrong = found(|h| {
            h.add_to_cart(1, item(1), 2, &[(1, 2)]).ok();
            h.add_to_cart(1, item(2), 9, &[]).fail();
            h.save_cart(1, 1).ok();
            h.saved_version = 1;
            h.remove_from_cart(1, item(1), 3, &[]).fail_with("not_in_cart");
            h.remove_from_cart(1, item(1), 2, &[]).ok();
            h.display_cart(1, &[]).ok();
            h.logout(1).ok();
            h.login(1).ok();
            h.display_cart(1, &[(1, 2)]).ok();
            h.clear_cart(1).ok();
            h.saved_version = 2;
            h.login(1).ok();
            h.display_cart(1, &[]).ok();
        });
        assert_eq!(wrong, [""; 0]);
    }

    #[test]
    fn units_that_went_into_the_cart_twice_are_found() {
        let wrong = found(|h| h.add_to_cart(1, item(1), 2, &[(1, 4)]).ok());
        assert_eq!(
            wrong,
            [
                "cart:1: no order of these calls explains the answers; before, it was (session 1: nothing, saw version 0; \
              saved: nothing at version 0)"
            ]
        );
    }

    #[test]
    fn a_lost_change_is_found() {
        let wrong = found(|h| {
            h.add_to_cart(1, item(1), 2, &[(1, 2)]).ok();
            h.display_cart(1, &[]).ok();
        });
        assert_eq!(wrong.len(), 1);
    }

    #[test]
    fn a_saved_cart_that_is_lost_is_found() {
        let wrong = found(|h| {
            h.add_to_cart(1, item(1), 2, &[(1, 2)]).ok();
            h.save_cart(1, 1).ok();
            h.saved_version = 1;
            h.login(1).ok();
            h.display_cart(1, &[]).ok();
        });
        assert_eq!(wrong.len(), 1);
    }

    #[test]
    fn a_save_that_overwrote_another_one_unseen_is_found_and_a_conflict_is_right() {
        let race = |second: fn(&mut History)| {
            found(|h| {
                h.add_to_cart(1, item(1), 2, &[(1, 2)]).ok();
                h.login_as(2, 1).ok();
                h.save_cart(1, 1).ok();
                second(h);
            })
        };
        assert_eq!(race(|h| h.save_cart_of(2, 1, 0).fail_with("saved_cart_conflict")), [""; 0]);
        assert_eq!(race(|h| h.save_cart_of(2, 1, 2).ok()).len(), 1);
    }

    #[test]
    fn a_conflict_without_another_save_is_found() {
        assert_eq!(found(|h| h.save_cart(1, 0).fail_with("saved_cart_conflict")).len(), 1);
    }

    #[test]
    fn a_change_in_doubt_takes_effect_once_or_never() {
        let history = |shown: &[(u64, u32)], then: &[(u64, u32)], after_login: &[(u64, u32)]| {
            found(|h| {
                h.add_to_cart(1, item(1), 2, &[]).info();
                h.display_cart(1, shown).ok();
                h.display_cart(1, then).ok();
                h.login(1).ok();
                h.display_cart(1, after_login).ok();
            })
            .len()
        };
        assert_eq!(history(&[], &[(1, 2)], &[]), 0);
        assert_eq!(history(&[(1, 2)], &[], &[]), 1, "it came and went");
        assert_eq!(history(&[(1, 2)], &[(1, 4)], &[]), 1, "it came twice");
        assert_eq!(history(&[], &[(1, 2)], &[(1, 2)]), 1, "the saved cart was not touched");
    }

    #[test]
    fn a_save_in_doubt_may_come_after_its_session() {
        let wrong = |version| {
            found(|h| {
                h.add_to_cart(1, item(1), 2, &[(1, 2)]).ok();
                h.save_cart(1, 0).info();
                h.login(1).ok();
                h.display_cart(1, &[]).ok();
                h.login(1).ok();
                h.saved_version = version;
                h.display_cart(1, &[(1, 2)]).ok();
            })
        };
        assert_eq!((wrong(1).len(), wrong(2).len()), (0, 1));
    }

    #[test]
    fn a_cart_that_was_bought_and_is_still_there_is_found() {
        let with = |lines: &[(u64, u32)]| {
            found(|h| {
                h.add_to_cart(1, item(1), 2, &[(1, 2)]).ok();
                h.buy(1, &[(item(1), 2)], &purchase("p1", &[(item(1), 1, 2)])).ok();
                h.display_cart(1, lines).ok();
            })
        };
        assert_eq!((with(&[]).len(), with(&[(1, 2)]).len()), (0, 1));
    }
}
