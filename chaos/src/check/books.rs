//! The books balance: no unit and no cent comes from nowhere or goes nowhere.

use std::collections::{HashMap, HashSet};

use agora_clients::ItemId;

use super::Check;
use super::range::Range;
use crate::history::{Action, Answer, Event};
use crate::readings::Readings;

pub(super) fn check(history: &[Event], readings: &Readings) -> Check {
    let mut check =
        Check::new("books", "units listed are on sale, reserved or sold; what was charged was bought");
    units(&mut check, history, readings);
    money(&mut check, history, readings);
    check
}

fn units(check: &mut Check, history: &[Event], readings: &Readings) {
    let totals = readings.totals;
    let suspects = || out_of_place(history, readings).unwrap_or_else(|| without_success(history, readings));
    let sum =
        i128::from(totals.units_on_sale) + i128::from(totals.units_reserved) + i128::from(totals.units_sold);
    let parts = || {
        format!(
            "{} units are listed, but {} are on sale, {} reserved and {} sold",
            totals.units_listed, totals.units_on_sale, totals.units_reserved, totals.units_sold
        )
    };
    check.require(sum == i128::from(totals.units_listed), parts, suspects());
    let held =
        || format!("{} reservations still hold {} units", totals.reservations_held, totals.units_reserved);
    check.require(totals.reservations_held == 0 && totals.units_reserved == 0, held, suspects());

    let lines = readings.purchases.values().flatten().flat_map(|purchase| &purchase.lines);
    let bought: u64 = lines.map(|line| u64::from(line.quantity)).sum();
    let sold = || format!("{} units are sold, but buyers have bought {bought}", totals.units_sold);
    check.require(bought == totals.units_sold, sold, suspects());

    let listed = listed(history);
    let should = || format!("{} units are listed, but sellers have listed {listed}", totals.units_listed);
    check.require(listed.holds(totals.units_listed), should, suspects());
}

/// An item that the books show to be wrong: what its seller did to it, and the purchases that had to do with it. Of several the
/// one with the fewest.
fn out_of_place<'a>(history: &'a [Event], readings: &Readings) -> Option<Vec<&'a Event>> {
    let mut accounts: HashMap<ItemId, (Range, Vec<&Event>)> = HashMap::new();
    for event in history {
        match (&event.action, &event.answer) {
            (Action::AddItem(offer), Answer::Registered(item)) if event.is_ok() => {
                let (units, events) = accounts.entry(item.item_id).or_default();
                units.add(offer.quantity);
                events.push(event);
            }
            (Action::AddUnits(delta), _) if event.is_possible() => {
                let Ok(item) = event.key.parse() else { continue };
                let (units, events) = accounts.entry(item).or_default();
                if event.is_ok() {
                    units.add(*delta)
                } else {
                    units.perhaps(*delta)
                }
                events.push(event);
            }
            (Action::MakePurchase(cart), _) => {
                for line in cart {
                    accounts.entry(line.item_id).or_default().1.push(event);
                }
            }
            _ => {}
        }
    }
    for line in readings.purchases.values().flatten().flat_map(|purchase| &purchase.lines) {
        accounts.entry(line.item_id).or_default().0.add(-i128::from(line.quantity));
    }
    let found = readings.sellers.values().flat_map(|seller| &seller.items);
    let wrong = found.filter_map(|item| {
        let (units, events) = accounts.get(&item.item_id)?;
        (!units.holds(item.quantity)).then_some(events)
    });
    wrong.min_by_key(|events| events.len()).cloned()
}

/// The calls for a purchase that is not there.
fn without_success<'a>(history: &'a [Event], readings: &Readings) -> Vec<&'a Event> {
    let there: HashSet<&str> =
        readings.purchases.values().flatten().map(|purchase| purchase.purchase_id.as_str()).collect();
    let is_missing = |event: &&Event| match (&event.action, &event.answer) {
        (Action::MakePurchase(_), Answer::Purchase(purchase)) => {
            !there.contains(purchase.purchase_id.as_str())
        }
        (Action::MakePurchase(_), _) => true,
        _ => false,
    };
    history.iter().filter(is_missing).collect()
}

/// What sellers put on sale, less what they took away. Items are removed before anybody could buy of them.
fn listed(history: &[Event]) -> Range {
    let mut listed = Range::default();
    let mut registered = HashMap::new();
    for event in history.iter().filter(|event| event.is_possible()) {
        match (&event.action, &event.answer) {
            (Action::AddItem(offer), Answer::Registered(item)) if event.is_ok() => {
                listed.add(offer.quantity);
                *registered.entry(item.item_id.to_string()).or_insert(0_u64) += offer.quantity;
            }
            (Action::AddItem(offer), _) => listed.perhaps(offer.quantity),
            (Action::AddUnits(delta), _) if event.is_ok() => listed.add(*delta),
            (Action::AddUnits(delta), _) => listed.perhaps(*delta),
            (Action::RemoveItem, _) => {
                let units = -i128::from(registered.get(&event.key).copied().unwrap_or(0));
                if event.is_ok() { listed.add(units) } else { listed.perhaps(units) }
            }
            _ => {}
        }
    }
    listed
}

fn money(check: &mut Check, history: &[Event], readings: &Readings) {
    let ledger = readings.ledger;
    let purchases = || readings.purchases.values().flatten();
    let bought: u128 = purchases().map(|purchase| u128::from(purchase.total.0)).sum();
    let charged = ledger.approved.cents.checked_sub(ledger.voided.cents);
    let amounts = || {
        format!(
            "{} cents were approved and {} of them voided, but buyers have bought for {bought}",
            ledger.approved.cents, ledger.voided.cents
        )
    };
    check.require(charged == Some(bought), amounts, without_success(history, readings));
    let standing = ledger.approved.count.checked_sub(ledger.voided.count);
    let count = purchases().count() as u64;
    let charges = || {
        let (approved, voided) = (ledger.approved.count, ledger.voided.count);
        format!(
            "{approved} charges were approved and {voided} of them voided, but there are {count} purchases"
        )
    };
    check.require(standing == Some(count), charges, without_success(history, readings));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{History, item, purchase, seen, seller};
    use crate::readings::{Ledger, Sum, Totals};

    /// One item with 10 units, of which 3 at 2.00 were bought, and 2 were taken away.
    fn right() -> (Vec<Event>, Readings) {
        let mut history = History::default();
        history.add_item(0, item(1), "lamp", 200, 10).ok();
        history.add_units(0, item(1), -2).ok();
        let bought = purchase("p1", &[(item(1), 200, 3)]);
        let paid = Sum { count: 1, cents: 600 };
        let voided = Sum { count: 1, cents: 50 };
        let readings = Readings {
            totals: Totals {
                items: 1,
                units_on_sale: 5,
                units_sold: 3,
                units_listed: 8,
                ..Totals::default()
            },
            ledger: Ledger { approved: Sum { count: paid.count + 1, cents: paid.cents + 50 }, voided },
            purchases: [(9, vec![bought])].into(),
            ..Readings::default()
        };
        (history.events(), readings)
    }

    fn found(change: impl FnOnce(&mut Vec<Event>, &mut Readings)) -> Vec<String> {
        let (mut history, mut readings) = right();
        change(&mut history, &mut readings);
        check(&history, &readings).violations.into_iter().map(|violation| violation.what).collect()
    }

    #[test]
    fn books_that_balance_are_right() {
        assert_eq!(found(|_, _| {}), [""; 0]);
    }

    #[test]
    fn a_unit_from_nowhere_is_found() {
        let wrong = found(|_, readings| readings.totals.units_on_sale += 1);
        assert!(wrong[0].contains("but 6 are on sale"), "{wrong:?}");
    }

    #[test]
    fn a_unit_sold_that_nobody_bought_is_found() {
        let wrong = found(|_, readings| {
            readings.totals.units_sold += 1;
            readings.totals.units_on_sale -= 1;
        });
        assert_eq!(wrong, ["4 units are sold, but buyers have bought 3"]);
    }

    #[test]
    fn units_added_twice_are_found() {
        let wrong = found(|_, readings| {
            readings.totals.units_listed -= 2;
            readings.totals.units_on_sale -= 2;
        });
        assert_eq!(wrong, ["6 units are listed, but sellers have listed 8"]);
    }

    #[test]
    fn an_addition_in_doubt_may_be_there_or_not_but_nothing_else() {
        let with = |units: u64| {
            found(|events, readings| {
                let mut history = History::default();
                history.add_units(0, item(1), 5).info();
                events.extend(history.events());
                readings.totals.units_listed += units;
                readings.totals.units_on_sale += units;
            })
        };
        assert!(with(0).is_empty() && with(5).is_empty());
        assert_eq!(with(6), ["14 units are listed, but sellers have listed 8 to 13"]);
    }

    #[test]
    fn a_reservation_left_is_found() {
        let wrong = found(|_, readings| {
            readings.totals.units_on_sale -= 1;
            readings.totals.units_reserved += 1;
            readings.totals.reservations_held += 1;
        });
        assert_eq!(wrong, ["1 reservations still hold 1 units"]);
    }

    #[test]
    fn books_that_do_not_balance_come_with_what_was_done_to_the_item_or_the_purchase() {
        let (_, mut readings) = right();
        let mut history = History::default();
        history.add_item(0, item(1), "lamp", 200, 10).ok();
        history.add_units(0, item(1), -2).ok();
        history.add_item(0, item(2), "attic", 100, 7).ok();
        history.buy(1, &[(item(1), 3)], &purchase("p1", &[(item(1), 200, 3)])).ok();
        history.buy(1, &[(item(1), 4)], &purchase("p2", &[(item(1), 200, 4)])).fail();
        let events = history.events();
        // Four units of a purchase that was refused were not given back.
        let items = vec![seen(item(1), "lamp", 200, 1), seen(item(2), "attic", 100, 7)];
        readings.sellers = [(100, seller(100, items))].into();
        readings.totals = Totals {
            units_on_sale: 8,
            units_reserved: 4,
            units_listed: 15,
            reservations_held: 1,
            ..readings.totals
        };
        let evidence = |readings: &Readings| {
            let wrong = check(&events, readings).violations;
            assert_eq!(wrong.len(), 1, "{wrong:#?}");
            wrong[0].evidence.clone()
        };
        let about_the_lamp: Vec<Event> = [0, 1, 3, 4].map(|at: usize| events[at].clone()).to_vec();
        assert_eq!(evidence(&readings), about_the_lamp);
        readings.sellers.clear();
        assert_eq!(evidence(&readings), [events[4].clone()], "no item is known to be wrong");
    }

    #[test]
    fn a_charge_without_a_purchase_is_found() {
        let wrong = found(|_, readings| {
            readings.ledger.approved.count += 1;
            readings.ledger.approved.cents += 600;
        });
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].contains("1250 cents were approved"), "{wrong:?}");
    }
}
