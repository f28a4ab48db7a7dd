//! The keys of the tables, as types that can't be mistaken for each other.

use agora_proto::common;
use serde::{Deserialize, Serialize};

/// What an account is for. Part of the format on disk: variants are only added, at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Role {
    Buyer,
    Seller,
}

impl From<Role> for common::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Buyer => common::Role::Buyer,
            Role::Seller => common::Role::Seller,
        }
    }
}

/// An account. Ids count per role, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct UserKey {
    pub role: Role,
    pub id: u64,
}

impl UserKey {
    pub(crate) fn buyer(id: u64) -> Self {
        UserKey { role: Role::Buyer, id }
    }
}

/// SHA-256 of a session's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct TokenHash(pub [u8; 32]);

/// An item of the product database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct ItemKey {
    pub category: u32,
    pub number: u64,
}

impl From<ItemKey> for common::ItemId {
    fn from(item: ItemKey) -> Self {
        common::ItemId { category: item.category, number: item.number }
    }
}

/// A purchase, named by the frontend that began it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct PurchaseKey(pub [u8; 16]);

/// A claim of unfinished purchases, named by the frontend that makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct ClaimKey(pub [u8; 16]);
