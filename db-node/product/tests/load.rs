//! A state out of its records: damaged ones are refused by name.
#![allow(clippy::expect_used)]

mod common;

use agora_machine::{Record, StateMachine};
use agora_product::ProductDb;
use agora_proto::product::command::Body as Do;
use agora_proto::product::*;
use common::{Shop, id, purchase, shoe, unkeyed};

/// A state with a row in each table.
fn records() -> Vec<Record> {
    let mut shop = Shop::default();
    shop.register(shoe());
    shop.register(RegisterItem { name: "Boot".into(), ..shoe() });
    shop.run(Do::GiveFeedback(GiveFeedback { buyer_id: 3, item: Some(id(7, 1)), vote: Vote::Up.into() }));
    let lines = vec![ReserveLine { item: Some(id(7, 1)), quantity: 2 }];
    shop.apply(&unkeyed(Do::Reserve(Reserve { purchase_id: purchase(1), buyer_id: 3, lines })));
    shop.db.records().collect()
}

fn of_table(records: &[Record], table: u8) -> usize {
    records.iter().position(|record| record.key[0] == table).expect("a row in each table")
}

#[test]
fn a_whole_state_loads_and_is_the_same() {
    let records = records();
    (1..=7).for_each(|table| assert!(of_table(&records, table) < records.len()));
    let loaded = ProductDb::load(records.iter().cloned()).unwrap();
    assert!(loaded.records().eq(records));
    assert_eq!(ProductDb::load(std::iter::empty()).unwrap().records().count(), 0);
}

#[test]
fn a_record_cut_short_is_named() {
    for (at, record) in records().iter().enumerate() {
        for cut in [record.key.len() - 1, 1] {
            let mut damaged = records();
            // The key of the books is nothing but their table.
            if record.key.len() > 1 {
                damaged[at].key = record.key.slice(..cut);
                assert_eq!(ProductDb::load(damaged.into_iter()).unwrap_err().key, record.key[..cut]);
            }
        }
        let mut damaged = records();
        damaged[at].value = record.value.slice(..record.value.len() - 1);
        assert_eq!(ProductDb::load(damaged.into_iter()).unwrap_err().key, record.key);
    }
}

#[test]
fn a_table_that_is_not_known_is_named() {
    let mut damaged = records();
    damaged.insert(0, Record { key: vec![0, 1].into(), value: vec![1].into() });
    assert_eq!(ProductDb::load(damaged.into_iter()).unwrap_err().key, [0, 1]);
}

#[test]
fn a_missing_record_is_noticed_where_others_rely_on_it() {
    // The books, the categories, the items, the votes, the reservations.
    for table in [1, 2, 3, 5, 6] {
        let mut damaged = records();
        damaged.remove(of_table(&damaged, table));
        assert!(ProductDb::load(damaged.into_iter()).is_err(), "table {table}");
    }
}

#[test]
fn records_out_of_order_are_refused() {
    let mut damaged = records();
    let first = damaged.remove(0);
    damaged.push(first.clone());
    assert_eq!(ProductDb::load(damaged.into_iter()).unwrap_err().key, first.key);
}

#[test]
fn two_items_in_one_place_of_the_order_are_refused() {
    let items = |number| {
        let mut shop = Shop::default();
        for at in 0..number {
            shop.register(RegisterItem { name: format!("{at}"), ..shoe() });
        }
        shop.db.records().collect::<Vec<_>>()
    };
    let mut damaged = items(2);
    let first = of_table(&damaged, 3);
    damaged[first + 1].value = damaged[first].value.clone();
    let key = damaged[first + 1].key.clone();
    assert_eq!(ProductDb::load(damaged.into_iter()).unwrap_err().key, key);
}
