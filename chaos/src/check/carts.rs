//! Carts: each buyer is alone with its carts and does one thing after the other, so every answer can be told beforehand. An
//! answer that differs is a lost change, one that took effect twice, or a stale read.
//!
//! After a change whose outcome is unknown a session's cart is not checked until the next login; a saved cart with such a
//! change in its past is never checked again, because that change may take effect at any time.

use std::collections::{BTreeMap, HashMap};

use agora_clients::ItemId;

use super::Check;
use crate::history::{Action, Answer, CartSeen, Event, Units};

type Lines = BTreeMap<ItemId, u32>;

/// What must be in a buyer's carts; `None` where nobody can say.
#[derive(Debug, Default)]
struct Buyer<'a> {
    active: Option<Lines>,
    saved: Saved,
    events: Vec<&'a Event>,
}

#[derive(Debug)]
enum Saved {
    Known(Lines),
    InDoubt,
}

impl Default for Saved {
    fn default() -> Self {
        Saved::Known(Lines::new())
    }
}

pub(super) fn check(history: &[Event]) -> Check {
    let mut check =
        Check::new("carts", "carts hold what was put into them, once; a login finds the saved cart");
    let mut buyers: HashMap<u32, Buyer<'_>> = HashMap::new();
    for event in history.iter().filter(|event| event.key.starts_with("cart:")) {
        let buyer = buyers.entry(event.client).or_default();
        buyer.events.push(event);
        if event.is_ok() {
            buyer.done(&mut check, event);
        } else if event.is_possible() {
            buyer.in_doubt(&event.action);
        }
    }
    check
}

impl Buyer<'_> {
    fn done(&mut self, check: &mut Check, event: &Event) {
        match (&event.action, &event.answer) {
            (Action::LoginBuyer, _) => {
                self.active = match &self.saved {
                    Saved::Known(lines) => Some(lines.clone()),
                    Saved::InDoubt => None,
                };
            }
            (Action::LogoutBuyer, _) => self.active = None,
            (Action::AddToCart(units), Answer::Cart(cart)) => {
                let expected = self.active.take().map(|lines| added(lines, *units));
                self.seen(check, expected, cart);
            }
            (Action::RemoveFromCart(units), Answer::Cart(cart)) => {
                let expected = self.active.take().map(|lines| removed(lines, *units));
                self.seen(check, expected, cart);
            }
            (Action::DisplayCart, Answer::Cart(cart)) => {
                let expected = self.active.take();
                self.seen(check, expected, cart);
            }
            (Action::SaveCart, _) => {
                if let (Saved::Known(saved), Some(active)) = (&mut self.saved, &self.active) {
                    saved.clone_from(active);
                } else {
                    self.saved = Saved::InDoubt;
                }
            }
            (Action::ClearCart, _) => {
                self.active = self.active.is_some().then(Lines::new);
                if let Saved::Known(saved) = &mut self.saved {
                    saved.clear();
                }
            }
            (Action::MakePurchase(_), _) => self.bought(),
            _ => {}
        }
    }

    /// What was bought is taken out of the active cart and out of the saved one.
    fn bought(&mut self) {
        self.active = self.active.is_some().then(Lines::new);
        if !matches!(&self.saved, Saved::Known(saved) if saved.is_empty()) {
            self.saved = Saved::InDoubt;
        }
    }

    fn in_doubt(&mut self, action: &Action) {
        match action {
            Action::AddToCart(_) | Action::RemoveFromCart(_) | Action::LogoutBuyer => self.active = None,
            Action::SaveCart | Action::ClearCart => {
                self.active = None;
                self.saved = Saved::InDoubt;
            }
            Action::MakePurchase(_) => {
                self.bought();
                self.active = None;
            }
            // A session that may have been opened is one that nobody uses.
            _ => {}
        }
    }

    fn seen(&mut self, check: &mut Check, expected: Option<Lines>, cart: &CartSeen) {
        let Some(expected) = expected else {
            // What the answer shows may still be changed by what is in doubt.
            return;
        };
        let what = || format!("the cart holds {}, but should hold {}", text(&cart.lines), text(&expected));
        check.require(expected == cart.lines, what, self.events.iter().copied());
        // From here on, what was seen: one wrong answer is told once.
        self.active = Some(cart.lines.clone());
    }
}

fn added(mut lines: Lines, units: Units) -> Lines {
    *lines.entry(units.item_id).or_default() += units.quantity;
    lines
}

fn removed(mut lines: Lines, units: Units) -> Lines {
    if let Some(quantity) = lines.get_mut(&units.item_id) {
        *quantity = quantity.saturating_sub(units.quantity);
    }
    lines.retain(|_, quantity| *quantity > 0);
    lines
}

fn text(lines: &Lines) -> String {
    if lines.is_empty() {
        return "nothing".to_owned();
    }
    lines.iter().map(|(item, quantity)| format!("{quantity} of {item}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{History, item};

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
            h.save_cart(1).ok();
            h.remove_from_cart(1, item(1), 2, &[]).ok();
            h.display_cart(1, &[]).ok();
            h.logout(1).ok();
            h.login(1).ok();
            h.display_cart(1, &[(1, 2)]).ok();
            h.clear_cart(1).ok();
            h.login(1).ok();
            h.display_cart(1, &[]).ok();
        });
        assert_eq!(wrong, [""; 0]);
    }

    #[test]
    fn units_that_went_into_the_cart_twice_are_found() {
        let wrong = found(|h| h.add_to_cart(1, item(1), 2, &[(1, 4)]).ok());
        assert_eq!(wrong, ["the cart holds 4 of 1-1, but should hold 2 of 1-1"]);
    }

    #[test]
    fn a_lost_change_is_found() {
        let wrong = found(|h| {
            h.add_to_cart(1, item(1), 2, &[(1, 2)]).ok();
            h.display_cart(1, &[]).ok();
        });
        assert_eq!(wrong, ["the cart holds nothing, but should hold 2 of 1-1"]);
    }

    #[test]
    fn a_saved_cart_that_is_lost_is_found() {
        let wrong = found(|h| {
            h.add_to_cart(1, item(1), 2, &[(1, 2)]).ok();
            h.save_cart(1).ok();
            h.login(1).ok();
            h.display_cart(1, &[]).ok();
        });
        assert_eq!(wrong.len(), 1);
    }

    #[test]
    fn after_a_change_in_doubt_anything_may_be_in_the_cart_until_the_next_login() {
        let history = |h: &mut History, after_login: &[(u64, u32)]| {
            h.add_to_cart(1, item(1), 2, &[]).info();
            h.display_cart(1, &[(1, 2)]).ok();
            h.display_cart(1, &[]).ok();
            h.login(1).ok();
            h.display_cart(1, after_login).ok();
        };
        assert_eq!(found(|h| history(h, &[])), [""; 0]);
        assert_eq!(found(|h| history(h, &[(1, 2)])).len(), 1, "the saved cart was not touched");
    }

    #[test]
    fn a_saved_cart_in_doubt_stays_so() {
        let wrong = found(|h| {
            h.add_to_cart(1, item(1), 2, &[(1, 2)]).ok();
            h.save_cart(1).info();
            h.login(1).ok();
            h.display_cart(1, &[]).ok();
            h.login(1).ok();
            h.display_cart(1, &[(1, 2)]).ok();
        });
        assert_eq!(wrong, [""; 0]);
    }

    #[test]
    fn a_cart_that_was_bought_and_is_still_there_is_found() {
        let wrong = found(|h| {
            h.add_to_cart(1, item(1), 2, &[(1, 2)]).ok();
            h.buy(1, &[(item(1), 2)], &crate::check::testing::purchase("p1", &[(item(1), 1, 2)])).ok();
            h.display_cart(1, &[(1, 2)]).ok();
        });
        assert_eq!(wrong.len(), 1);
    }
}
