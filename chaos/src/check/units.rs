//! Units on sale are linearizable counters, as far as only their sellers change them: items that no buyer ever wanted. Each
//! addition tells how many there are then, so one that is lost, or that took effect twice, contradicts the next.
//!
//! What is bought leaves the stock when it is reserved, at a moment that the history does not know; those items are for the
//! books.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use agora_clients::ItemId;

use super::Check;
use super::linear::Model;
use super::prices::registered;
use super::registers::{Parts, check_parts, operation, refusal};
use crate::history::{Action, Answer, Event, Outcome};

struct Units;

#[derive(Clone, Copy, Debug)]
enum Op {
    Listed(u64),
    /// With the sum that was told.
    Added(i64, Option<u64>),
    Seen(u64),
    /// There were fewer than were to be taken away.
    TooFew(i64),
    Removed,
}

impl Model for Units {
    /// `None` while the item is not on sale.
    type State = Option<u64>;
    type Op = Op;

    fn initial(&self) -> Option<u64> {
        None
    }

    fn step(&self, state: &Option<u64>, op: &Op) -> Option<Option<u64>> {
        let add = |delta: i64| state.and_then(|units| units.checked_add_signed(delta));
        match *op {
            Op::Listed(units) => Some(Some(units)),
            Op::Added(delta, told) => add(delta).filter(|sum| told.is_none_or(|told| told == *sum)).map(Some),
            Op::Seen(units) => (*state == Some(units)).then_some(*state),
            Op::TooFew(delta) => (state.is_some() && add(delta).is_none()).then_some(*state),
            Op::Removed => Some(None),
        }
    }

    fn is_read(&self, op: &Op) -> bool {
        matches!(op, Op::Seen(_) | Op::TooFew(_))
    }

    fn tell(&self, state: &Option<u64>) -> String {
        state.map_or_else(|| "not on sale".into(), |units| format!("{units} units"))
    }
}

pub(super) fn check(history: &[Event]) -> Check {
    let mut check = Check::new(
        "units",
        "units on sale are linearizable: no change is lost, none takes effect twice, all see the last",
    );
    let (wanted, registered, by_name) = (wanted(history), registered(history), by_name(history));
    let mut parts: Parts<ItemId, Op> = Parts::new();
    for (index, event) in history.iter().enumerate() {
        let mut add = |item: ItemId, op: Op, refused: bool| {
            if registered.contains(&item) && !wanted.contains(&item) {
                let make = if refused { refusal } else { operation };
                parts.entry(item).or_default().push(make(index, event, op));
            }
        };
        let item = || event.key.parse::<ItemId>().ok();
        match (&event.action, &event.answer, event.outcome) {
            (Action::AddItem(offer), Answer::Registered(told), Outcome::Ok) if told.merged => {
                add(told.item_id, Op::Added(added(offer.quantity), Some(told.quantity)), false);
            }
            (Action::AddItem(offer), Answer::Registered(told), Outcome::Ok) => {
                add(told.item_id, Op::Listed(offer.quantity), false);
            }
            (Action::AddItem(offer), _, Outcome::Info) => {
                // It may have been added to an item of that name; which one, the price decides.
                for item in by_name.get(offer.name.as_str()).into_iter().flatten() {
                    add(*item, Op::Added(added(offer.quantity), None), false);
                }
            }
            (Action::AddUnits(delta), answer, Outcome::Ok | Outcome::Info) => {
                let told = if let Answer::Units(units) = answer { Some(units.quantity) } else { None };
                item().into_iter().for_each(|item| add(item, Op::Added(*delta, told), false));
            }
            (Action::AddUnits(delta), Answer::Refused { code }, Outcome::Fail)
                if code == "insufficient_stock" =>
            {
                item().into_iter().for_each(|item| add(item, Op::TooFew(*delta), true));
            }
            (Action::RemoveItem, _, Outcome::Ok | Outcome::Info) => {
                item().into_iter().for_each(|item| add(item, Op::Removed, false));
            }
            (_, _, Outcome::Ok) => {
                let mut seen = HashSet::new();
                for item in event.items_seen().iter().filter(|item| seen.insert(item.item_id)) {
                    add(item.item_id, Op::Seen(item.quantity), false);
                }
            }
            _ => {}
        }
    }
    check_parts(&mut check, &Units, history, &parts);
    check
}

fn added(quantity: u64) -> i64 {
    i64::try_from(quantity).unwrap_or(i64::MAX)
}

/// Items that buyers put into their carts.
fn wanted(history: &[Event]) -> BTreeSet<ItemId> {
    let wanted = |event: &Event| match &event.action {
        Action::AddToCart(units) => Some(units.item_id),
        _ => None,
    };
    history.iter().filter_map(wanted).collect()
}

fn by_name(history: &[Event]) -> BTreeMap<&str, BTreeSet<ItemId>> {
    let mut by_name: BTreeMap<&str, BTreeSet<ItemId>> = BTreeMap::new();
    for event in history.iter().filter(|event| event.is_ok()) {
        if let (Action::AddItem(offer), Answer::Registered(item)) = (&event.action, &event.answer) {
            by_name.entry(&offer.name).or_default().insert(item.item_id);
        }
    }
    by_name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{History, item};

    fn found(build: impl FnOnce(&mut History)) -> Vec<String> {
        let mut history = History::default();
        history.add_item(0, item(1), "lamp", 100, 10).ok();
        build(&mut history);
        check(&history.events()).violations.into_iter().map(|violation| violation.what).collect()
    }

    #[test]
    fn changes_that_add_up_are_right() {
        let wrong = found(|h| {
            h.add_units_telling(0, item(1), 5, 15).ok();
            h.add_units_telling(0, item(1), -20, 0).fail_with("insufficient_stock");
            h.add_equal_item(0, item(1), "lamp", 100, 3).telling(18).ok();
            h.see_units(1, item(1), 18).ok();
        });
        assert_eq!(wrong, [""; 0]);
    }

    #[test]
    fn a_change_that_took_effect_twice_or_not_at_all_is_found_when_the_next_is_told() {
        for told in [11, 21] {
            let wrong = found(|h| {
                h.add_units_telling(0, item(1), 5, 15).ok();
                h.add_units_telling(0, item(1), 1, told).ok();
            });
            assert_eq!(wrong, ["1-1: no order of these calls explains the answers; before, it was 15 units"]);
        }
    }

    #[test]
    fn a_refusal_that_was_not_due_is_found() {
        let wrong = found(|h| h.add_units_telling(0, item(1), -10, 0).fail_with("insufficient_stock"));
        assert_eq!(wrong.len(), 1);
    }

    #[test]
    fn a_change_in_doubt_may_take_effect_once() {
        let with = |told| {
            found(|h| {
                h.add_units_telling(0, item(1), 5, 0).info();
                h.add_units_telling(0, item(1), 1, told).ok();
            })
        };
        assert!(with(11).is_empty() && with(16).is_empty());
        assert_eq!(with(21).len(), 1);
    }

    #[test]
    fn what_buyers_want_is_left_to_the_books() {
        let wrong = found(|h| {
            h.add_to_cart(1, item(1), 1, &[(1, 1)]).ok();
            h.see_units(1, item(1), 9).ok();
        });
        assert_eq!(wrong, [""; 0]);
    }
}
