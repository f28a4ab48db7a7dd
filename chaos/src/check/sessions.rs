//! Sessions: one that was opened serves until it is ended, whatever frontend is asked. It is never refused within five minutes
//! after its last use, and never served long after that, nor after a logout.

use std::collections::BTreeMap;

use super::Check;
use super::linear::{Model, Operation};
use super::registers::{Parts, check_parts};
use crate::history::{Action, Answer, Event, Outcome};

/// A session lives at least this long after its last use.
const IDLE_NS: u64 = 300_000_000_000;
/// And at most this much longer.
const LATE_NS: u64 = 30_000_000_000;
/// Sessions that are served after so long are worth counting.
const LONG_NS: u64 = 240_000_000_000;

struct Session;

/// How often a session was used after a long time.
#[derive(Clone, Copy, Debug, Default)]
struct Idle {
    served: u64,
    ended: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    Unborn,
    Open,
    Ended,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Opened,
    Served,
    Refused,
    Ended,
}

impl Model for Session {
    type State = State;
    type Op = Op;

    fn initial(&self) -> State {
        State::Unborn
    }

    fn step(&self, state: &State, op: &Op) -> Option<State> {
        match (op, state) {
            (Op::Opened, _) | (Op::Served, State::Open) => Some(State::Open),
            (Op::Ended, _) | (Op::Refused, State::Ended) => Some(State::Ended),
            _ => None,
        }
    }

    fn is_read(&self, op: &Op) -> bool {
        matches!(op, Op::Served | Op::Refused)
    }

    fn tell(&self, state: &State) -> String {
        match state {
            State::Unborn => "not opened yet",
            State::Open => "open",
            State::Ended => "ended",
        }
        .into()
    }
}

pub(super) fn check(history: &[Event]) -> Check {
    let mut check = Check::new(
        "sessions",
        "a session serves until it is ended, or was idle for five minutes; then no more",
    );
    let mut events: BTreeMap<u32, Vec<(usize, &Event)>> = BTreeMap::new();
    for (index, event) in history.iter().enumerate() {
        if let Some(session) = event.session {
            events.entry(session).or_default().push((index, event));
        }
    }
    let mut parts: Parts<String, Op> = Parts::new();
    let mut idle = Idle::default();
    for (session, events) in &mut events {
        events.sort_by_key(|(_, event)| event.start_ns);
        let operations = operations(&mut check, &mut idle, *session, events);
        parts.insert(format!("session {session}"), operations);
    }
    let Idle { served, ended } = idle;
    check.note = Some(format!(
        "after more than 4 minutes without use sessions were served {served} times; after more than 5.5 they had ended {ended} times"
    ));
    check_parts(&mut check, &Session, history, &parts);
    check
}

fn operations(
    check: &mut Check,
    idle: &mut Idle,
    session: u32,
    events: &[(usize, &Event)],
) -> Vec<Operation<Op>> {
    let mut operations = Vec::new();
    // When it was used last, at least; and the use that ended last.
    let mut last: Option<(u64, &Event)> = None;
    for (index, event) in events {
        let idle_at_most = last.map_or(0, |(at_least, _)| end(event).saturating_sub(at_least));
        let idle_at_least = last.map_or(0, |(_, last)| event.start_ns.saturating_sub(end(last)));
        let Some(op) = op(event) else { continue };
        match op {
            // It may have expired: nothing more can be said of it.
            Op::Refused if idle_at_most >= IDLE_NS => {
                idle.ended += u64::from(idle_at_least > IDLE_NS + LATE_NS);
                break;
            }
            Op::Served if idle_at_least > IDLE_NS + LATE_NS => {
                let seconds = idle_at_least / 1_000_000_000;
                let what = format!("session {session} was idle for {seconds} s, and then was served");
                check.violate(what, last.map(|(_, last)| last).into_iter().chain([*event]));
                break;
            }
            Op::Served => idle.served += u64::from(idle_at_least > LONG_NS),
            _ => {}
        }
        let end_ns = (event.outcome != Outcome::Info).then_some(end(event));
        operations.push(Operation { op, index: *index, start_ns: event.start_ns, end_ns });
        last = Some(match last {
            Some((at_least, last)) if end(last) > end(event) => (at_least.max(event.start_ns), last),
            Some((at_least, _)) => (at_least.max(event.start_ns), *event),
            None => (event.start_ns, *event),
        });
    }
    operations
}

fn end(event: &Event) -> u64 {
    event.end_ns.unwrap_or(event.start_ns)
}

fn op(event: &Event) -> Option<Op> {
    match (&event.action, &event.answer, event.outcome) {
        (Action::LoginBuyer | Action::LoginSeller, _, Outcome::Ok) => Some(Op::Opened),
        (Action::LoginBuyer | Action::LoginSeller, ..) => None,
        (Action::LogoutBuyer | Action::LogoutSeller, _, Outcome::Ok | Outcome::Info) => Some(Op::Ended),
        (_, Answer::Refused { code }, _) if code == "invalid_session" => Some(Op::Refused),
        // Whoever is refused for another reason was let in.
        (_, _, Outcome::Ok) | (_, Answer::Refused { .. }, Outcome::Fail) => Some(Op::Served),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{History, item};

    const SECOND: u64 = 1_000_000_000;

    fn found(build: impl FnOnce(&mut History)) -> Vec<String> {
        let mut history = History::default();
        history.login(1).ok();
        build(&mut history);
        check(&history.events()).violations.into_iter().map(|violation| violation.what).collect()
    }

    #[test]
    fn a_session_that_serves_until_its_logout_is_right() {
        let wrong = found(|h| {
            h.get_item(1, item(1), 100).ok();
            h.get_item(1, item(1), 100).fail();
            h.logout(1).ok();
            h.display_cart(1, &[]).fail_with("invalid_session");
        });
        assert_eq!(wrong, [""; 0]);
    }

    #[test]
    fn a_session_that_is_refused_early_is_found() {
        let wrong = found(|h| h.get_item(1, item(1), 100).fail_with("invalid_session"));
        assert_eq!(wrong, ["session 1: no order of these calls explains the answers; before, it was open"]);
        let early = |after: u64| {
            found(|h| {
                h.get_item(1, item(1), 100).during(0, 1).ok();
                h.get_item(1, item(1), 100).during(after, after + 1).fail_with("invalid_session");
            })
        };
        assert_eq!((early(299 * SECOND).len(), early(301 * SECOND).len()), (1, 0));
    }

    #[test]
    fn a_session_that_serves_after_its_end_is_found() {
        let wrong = found(|h| {
            h.logout(1).ok();
            h.get_item(1, item(1), 100).ok();
        });
        assert_eq!(wrong.len(), 1);
    }

    #[test]
    fn a_session_that_serves_long_after_its_last_use_is_found() {
        let late = |after: u64| {
            found(|h| {
                h.get_item(1, item(1), 100).during(0, 1).ok();
                h.get_item(1, item(1), 100).during(after, after + 1).ok();
            })
        };
        assert_eq!((late(329 * SECOND).len(), late(331 * SECOND).len()), (0, 1));
    }

    #[test]
    fn the_use_before_shows_that_a_session_was_served_late() {
        let mut h = History::default();
        h.login(1).ok();
        h.get_item(1, item(1), 100).during(0, 1).ok();
        h.get_item(1, item(2), 100).during(2, 9).ok();
        h.get_item(1, item(3), 100).during(3, 4).ok();
        h.get_item(1, item(4), 100).during(400 * SECOND, 401 * SECOND).ok();
        let history = h.events();
        let found = check(&history);
        assert_eq!(found.violations[0].evidence, [history[2].clone(), history[4].clone()]);
    }

    #[test]
    fn long_times_without_use_are_counted() {
        let mut h = History::default();
        h.login(1).ok();
        h.get_item(1, item(1), 100).during(0, 1).ok();
        h.get_item(1, item(1), 100).during(270 * SECOND, 271 * SECOND).ok();
        h.get_item(1, item(1), 100).during(640 * SECOND, 641 * SECOND).fail_with("invalid_session");
        let found = check(&h.events());
        assert!(found.held());
        let note = found.note.unwrap();
        assert!(note.contains("served 1 times") && note.contains("ended 1 times"), "{note}");
    }

    #[test]
    fn a_seller_s_session_ends_with_the_logout_too() {
        let wrong = found(|h| {
            h.logout_seller(1).ok();
            h.get_item(1, item(1), 100).ok();
        });
        assert_eq!(wrong.len(), 1);
    }

    #[test]
    fn after_a_logout_in_doubt_both_are_right_but_only_in_one_order() {
        let with = |first_served: bool| {
            found(|h| {
                h.logout(1).info();
                let first = h.get_item(1, item(1), 100);
                if first_served {
                    first.ok()
                } else {
                    first.fail_with("invalid_session")
                }
                let second = h.get_item(1, item(1), 100);
                if first_served { second.fail_with("invalid_session") } else { second.ok() }
            })
        };
        assert_eq!((with(true).len(), with(false).len()), (0, 1));
    }
}
