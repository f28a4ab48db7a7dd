//! Sessions: how they begin, how long they last, how they end.

use super::*;
use crate::limits::{SESSIONS_PER_USER_MAX, TIME_LAG_MAX, TOUCH_DUE_AFTER, ms};

const MINUTE_MS: u64 = 60_000;

fn close(n: u8) -> Change {
    Change::CloseSession(CloseSession { token_hash: token(n) })
}

fn touch(n: u8) -> Change {
    Change::TouchSession(TouchSession { token_hash: token(n) })
}

fn session(subject: &Subject, n: u8) -> Session {
    match subject.ask(Question::GetSession(GetSession { token_hash: token(n) })).unwrap() {
        Body::Session(session) => session,
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

#[test]
fn a_session_lasts_five_minutes_from_its_last_use_and_at_most_thirty_seconds_more() {
    // Uses at all distances from the last recorded one; replicated time lags as much as it may.
    let lag = ms(TIME_LAG_MAX);
    for since_touch in (0..ms(TOUCH_DUE_AFTER) + 2 * lag).step_by(500) {
        let mut subject = Subject::with_buyer();
        let opened = subject.now;
        let used = opened + since_touch;
        // What the frontend does at the use, with a reading that is as late as can be.
        pass(&mut subject, since_touch.saturating_sub(lag));
        if session(&subject, 1).touch_due {
            subject.now = used;
            subject.run(touch(1)).unwrap();
        }
        subject.now = used + 5 * MINUTE_MS - 1;
        subject.run(Change::Sweep(Sweep {})).unwrap();
        assert!(subject.is_open(1), "ended before its time, {since_touch} ms after the last touch");
        // By 5:30 real time, replicated time is at least this far.
        subject.now = used + 5 * MINUTE_MS + 30_000 - lag;
        subject.run(Change::Sweep(Sweep {})).unwrap();
        assert!(!subject.is_open(1), "outlived its time, {since_touch} ms after the last touch");
    }
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
