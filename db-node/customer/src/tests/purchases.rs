//! Purchases: frozen, completed or aborted once, and listed.

use super::*;
use crate::limits::PAGE_LINES_MAX;
use agora_proto::limits::CART_LINES;

fn with_cart(lines: &[(u64, u32)]) -> Subject {
    let mut subject = Subject::with_buyer();
    for (number, quantity) in lines {
        subject.add(1, *number, *quantity).unwrap();
    }
    subject
}

fn purchase(body: Result<Body, Refusal>) -> Purchase {
    match body.unwrap() {
        Body::Purchase(purchase) => purchase,
        other => panic!("{other:?}"),
    }
}

fn page(subject: &Subject, limit: u32, after: Option<u64>) -> PurchasePage {
    let after = after.map(|number| PurchaseCursor { number });
    match subject.ask(Question::ListPurchases(ListPurchases { token_hash: token(1), limit, after })).unwrap()
    {
        Body::PurchasePage(page) => page,
        other => panic!("{other:?}"),
    }
}

fn items_purchased(subject: &Subject) -> u64 {
    match subject.ask(Question::GetAccount(GetAccount { role: Role::Buyer.into(), user_id: 1 })).unwrap() {
        Body::Account(account) => account.items_purchased,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_purchase_freezes_the_cart_as_it_is() {
    let mut subject = with_cart(&[(7, 2)]);
    let begun = purchase(subject.run(begin(1, 1)));
    subject.add(1, 8, 1).unwrap();
    assert_eq!(begun.state(), PurchaseState::Started);
    assert_eq!(begun.lines.len(), 1);
    assert_eq!(purchase(subject.run(begin(1, 1))), begun, "again");
    assert_eq!(
        subject.refused(complete(1, &[(7, 2), (8, 1)])),
        Code::InvalidField,
        "other lines than were frozen"
    );
}

#[test]
fn who_may_only_go_on_begins_nothing_and_is_told_what_was_answered() {
    let mut subject = with_cart(&[(7, 2)]);
    let (first, other) = (key(1, 1), key(2, 1));
    let refused = subject.run_as(first.clone(), go_on(1, 1)).unwrap_err();
    assert_eq!(refused.code(), Code::InvalidField);
    assert!(!subject.db.purchases.any_under_way(crate::keys::TokenHash([1; 32])));
    let begun = purchase(subject.run_as(first.clone(), begin(1, 1)));
    assert_eq!(begun.state(), PurchaseState::Started, "that refusal was not kept");
    assert_eq!(purchase(subject.run_as(first.clone(), go_on(1, 1))), begun);
    let completed = purchase(subject.run(complete(1, &[(7, 2)])));
    assert_eq!(purchase(subject.run_as(first, go_on(1, 1))), completed);
    // A refusal to begin is an answer too.
    assert_eq!(subject.run_as(other.clone(), begin(1, 2)).unwrap_err().code(), Code::CartEmpty);
    assert_eq!(subject.run_as(other, go_on(1, 2)).unwrap_err().code(), Code::CartEmpty);
}

#[test]
fn a_completed_purchase_is_in_the_history_and_out_of_the_carts() {
    let mut subject = with_cart(&[(7, 2), (8, 1)]);
    subject.save(1, None).unwrap();
    subject.run(begin(1, 1)).unwrap();
    subject.add(1, 7, 5).unwrap();
    subject.now += 1;
    let completed = purchase(subject.run(complete(1, &[(8, 1), (7, 2)])));
    assert_eq!(completed.state(), PurchaseState::Completed);
    assert_eq!((completed.total_cents, completed.at_ms), (15, subject.now));
    assert_eq!(completed.lines[0].name, "thing 7", "in the order of the items");
    assert_eq!(subject.cart(1), (vec![(7, 5)], 2), "what came into the cart meanwhile stays");
    assert_eq!(items_purchased(&subject), 3);
    assert_eq!(page(&subject, 10, None).purchases, std::slice::from_ref(&completed));
    subject.now += 1;
    assert_eq!(purchase(subject.run(complete(1, &[(8, 1), (7, 2)]))), completed, "again");
    assert_eq!(items_purchased(&subject), 3);
    assert_eq!(
        subject.save(1, None),
        Ok(Body::CartSaved(CartSaved { saved_version: 3 })),
        "it knows its own purchase"
    );
    subject.login(1, 2).unwrap();
    assert_eq!(subject.cart(2).0, [(7, 5)]);
}

#[test]
fn a_purchase_of_one_session_is_a_conflict_to_anothers_save_and_never_hidden() {
    let mut subject = with_cart(&[(7, 2)]);
    subject.save(1, None).unwrap();
    subject.login(1, 2).unwrap();
    subject.run(begin(1, 1)).unwrap();
    subject.save(2, None).unwrap();
    subject.run(complete(1, &[(7, 2)])).unwrap();
    assert_eq!(subject.save(2, None).unwrap_err().code(), Code::SavedCartConflict);
    assert_eq!(
        subject.save(1, None).unwrap_err().code(),
        Code::SavedCartConflict,
        "the other one saved before"
    );
}

#[test]
fn a_purchase_ends_once() {
    let mut subject = with_cart(&[(7, 2)]);
    subject.run(begin(1, 1)).unwrap();
    let aborted = purchase(subject.run(abort(1)));
    assert_eq!(aborted.state(), PurchaseState::Aborted);
    assert_eq!(aborted.reason.as_ref().unwrap().code(), Code::PaymentDeclined);
    assert_eq!(purchase(subject.run(abort(1))), aborted);
    assert_eq!(purchase(subject.run(begin(1, 1))), aborted);
    assert_eq!(subject.refused(complete(1, &[(7, 2)])), Code::PurchaseConflict);
    assert_eq!(subject.cart(1).0, [(7, 2)], "the cart stays");
    assert!(page(&subject, 10, None).purchases.is_empty());

    subject.run(begin(1, 2)).unwrap();
    subject.run(complete(2, &[(7, 2)])).unwrap();
    assert_eq!(subject.refused(abort(2)), Code::PurchaseConflict);
}

#[test]
fn a_purchase_goes_on_after_its_session_ended() {
    let mut subject = with_cart(&[(7, 2)]);
    subject.run(begin(1, 1)).unwrap();
    subject.run(Change::CloseSession(CloseSession { token_hash: token(1) })).unwrap();
    assert_eq!(purchase(subject.run(begin(1, 1))).state(), PurchaseState::Started);
    subject.run(complete(1, &[(7, 2)])).unwrap();
    assert_eq!(items_purchased(&subject), 2);
    let question = Question::GetPurchase(GetPurchase { purchase_id: purchase_id(1) });
    assert_eq!(purchase(subject.ask(question)).state(), PurchaseState::Completed);
}

#[test]
fn a_session_has_one_purchase_under_way() {
    let mut subject = with_cart(&[(7, 2)]);
    assert_eq!(subject.refused(begin(9, 1)), Code::InvalidSession);
    subject.run(begin(1, 1)).unwrap();
    assert_eq!(subject.refused(begin(1, 2)), Code::PurchaseConflict);
    subject.now += 4 * 60_000;
    assert_eq!(subject.refused(begin(1, 2)), Code::PurchaseConflict, "however long it takes");
    subject.login(1, 2).unwrap();
    subject.add(2, 8, 1).unwrap();
    subject.run(begin(2, 2)).unwrap();
    subject.run(abort_owing(1)).unwrap();
    subject.run(begin(1, 3)).unwrap();
}

#[test]
fn nobody_gets_anothers_purchase() {
    let mut subject = with_cart(&[(7, 2)]);
    subject.run(begin(1, 1)).unwrap();
    subject.run(account(Role::Buyer, "eve")).unwrap();
    subject.login(2, 2).unwrap();
    assert_eq!(subject.refused(begin(2, 1)), Code::PurchaseConflict);
    subject.login(1, 3).unwrap();
    assert_eq!(purchase(subject.run(begin(3, 1))).buyer_id, 1, "the same buyer after another login");
}

#[test]
fn wrong_completions_change_nothing() {
    let mut subject = with_cart(&[(7, 2)]);
    assert_eq!(subject.refused(complete(1, &[(7, 2)])), Code::PurchaseNotFound);
    assert_eq!(subject.refused(abort(1)), Code::PurchaseNotFound);
    subject.run(begin(1, 1)).unwrap();
    let before = substance(&subject.db);
    let Change::CompletePurchase(good) = complete(1, &[(7, 2)]) else { panic!() };
    let line = good.lines[0].clone();
    let with_line = |line: PurchaseLine| CompletePurchase { lines: vec![line], ..good.clone() };
    for (field, wrong) in [
        ("purchase_id", CompletePurchase { purchase_id: token(1), ..good.clone() }),
        ("lines", CompletePurchase { lines: vec![], ..good.clone() }),
        ("lines", CompletePurchase { lines: vec![line.clone(); 2], ..good.clone() }),
        ("lines", CompletePurchase { lines: vec![line.clone(); CART_LINES + 1], ..good.clone() }),
        ("lines", with_line(PurchaseLine { quantity: 1, ..line.clone() })),
        ("item", with_line(PurchaseLine { item: None, ..line.clone() })),
        ("lines", with_line(PurchaseLine { quantity: u32::MAX, ..line.clone() })),
        ("quantity", with_line(PurchaseLine { quantity: 0, ..line.clone() })),
        ("price_cents", with_line(PurchaseLine { price_cents: 0, ..line.clone() })),
        ("price_cents", with_line(PurchaseLine { price_cents: u64::MAX, ..line.clone() })),
        ("name", with_line(PurchaseLine { name: "x".repeat(33), ..line.clone() })),
        ("seller_id", with_line(PurchaseLine { seller_id: 0, ..line })),
        ("total_cents", CompletePurchase { total_cents: 11, ..good.clone() }),
        ("authorization_id", CompletePurchase { authorization_id: String::new(), ..good.clone() }),
    ] {
        let refusal = subject.run(Change::CompletePurchase(wrong)).unwrap_err();
        assert_eq!((refusal.code(), refusal.field.as_str()), (Code::InvalidField, field));
    }
    for reason in [None, Some(Refusal::default()), Some(Refusal { code: 9999, ..Refusal::default() })] {
        let abort = AbortPurchase { purchase_id: purchase_id(1), reason, void_owed: true };
        assert_eq!(subject.run(Change::AbortPurchase(abort)).unwrap_err().field, "reason");
    }
    assert_eq!(substance(&subject.db), before);
    subject.run(Change::CompletePurchase(good)).unwrap();
}

#[test]
fn an_empty_cart_buys_nothing() {
    let mut subject = Subject::with_buyer();
    assert_eq!(subject.refused(begin(1, 1)), Code::CartEmpty);
}

#[test]
fn the_history_is_read_in_pages_from_the_newest_while_it_grows() {
    let mut subject = Subject::with_buyer();
    let buy = |subject: &mut Subject, n: u8| {
        subject.add(1, u64::from(n), 1).unwrap();
        subject.run(begin(1, n)).unwrap();
        subject.run(complete(n, &[(u64::from(n), 1)])).unwrap();
    };
    (1..=5).for_each(|n| buy(&mut subject, n));
    let ids = |page: &PurchasePage| {
        page.purchases.iter().map(|purchase| purchase.purchase_id[0]).collect::<Vec<_>>()
    };
    let first = page(&subject, 2, None);
    assert_eq!(ids(&first), [5, 4]);
    buy(&mut subject, 6);
    let second = page(&subject, 2, Some(first.next.unwrap().number));
    assert_eq!(ids(&second), [3, 2]);
    let third = page(&subject, 2, Some(second.next.unwrap().number));
    assert_eq!((ids(&third), third.next), (vec![1], None));
    assert_eq!(page(&subject, 6, None).next, None, "no empty page at the end");
    assert!(page(&subject, 1, Some(0)).purchases.is_empty());
    for limit in [0, 101, u32::MAX] {
        let question = ListPurchases { token_hash: token(1), limit, after: None };
        assert_eq!(subject.ask(Question::ListPurchases(question)).unwrap_err().field, "limit");
    }
}

#[test]
fn a_page_of_large_purchases_is_shorter() {
    let mut subject = Subject::with_buyer();
    let lines: Vec<_> = (1..=CART_LINES as u64).map(|number| (number, 1)).collect();
    let fit = (PAGE_LINES_MAX / CART_LINES) as u8;
    for n in 1..=fit + 1 {
        for (number, quantity) in &lines {
            subject.add(1, *number, *quantity).unwrap();
        }
        subject.run(begin(1, n)).unwrap();
        subject.run(complete(n, &lines)).unwrap();
    }
    let first = page(&subject, 100, None);
    assert_eq!(first.purchases.len(), usize::from(fit));
    let rest = page(&subject, 100, Some(first.next.unwrap().number));
    assert_eq!((rest.purchases.len(), rest.next), (1, None));
}
