//! Idempotency keys: one effect, one answer.

use super::*;
use agora_machine::ANSWER_OVERHEAD_BYTES;
use agora_proto::limits::ANSWER_KEPT;

use crate::limits::ms;

fn add(quantity: u32) -> Change {
    Change::AddToCart(AddToCart { token_hash: token(1), item: item(7), quantity, available: Some(100) })
}

#[test]
fn a_repeat_has_the_first_answer_and_no_effect() {
    let mut subject = Subject::with_buyer();
    let first = subject.run_as(key(1, 1), add(2)).unwrap();
    subject.run_as(key(2, 2), add(1)).unwrap();
    assert_eq!(subject.run_as(key(1, 1), add(2)).unwrap(), first);
    assert_eq!(subject.cart(1).0, [(7, 3)]);
    subject.run(Change::CloseSession(CloseSession { token_hash: token(1) })).unwrap();
    assert_eq!(subject.run_as(key(1, 1), add(2)).unwrap(), first, "even when the session has ended");
}

#[test]
fn a_key_belongs_to_one_request() {
    let mut subject = Subject::with_buyer();
    subject.run_as(key(1, 1), add(2)).unwrap();
    assert_eq!(subject.run_as(key(1, 2), add(3)).unwrap_err().code(), Code::IdempotencyKeyReused);
    assert_eq!(subject.cart(1).0, [(7, 2)]);
}

#[test]
fn refusals_by_the_rules_are_answers_too() {
    let mut subject = Subject::with_buyer();
    subject.add(1, 7, 99).unwrap();
    assert_eq!(subject.run_as(key(1, 1), add(2)).unwrap_err().code(), Code::InsufficientStock);
    subject.remove(1, 7, None).unwrap();
    assert_eq!(subject.run_as(key(1, 1), add(2)).unwrap_err().code(), Code::InsufficientStock);
}

#[test]
fn a_refused_addition_stays_refused_whatever_the_stock_is_at_the_repeat() {
    let mut subject = Subject::with_buyer();
    let add = |quantity, available| {
        Change::AddToCart(AddToCart { token_hash: token(1), item: item(7), quantity, available })
    };
    let not_on_sale = subject.run_as(key(1, 1), add(2, None)).unwrap_err();
    assert_eq!(not_on_sale.code(), Code::ItemNotFound);
    assert_eq!(subject.run_as(key(1, 1), add(2, Some(5))).unwrap_err(), not_on_sale);
    let too_few = subject.run_as(key(2, 1), add(2, Some(1))).unwrap_err();
    assert_eq!(too_few.code(), Code::InsufficientStock);
    assert_eq!(subject.run_as(key(2, 1), add(2, Some(5))).unwrap_err(), too_few);
    assert_eq!(subject.run_as(key(2, 1), add(2, None)).unwrap_err(), too_few);
    let all = agora_proto::limits::CART_LINE_UNITS;
    subject.add(1, 7, all).unwrap();
    let too_many = subject.run_as(key(3, 1), add(1, Some(u64::MAX))).unwrap_err();
    assert_eq!((too_many.code(), too_many.field.as_str()), (Code::CartFull, "quantity"));
    subject.remove(1, 7, None).unwrap();
    assert_eq!(subject.run_as(key(3, 1), add(1, Some(u64::MAX))).unwrap_err(), too_many);
    assert!(subject.cart(1).0.is_empty());
}

#[test]
fn what_is_no_answer_is_not_remembered() {
    let mut subject = Subject::with_buyer();
    let later = AddToCart { token_hash: token(2), item: item(7), quantity: 1, available: Some(1) };
    let later = Change::AddToCart(later);
    assert_eq!(subject.run_as(key(1, 1), later.clone()).unwrap_err().code(), Code::InvalidSession);
    assert_eq!(subject.run_as(key(2, 1), add(0)).unwrap_err().code(), Code::InvalidField);
    assert!(subject.db.answers.is_empty());
    subject.login(1, 2).unwrap();
    subject.run_as(key(1, 1), later).unwrap();
}

#[test]
fn a_repeated_purchase_is_told_how_far_it_is() {
    let mut subject = Subject::with_buyer();
    assert_eq!(subject.run_as(key(9, 9), begin(1, 9)).unwrap_err().code(), Code::CartEmpty);
    subject.add(1, 7, 1).unwrap();
    assert_eq!(
        subject.run_as(key(9, 9), begin(1, 9)).unwrap_err().code(),
        Code::CartEmpty,
        "a refusal stands"
    );
    let started = subject.run_as(key(1, 1), begin(1, 1)).unwrap();
    assert_eq!(subject.run_as(key(1, 1), begin(1, 1)).unwrap(), started);
    let completed = subject.run(complete(1, &[(7, 1)])).unwrap();
    assert_eq!(subject.run_as(key(1, 1), begin(1, 1)).unwrap(), completed);
    assert_eq!(subject.run_as(key(1, 2), begin(1, 1)).unwrap_err().code(), Code::IdempotencyKeyReused);
}

#[test]
fn answers_are_kept_for_a_day_and_make_room_for_new_ones() {
    let mut subject = Subject::with_buyer();
    subject.run_as(key(1, 1), account(Role::Buyer, "a")).unwrap();
    subject.now += ms(ANSWER_KEPT);
    subject.run_as(key(2, 2), account(Role::Buyer, "b")).unwrap();
    assert!(subject.run_as(key(1, 1), account(Role::Buyer, "a")).is_ok(), "remembered for a whole day");
    assert_eq!(subject.db.answers.len(), 2);
    subject.now += 1;
    subject.run_as(key(3, 3), account(Role::Buyer, "c")).unwrap();
    assert_eq!(subject.db.answers.len(), 2, "the oldest went");
    assert_eq!(subject.run_as(key(1, 1), account(Role::Buyer, "a")).unwrap_err().code(), Code::UsernameTaken);
}

#[test]
fn a_full_memory_refuses_rather_than_forgets() {
    let mut subject = Subject { db: CustomerDb::with_answers_bytes_max(2 * ANSWER_OVERHEAD_BYTES), now: 1 };
    subject.run_as(key(1, 1), account(Role::Buyer, "a")).unwrap();
    subject.run_as(key(2, 2), account(Role::Buyer, "b")).unwrap();
    assert_eq!(subject.run_as(key(3, 3), account(Role::Buyer, "c")).unwrap_err().code(), Code::RateLimited);
    assert!(subject.run_as(key(1, 1), account(Role::Buyer, "a")).is_ok());
    subject.now += ms(ANSWER_KEPT) + 1;
    subject.run_as(key(3, 3), account(Role::Buyer, "c")).unwrap();
}
