//! Records: what a state is saved as, and what is refused on the way back.

use std::collections::{BTreeMap, BTreeSet};

use agora_machine::{Change as Written, Record};
use agora_proto::limits::PURCHASE_LEASE;

use super::*;
use crate::limits::ms;

/// A state with a bit of everything.
fn full() -> Subject {
    let mut subject = Subject::with_buyer();
    subject.run(account(Role::Seller, "bob")).unwrap();
    subject.run(login(Role::Seller, 1, token(2))).unwrap();
    subject.run_as(key(1, 1), account(Role::Buyer, "eve")).unwrap();
    let ends = [(1, complete(1, &[(7, 2)])), (2, abort(2)), (3, abort_owing(3)), (4, claim(1, 9))];
    for (n, end) in ends {
        subject.add(1, 7, 2).unwrap();
        subject.save(1, None).unwrap();
        subject.run(begin(1, n)).unwrap();
        subject.now += 1;
        subject.run(end).unwrap();
    }
    subject.now += ms(PURCHASE_LEASE) - 2;
    subject.run(claim(2, 9)).unwrap();
    subject
}

fn records(db: &CustomerDb) -> Vec<Record> {
    db.records().collect()
}

#[test]
fn a_state_is_loaded_as_it_was_and_goes_on_alike() {
    let mut subject = full();
    let mut loaded = CustomerDb::load(subject.db.records()).unwrap();
    assert_eq!(records(&loaded), records(&subject.db));
    assert!(loaded.take_changes().is_empty(), "loading is no change");
    subject.db.take_changes();
    let later = Timestamp(subject.now + 10 * 60 * 60 * 1000);
    for change in [
        account(Role::Buyer, "new"),
        login(Role::Buyer, 1, token(8)),
        begin(8, 9),
        claim(2, 9),
        claim(3, 9),
        settle(3),
        Change::Sweep(Sweep {}),
    ] {
        let command = Command { idempotency: None, body: Some(change) }.encode_to_vec();
        assert_eq!(loaded.apply(later, &command), subject.db.apply(later, &command));
        assert_eq!(loaded.take_changes(), subject.db.take_changes());
    }
    assert_eq!(records(&loaded), records(&subject.db));
}

#[test]
fn changes_make_up_the_state() {
    let mut subject = full();
    let mut store = BTreeMap::new();
    let mut changed = BTreeSet::new();
    for Written { key, value } in subject.db.take_changes() {
        assert!(changed.insert(key.clone()), "one change a record");
        // What came and went in between is a removal.
        if let Some(value) = value {
            store.insert(key, value);
        }
    }
    let saved: Vec<_> = store.into_iter().map(|(key, value)| Record { key, value }).collect();
    assert_eq!(saved, records(&subject.db), "and the records come in the order of their keys");
}

#[test]
fn a_snapshot_does_not_change_with_the_state() {
    let mut subject = full();
    let snapshot = subject.db.clone();
    let before = records(&snapshot);
    subject.add(1, 1, 1).unwrap();
    subject.run(account(Role::Buyer, "new")).unwrap();
    assert_eq!(records(&snapshot), before);
    assert_ne!(records(&subject.db), before);
}

#[test]
fn damaged_records_are_refused() {
    let good = records(&full().db);
    for (at, record) in good.iter().enumerate() {
        let with = |changed: Record| {
            let mut records = good.clone();
            records[at] = changed;
            CustomerDb::load(records.into_iter())
        };
        assert!(with(Record { value: Bytes::new(), ..record.clone() }).is_err());
        assert!(
            with(Record { value: record.value.slice(..record.value.len() - 1), ..record.clone() }).is_err()
        );
        assert!(with(Record { key: Bytes::new(), ..record.clone() }).is_err());
        assert!(with(Record { key: Bytes::from_static(&[99]), ..record.clone() }).is_err());
    }
}

#[test]
fn records_that_do_not_fit_together_are_refused() {
    let good = records(&full().db);
    let without = |table: u8| CustomerDb::load(good.iter().filter(|record| record.key[0] != table).cloned());
    assert!(without(3).unwrap_err().why.contains("session of nobody"));
    assert!(without(4).unwrap_err().why.contains("cart of no session"));
    assert!(without(5).unwrap_err().why.contains("without a cart"));
    assert!(without(7).unwrap_err().why.contains("not there"));
    assert!(without(8).unwrap_err().why.contains("nobody would finish"));

    let mut twice = good.clone();
    let mut account = good.iter().find(|record| record.key[0] == 3).unwrap().clone();
    account.key = [&account.key[..account.key.len() - 1], &[99]].concat().into();
    twice.push(account);
    assert!(CustomerDb::load(twice.into_iter()).unwrap_err().why.contains("same username"));
}

#[test]
fn bytes_that_are_no_command_change_nothing_but_the_time() {
    let mut subject = full();
    let before = substance(&subject.db);
    let sweep = Some(Change::Sweep(Sweep {}));
    let short_key = Idempotency { key: Bytes::from_static(b"x"), fingerprint: Bytes::new() };
    for garbage in [
        vec![],
        vec![0xff; 40],
        b"GET / HTTP/1.1".to_vec(),
        Command::default().encode_to_vec(),
        Command { idempotency: key(1, 1), body: None }.encode_to_vec(),
        Command { idempotency: Some(short_key), body: sweep }.encode_to_vec(),
        vec![0; agora_proto::limits::COMMAND_BYTES + 1],
        Command { idempotency: None, body: Some(account(Role::Buyer, "cut")) }.encode_to_vec()[..20].to_vec(),
    ] {
        assert!(CustomerDb::check(&garbage).is_err());
        let refusal = read(&subject.db.apply(Timestamp(subject.now), &garbage)).unwrap_err();
        assert_eq!(refusal.code(), Code::MalformedRequest);
        assert!(subject.db.query(Timestamp(subject.now), &garbage).is_err());
    }
    assert_eq!(substance(&subject.db), before);
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, query: Vec<u8>) {
        let mut subject = full();
        let checked = CustomerDb::check(&bytes);
        let answer = read(&subject.db.apply(Timestamp(subject.now), &bytes));
        if checked.is_err() {
            assert_eq!(answer.unwrap_err().code(), Code::MalformedRequest);
        }
        let _ = subject.db.query(Timestamp(subject.now), &query);
    }

    #[test]
    fn no_records_make_it_panic(table in 0_u8..9, key: Vec<u8>, value: Vec<u8>) {
        let key = [&[table], &key[..]].concat().into();
        let _ = CustomerDb::load([Record { key, value: value.into() }].into_iter());
    }
}
