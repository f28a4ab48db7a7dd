//! Votes, and what sellers are rated by.
#![allow(clippy::expect_used, clippy::panic)]

mod common;

use agora_machine::StateMachine;
use agora_proto::common::Code;
use agora_proto::product::command::Body as Do;
use agora_proto::product::response::Body;
use agora_proto::product::*;
use common::{Shop, id, invalid, plain, shoe};

fn vote(buyer_id: u64, number: u64, vote: Vote) -> Do {
    Do::GiveFeedback(GiveFeedback { buyer_id, item: Some(id(7, number)), vote: vote.into() })
}

fn counts(body: Body) -> (u64, u64) {
    match body {
        Body::Feedback(feedback) => (feedback.thumbs_up, feedback.thumbs_down),
        other => panic!("no feedback: {other:?}"),
    }
}

fn shop() -> Shop {
    let mut shop = Shop::default();
    shop.register(shoe());
    shop.register(RegisterItem { name: "Boot".into(), ..shoe() });
    shop
}

#[test]
fn a_buyer_has_one_standing_vote_per_item() {
    let mut shop = shop();
    assert_eq!(counts(shop.run(vote(1, 1, Vote::Up))), (1, 0));
    assert_eq!(counts(shop.run(vote(1, 1, Vote::Up))), (1, 0));
    assert_eq!(counts(shop.run(vote(2, 1, Vote::Up))), (2, 0));
    assert_eq!(counts(shop.run(vote(1, 1, Vote::Down))), (1, 1));
    let item = shop.item(id(7, 1)).unwrap();
    assert_eq!((item.thumbs_up, item.thumbs_down), (1, 1));
}

#[test]
fn votes_on_all_items_count_for_their_seller() {
    let mut shop = shop();
    shop.run(vote(1, 1, Vote::Up));
    shop.run(vote(1, 2, Vote::Down));
    shop.run(vote(2, 2, Vote::Up));
    assert_eq!(shop.rating(1), (2, 1, 0));
    shop.run(vote(1, 2, Vote::Up));
    assert_eq!(shop.rating(1), (3, 0, 0));
    assert_eq!(shop.rating(2), (0, 0, 0), "nothing is known of this one");
}

#[test]
fn votes_need_an_item_and_a_direction() {
    let mut shop = shop();
    assert_eq!(shop.refused(vote(1, 9, Vote::Up)), plain(Code::ItemNotFound));
    assert_eq!(shop.refused(vote(1, 1, Vote::Unspecified)), invalid("vote"));
}

#[test]
fn a_seller_keeps_the_votes_on_a_removed_item_whose_rows_are_swept_away() {
    let mut shop = shop();
    (1..=5).for_each(|buyer| {
        shop.run(vote(buyer, 1, Vote::Up));
    });
    shop.run(Do::RemoveItem(RemoveItem { seller_id: 1, item: Some(id(7, 1)) }));
    assert_eq!(shop.refused(vote(9, 1, Vote::Up)), plain(Code::ItemNotFound));
    let rows = |shop: &Shop| shop.db.records().filter(|record| matches!(record.key[0], 3 | 5)).count();
    assert_eq!(rows(&shop), 2 + 5);
    shop.sweep();
    assert_eq!(rows(&shop), 1, "the other item");
    assert_eq!(shop.rating(1), (5, 0, 0));
}
