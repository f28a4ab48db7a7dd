//! Sessions: how they begin, how long they last, how they end.

use super::*;
use crate::limits::{CLOCK_ERROR_MAX, SESSIONS_PER_USER_MAX, TOUCH_DUE_AFTER, ms};

const MINUTE_MS: u64 = 60_000;

fn close(n: u8) -> Change {
    Change::CloseSession(CloseSession { token_hash: token(n) })
}

fn touch(n: u8) -> Change {
    Change::TouchSession(TouchSession { token_hash: token(n) })
}

fn session(subject: &Subject, n: u8) -> Session {
    session_at(subject, subject.now, n).unwrap()
}

/// As a node tells it whose clock says this.
fn session_at(subject: &Subject, local_now: u64, n: u8) -> Result<Session, Refusal> {
    match subject.ask_at(local_now, Question::GetSession(GetSession { token_hash: token(n) }))? {
        Body::Session(session) => Ok(session),
        other => panic!("{other:?}"),
    }
}

/// Lets time pass, as sweeps do it.
fn pass(subject: &mut Subject, span_ms: u64) {
    subject.now += span_ms;
    subject.run(Change::Sweep(Sweep {})).unwrap();
}

#[test]
fn a_session_is_bound_to_its_user_and_role() {
    let mut subject = Subject::with_buyer();
    subject.run(account(Role::Seller, "bob")).unwrap();
    subject.run(login(Role::Seller, 1, token(2))).unwrap();
    assert_eq!(session(&subject, 1).role(), Role::Buyer);
    assert_eq!(session(&subject, 2).role(), Role::Seller);
    assert_eq!(subject.refused(login(Role::Seller, 2, token(3))), Code::BadCredentials);
    assert_eq!(
        subject.refused(login(Role::Buyer, 1, token(2))),
        Code::InvalidField,
        "the token of another user"
    );
    assert_eq!(subject.refused(login(Role::Buyer, 1, Bytes::from_static(b"short"))), Code::InvalidField);
}

#[test]
fn a_session_ends_at_logout_and_its_cart_goes() {
    let mut subject = Subject::with_buyer();
    subject.add(1, 7, 2).unwrap();
    subject.run(close(1)).unwrap();
    assert!(!subject.is_open(1));
    assert_eq!(subject.refused(close(1)), Code::InvalidSession);
    assert_eq!(subject.refused(touch(1)), Code::InvalidSession);
    subject.login(1, 1).unwrap();
    assert!(subject.cart(1).0.is_empty());
}

#[test]
fn a_repeated_login_leaves_the_session_as_it_is() {
    let mut subject = Subject::with_buyer();
    subject.add(1, 7, 2).unwrap();
    subject.login(1, 1).unwrap();
    assert_eq!(subject.cart(1).0, [(7, 2)]);
}

/// What a frontend does at a call, when the node that it asks and the command that it sends go by clocks that are so far
/// ahead of the real time.
fn call(subject: &mut Subject, real: u64, [node, command]: [i64; 2]) -> Result<(), Refusal> {
    if session_at(subject, real.saturating_add_signed(node), 1)?.touch_due {
        subject.now = real.saturating_add_signed(command);
        subject.run(touch(1))?;
    }
    Ok(())
}

#[test]
fn a_session_lasts_five_minutes_from_its_last_use_and_at_most_thirty_seconds_more() {
    let error = i64::try_from(ms(CLOCK_ERROR_MAX)).unwrap();
    let opened = Subject::with_buyer();
    // Uses at all distances from the last recorded one, with clocks that are wrong as far as they may be. Nothing else is
    // applied meanwhile: replicated time stays where it was, as in a group that is quiet, or was down.
    for since_opened in (0..4 * MINUTE_MS).step_by(500) {
        for clocks in [[0, 0, 0], [error, -error, error], [-error, error, error], [-error, -error, error]] {
            let [node, command, later] = clocks;
            let mut subject = Subject { db: opened.db.clone(), now: opened.now };
            let used = subject.now + since_opened;
            call(&mut subject, used, [node, command]).unwrap();
            let mut kept = Subject { db: subject.db.clone(), now: subject.now };
            kept.now = (used + 5 * MINUTE_MS - 1).saturating_add_signed(later);
            kept.run(Change::Sweep(Sweep {})).unwrap();
            assert!(kept.is_open(1), "ended early, used {since_opened} ms after the login; {clocks:?}");
            let late = used + 5 * MINUTE_MS + 30_000;
            let refused = call(&mut subject, late, [-later, -later]).unwrap_err();
            assert_eq!(refused.code(), Code::InvalidSession, "{since_opened} ms after the login; {clocks:?}");
        }
    }
}

#[test]
fn the_first_use_after_an_outage_is_recorded_though_replicated_time_lags() {
    let mut subject = Subject::with_buyer();
    let opened = subject.now;
    pass(&mut subject, 10_000);
    // Nothing is applied for two minutes, and the clock of one node is wrong.
    let back = subject.now + 2 * MINUTE_MS;
    assert!(session_at(&subject, back, 1).unwrap().touch_due);
    assert!(!session_at(&subject, opened - MINUTE_MS, 1).unwrap().touch_due);
    call(&mut subject, back, [0, 0]).unwrap();
    assert_eq!(session(&subject, 1).touched_ms, back);
}

#[test]
fn a_wrong_clock_of_a_node_ends_no_session_and_keeps_none_alive() {
    let mut subject = Subject::with_buyer();
    let far = [0, subject.now + 100 * MINUTE_MS, u64::MAX];
    assert!(far.iter().all(|local| session_at(&subject, *local, 1).is_ok()));
    pass(&mut subject, 5 * MINUTE_MS + 20_000);
    assert!(far.iter().all(|local| session_at(&subject, *local, 1).is_err()));
}

#[test]
fn an_expired_session_is_invalid_before_it_is_swept() {
    let mut subject = Subject::with_buyer();
    subject.add(1, 7, 2).unwrap();
    subject.now += 5 * MINUTE_MS + 20_000;
    assert_eq!(subject.refused(touch(1)), Code::InvalidSession);
    assert!(subject.db.sessions.rows.len() == 1, "not swept yet");
    assert!(!subject.is_open(1));
    subject.login(1, 1).unwrap();
    assert!(subject.cart(1).0.is_empty(), "a new session of the same token does not inherit the cart");
}

#[test]
fn commands_keep_a_session_alive_and_reading_tells_when_to() {
    let mut subject = Subject::with_buyer();
    let opened = subject.now;
    pass(&mut subject, ms(TOUCH_DUE_AFTER) - 1);
    assert!(!session(&subject, 1).touch_due);
    subject.add(1, 7, 1).unwrap();
    assert_eq!(session(&subject, 1).touched_ms, opened, "one record of a use is enough for a while");
    pass(&mut subject, 1);
    assert!(session(&subject, 1).touch_due);
    subject.add(1, 7, 1).unwrap();
    assert_eq!(session(&subject, 1).touched_ms, subject.now);
    for _ in 0..10 {
        pass(&mut subject, 4 * MINUTE_MS);
        subject.add(1, 7, 1).unwrap();
    }
    assert!(subject.is_open(1));
}

#[test]
fn time_does_not_go_back() {
    let mut subject = Subject::with_buyer();
    let before = session(&subject, 1).now_ms;
    subject.now = 5;
    subject.run(touch(1)).unwrap();
    assert_eq!((session(&subject, 1).now_ms, session(&subject, 1).touched_ms), (before, before));
}

#[test]
fn a_user_has_many_sessions_but_not_any_number() {
    let mut subject = Subject::with_buyer();
    let numbered = |n: u32| {
        let mut token = [0; 32];
        token[..4].copy_from_slice(&n.to_be_bytes());
        Bytes::copy_from_slice(&token)
    };
    for n in 1..SESSIONS_PER_USER_MAX {
        subject.run(login(Role::Buyer, 1, numbered(n))).unwrap();
    }
    let one_more = login(Role::Buyer, 1, numbered(SESSIONS_PER_USER_MAX));
    assert_eq!(subject.refused(one_more.clone()), Code::RateLimited);
    assert!(subject.is_open(1), "the oldest is not thrown out");
    subject.run(close(1)).unwrap();
    subject.run(one_more).unwrap();
}
