//! Items of a large market, and changes of them.

use agora_proto::common::{Idempotency, ItemId};
use agora_proto::product::{self, ChangePrice, Condition, RegisterItem, command};
use bytes::Bytes;
use prost::Message;
use rand::Rng;
use rand::rngs::StdRng;

pub const CATEGORIES: u32 = 1_000;
const SELLERS: u64 = 10_000;
const WORDS: u32 = 50_000;

/// All items of a category have one seller, so that an item's seller is known.
fn seller(category: u32) -> u64 {
    1 + u64::from(category) % SELLERS
}

/// Lists another item; `numbers` counts the items of each category.
pub fn register(random: &mut StdRng, numbers: &mut [u64]) -> command::Body {
    let category = random.random_range(0..CATEGORIES);
    let number = &mut numbers[category as usize];
    *number += 1;
    let keywords = (0..random.random_range(1..=4)).map(|_| format!("w{}", random.random_range(0..WORDS)));
    command::Body::RegisterItem(RegisterItem {
        seller_id: seller(category),
        name: format!("An item of the market {number}"),
        category,
        keywords: keywords.collect(),
        condition: Condition::New.into(),
        price_cents: random.random_range(1..100_000),
        quantity: random.random_range(1..100),
    })
}

/// Changes the price of one of the items.
pub fn change(random: &mut StdRng, numbers: &[u64]) -> command::Body {
    let category = random.random_range(0..CATEGORIES);
    let number = random.random_range(1..=numbers[category as usize].max(1));
    command::Body::ChangePrice(ChangePrice {
        seller_id: seller(category),
        item: Some(ItemId { category, number }),
        price_cents: random.random_range(1..100_000),
    })
}

/// The command with an idempotency key of its own.
pub fn keyed(at: u64, body: command::Body) -> Bytes {
    let at = at.to_be_bytes();
    let idempotency = Some(Idempotency::new("bench", &at, &[&at]));
    product::Command { idempotency, body: Some(body) }.encode_to_vec().into()
}
