//! Votes on an item are linearizable: whoever sees its thumbs sees the last vote of each buyer, counted once.

use std::collections::{BTreeMap, HashSet};

use agora_clients::ItemId;
use agora_clients::model::{Feedback, Vote};

use super::Check;
use super::linear::Model;
use super::registers::{Parts, check_parts, operation};
use crate::history::{Action, Answer, Event};

struct Votes;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// By a client, with the thumbs that it was told.
    Given(u32, Up, Option<(u64, u64)>),
    Seen(u64, u64),
}

/// Which of the two votes it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Up {
    Yes,
    No,
}

fn count(votes: &BTreeMap<u32, Up>) -> (u64, u64) {
    let up = votes.values().filter(|vote| **vote == Up::Yes).count() as u64;
    (up, votes.len() as u64 - up)
}

impl Model for Votes {
    /// The standing vote of each client.
    type State = BTreeMap<u32, Up>;
    type Op = Op;

    fn initial(&self) -> Self::State {
        BTreeMap::new()
    }

    fn step(&self, state: &Self::State, op: &Op) -> Option<Self::State> {
        match *op {
            Op::Given(client, vote, told) => {
                let mut votes = state.clone();
                votes.insert(client, vote);
                told.is_none_or(|told| told == count(&votes)).then_some(votes)
            }
            Op::Seen(up, down) => (count(state) == (up, down)).then(|| state.clone()),
        }
    }

    fn is_read(&self, op: &Op) -> bool {
        matches!(op, Op::Seen(..))
    }

    fn tell(&self, state: &Self::State) -> String {
        let (up, down) = count(state);
        format!("+{up} -{down}")
    }
}

pub(super) fn check(history: &[Event]) -> Check {
    let mut check =
        Check::new("votes", "thumbs are linearizable: all see the last vote of each buyer, counted once");
    let mut parts: Parts<ItemId, Op> = Parts::new();
    for (index, event) in history.iter().enumerate().filter(|(_, event)| event.is_possible()) {
        if let Action::GiveFeedback(vote) = event.action {
            let Ok(item) = event.key.parse() else { continue };
            let told = match event.answer {
                Answer::Feedback(Feedback { thumbs_up, thumbs_down }) => Some((thumbs_up, thumbs_down)),
                _ => None,
            };
            let vote = if vote == Vote::Up { Up::Yes } else { Up::No };
            parts.entry(item).or_default().push(operation(index, event, Op::Given(event.client, vote, told)));
            continue;
        }
        let mut seen = HashSet::new();
        for item in event.items_seen().iter().filter(|item| seen.insert(item.item_id)) {
            let op = Op::Seen(item.thumbs_up, item.thumbs_down);
            parts.entry(item.item_id).or_default().push(operation(index, event, op));
        }
    }
    check_parts(&mut check, &Votes, history, &parts);
    check
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{History, item};

    fn found(build: impl FnOnce(&mut History)) -> usize {
        let mut history = History::default();
        build(&mut history);
        check(&history.events()).violations.len()
    }

    #[test]
    fn thumbs_that_count_each_last_vote_once_are_right() {
        let wrong = found(|h| {
            h.vote(1, item(1), Vote::Up).told_thumbs(1, 0).ok();
            h.vote(2, item(1), Vote::Down).told_thumbs(1, 1).ok();
            h.vote(1, item(1), Vote::Down).told_thumbs(0, 2).ok();
            h.see_thumbs(3, item(1), 0, 2).ok();
        });
        assert_eq!(wrong, 0);
    }

    #[test]
    fn a_vote_that_counts_twice_is_lost_or_is_seen_late_is_found() {
        for (up, down) in [(2, 0), (0, 0), (0, 1)] {
            let wrong = found(|h| {
                h.vote(1, item(1), Vote::Up).told_thumbs(1, 0).ok();
                h.see_thumbs(2, item(1), up, down).ok();
            });
            assert_eq!(wrong, 1);
        }
    }

    #[test]
    fn a_vote_in_doubt_may_count_from_then_on_but_does_not_come_and_go() {
        let with = |first: u64, then: u64| {
            found(|h| {
                h.vote(1, item(1), Vote::Up).info();
                h.see_thumbs(2, item(1), first, 0).ok();
                h.see_thumbs(2, item(1), then, 0).ok();
            })
        };
        assert_eq!((with(0, 0), with(0, 1), with(1, 1), with(1, 0)), (0, 0, 0, 1));
    }
}
