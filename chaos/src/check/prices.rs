//! Prices are linearizable registers: whoever reads one sees the last that was set, and no two readers disagree on the order.
//!
//! An item's first price comes with its registration. Units that are added to an equal item leave the price, but show it: they
//! are only added while the price is the same. Items whose registration is in doubt have ids that nobody was told, and are
//! left out.

use std::collections::{BTreeSet, HashSet};

use agora_clients::{Cents, ItemId};

use super::Check;
use super::linear::Model;
use super::registers::{Parts, check_parts, operation};
use crate::history::{Action, Answer, Event};

struct Price;

#[derive(Clone, Copy, Debug)]
enum Op {
    Set(Cents),
    Seen(Cents),
    Removed,
}

impl Model for Price {
    /// `None` while the item is not on sale.
    type State = Option<Cents>;
    type Op = Op;

    fn initial(&self) -> Option<Cents> {
        None
    }

    fn step(&self, state: &Option<Cents>, op: &Op) -> Option<Option<Cents>> {
        match op {
            Op::Set(price) => Some(Some(*price)),
            Op::Seen(price) => (*state == Some(*price)).then_some(*state),
            Op::Removed => Some(None),
        }
    }

    fn is_read(&self, op: &Op) -> bool {
        matches!(op, Op::Seen(_))
    }

    fn tell(&self, state: &Option<Cents>) -> String {
        state.map_or_else(|| "not on sale".into(), |price| price.to_string())
    }
}

pub(super) fn check(history: &[Event]) -> Check {
    let mut check =
        Check::new("prices", "prices are linearizable: whoever reads one sees the last that was set");
    let registered = registered(history);
    let mut parts: Parts<ItemId, Op> = Parts::new();
    for (index, event) in history.iter().enumerate() {
        let mut add = |item: ItemId, op: Op| {
            if registered.contains(&item) {
                parts.entry(item).or_default().push(operation(index, event, op));
            }
        };
        match (&event.action, &event.answer) {
            (Action::AddItem(offer), Answer::Registered(item)) if event.is_ok() => {
                add(item.item_id, if item.merged { Op::Seen(offer.price) } else { Op::Set(offer.price) });
            }
            (Action::SetPrice(price), _) if event.is_possible() => {
                if let Ok(item) = event.key.parse() {
                    add(item, Op::Set(*price));
                }
            }
            (Action::RemoveItem, _) if event.is_possible() => {
                if let Ok(item) = event.key.parse() {
                    add(item, Op::Removed);
                }
            }
            _ if event.is_ok() => {
                let mut seen = HashSet::new();
                for item in event.items_seen() {
                    // An item that changes its place may stand on two pages, but not twice on one.
                    if seen.insert(item.item_id) {
                        add(item.item_id, Op::Seen(item.price));
                    }
                }
            }
            _ => {}
        }
    }
    check_parts(&mut check, &Price, history, &parts);
    check
}

/// Items whose registration was acknowledged.
pub(super) fn registered(history: &[Event]) -> BTreeSet<ItemId> {
    let new = |event: &Event| match &event.answer {
        Answer::Registered(item) if event.is_ok() && !item.merged => Some(item.item_id),
        _ => None,
    };
    history.iter().filter_map(new).collect()
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
        assert_eq!(wrong, ["1-1: no order of these calls explains the answers; before, it was 2.00"]);
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
    fn while_a_change_is_under_way_both_prices_are_right_but_nobody_sees_the_old_one_after_the_new_one() {
        for (first, second, expected) in [(100, 100, 0), (100, 200, 0), (200, 200, 0), (200, 100, 1)] {
            let wrong = found(|h| {
                h.set_price(0, item(1), 200).during(100, 200).ok();
                h.get_item(1, item(1), first).during(120, 130).ok();
                h.get_item(2, item(1), second).during(150, 160).ok();
            });
            assert_eq!(wrong.len(), expected, "{first} {second}");
        }
    }

    #[test]
    fn a_change_in_doubt_may_be_seen_at_any_later_time_but_not_before_and_not_twice() {
        let wrong = |last| {
            found(|h| {
                h.set_price(0, item(1), 200).info();
                h.set_price(0, item(1), 300).ok();
                h.get_item(1, item(1), 300).ok();
                h.get_item(1, item(1), 200).ok();
                h.get_item(1, item(1), last).ok();
            })
        };
        assert_eq!((wrong(200).len(), wrong(300).len()), (0, 1));
        let before = found(|h| {
            h.get_item(1, item(1), 200).ok();
            h.set_price(0, item(1), 200).info();
        });
        assert_eq!(before.len(), 1);
    }

    #[test]
    fn units_that_were_added_to_an_item_of_another_price_are_found() {
        let wrong = |cents| {
            found(|h| {
                h.set_price(0, item(1), 200).ok();
                h.add_equal_item(0, item(1), "lamp", cents, 1).ok();
            })
        };
        assert_eq!((wrong(200).len(), wrong(100).len()), (0, 1));
    }
}
