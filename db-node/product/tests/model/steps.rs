//! What may happen in a marketplace: commands and queries out of pools that are small enough for things to meet.

use agora_proto::common::ItemId;
use agora_proto::limits::{PRICE_MAX_CENTS, UNITS_MAX};
use agora_proto::product::*;
use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::select;

/// One step.
#[derive(Clone, Debug)]
pub enum Step {
    /// Time goes on by so many ms.
    Wait(u64),
    /// A command with a key of its own.
    Command(command::Body),
    /// A command with a key out of a few, which may have been used.
    Again(u64, command::Body),
    /// A step of a purchase, or maintenance.
    Unkeyed(command::Body),
    /// A query; a search may go on where the last one's page ended.
    Query(query::Body),
    GoOn(Search),
    /// Go through all pages.
    Walk(Search),
    /// The store takes in what changed.
    Commit,
    /// The process starts again from the store.
    Restart,
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..150)
}

fn step() -> impl Strategy<Value = Step> {
    let wait = prop_oneof![16 => 0..5_000_u64, 4 => 50_000..60_000_u64, 1 => 80_000_000..90_000_000_u64];
    prop_oneof![
        4 => wait.prop_map(Step::Wait),
        36 => sellers().prop_map(Step::Command),
        6 => (0..4_u64, sellers()).prop_map(|(key, body)| Step::Again(key, body)),
        24 => purchases().prop_map(Step::Unkeyed),
        2 => Just(Step::Unkeyed(command::Body::Sweep(Sweep {}))),
        8 => queries().prop_map(Step::Query),
        8 => search().prop_map(Step::GoOn),
        6 => search().prop_map(Step::Walk),
        3 => Just(Step::Commit),
        1 => Just(Step::Restart),
    ]
}

fn category() -> impl Strategy<Value = u32> {
    select(vec![0, 1, 7])
}

fn item() -> impl Strategy<Value = Option<ItemId>> {
    (category(), select(vec![1, 1, 1, 2, 2, 3, 4]))
        .prop_map(|(category, number)| Some(ItemId { category, number }))
}

fn words(pool: &[&str]) -> impl Strategy<Value = Vec<String>> + use<> {
    let pool: Vec<String> = pool.iter().map(|word| (*word).to_string()).collect();
    let few = select(vec![vec![0], vec![1, 2], vec![2, 0], vec![]]);
    let chosen = pool.clone();
    let few = few.prop_map(move |few| few.into_iter().map(|at: usize| chosen[at].clone()).collect());
    let any = prop::collection::vec(select(pool.clone()), 0..=5);
    prop_oneof![12 => few, 7 => any, 1 => prop::collection::vec(select(pool), 6)]
}

fn price() -> impl Strategy<Value = u64> {
    prop_oneof![15 => 1..=2_u64, 1 => select(vec![PRICE_MAX_CENTS, 0, PRICE_MAX_CENTS + 1])]
}

fn sellers() -> impl Strategy<Value = command::Body> {
    let (seller, buyer) = (|| 1..=2_u64, 1..=3_u64);
    let name = prop_oneof![12 => Just("Hat"), 2 => Just("hat"), 1 => select(vec!["", "Größe"])];
    let keywords = words(&["red", "RED", "blue", "Ärmel", "ärmel", "hat", "x", "", "ninechars"][..7]);
    let quantity = prop_oneof![19 => 0..6_u64, 1 => select(vec![UNITS_MAX, UNITS_MAX + 1])];
    let register = (seller(), name, category(), keywords, 0..=2_i32, price(), quantity).prop_map(
        |(seller_id, name, category, keywords, condition, price_cents, quantity)| {
            // Seldom no condition.
            let (name, condition) = (name.to_string(), if category == 7 { condition } else { 1 });
            command::Body::RegisterItem(RegisterItem {
                seller_id,
                name,
                category,
                keywords,
                condition,
                price_cents,
                quantity,
            })
        },
    );
    let change_price = (seller(), item(), price()).prop_map(|(seller_id, item, price_cents)| {
        command::Body::ChangePrice(ChangePrice { seller_id, item, price_cents })
    });
    let delta = prop_oneof![9 => -4..5_i64, 1 => select(vec![i64::MIN, i64::MAX, UNITS_MAX as i64])];
    let update = (seller(), item(), delta).prop_map(|(seller_id, item, delta)| {
        command::Body::UpdateUnits(UpdateUnits { seller_id, item, delta })
    });
    let remove = (seller(), item())
        .prop_map(|(seller_id, item)| command::Body::RemoveItem(RemoveItem { seller_id, item }));
    let feedback = (buyer, item(), 0..=2_i32).prop_map(|(buyer_id, item, vote)| {
        command::Body::GiveFeedback(GiveFeedback { buyer_id, item, vote })
    });
    prop_oneof![10 => register, 4 => change_price, 5 => update, 2 => remove, 3 => feedback]
}

fn purchases() -> impl Strategy<Value = command::Body> {
    let id = || (1..=4_u8).prop_map(|number| Bytes::from(vec![number; 16]));
    let line = (item(), prop_oneof![20 => 1..3_u32, 1 => Just(0)])
        .prop_map(|(item, quantity)| ReserveLine { item, quantity });
    let reserve =
        (id(), 1..=2_u64, prop::collection::vec(line, 1..3)).prop_map(|(purchase_id, buyer_id, lines)| {
            command::Body::Reserve(Reserve { purchase_id, buyer_id, lines })
        });
    prop_oneof![
        4 => reserve,
        3 => (id(), prop_oneof![9 => Just("auth-1"), 9 => Just("auth-2"), 1 => Just("")]).prop_map(
            |(purchase_id, authorization_id)| {
                let authorization_id = authorization_id.into();
                command::Body::CommitReservation(CommitReservation { purchase_id, authorization_id })
            }
        ),
        1 => id().prop_map(|purchase_id| command::Body::ReleaseReservation(ReleaseReservation { purchase_id })),
    ]
}

fn search() -> impl Strategy<Value = Search> {
    let keywords = prop::collection::vec(select(vec!["red", "Blue", "ÄRMEL", "hat", "HAT", "green"]), 0..=5);
    (prop::option::of(category()), keywords, 1..5_u32).prop_map(|(category, keywords, limit)| {
        let keywords = keywords.into_iter().map(String::from).collect();
        Search { category, keywords, limit, after: None }
    })
}

fn queries() -> impl Strategy<Value = query::Body> {
    let ids = prop::collection::vec(item(), 0..5).prop_map(|ids| ids.into_iter().flatten().collect());
    prop_oneof![
        2 => ids.prop_map(|ids| query::Body::GetItems(GetItems { ids })),
        2 => (1..=2_u64, 1..4_u32, prop_oneof![Just(None), item()])
            .prop_map(|(seller_id, limit, after)| ListItemsOfSeller { seller_id, limit, after })
            .prop_map(query::Body::ListItemsOfSeller),
        1 => (1..=3_u64).prop_map(|seller_id| query::Body::GetSellerRating(GetSellerRating { seller_id })),
    ]
}
