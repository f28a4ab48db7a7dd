//! A purchase's hold on stock: all lines or none, once, and for a time.
#![allow(clippy::expect_used, clippy::panic)]

mod common;

use agora_proto::common::{Code, ItemId};
use agora_proto::limits::{CART_LINE_UNITS, RESERVATION_HOLD};
use agora_proto::product::ReservationState::{Committed, Held, Released};
use agora_proto::product::command::Body as Do;
use agora_proto::product::response::Body;
use agora_proto::product::*;
use common::{Shop, id, invalid, plain, purchase, refusal, shoe, unkeyed};

const HOLD_MS: u64 = RESERVATION_HOLD.as_millis() as u64;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn lines(lines: &[(ItemId, u32)]) -> Vec<ReserveLine> {
    lines.iter().map(|(item, quantity)| ReserveLine { item: Some(*item), quantity: *quantity }).collect()
}

fn reserve(shop: &mut Shop, number: u8, of: &[(ItemId, u32)]) -> Body {
    let reserve = Reserve { purchase_id: purchase(number), buyer_id: 5, lines: lines(of) };
    shop.apply(&unkeyed(Do::Reserve(reserve)))
}

fn commit(shop: &mut Shop, number: u8) -> Body {
    commit_paid(shop, number, "auth-1")
}

fn commit_paid(shop: &mut Shop, number: u8, authorization_id: &str) -> Body {
    let (purchase_id, authorization_id) = (purchase(number), authorization_id.into());
    shop.apply(&unkeyed(Do::CommitReservation(CommitReservation { purchase_id, authorization_id })))
}

fn release(shop: &mut Shop, number: u8) -> Body {
    shop.apply(&unkeyed(Do::ReleaseReservation(ReleaseReservation { purchase_id: purchase(number) })))
}

fn state(body: &Body) -> ReservationState {
    match body {
        Body::Reservation(reservation) => reservation.state(),
        other => panic!("no reservation: {other:?}"),
    }
}

/// Two items of ten units each, of sellers 1 and 2.
fn shop() -> Shop {
    let mut shop = Shop { now: 1_000_000, ..Shop::default() };
    shop.register(shoe());
    shop.register(RegisterItem { seller_id: 2, price_cents: 5, ..shoe() });
    shop
}

fn on_sale(shop: &Shop, number: u64) -> u64 {
    shop.item(id(7, number)).expect("offered").quantity
}

#[test]
fn holds_all_lines_at_their_prices() {
    let mut shop = shop();
    let Body::Reservation(held) = reserve(&mut shop, 1, &[(id(7, 1), 3), (id(7, 2), 10)]) else {
        panic!("refused")
    };
    assert_eq!((held.state(), held.total_cents), (Held, 3 * 1999 + 10 * 5));
    assert_eq!(held.expires_ms, shop.now + HOLD_MS);
    assert_eq!(
        (held.lines[0].price_cents, held.lines[0].seller_id, held.lines[0].name.as_str()),
        (1999, 1, "Shoe")
    );
    assert_eq!((on_sale(&shop, 1), on_sale(&shop, 2)), (7, 0));
    assert_eq!(shop.found(None, &[], 9), [id(7, 1)], "what is reserved does not show");
    let totals = shop.totals();
    assert_eq!((totals.units_on_sale, totals.units_reserved, totals.reservations_held), (7, 13, 1));
}

#[test]
fn holds_nothing_if_one_line_falls_short() {
    let mut shop = shop();
    for lines in [[(id(7, 1), 3), (id(7, 2), 11)], [(id(7, 1), 3), (id(9, 9), 1)]] {
        assert_eq!(refusal(reserve(&mut shop, 1, &lines)), (Code::InsufficientStock, "lines".into()));
    }
    assert_eq!((on_sale(&shop, 1), on_sale(&shop, 2)), (10, 10));
    assert_eq!(state(&reserve(&mut shop, 1, &[(id(7, 1), 3)])), Held, "the refusal left no mark");
}

#[test]
fn the_shape_of_lines_is_checked() {
    let mut shop = shop();
    let many: Vec<_> = (1..=101).map(|number| (id(7, number), 1)).collect();
    let bad =
        [vec![], many, vec![(id(7, 1), 0)], vec![(id(7, 1), CART_LINE_UNITS + 1)], vec![(id(7, 1), 1); 2]];
    for lines in bad {
        assert_eq!(refusal(reserve(&mut shop, 1, &lines)), invalid("lines"));
    }
    let lines = vec![ReserveLine { item: None, quantity: 1 }];
    let reserve = Do::Reserve(Reserve { purchase_id: purchase(1), buyer_id: 5, lines });
    assert_eq!(refusal(shop.apply(&unkeyed(reserve))), plain(Code::MalformedRequest));
}

#[test]
fn reserving_again_answers_as_it_is_now_and_holds_nothing_more() {
    let mut shop = shop();
    let of = [(id(7, 1), 3), (id(7, 2), 1)];
    let first = reserve(&mut shop, 1, &of);
    assert_eq!(reserve(&mut shop, 1, &[of[1], of[0]]), first, "the order of lines makes no difference");
    assert_eq!(on_sale(&shop, 1), 7);
    assert_eq!(refusal(reserve(&mut shop, 1, &[of[0]])), plain(Code::PurchaseConflict));
    let others = Reserve { purchase_id: purchase(1), buyer_id: 6, lines: lines(&of) };
    assert_eq!(refusal(shop.apply(&unkeyed(Do::Reserve(others)))), plain(Code::PurchaseConflict));
    commit(&mut shop, 1);
    assert_eq!(state(&reserve(&mut shop, 1, &of)), Committed);
}

#[test]
fn committed_units_are_sold_and_count_for_their_sellers_once() {
    let mut shop = shop();
    reserve(&mut shop, 1, &[(id(7, 1), 3), (id(7, 2), 10)]);
    let first = commit(&mut shop, 1);
    assert_eq!(state(&first), Committed);
    assert_eq!(commit(&mut shop, 1), first);
    assert_eq!((shop.rating(1), shop.rating(2), shop.rating(3)), ((0, 0, 3), (0, 0, 10), (0, 0, 0)));
    let totals = shop.totals();
    assert_eq!((totals.units_sold, totals.units_reserved, totals.reservations_held), (13, 0, 0));
    assert_eq!(release(&mut shop, 1), first, "what is sold is not released, and who tries is told");
    assert_eq!(shop.totals(), totals);
}

#[test]
fn a_committed_reservation_names_the_payment_it_was_committed_for() {
    let mut shop = shop();
    reserve(&mut shop, 1, &[(id(7, 1), 3)]);
    for wrong in ["", "  ", "a\nb", &"x".repeat(129)] {
        assert_eq!(refusal(commit_paid(&mut shop, 1, wrong)), invalid("authorization_id"));
    }
    let Body::Reservation(sold) = commit_paid(&mut shop, 1, "auth-1") else { panic!("refused") };
    assert_eq!((sold.state(), sold.authorization_id.as_str()), (Committed, "auth-1"));
    assert_eq!(commit_paid(&mut shop, 1, "auth-2"), Body::Reservation(sold.clone()), "the first one counts");
    assert_eq!(release(&mut shop, 1), Body::Reservation(sold));
}

#[test]
fn released_units_go_back_on_sale_once() {
    let mut shop = shop();
    reserve(&mut shop, 1, &[(id(7, 2), 10)]);
    let first = release(&mut shop, 1);
    assert_eq!(state(&first), Released);
    assert_eq!(release(&mut shop, 1), first);
    assert_eq!(on_sale(&shop, 2), 10);
    assert_eq!(shop.found(None, &[], 9), [id(7, 2), id(7, 1)], "and show in their old place");
    assert_eq!(refusal(commit(&mut shop, 1)), plain(Code::ReservationNotFound));
    assert_eq!(state(&reserve(&mut shop, 1, &[(id(7, 2), 10)])), Released, "it is not made again");
    assert_eq!(on_sale(&shop, 2), 10);
}

#[test]
fn what_was_released_before_it_was_made_can_not_be_made() {
    let mut shop = shop();
    assert_eq!(refusal(commit(&mut shop, 1)), plain(Code::ReservationNotFound));
    assert_eq!(state(&release(&mut shop, 1)), Released);
    assert_eq!(refusal(reserve(&mut shop, 1, &[(id(7, 1), 1)])), plain(Code::PurchaseConflict));
    assert_eq!(refusal(commit(&mut shop, 1)), plain(Code::ReservationNotFound));
    assert_eq!(on_sale(&shop, 1), 10);
}

#[test]
fn a_hold_runs_out_at_its_time_whether_or_not_a_sweep_was_there() {
    let of = [(id(7, 1), 4)];
    let mut shop = shop();
    reserve(&mut shop, 1, &of);
    reserve(&mut shop, 2, &of);
    shop.now += HOLD_MS - 1;
    assert_eq!(state(&commit(&mut shop, 1)), Committed, "the last moment");
    shop.sweep();
    assert_eq!(on_sale(&shop, 1), 2, "a sweep takes nothing early");
    shop.now += 1;
    assert_eq!(refusal(commit(&mut shop, 2)), plain(Code::ReservationNotFound));
    assert_eq!(on_sale(&shop, 1), 6, "the attempt put the units back");
    assert_eq!(state(&reserve(&mut shop, 2, &of)), Released);
}

#[test]
fn a_sweep_puts_back_what_ran_out_and_is_asked_for_when_there_is_something() {
    use agora_machine::{StateMachine, Timestamp};

    let mut shop = shop();
    assert_eq!(shop.db.maintenance(Timestamp(shop.now)), None);
    reserve(&mut shop, 1, &[(id(7, 1), 4)]);
    let end = shop.now + HOLD_MS;
    assert_eq!(shop.db.maintenance(Timestamp(end - 1)), None);
    let sweep = shop.db.maintenance(Timestamp(end)).expect("a hold ran out");
    agora_product::ProductDb::check(&sweep).expect("a command");
    shop.now = end;
    shop.apply(&sweep);
    assert_eq!((on_sale(&shop, 1), shop.totals().reservations_held), (10, 0));
    assert_eq!(shop.db.maintenance(Timestamp(end)), None);
    assert_eq!(state(&release(&mut shop, 1)), Released);
}

#[test]
fn an_ended_reservation_is_forgotten_after_a_day() {
    let mut shop = shop();
    let of = [(id(7, 1), 1)];
    reserve(&mut shop, 1, &of);
    commit(&mut shop, 1);
    release(&mut shop, 2);
    shop.now += DAY_MS - 1;
    shop.sweep();
    assert_eq!(state(&commit(&mut shop, 1)), Committed);
    shop.now += 1;
    shop.sweep();
    assert_eq!(refusal(commit(&mut shop, 1)), plain(Code::ReservationNotFound));
    assert_eq!(state(&reserve(&mut shop, 2, &of)), Held);
    assert_eq!(shop.rating(1), (0, 0, 1), "what was sold stays sold");
}

#[test]
fn a_sweep_does_a_bounded_piece_and_the_next_goes_on() {
    let mut shop = shop();
    let most = agora_product::bounds::SWEEP_MOST;
    for number in 0..most as u128 + 10 {
        let purchase_id = number.to_be_bytes().to_vec().into();
        shop.apply(&unkeyed(Do::ReleaseReservation(ReleaseReservation { purchase_id })));
    }
    let kept = |shop: &Shop| {
        use agora_machine::StateMachine;
        shop.db.records().filter(|record| record.key[0] == 6).count()
    };
    shop.now += DAY_MS;
    shop.sweep();
    assert_eq!(kept(&shop), 10);
    shop.sweep();
    assert_eq!(kept(&shop), 0);
}

#[test]
fn reserved_units_of_a_removed_item_can_be_committed() {
    let mut shop = shop();
    reserve(&mut shop, 1, &[(id(7, 1), 4)]);
    assert_eq!(
        shop.run(Do::RemoveItem(RemoveItem { seller_id: 1, item: Some(id(7, 1)) })),
        Body::Done(Done {})
    );
    shop.sweep();
    assert_eq!(shop.item(id(7, 1)), None);
    assert_eq!(refusal(reserve(&mut shop, 2, &[(id(7, 1), 1)])), (Code::InsufficientStock, "lines".into()));
    assert_eq!(state(&commit(&mut shop, 1)), Committed);
    assert_eq!(shop.rating(1), (0, 0, 4));
    let totals = shop.totals();
    assert_eq!((totals.units_sold, totals.units_listed, totals.units_on_sale), (4, 14, 10));
}

#[test]
fn released_units_of_a_removed_item_leave_the_market() {
    let mut shop = shop();
    reserve(&mut shop, 1, &[(id(7, 1), 4), (id(7, 2), 1)]);
    shop.run(Do::RemoveItem(RemoveItem { seller_id: 1, item: Some(id(7, 1)) }));
    assert_eq!(shop.totals().units_listed, 14);
    assert_eq!(state(&release(&mut shop, 1)), Released);
    assert_eq!(shop.item(id(7, 1)), None);
    assert_eq!(shop.found(None, &[], 9), [id(7, 2)]);
    assert_eq!(shop.totals().units_listed, 10);
}

#[test]
fn reserved_units_keep_their_room() {
    use agora_proto::limits::UNITS_MAX;

    let mut shop = shop();
    reserve(&mut shop, 1, &[(id(7, 1), 4)]);
    let add = |delta| Do::UpdateUnits(UpdateUnits { seller_id: 1, item: Some(id(7, 1)), delta });
    assert_eq!(shop.refused(add(UNITS_MAX as i64 - 9)), invalid("delta"));
    shop.run(add(UNITS_MAX as i64 - 10));
    release(&mut shop, 1);
    assert_eq!(on_sale(&shop, 1), UNITS_MAX);
}

#[test]
fn a_price_change_does_not_touch_what_is_reserved() {
    let mut shop = shop();
    reserve(&mut shop, 1, &[(id(7, 1), 2)]);
    shop.run(Do::ChangePrice(ChangePrice { seller_id: 1, item: Some(id(7, 1)), price_cents: 1 }));
    let Body::Reservation(sold) = commit(&mut shop, 1) else { panic!("refused") };
    assert_eq!(sold.total_cents, 2 * 1999);
}
