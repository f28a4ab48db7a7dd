//! No item, unit or price that was acknowledged is lost, and none takes effect twice: each item is there at the end, at a price
//! that its seller set last, with the units that add up.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use agora_clients::{Cents, ItemId};

use super::Check;
use super::range::Range;
use crate::history::{Action, Answer, Event, ItemSeen};
use crate::readings::Readings;
use crate::workload::People;

/// An item as its seller knows it.
#[derive(Debug, Default)]
struct Account<'a> {
    seller: u32,
    name: &'a str,
    units: Range,
    prices: Vec<(&'a Event, Cents)>,
    removed: Removed,
    events: Vec<&'a Event>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Removed {
    #[default]
    No,
    Perhaps,
    Yes,
}

#[derive(Debug, Default)]
struct Accounts<'a> {
    items: BTreeMap<ItemId, Account<'a>>,
    /// Registrations in doubt: by seller and name, the units and the price.
    in_doubt: HashMap<(u32, &'a str), Vec<(u64, Cents)>>,
    /// All registrations that may have been made, by seller: what an item from nowhere is looked for among.
    registrations: HashMap<u32, Vec<&'a Event>>,
}

pub(super) fn check(history: &[Event], readings: &Readings, people: &People) -> Check {
    let mut check =
        Check::new("items", "no acknowledged item, unit or price is lost, and none takes effect twice");
    let accounts = accounts(&mut check, history);
    let bought = bought(readings);
    let sellers: HashMap<u64, u32> =
        people.sellers.iter().map(|seller| (seller.user_id, seller.client)).collect();
    let mut found = BTreeMap::new();
    for (user_id, reading) in &readings.sellers {
        let seller = sellers.get(user_id).copied().unwrap_or(u32::MAX);
        for item in &reading.items {
            check.require(
                found.insert(item.item_id, item).is_none(),
                || format!("{} is listed twice", item.item_id),
                accounts
                    .items
                    .get(&item.item_id)
                    .into_iter()
                    .flat_map(|account| account.events.iter().copied()),
            );
            if !accounts.items.contains_key(&item.item_id) {
                unexpected(&mut check, &accounts, seller, item);
            }
        }
    }
    for (id, account) in &accounts.items {
        let sold = bought.get(id).copied().unwrap_or(0);
        compare(&mut check, *id, account, found.get(id).copied(), sold, &accounts);
    }
    check
}

fn bought(readings: &Readings) -> HashMap<ItemId, u64> {
    let mut bought = HashMap::new();
    for line in readings.purchases.values().flatten().flat_map(|purchase| &purchase.lines) {
        *bought.entry(line.item_id).or_default() += u64::from(line.quantity);
    }
    bought
}

fn accounts<'a>(check: &mut Check, history: &'a [Event]) -> Accounts<'a> {
    let mut accounts = Accounts::default();
    for event in history.iter().filter(|event| event.is_possible()) {
        if matches!(event.action, Action::AddItem(_)) {
            accounts.registrations.entry(event.client).or_default().push(event);
        }
        match (&event.action, &event.answer) {
            (Action::AddItem(offer), Answer::Registered(registered)) if event.is_ok() => {
                let id = registered.item_id;
                let known = accounts.items.contains_key(&id);
                let account = accounts.items.entry(id).or_insert_with(|| Account {
                    seller: event.client,
                    name: &offer.name,
                    prices: vec![(event, offer.price)],
                    ..Account::default()
                });
                account.units.add(offer.quantity);
                account.events.push(event);
                let same = account.name == offer.name && account.seller == event.client;
                let new_for_old = known && !registered.merged;
                let what = || format!("the new item \"{}\" got the id {id} of another one", offer.name);
                check.require(same && !new_for_old, what, account.events.iter().copied());
            }
            (Action::AddItem(offer), _) => {
                let doubts = accounts.in_doubt.entry((event.client, &offer.name)).or_default();
                doubts.push((offer.quantity, offer.price));
            }
            (Action::SetPrice(_) | Action::AddUnits(_) | Action::RemoveItem, _) => {
                change(&mut accounts, event)
            }
            _ => {}
        }
    }
    accounts
}

fn change<'a>(accounts: &mut Accounts<'a>, event: &'a Event) {
    let account = event.key.parse().ok().and_then(|id: ItemId| accounts.items.get_mut(&id));
    // Sellers only change what they have registered.
    let Some(account) = account else { return };
    account.events.push(event);
    match (&event.action, event.is_ok()) {
        (Action::SetPrice(price), _) => account.prices.push((event, *price)),
        (Action::AddUnits(delta), true) => account.units.add(*delta),
        (Action::AddUnits(delta), false) => account.units.perhaps(*delta),
        (Action::RemoveItem, true) => account.removed = Removed::Yes,
        (Action::RemoveItem, false) => account.removed = Removed::Perhaps,
        _ => {}
    }
}

/// An item that no acknowledged call has put there.
fn unexpected(check: &mut Check, accounts: &Accounts<'_>, seller: u32, item: &ItemSeen) {
    let doubts = accounts.in_doubt.get(&(seller, item.name.as_str()));
    let explained = doubts.is_some_and(|doubts| {
        let most: u64 = doubts.iter().map(|(quantity, _)| quantity).sum();
        item.quantity <= most && doubts.iter().any(|(_, price)| *price == item.price)
    });
    check.require(
        explained,
        || format!("{} \"{}\" is there, but nobody has put it on sale", item.item_id, item.name),
        same_name_or_in_doubt(accounts, seller, &item.name),
    );
}

/// The seller's registrations that come closest to an item that none explains.
fn same_name_or_in_doubt<'a>(accounts: &Accounts<'a>, seller: u32, name: &str) -> Vec<&'a Event> {
    let is_close = |event: &&&Event| {
        let same = matches!(&event.action, Action::AddItem(offer) if offer.name == name);
        same || !event.is_ok()
    };
    accounts.registrations.get(&seller).into_iter().flatten().filter(is_close).copied().collect()
}

fn compare(
    check: &mut Check,
    id: ItemId,
    account: &Account<'_>,
    found: Option<&ItemSeen>,
    sold: u64,
    accounts: &Accounts<'_>,
) {
    let evidence = || account.events.iter().copied();
    let Some(item) = found else {
        let what = || format!("{id} \"{}\" was put on sale, and is gone", account.name);
        return check.require(account.removed != Removed::No, what, evidence());
    };
    check.require(account.removed != Removed::Yes, || format!("{id} was removed, and is there"), evidence());
    check.require(item.name == account.name, || format!("{id} is called \"{}\" now", item.name), evidence());
    let last = last_prices(account);
    let price = || {
        let last: Vec<String> = last.iter().map(Cents::to_string).collect();
        format!("{id} costs {}, but its seller last set {}", item.price, last.join(" or "))
    };
    check.require(last.contains(&item.price), price, evidence());
    let mut units = account.units;
    units.add(-i128::from(sold));
    for (quantity, _) in accounts.in_doubt.get(&(account.seller, account.name)).into_iter().flatten() {
        units.perhaps(*quantity);
    }
    let quantity = || format!("{id} has {} units on sale, but {units} are due ({sold} sold)", item.quantity);
    check.require(units.holds(item.quantity), quantity, evidence());
}

/// The prices that no later one has certainly replaced.
fn last_prices(account: &Account<'_>) -> BTreeSet<Cents> {
    let last_begun =
        account.prices.iter().filter(|(event, _)| event.is_ok()).map(|(event, _)| event.start_ns).max();
    let may_be_last = |event: &Event| match event.end_ns {
        Some(end) if event.is_ok() => Some(end) >= last_begun,
        _ => true,
    };
    account.prices.iter().filter(|(event, _)| may_be_last(event)).map(|(_, price)| *price).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{History, item, people, purchase, seen, seller};

    /// Two items: one with its price changed, units added and some bought, and one that was removed.
    fn right() -> (History, Readings) {
        let mut history = History::default();
        history.add_item(0, item(1), "lamp", 200, 10).ok();
        history.set_price(0, item(1), 300).ok();
        history.set_price(0, item(1), 999).fail();
        history.add_units(0, item(1), 5).ok();
        history.add_item(0, item(2), "attic", 100, 7).ok();
        history.remove_item(0, item(2)).ok();
        let readings = Readings {
            sellers: [(100, seller(100, vec![seen(item(1), "lamp", 300, 12)]))].into(),
            purchases: [(200, vec![purchase("p1", &[(item(1), 300, 3)])])].into(),
            ..Readings::default()
        };
        (history, readings)
    }

    fn found(change: impl FnOnce(&mut History, &mut Vec<ItemSeen>)) -> Vec<String> {
        let (mut history, mut readings) = right();
        change(&mut history, &mut readings.sellers.get_mut(&100).unwrap().items);
        let check = check(&history.events(), &readings, &people());
        check.violations.into_iter().map(|violation| violation.what).collect()
    }

    #[test]
    fn items_as_their_sellers_left_them_are_right() {
        assert_eq!(found(|_, _| {}), [""; 0]);
    }

    #[test]
    fn an_acknowledged_item_that_is_gone_is_found() {
        assert_eq!(found(|_, items| items.clear()), ["1-1 \"lamp\" was put on sale, and is gone"]);
    }

    #[test]
    fn an_acknowledged_price_that_is_lost_is_found() {
        assert_eq!(
            found(|_, items| items[0].price = Cents(200)),
            ["1-1 costs 2.00, but its seller last set 3.00"]
        );
        assert_eq!(found(|_, items| items[0].price = Cents(999)).len(), 1, "a refused change took effect");
    }

    #[test]
    fn a_price_change_in_doubt_may_have_happened_or_not() {
        let with = |cents| {
            found(|history, items| {
                history.set_price(0, item(1), 400).info();
                items[0].price = Cents(cents);
            })
        };
        assert!(with(300).is_empty() && with(400).is_empty());
        assert_eq!(with(200).len(), 1);
    }

    #[test]
    fn units_added_twice_or_lost_are_found() {
        assert_eq!(
            found(|_, items| items[0].quantity += 5),
            ["1-1 has 17 units on sale, but 12 are due (3 sold)"]
        );
        assert_eq!(found(|_, items| items[0].quantity -= 5).len(), 1);
    }

    #[test]
    fn a_removed_item_that_came_back_is_found() {
        assert_eq!(found(|_, items| items.push(seen(item(2), "attic", 100, 7))).len(), 1);
    }

    #[test]
    fn an_item_from_nowhere_is_found_unless_its_registration_is_in_doubt() {
        let wrong = found(|_, items| items.push(seen(item(3), "cup", 50, 4)));
        assert_eq!(wrong, ["1-3 \"cup\" is there, but nobody has put it on sale"]);
        let explained = found(|history, items| {
            history.add_item(0, item(3), "cup", 50, 4).info();
            items.push(seen(item(3), "cup", 50, 4));
        });
        assert_eq!(explained, [""; 0]);
    }

    #[test]
    fn an_item_that_is_listed_twice_comes_with_what_was_done_to_it() {
        let (history, mut readings) = right();
        let items = &mut readings.sellers.get_mut(&100).unwrap().items;
        items.push(items[0].clone());
        let check = check(&history.events(), &readings, &people());
        let twice = check.violations.iter().find(|it| it.what.contains("listed twice")).unwrap();
        assert_eq!(twice.evidence.len(), 3, "{twice:#?}");
    }

    #[test]
    fn one_id_for_two_items_is_found() {
        assert!(!found(|history, _| history.add_item(0, item(1), "cup", 50, 0).ok()).is_empty());
    }
}
