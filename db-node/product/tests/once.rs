//! A command takes effect once, and bad bytes take none.

mod common;

use agora_machine::{StateMachine, Timestamp};
use agora_product::ProductDb;
use agora_proto::common::{Code, Idempotency};
use agora_proto::limits::COMMAND_BYTES;
use agora_proto::product::command::Body as Do;
use agora_proto::product::response::Body;
use agora_proto::product::*;
use common::{Shop, answer, id, keyed, plain, refusal, shoe, unkeyed};
use proptest::prelude::*;
use prost::Message;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn add(delta: i64) -> Do {
    Do::UpdateUnits(UpdateUnits { seller_id: 1, item: Some(id(7, 1)), delta })
}

#[test]
fn a_repeated_command_is_answered_as_at_first_and_changes_nothing() {
    let mut shop = Shop::default();
    let register = keyed(900, Do::RegisterItem(shoe()));
    let first = shop.apply(&register);
    let more = keyed(901, add(5));
    let added = shop.apply(&more);
    assert_eq!(shop.apply(&register), first);
    assert_eq!(shop.apply(&more), added);
    assert_eq!(shop.item(id(7, 1)).unwrap().quantity, 15);
}

#[test]
fn a_refusal_is_remembered_too() {
    let mut shop = Shop::default();
    let early = keyed(900, add(5));
    assert_eq!(refusal(shop.apply(&early)), plain(Code::ItemNotFound));
    shop.register(shoe());
    assert_eq!(refusal(shop.apply(&early)), plain(Code::ItemNotFound), "told no, it stays no");
    assert_eq!(shop.item(id(7, 1)).unwrap().quantity, 10);
}

#[test]
fn a_key_with_another_request_is_refused() {
    let mut shop = Shop::default();
    shop.register(shoe());
    shop.apply(&keyed(900, add(5)));
    assert_eq!(refusal(shop.apply(&keyed(900, add(6)))), plain(Code::IdempotencyKeyReused));
    assert_eq!(shop.item(id(7, 1)).unwrap().quantity, 15);
}

#[test]
fn answers_are_remembered_for_a_day_and_then_swept_away() {
    let mut shop = Shop::default();
    shop.register(shoe());
    let more = keyed(900, add(5));
    let first = shop.apply(&more);
    shop.now += DAY_MS;
    shop.sweep();
    assert_eq!(shop.apply(&more), first);
    shop.now += 1;
    assert!(shop.db.maintenance(Timestamp(shop.now)).is_some());
    shop.sweep();
    assert_ne!(shop.apply(&more), first, "it is a new command now");
    assert_eq!(shop.item(id(7, 1)).unwrap().quantity, 20);
}

#[test]
fn a_busy_machine_forgets_without_a_sweep() {
    let mut shop = Shop::default();
    shop.register(shoe());
    (0..10).for_each(|key| drop(shop.apply(&keyed(1000 + key, add(1)))));
    shop.now += DAY_MS + 1;
    (0..10).for_each(|key| drop(shop.apply(&keyed(2000 + key, add(1)))));
    assert_eq!(shop.item(id(7, 1)).unwrap().quantity, 30);
    assert!(shop.db.maintenance(Timestamp(shop.now)).is_none(), "nothing is left to sweep");
    (0..10).for_each(|key| drop(shop.apply(&keyed(1000 + key, add(1)))));
    assert_eq!(shop.item(id(7, 1)).unwrap().quantity, 40, "they are new commands now");
}

#[test]
fn a_clients_command_without_its_key_is_malformed() {
    let mut shop = Shop::default();
    for body in [Do::RegisterItem(shoe()), add(1)] {
        assert!(ProductDb::check(&unkeyed(body.clone())).is_err());
        assert_eq!(refusal(shop.apply(&unkeyed(body))), plain(Code::MalformedRequest));
    }
    assert!(ProductDb::check(&keyed(1, add(1))).is_ok());
}

/// Commands that decode, but are none.
fn misshapen() -> Vec<Vec<u8>> {
    let with = |key: usize, fingerprint: usize, body| {
        let idempotency = Idempotency { key: vec![1; key].into(), fingerprint: vec![1; fingerprint].into() };
        Command { idempotency: Some(idempotency), body }.encode_to_vec()
    };
    let no_item = Do::UpdateUnits(UpdateUnits { seller_id: 1, item: None, delta: 1 });
    let short_id = CommitReservation { purchase_id: vec![1; 15].into(), authorization_id: "auth-1".into() };
    let huge = Reserve {
        purchase_id: vec![1; 16].into(),
        buyer_id: 1,
        lines: vec![ReserveLine { item: Some(id(1, 1)), quantity: 1 }; COMMAND_BYTES],
    };
    vec![
        vec![],
        with(32, 32, None),
        with(31, 32, Some(Do::RegisterItem(shoe()))),
        with(32, 33, Some(Do::RegisterItem(shoe()))),
        with(0, 0, Some(Do::RegisterItem(shoe()))),
        with(32, 32, Some(no_item)),
        unkeyed(Do::CommitReservation(short_id)),
        unkeyed(Do::ReleaseReservation(ReleaseReservation::default())),
        unkeyed(Do::Reserve(huge)),
    ]
}

#[test]
fn what_is_no_command_is_refused_before_the_log_and_behind_it() {
    let mut db = ProductDb::default();
    for bytes in misshapen() {
        assert!(ProductDb::check(&bytes).is_err(), "{bytes:02x?}");
        assert_eq!(refusal(answer(db.apply(Timestamp(1), &bytes))), plain(Code::MalformedRequest));
    }
    assert_eq!(db.records().count(), 0);
    assert!(db.take_changes().is_empty());
}

#[test]
fn what_is_no_query_is_malformed() {
    let db = ProductDb::default();
    let huge = Query { body: Some(query::Body::GetItems(GetItems { ids: vec![id(1, 1); COMMAND_BYTES] })) };
    for bytes in [vec![], vec![0xff; 9], huge.encode_to_vec()] {
        assert!(db.query(Timestamp(0), &bytes).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Noise, and commands with flipped, cut or doubled bytes: an answer to each, and books that balance.
    #[test]
    fn no_bytes_do_harm(noise in prop::collection::vec(any::<u8>(), 0..200), at: usize, flip: u8, cut: usize) {
        let mut shop = Shop::default();
        shop.register(shoe());
        let mut flipped = keyed(900, Do::RegisterItem(shoe()));
        let place = at % flipped.len();
        flipped[place] ^= flip;
        let cut = flipped[..cut % flipped.len()].to_vec();
        for bytes in [noise, flipped, cut] {
            let sound = ProductDb::check(&bytes).is_ok();
            let body = shop.apply(&bytes);
            prop_assert_eq!(!sound, matches!(&body, Body::Refusal(why) if why.code() == Code::MalformedRequest));
            if let Ok(answered) = shop.db.query(Timestamp(0), &bytes) {
                answer(answered);
            }
        }
        prop_assert!(ProductDb::load(shop.db.records()).is_ok());
    }
}
