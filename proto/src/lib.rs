//! The wire protocols of Agora, generated from the `.proto` files beside this crate, and the vocabulary that all of its
//! parts share: limits, money, item ids and refusal codes.
//!
//! It knows no network code but what is generated, no storage and no rules of the marketplace beyond its limits.

/// What both databases say alike.
pub mod common {
    #![allow(missing_docs, clippy::doc_markdown)]
    tonic::include_proto!("agora.v1.common");
}
/// The customer database's commands, queries and answers.
pub mod customer {
    #![allow(missing_docs, clippy::doc_markdown)]
    tonic::include_proto!("agora.v1.customer");
}
/// The product database's commands, queries and answers.
pub mod product {
    #![allow(missing_docs, clippy::doc_markdown)]
    tonic::include_proto!("agora.v1.product");
}
/// How anyone talks to a database node.
pub mod database {
    #![allow(missing_docs, clippy::doc_markdown)]
    tonic::include_proto!("agora.v1.database");
}
/// What members of the customer group say to each other.
pub mod broadcast {
    #![allow(missing_docs, clippy::doc_markdown)]
    tonic::include_proto!("agora.v1.broadcast");
}
/// How a member of the customer group gets the whole state from another one.
pub mod snapshot {
    #![allow(missing_docs, clippy::doc_markdown)]
    tonic::include_proto!("agora.v1.snapshot");
}
/// What members of the product group say to each other.
pub mod raft {
    #![allow(missing_docs, clippy::doc_markdown)]
    tonic::include_proto!("agora.v1.raft");
}

mod code;
mod idempotency;
mod item_id;
pub mod limits;
mod money;
pub mod text;

pub use idempotency::{IDEMPOTENCY_HASH_BYTES, key_hash};
pub use item_id::ParseItemIdError;
pub use money::{Cents, ParseCentsError};
