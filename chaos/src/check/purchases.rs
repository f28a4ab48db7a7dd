//! Purchases: what was acknowledged is there, unchanged, once; it is what was in the cart, at prices that the items had; and
//! nothing was bought that nobody asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use agora_clients::{Cents, ItemId};

use super::Check;
use crate::history::{Action, Answer, Event, PurchaseSeen, Units};
use crate::readings::Readings;
use crate::workload::People;

pub(super) fn check(history: &[Event], readings: &Readings, people: &People) -> Check {
    let mut check = Check::new(
        "purchases",
        "an acknowledged purchase is recorded once, with what was in the cart, at the items' prices",
    );
    let (prices, priced) = (prices(history), priced(history));
    let (of_client, of_purchase) = (of_client(history), of_purchase(history));
    let none = Vec::new();
    let mut ids = HashSet::new();
    for buyer in &people.buyers {
        let recorded = readings.purchases.get(&buyer.user_id).unwrap_or(&none);
        let events = of_client.get(&buyer.client).map(Vec::as_slice).unwrap_or_default();
        for purchase in recorded {
            let twice = || format!("purchase {} is recorded twice", purchase.purchase_id);
            let id = purchase.purchase_id.as_str();
            let calls = of_purchase.get(id).map(Vec::as_slice).unwrap_or_default();
            check.require(ids.insert(id), twice, of_purchase_or_doubts(calls, events));
            consistent(&mut check, purchase, &prices, &priced, &of_purchase_or_doubts(calls, events));
        }
        acknowledged(&mut check, &buyer.username, events, recorded);
        newest_is_listed(&mut check, events);
    }
    check
}

fn of_client(history: &[Event]) -> HashMap<u32, Vec<&Event>> {
    let mut of_client: HashMap<u32, Vec<&Event>> = HashMap::new();
    let about = |event: &&Event| matches!(event.action, Action::MakePurchase(_) | Action::ListPurchases);
    for event in history.iter().filter(about) {
        of_client.entry(event.client).or_default().push(event);
    }
    of_client
}

/// The calls that were answered with each purchase, or listed it.
fn of_purchase(history: &[Event]) -> HashMap<&str, Vec<&Event>> {
    let mut of_purchase: HashMap<&str, Vec<&Event>> = HashMap::new();
    for event in history {
        match &event.answer {
            Answer::Purchase(purchase) => of_purchase.entry(&purchase.purchase_id).or_default().push(event),
            Answer::Purchases(listed) => {
                for id in listed {
                    let calls = of_purchase.entry(id).or_default();
                    // Who lists it again and again says nothing new.
                    if !calls.iter().any(|call| call.client == event.client && call.action == event.action) {
                        calls.push(event);
                    }
                }
            }
            _ => {}
        }
    }
    of_purchase
}

/// The calls about a purchase; if none was answered with it, those of its buyer that may have made it.
fn of_purchase_or_doubts<'a>(calls: &[&'a Event], of_buyer: &[&'a Event]) -> Vec<&'a Event> {
    let bought = |event: &&&Event| matches!(event.action, Action::MakePurchase(_));
    let doubts = of_buyer.iter().filter(bought).filter(|event| event.is_possible() && !event.is_ok());
    match calls.iter().any(|call| matches!(call.answer, Answer::Purchase(_))) {
        true => calls.to_vec(),
        false => calls.iter().chain(doubts).copied().collect(),
    }
}

/// The calls that gave each item its prices.
fn priced(history: &[Event]) -> HashMap<ItemId, Vec<&Event>> {
    let mut priced: HashMap<ItemId, Vec<&Event>> = HashMap::new();
    for event in history.iter().filter(|event| event.is_possible()) {
        let item = match (&event.action, &event.answer) {
            (Action::AddItem(_), Answer::Registered(item)) => Some(item.item_id),
            (Action::SetPrice(_), _) => event.key.parse().ok(),
            _ => None,
        };
        if let Some(item) = item {
            priced.entry(item).or_default().push(event);
        }
    }
    priced
}

/// All prices that each item may ever have had.
fn prices(history: &[Event]) -> HashMap<ItemId, BTreeSet<Cents>> {
    let mut prices: HashMap<ItemId, BTreeSet<Cents>> = HashMap::new();
    for event in history.iter().filter(|event| event.is_possible()) {
        let priced = match (&event.action, &event.answer) {
            (Action::AddItem(offer), Answer::Registered(item)) => Some((item.item_id, offer.price)),
            (Action::SetPrice(price), _) => event.key.parse().ok().map(|id| (id, *price)),
            _ => None,
        };
        if let Some((id, price)) = priced {
            prices.entry(id).or_default().insert(price);
        }
    }
    prices
}

fn consistent(
    check: &mut Check,
    purchase: &PurchaseSeen,
    prices: &HashMap<ItemId, BTreeSet<Cents>>,
    priced: &HashMap<ItemId, Vec<&Event>>,
    calls: &[&Event],
) {
    let id = &purchase.purchase_id;
    let sum: u64 = purchase.lines.iter().map(|line| line.price.0 * u64::from(line.quantity)).sum();
    check.require(
        sum == purchase.total.0,
        || format!("purchase {id} cost {}, but its lines {}", purchase.total, Cents(sum)),
        calls.iter().copied(),
    );
    for line in &purchase.lines {
        // An item whose registration was in doubt has prices that nobody knows of.
        let known = prices.get(&line.item_id).is_none_or(|prices| prices.contains(&line.price));
        check.require(
            known,
            || format!("purchase {id} paid {} for {}, which it never cost", line.price, line.item_id),
            priced.get(&line.item_id).into_iter().flatten().chain(calls).copied(),
        );
    }
}

fn acknowledged(check: &mut Check, buyer: &str, events: &[&Event], recorded: &[PurchaseSeen]) {
    let mut unexplained: BTreeMap<&str, &PurchaseSeen> =
        recorded.iter().map(|p| (p.purchase_id.as_str(), p)).collect();
    let mut in_doubt = 0;
    for event in events {
        let Action::MakePurchase(cart) = &event.action else { continue };
        match &event.answer {
            Answer::Purchase(purchase) if event.is_ok() => {
                let id = purchase.purchase_id.as_str();
                match unexplained.remove(id) {
                    Some(there) => {
                        check.require(
                            same(there, purchase),
                            || format!("purchase {id} of {buyer} is not what it was"),
                            [*event],
                        );
                    }
                    None => check.violate(
                        format!(
                            "purchase {id} of {buyer} was acknowledged and is lost, or answered two calls"
                        ),
                        [*event],
                    ),
                }
                check.require(
                    bought_the_cart(cart, purchase),
                    || format!("purchase {id} of {buyer} is not what was in the cart"),
                    [*event],
                );
            }
            _ if event.is_possible() => in_doubt += 1,
            _ => {}
        }
    }
    let extra = || {
        let ids: Vec<&str> = unexplained.keys().copied().collect();
        format!(
            "{buyer} has {} purchases that no call explains (calls in doubt: {in_doubt}): {}",
            ids.len(),
            ids.join(", ")
        )
    };
    check.require(unexplained.len() <= in_doubt, extra, events.iter().copied());
}

/// The order of lines says nothing.
fn same(a: &PurchaseSeen, b: &PurchaseSeen) -> bool {
    let lines = |purchase: &PurchaseSeen| -> BTreeSet<(ItemId, Cents, u32)> {
        purchase.lines.iter().map(|line| (line.item_id, line.price, line.quantity)).collect()
    };
    a.total == b.total && lines(a) == lines(b)
}

/// An empty cart stands for one about which the buyer was not sure.
fn bought_the_cart(cart: &[Units], purchase: &PurchaseSeen) -> bool {
    let bought: BTreeMap<ItemId, u32> =
        purchase.lines.iter().map(|line| (line.item_id, line.quantity)).collect();
    cart.is_empty() || bought == cart.iter().map(|units| (units.item_id, units.quantity)).collect()
}

/// Whoever looks sees the purchase that was acknowledged before.
fn newest_is_listed(check: &mut Check, events: &[&Event]) {
    let mut newest: Option<(&Event, &str)> = None;
    for event in events.iter().filter(|event| event.is_ok()) {
        match (&event.answer, newest) {
            (Answer::Purchase(purchase), _) => newest = Some((event, &purchase.purchase_id)),
            (Answer::Purchases(listed), Some((bought, id))) => {
                let stale = || format!("purchase {id} was acknowledged, and then not listed");
                check.require(listed.iter().any(|listed| listed == id), stale, [bought, *event]);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{History, item, people, purchase};

    /// One purchase of two lamps, acknowledged and then listed.
    fn right() -> (History, Readings) {
        let mut history = History::default();
        history.add_item(0, item(1), "lamp", 200, 10).ok();
        let bought = purchase("p1", &[(item(1), 200, 2)]);
        history.buy(1, &[(item(1), 2)], &bought).ok();
        history.list_purchases(1, &["p1"]).ok();
        (history, Readings { purchases: [(200, vec![bought])].into(), ..Readings::default() })
    }

    fn found(change: impl FnOnce(&mut History, &mut Vec<PurchaseSeen>)) -> Vec<String> {
        let (mut history, mut readings) = right();
        change(&mut history, readings.purchases.get_mut(&200).unwrap());
        let check = check(&history.events(), &readings, &people());
        check.violations.into_iter().map(|violation| violation.what).collect()
    }

    #[test]
    fn purchases_that_were_acknowledged_and_are_there_are_right() {
        assert_eq!(found(|_, _| {}), [""; 0]);
    }

    #[test]
    fn a_lost_purchase_is_found() {
        let wrong = found(|_, purchases| purchases.clear());
        assert!(wrong[0].contains("was acknowledged and is lost"), "{wrong:?}");
    }

    #[test]
    fn a_purchase_that_was_made_twice_is_found_unless_a_call_is_in_doubt() {
        let second = purchase("p2", &[(item(1), 200, 2)]);
        let wrong = found(|_, purchases| purchases.push(second.clone()));
        assert!(wrong[0].contains("no call explains"), "{wrong:?}");
        let explained = found(|history, purchases| {
            history.buy(1, &[(item(1), 2)], &second).info();
            purchases.push(second.clone());
        });
        assert_eq!(explained, [""; 0]);
    }

    #[test]
    fn one_purchase_for_two_calls_is_found() {
        let wrong = found(|history, _| {
            let bought = purchase("p1", &[(item(1), 200, 2)]);
            history.buy(1, &[(item(1), 2)], &bought).ok();
        });
        assert!(wrong[0].contains("answered two calls"), "{wrong:?}");
    }

    #[test]
    fn a_purchase_that_changed_later_is_found() {
        let wrong = found(|_, purchases| purchases[0] = purchase("p1", &[(item(1), 200, 1)]));
        assert_eq!(wrong, ["purchase p1 of buyer is not what it was"]);
    }

    #[test]
    fn a_price_that_the_item_never_had_is_found() {
        let wrong = found(|_, purchases| purchases[0] = purchase("p1", &[(item(1), 100, 4)]));
        assert!(wrong.iter().any(|what| what.contains("which it never cost")), "{wrong:?}");
    }

    #[test]
    fn what_is_wrong_with_a_purchase_comes_with_the_calls_about_it() {
        let evidence = |change: &dyn Fn(&mut Vec<PurchaseSeen>)| -> Vec<Vec<Event>> {
            let (mut history, mut readings) = right();
            let other = purchase("p9", &[(item(2), 200, 2)]);
            history.buy(1, &[(item(2), 2)], &other).ok();
            let purchases = readings.purchases.get_mut(&200).unwrap();
            purchases.push(other);
            change(purchases);
            let check = check(&history.events(), &readings, &people());
            check.violations.into_iter().map(|violation| violation.evidence).collect()
        };
        let is_about_p1 = |event: &Event| match &event.answer {
            Answer::Purchase(purchase) => purchase.purchase_id == "p1",
            Answer::Purchases(listed) => listed.iter().any(|id| id == "p1"),
            Answer::Registered(registered) => registered.item_id == item(1),
            _ => false,
        };
        let twice = |purchases: &mut Vec<PurchaseSeen>| purchases.push(purchases[0].clone());
        let wrong_sum = |purchases: &mut Vec<PurchaseSeen>| purchases[0].total = Cents(1);
        let wrong_price = |purchases: &mut Vec<PurchaseSeen>| purchases[0].lines[0].price = Cents(7);
        for change in [&twice as &dyn Fn(&mut Vec<PurchaseSeen>), &wrong_sum, &wrong_price] {
            for shown in evidence(change) {
                assert!(!shown.is_empty() && shown.iter().all(is_about_p1), "{shown:#?}");
            }
        }
    }

    #[test]
    fn a_purchase_of_something_else_than_the_cart_is_found() {
        let wrong = found(|history, purchases| {
            let bought = purchase("p2", &[(item(1), 200, 5)]);
            history.buy(1, &[(item(1), 4)], &bought).ok();
            purchases.push(bought);
        });
        assert_eq!(wrong, ["purchase p2 of buyer is not what was in the cart"]);
    }

    #[test]
    fn a_stale_listing_is_found() {
        let wrong = found(|history, _| history.list_purchases(1, &["p0"]).ok());
        assert_eq!(wrong, ["purchase p1 was acknowledged, and then not listed"]);
    }
}
