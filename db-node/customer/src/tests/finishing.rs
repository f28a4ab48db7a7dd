//! Unfinished purchases: leased to one at a time, and found by others when the lease has run out.

use super::*;
use agora_proto::limits::PURCHASE_LEASE;

use crate::limits::ms;

/// Two buyers, each with a purchase `n` under way in a session `n`.
fn two_under_way() -> Subject {
    let mut subject = Subject::new();
    for n in [1, 2] {
        subject.run(account(Role::Buyer, &format!("buyer {n}"))).unwrap();
        subject.login(u64::from(n), n).unwrap();
        subject.add(n, 7, 1).unwrap();
        subject.run(begin(n, n)).unwrap();
        subject.now += 1;
    }
    subject
}

/// The purchases that a claim is given, by the first byte of their ids.
fn claimed(subject: &mut Subject, n: u8, limit: u32) -> Vec<u8> {
    match subject.run(claim(n, limit)).unwrap() {
        Body::ClaimedPurchases(claimed) => claimed.purchases.iter().map(|told| told.purchase_id[0]).collect(),
        other => panic!("{other:?}"),
    }
}

fn unfinished(subject: &Subject) -> (u64, bool) {
    match subject.ask(Question::GetUnfinished(GetUnfinished {})).unwrap() {
        Body::Unfinished(unfinished) => (unfinished.purchases, unfinished.due),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_purchase_is_left_to_whoever_began_it_until_the_lease_runs_out() {
    let mut subject = two_under_way();
    subject.now += ms(PURCHASE_LEASE) - 3;
    subject.run(Change::Sweep(Sweep {})).unwrap();
    assert_eq!(unfinished(&subject), (2, false));
    assert!(claimed(&mut subject, 8, 16).is_empty());
    subject.now += 1;
    subject.run(Change::Sweep(Sweep {})).unwrap();
    assert_eq!(unfinished(&subject), (2, true));
    assert_eq!(claimed(&mut subject, 8, 16), [1]);
    assert_eq!(unfinished(&subject), (2, false), "it is leased again");
    subject.now += 1;
    assert_eq!(claimed(&mut subject, 9, 16), [2]);
}

#[test]
fn a_repeated_claim_is_given_the_same_purchases_and_another_claim_none_of_them() {
    let mut subject = two_under_way();
    subject.now += ms(PURCHASE_LEASE);
    assert_eq!(claimed(&mut subject, 8, 1), [1], "the one that has waited longest");
    assert_eq!(claimed(&mut subject, 8, 16), [1]);
    assert_eq!(claimed(&mut subject, 9, 16), [2]);
    assert!(claimed(&mut subject, 10, 16).is_empty());
    subject.now += ms(PURCHASE_LEASE);
    assert_eq!(claimed(&mut subject, 10, 16), [1, 2], "both finishers died");
}

#[test]
fn a_client_that_repeats_its_purchase_has_the_lease_again() {
    let mut subject = two_under_way();
    subject.now += ms(PURCHASE_LEASE) - 3;
    subject.run(begin(1, 1)).unwrap();
    subject.now += 5;
    assert_eq!(claimed(&mut subject, 8, 16), [2]);
    subject.run(begin(2, 2)).unwrap();
    assert!(claimed(&mut subject, 8, 16).is_empty(), "the claim has it no more");
}

#[test]
fn an_aborted_purchase_is_unfinished_until_it_is_settled() {
    let mut subject = two_under_way();
    let Body::Purchase(told) = subject.run(abort_owing(1)).unwrap() else { panic!() };
    assert!(told.void_owed);
    subject.run(abort(2)).unwrap();
    assert_eq!(unfinished(&subject), (1, false), "the second one owes nothing");
    subject.run(abort(1)).unwrap();
    assert_eq!(unfinished(&subject).0, 1, "another reason does not pay what is owed");
    subject.now += ms(PURCHASE_LEASE);
    assert_eq!(claimed(&mut subject, 8, 16), [1]);
    let Body::Purchase(told) = subject.run(settle(1)).unwrap() else { panic!() };
    assert!(!told.void_owed && told.state() == PurchaseState::Aborted);
    assert_eq!(subject.run(settle(1)), Ok(Body::Purchase(told)));
    assert_eq!(unfinished(&subject), (0, false));
    assert!(claimed(&mut subject, 8, 16).is_empty());
}

#[test]
fn a_completed_purchase_is_finished() {
    let mut subject = two_under_way();
    subject.run(complete(1, &[(7, 1)])).unwrap();
    assert_eq!(unfinished(&subject).0, 1);
    subject.now += ms(PURCHASE_LEASE);
    assert_eq!(claimed(&mut subject, 8, 16), [2]);
}

#[test]
fn only_an_aborted_purchase_can_be_settled() {
    let mut subject = two_under_way();
    assert_eq!(subject.refused(settle(9)), Code::PurchaseNotFound);
    assert_eq!(subject.refused(settle(1)), Code::PurchaseConflict);
    subject.run(complete(1, &[(7, 1)])).unwrap();
    assert_eq!(subject.refused(settle(1)), Code::PurchaseConflict);
}

#[test]
fn wrong_claims_lease_nothing() {
    let mut subject = two_under_way();
    subject.now += ms(PURCHASE_LEASE);
    let before = substance(&subject.db);
    let short = ClaimPurchases { claim_id: Bytes::from_static(b"short"), limit: 1 };
    assert_eq!(subject.run(Change::ClaimPurchases(short)).unwrap_err().field, "claim_id");
    for limit in [0, 17, u32::MAX] {
        assert_eq!(subject.run(claim(8, limit)).unwrap_err().field, "limit");
    }
    assert_eq!(substance(&subject.db), before);
}

#[test]
fn while_something_is_unfinished_replicated_time_keeps_up() {
    let mut subject = two_under_way();
    for n in [1, 2] {
        subject.run(Change::CloseSession(CloseSession { token_hash: token(n) })).unwrap();
    }
    let later = Timestamp(subject.now + ms(PURCHASE_LEASE));
    assert!(subject.db.maintenance(later).is_some());
    subject.run(abort(1)).unwrap();
    subject.run(abort(2)).unwrap();
    assert!(subject.db.maintenance(later).is_none());
}
