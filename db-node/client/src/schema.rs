//! The two databases, as types: a customer command can't be sent to a product node.

use agora_proto::{customer, product};
use prost::Message;

/// Where a group's commands are best sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commands {
    /// To any member: each orders commands when it is its turn.
    ToAnyNode,
    /// To the leader: others would only pass them on.
    ToTheLeader,
}

/// What one database understands.
pub trait Schema: Send + Sync + 'static {
    /// As nodes call it in their status.
    const DATABASE: &'static str;
    /// Where its commands go.
    const COMMANDS: Commands;
    /// A change of the state.
    type Command: Message;
    /// A question.
    type Query: Message;
    /// The answer to either.
    type Response: Message + Default;
}

/// The customer database: accounts, sessions, carts, purchases.
#[derive(Clone, Copy, Debug)]
pub enum Customer {}

/// The product database: items, search, stock, reservations, feedback.
#[derive(Clone, Copy, Debug)]
pub enum Product {}

impl Schema for Customer {
    const DATABASE: &'static str = "customer";
    const COMMANDS: Commands = Commands::ToAnyNode;
    type Command = customer::Command;
    type Query = customer::Query;
    type Response = customer::Response;
}

impl Schema for Product {
    const DATABASE: &'static str = "product";
    const COMMANDS: Commands = Commands::ToTheLeader;
    type Command = product::Command;
    type Query = product::Query;
    type Response = product::Response;
}
