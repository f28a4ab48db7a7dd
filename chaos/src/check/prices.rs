//! Prices are linearizable registers with one writer each: a read sees the last price that was acknowledged before the read
//! began, or one whose change was under way at the time.
//!
//! Two reads that overlap the same change are not compared with each other.

use std::collections::HashMap;

use agora_clients::{Cents, ItemId};

use super::Check;
use crate::history::{Action, Answer, Event, ItemSeen};

/// The changes of one item's price, in the order in which its seller made them.
type Changes<'a> = Vec<(&'a Event, Cents)>;

pub(super) fn check(history: &[Event]) -> Check {
    let mut check =
        Check::new("prices", "whoever reads a price sees the last one that was acknowledged, or a later one");
    let changes = changes(history);
    for event in history.iter().filter(|event| event.is_ok()) {
        let seen: &[ItemSeen] = match &event.answer {
            Answer::Item(item) if event.action == Action::GetItem => std::slice::from_ref(item),
            Answer::Items(items) => items,
            _ => continue,
        };
        for item in seen {
            if let Some(changes) = changes.get(&item.item_id) {
                let allowed = allowed(changes, event);
                let stale = || {
                    let allowed: Vec<String> = allowed.iter().map(|(_, price)| price.to_string()).collect();
                    format!(
                        "{} was read to cost {}, but cost {} at the time",
                        item.item_id,
                        item.price,
                        allowed.join(" or ")
                    )
                };
                let evidence = allowed.iter().map(|(change, _)| *change).chain([event]);
                check.require(allowed.iter().any(|(_, price)| *price == item.price), stale, evidence);
            }
        }
    }
    check
}

fn changes(history: &[Event]) -> HashMap<ItemId, Changes<'_>> {
    let mut changes: HashMap<ItemId, Changes<'_>> = HashMap::new();
    for event in history.iter().filter(|event| event.is_possible()) {
        match (&event.action, &event.answer) {
            // Units that are added to an equal item leave its price as it is.
            (Action::AddItem(offer), Answer::Registered(item)) => {
                let changes = changes.entry(item.item_id).or_default();
                if changes.is_empty() {
                    changes.push((event, offer.price));
                }
            }
            (Action::SetPrice(price), _) => {
                if let Ok(id) = event.key.parse() {
                    changes.entry(id).or_default().push((event, *price));
                }
            }
            _ => {}
        }
    }
    changes.values_mut().for_each(|changes| changes.sort_by_key(|(event, _)| event.start_ns));
    changes
}

/// The changes whose price a read may have seen.
fn allowed<'a>(changes: &Changes<'a>, read: &Event) -> Changes<'a> {
    let read_end = read.end_ns.unwrap_or(u64::MAX);
    let before = |change: &Event| change.end_ns.is_some_and(|end| end <= read.start_ns);
    let last_done = changes.iter().rposition(|(change, _)| change.is_ok() && before(change)).unwrap_or(0);
    let begun = changes.iter().enumerate().filter(|(_, (change, _))| change.start_ns <= read_end);
    // One whose outcome is unknown may take effect at any time after its beginning.
    begun
        .filter(|(index, (change, _))| *index >= last_done || !change.is_ok())
        .map(|(_, change)| *change)
        .collect()
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
    fn the_last_acknowledged_price_is_right() {
        let wrong = found(|h| {
            h.get_item(1, item(1), 100).ok();
            h.set_price(0, item(1), 200).ok();
            h.set_price(0, item(1), 300).fail();
            h.get_item(1, item(1), 200).ok();
        });
        assert_eq!(wrong, [""; 0]);
    }

    #[test]
    fn a_stale_read_is_found() {
        let wrong = found(|h| {
            h.set_price(0, item(1), 200).ok();
            h.get_item(1, item(1), 100).ok();
        });
        assert_eq!(wrong, ["1-1 was read to cost 1.00, but cost 2.00 at the time"]);
    }

    #[test]
    fn a_price_from_the_future_is_found() {
        let wrong = found(|h| {
            h.get_item(1, item(1), 200).ok();
            h.set_price(0, item(1), 200).ok();
        });
        assert_eq!(wrong.len(), 1);
    }

    #[test]
    fn while_a_change_is_under_way_both_prices_are_right() {
        for price in [100, 200] {
            let wrong = found(|h| {
                h.set_price(0, item(1), 200).during(100, 200).ok();
                h.get_item(1, item(1), price).during(150, 160).ok();
            });
            assert_eq!(wrong, [""; 0]);
        }
    }

    #[test]
    fn a_change_in_doubt_may_be_seen_at_any_later_time_but_not_before() {
        let wrong = found(|h| {
            h.set_price(0, item(1), 200).info();
            h.set_price(0, item(1), 300).ok();
            h.get_item(1, item(1), 200).ok();
            h.get_item(1, item(1), 300).ok();
        });
        assert_eq!(wrong, [""; 0]);
        let wrong = found(|h| {
            h.get_item(1, item(1), 200).ok();
            h.set_price(0, item(1), 200).info();
        });
        assert_eq!(wrong.len(), 1);
    }
}
