//! Sweeps: what is over goes, in bounded steps, and time moves on.

use super::*;
use crate::limits::{PURCHASE_KEPT, SWEEP_MAX, TIME_LAG_PROPOSED, ms};
use agora_proto::limits::ANSWER_KEPT;

const HOUR_MS: u64 = 60 * 60 * 1000;

fn sweep() -> Change {
    Change::Sweep(Sweep {})
}

fn is_due(subject: &Subject, local_now: u64) -> bool {
    subject.db.maintenance(Timestamp(local_now)).is_some()
}

#[test]
fn an_idle_database_proposes_nothing() {
    let mut subject = Subject::new();
    assert!(!is_due(&subject, u64::MAX));
    subject.run(account(Role::Buyer, "ada")).unwrap();
    assert!(!is_due(&subject, u64::MAX), "accounts are never over");
}

#[test]
fn open_sessions_cost_no_writes() {
    let subject = Subject::with_buyer();
    assert!(!is_due(&subject, subject.now + 5 * 60_000));
}

#[test]
fn while_a_purchase_is_unfinished_replicated_time_keeps_up() {
    let mut subject = Subject::with_buyer();
    subject.add(1, 7, 1).unwrap();
    subject.run(begin(1, 1)).unwrap();
    let lag = ms(TIME_LAG_PROPOSED);
    assert!(!is_due(&subject, subject.now));
    assert!(!is_due(&subject, subject.now - 1), "a clock that is behind");
    assert!(!is_due(&subject, subject.now + lag - 1));
    assert!(is_due(&subject, subject.now + lag));
    subject.now += lag;
    subject.run(sweep()).unwrap();
    assert!(!is_due(&subject, subject.now));
    let proposed = subject.db.maintenance(Timestamp(subject.now + lag)).unwrap();
    assert_eq!(CustomerDb::check(&proposed), Ok(()));
}

#[test]
fn a_wrong_local_clock_ends_no_session() {
    let mut subject = Subject::with_buyer();
    let proposed = subject.db.maintenance(Timestamp(subject.now + 24 * HOUR_MS)).unwrap();
    // The group gives the sweep its own time.
    subject.db.apply(Timestamp(subject.now + 1), &proposed);
    assert!(subject.is_open(1));
}

#[test]
fn each_sweep_is_bounded_and_the_next_one_goes_on() {
    let mut subject = Subject::new();
    let sessions = SWEEP_MAX + 10;
    for n in 0..sessions {
        subject.run(account(Role::Buyer, &format!("user {n}"))).unwrap();
        let mut token = [0; 32];
        token[..8].copy_from_slice(&n.to_be_bytes());
        subject.run(login(Role::Buyer, n as u64 + 1, Bytes::copy_from_slice(&token))).unwrap();
    }
    subject.now += HOUR_MS;
    assert!(is_due(&subject, subject.now));
    subject.run(sweep()).unwrap();
    assert_eq!((subject.db.sessions.rows.len(), subject.db.carts.active.len()), (10, 10));
    assert!(is_due(&subject, 0), "more is to do, whatever the local clock says");
    subject.run(sweep()).unwrap();
    assert!(subject.db.sessions.rows.is_empty());
    assert!(!is_due(&subject, subject.now));
}

#[test]
fn answers_go_after_a_day() {
    let mut subject = Subject::new();
    subject.run_as(key(1, 1), account(Role::Buyer, "ada")).unwrap();
    subject.now += ms(ANSWER_KEPT);
    assert!(!is_due(&subject, subject.now));
    subject.now += 1;
    assert!(is_due(&subject, subject.now));
    subject.run(sweep()).unwrap();
    assert!(subject.db.answers.is_empty());
}

#[test]
fn aborted_purchases_go_and_what_is_unfinished_and_the_history_stay() {
    let mut subject = Subject::with_buyer();
    subject.add(1, 7, 1).unwrap();
    subject.run(begin(1, 1)).unwrap();
    subject.run(complete(1, &[(7, 1)])).unwrap();
    subject.add(1, 7, 1).unwrap();
    subject.run(begin(1, 2)).unwrap();
    subject.run(abort(2)).unwrap();
    subject.run(begin(1, 3)).unwrap();
    subject.run(abort_owing(3)).unwrap();
    subject.run(begin(1, 4)).unwrap();
    subject.now += ms(PURCHASE_KEPT);
    subject.run(sweep()).unwrap();
    assert_eq!(subject.db.purchases.rows.len(), 4);
    subject.now += 1;
    assert!(is_due(&subject, subject.now));
    subject.run(sweep()).unwrap();
    let get = |subject: &Subject, n| {
        subject.ask(Question::GetPurchase(GetPurchase { purchase_id: purchase_id(n) }))
    };
    assert!(get(&subject, 1).is_ok());
    assert_eq!(get(&subject, 2).unwrap_err().code(), Code::PurchaseNotFound);
    assert!(get(&subject, 3).is_ok(), "its payment is still to be voided");
    assert!(get(&subject, 4).is_ok(), "it is under way");
    assert!(!is_due(&subject, subject.now), "and no sweep is proposed for them");
    subject.run(settle(3)).unwrap();
    assert!(is_due(&subject, subject.now));
    subject.run(sweep()).unwrap();
    assert_eq!(get(&subject, 3).unwrap_err().code(), Code::PurchaseNotFound);
}
