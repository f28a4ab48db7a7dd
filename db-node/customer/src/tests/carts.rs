//! Carts: active and saved, and how two sessions get along.

use super::*;
use agora_proto::limits::{CART_LINE_UNITS, CART_LINES};

fn clear(n: u8) -> Change {
    Change::ClearCart(ClearCart { token_hash: token(n) })
}

#[test]
fn lines_add_up_and_stand_in_order() {
    let mut subject = Subject::with_buyer();
    subject.add(1, 9, 1).unwrap();
    subject.add(1, 2, 3).unwrap();
    subject.add(1, 9, 4).unwrap();
    assert_eq!(subject.cart(1), (vec![(2, 3), (9, 5)], 0));
}

#[test]
fn a_cart_holds_no_more_than_the_stock() {
    let mut subject = Subject::with_buyer();
    let add = |quantity, available: u64| {
        Change::AddToCart(AddToCart {
            token_hash: token(1),
            item: item(7),
            quantity,
            available: Some(available),
        })
    };
    subject.run(add(3, 5)).unwrap();
    assert_eq!(subject.refused(add(3, 5)), Code::InsufficientStock);
    assert_eq!(subject.refused(add(1, 0)), Code::InsufficientStock);
    assert_eq!(subject.refused(add(u32::MAX, 5)), Code::InsufficientStock);
    subject.run(add(2, 5)).unwrap();
    assert_eq!(subject.cart(1).0, [(7, 5)]);
}

#[test]
fn a_cart_has_bounds() {
    let mut subject = Subject::with_buyer();
    assert_eq!(subject.add(1, 1, 0).unwrap_err().field, "quantity");
    assert_eq!(subject.add(1, 0, 1).unwrap_err().field, "item");
    assert_eq!(subject.add(1, 1, u32::MAX).unwrap_err().field, "quantity");
    subject.add(1, 1, CART_LINE_UNITS).unwrap();
    assert_eq!(subject.add(1, 1, 1).unwrap_err().field, "quantity");
    for number in 2..=CART_LINES as u64 {
        subject.add(1, number, 1).unwrap();
    }
    assert_eq!(subject.add(1, 500, 1).unwrap_err().code(), Code::CartFull);
    subject.add(1, 2, 1).unwrap();
    let category = ItemId { category: u32::MAX, number: 1 };
    let wrong = AddToCart { token_hash: token(1), item: Some(category), quantity: 1, available: Some(9) };
    assert_eq!(subject.run(Change::AddToCart(wrong)).unwrap_err().field, "item");
    let none = AddToCart { token_hash: token(1), item: None, quantity: 1, available: Some(9) };
    assert_eq!(subject.run(Change::AddToCart(none)).unwrap_err().field, "item");
}

#[test]
fn removing_more_than_there_is_changes_nothing() {
    let mut subject = Subject::with_buyer();
    subject.add(1, 7, 3).unwrap();
    assert_eq!(subject.remove(1, 7, Some(4)).unwrap_err().code(), Code::NotInCart);
    assert_eq!(subject.remove(1, 8, None).unwrap_err().code(), Code::NotInCart);
    assert_eq!(subject.remove(1, 7, Some(0)).unwrap_err().code(), Code::InvalidField);
    assert_eq!(subject.cart(1).0, [(7, 3)]);
    subject.remove(1, 7, Some(2)).unwrap();
    assert_eq!(subject.cart(1).0, [(7, 1)]);
    subject.remove(1, 7, Some(1)).unwrap();
    assert!(subject.cart(1).0.is_empty());
    subject.add(1, 7, 3).unwrap();
    subject.remove(1, 7, None).unwrap();
    assert!(subject.cart(1).0.is_empty());
}

#[test]
fn a_saved_cart_comes_back_at_the_next_login() {
    let mut subject = Subject::with_buyer();
    subject.add(1, 7, 3).unwrap();
    subject.save(1, None).unwrap();
    subject.add(1, 8, 1).unwrap();
    subject.login(1, 2).unwrap();
    assert_eq!(subject.cart(2), (vec![(7, 3)], 1));
    assert_eq!(subject.cart(1), (vec![(7, 3), (8, 1)], 1));
}

#[test]
fn of_two_sessions_that_save_at_a_time_one_is_told() {
    let mut subject = Subject::with_buyer();
    subject.login(1, 2).unwrap();
    subject.add(1, 7, 1).unwrap();
    subject.add(2, 8, 1).unwrap();
    assert_eq!(subject.save(1, None), Ok(Body::CartSaved(CartSaved { saved_version: 1 })));
    let conflict = subject.save(2, None).unwrap_err();
    assert_eq!(conflict.code(), Code::SavedCartConflict);
    assert!(conflict.detail.contains("version 1"), "{}", conflict.detail);
    // Having seen what is there, the second one may insist.
    assert_eq!(subject.save(2, Some(1)), Ok(Body::CartSaved(CartSaved { saved_version: 2 })));
    assert_eq!(subject.save(2, None), Ok(Body::CartSaved(CartSaved { saved_version: 3 })));
    assert_eq!(subject.save(1, None).unwrap_err().code(), Code::SavedCartConflict);
    assert_eq!(subject.save(1, Some(u64::MAX)).unwrap_err().code(), Code::SavedCartConflict);
}

#[test]
fn clearing_clears_both_carts_and_is_seen_by_other_sessions_saves() {
    let mut subject = Subject::with_buyer();
    subject.add(1, 7, 1).unwrap();
    subject.save(1, None).unwrap();
    subject.login(1, 2).unwrap();
    subject.run(clear(1)).unwrap();
    assert_eq!(subject.cart(1), (vec![], 2));
    assert_eq!(subject.cart(2), (vec![(7, 1)], 2), "another session's cart is its own");
    assert_eq!(subject.save(2, None).unwrap_err().code(), Code::SavedCartConflict);
    subject.run(clear(1)).unwrap();
    assert_eq!(subject.cart(1).1, 2, "nothing to clear is no change");
    subject.save(1, None).unwrap();
    subject.login(1, 3).unwrap();
    assert!(subject.cart(3).0.is_empty());
}

#[test]
fn sellers_have_no_carts() {
    let mut subject = Subject::new();
    subject.run(account(Role::Seller, "bob")).unwrap();
    subject.run(login(Role::Seller, 1, token(1))).unwrap();
    assert_eq!(subject.add(1, 7, 1).unwrap_err().code(), Code::WrongRole);
    assert_eq!(subject.remove(1, 7, None).unwrap_err().code(), Code::WrongRole);
    assert_eq!(subject.save(1, None).unwrap_err().code(), Code::WrongRole);
    assert_eq!(subject.refused(clear(1)), Code::WrongRole);
    assert_eq!(subject.refused(begin(1, 1)), Code::WrongRole);
    let question = Question::GetCart(GetCart { token_hash: token(1) });
    assert_eq!(subject.ask(question).unwrap_err().code(), Code::WrongRole);
}
