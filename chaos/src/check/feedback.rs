//! Feedback: each buyer's last vote on each item counts once, for the item and for its seller; and sellers have sold what was
//! bought of them.

use std::collections::{BTreeSet, HashMap};

use agora_clients::ItemId;
use agora_clients::model::Vote;

use super::Check;
use super::range::Range;
use crate::history::{Action, Event};
use crate::readings::{Readings, SellerReading};

/// What may stand of one buyer's votes on one item.
#[derive(Debug, Default)]
struct Standing<'a> {
    last: Option<Vote>,
    in_doubt: Vec<Vote>,
    events: Vec<&'a Event>,
}

pub(super) fn check(history: &[Event], readings: &Readings) -> Check {
    let mut check = Check::new(
        "feedback",
        "the last vote of each buyer counts, once; sellers have sold what was bought of them",
    );
    let votes = votes(history);
    for (seller, reading) in &readings.sellers {
        for item in &reading.items {
            let (mut up, mut down) = (Range::default(), Range::default());
            let mut events: Vec<&Event> = Vec::new();
            for standing in votes.get(&item.item_id).into_iter().flat_map(HashMap::values) {
                count(&mut up, standing, Vote::Up);
                count(&mut down, standing, Vote::Down);
                events.extend(&standing.events);
            }
            let so = up.holds(item.thumbs_up) && down.holds(item.thumbs_down);
            let what = || {
                format!(
                    "{} has +{} -{}, but +{up} -{down} are due",
                    item.item_id, item.thumbs_up, item.thumbs_down
                )
            };
            check.require(so, what, events);
        }
        rating(&mut check, history, *seller, reading, readings);
    }
    check
}

fn votes(history: &[Event]) -> HashMap<ItemId, HashMap<u32, Standing<'_>>> {
    let mut votes: HashMap<ItemId, HashMap<u32, Standing<'_>>> = HashMap::new();
    for event in history.iter().filter(|event| event.is_possible()) {
        let (Action::GiveFeedback(vote), Ok(item)) = (&event.action, event.key.parse()) else { continue };
        let standing = votes.entry(item).or_default().entry(event.client).or_default();
        standing.events.push(event);
        if event.is_ok() {
            standing.last = Some(*vote);
        } else {
            standing.in_doubt.push(*vote);
        }
    }
    votes
}

fn count(range: &mut Range, standing: &Standing<'_>, vote: Vote) {
    let possible: BTreeSet<bool> =
        standing.in_doubt.iter().map(|doubt| *doubt == vote).chain([standing.last == Some(vote)]).collect();
    match (possible.contains(&true), possible.contains(&false)) {
        (true, false) => range.add(1),
        (true, true) => range.perhaps(1),
        (false, _) => {}
    }
}

fn rating(check: &mut Check, history: &[Event], seller: u64, reading: &SellerReading, readings: &Readings) {
    let own: BTreeSet<ItemId> = reading.items.iter().map(|item| item.item_id).collect();
    let voted = |event: &&Event| {
        matches!(event.action, Action::GiveFeedback(_))
            && event.key.parse().is_ok_and(|item| own.contains(&item))
    };
    let purchased = |event: &&Event| match &event.action {
        Action::MakePurchase(cart) => cart.iter().any(|line| own.contains(&line.item_id)),
        _ => false,
    };
    let rating = reading.rating;
    let up: u64 = reading.items.iter().map(|item| item.thumbs_up).sum();
    let down: u64 = reading.items.iter().map(|item| item.thumbs_down).sum();
    let votes = || {
        format!(
            "seller {seller} has +{} -{}, but its items +{up} -{down}",
            rating.thumbs_up, rating.thumbs_down
        )
    };
    check.require((rating.thumbs_up, rating.thumbs_down) == (up, down), votes, history.iter().filter(voted));

    let lines = readings.purchases.values().flatten().flat_map(|purchase| &purchase.lines);
    let bought: u64 =
        lines.filter(|line| own.contains(&line.item_id)).map(|line| u64::from(line.quantity)).sum();
    let sold = || {
        format!(
            "seller {seller} has sold {} units, but buyers have bought {bought} of its items",
            rating.items_sold
        )
    };
    check.require(rating.items_sold == bought, sold, history.iter().filter(purchased));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{History, item, purchase, seen, seller};

    /// Two buyers: one likes the lamp, the other did, and now does not. One has bought two.
    fn right() -> (History, Readings) {
        let mut history = History::default();
        history.vote(1, item(1), Vote::Up).ok();
        history.vote(2, item(1), Vote::Up).ok();
        history.vote(2, item(1), Vote::Down).ok();
        history.vote(2, item(1), Vote::Up).fail();
        let mut lamp = seen(item(1), "lamp", 200, 8);
        (lamp.thumbs_up, lamp.thumbs_down) = (1, 1);
        let mut reading = seller(100, vec![lamp]);
        (reading.rating.thumbs_up, reading.rating.thumbs_down, reading.rating.items_sold) = (1, 1, 2);
        let readings = Readings {
            sellers: [(100, reading)].into(),
            purchases: [(200, vec![purchase("p1", &[(item(1), 200, 2)])])].into(),
            ..Readings::default()
        };
        (history, readings)
    }

    fn found(change: impl FnOnce(&mut History, &mut SellerReading)) -> usize {
        let (mut history, mut readings) = right();
        change(&mut history, readings.sellers.get_mut(&100).unwrap());
        check(&history.events(), &readings).violations.len()
    }

    #[test]
    fn last_votes_that_count_once_are_right() {
        assert_eq!(found(|_, _| {}), 0);
    }

    #[test]
    fn a_vote_that_counts_twice_or_not_at_all_is_found() {
        let with = |up: u64| {
            found(|_, reading| {
                reading.items[0].thumbs_up = up;
                reading.rating.thumbs_up = up;
            })
        };
        assert_eq!((with(0), with(2)), (1, 1));
    }

    #[test]
    fn a_vote_in_doubt_may_stand_or_not() {
        let with = |up: u64, down: u64| {
            found(|history, reading| {
                history.vote(2, item(1), Vote::Up).info();
                (reading.items[0].thumbs_up, reading.items[0].thumbs_down) = (up, down);
                (reading.rating.thumbs_up, reading.rating.thumbs_down) = (up, down);
            })
        };
        assert_eq!((with(1, 1), with(2, 0), with(3, 0)), (0, 0, 1));
    }

    #[test]
    fn wrong_counters_come_with_the_votes_or_purchases_of_the_sellers_items() {
        let (mut history, mut readings) = right();
        history.vote(1, item(2), Vote::Up).ok();
        history.buy(1, &[(item(1), 2)], &purchase("p1", &[(item(1), 200, 2)])).ok();
        history.buy(1, &[(item(2), 2)], &purchase("p2", &[(item(2), 200, 2)])).ok();
        let events = history.events();
        let rating = &mut readings.sellers.get_mut(&100).unwrap().rating;
        (rating.thumbs_up, rating.items_sold) = (7, 1);
        let wrong = check(&events, &readings).violations;
        let evidence: Vec<&[Event]> = wrong.iter().map(|wrong| wrong.evidence.as_slice()).collect();
        assert_eq!(evidence, [&events[..4], &events[5..6]]);
    }

    #[test]
    fn a_seller_whose_counters_are_not_those_of_its_items_is_found() {
        assert_eq!(found(|_, reading| reading.rating.thumbs_up += 1), 1);
        assert_eq!(found(|_, reading| reading.rating.items_sold -= 1), 1);
    }
}
