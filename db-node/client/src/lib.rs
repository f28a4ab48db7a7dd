//! How a frontend talks to a database group: routing, failover, retries with the same idempotency key.
//!
//! A [`Database`] knows the nodes of one group. It keeps one pipelined stream open to each of them, remembers which of them
//! answer, and repeats a call at another node when one can't serve, or died, or is slow. Repeating is safe: a command
//! carries its idempotency key, or is idempotent by design. It knows nothing of what the calls mean.
//!
//! - `database`: the face: calls, deadlines, repeats.
//! - `attempts`: what is known of a call's fate so far.
//! - `routing`: which node is asked next.
//! - `node`: one node: whether it is connected, and whether it answers.
//! - `nodes`: all of them, as the group names them.
//! - `keeper`: the task that keeps a node's stream open.
//! - `pipeline`: calls under way on one stream, matched by id.
//! - `leader`: who leads the group, if it is one with a leader, and who is a member of it.

mod attempts;
mod database;
mod error;
mod keeper;
mod leader;
mod node;
mod nodes;
mod options;
mod pipeline;
mod routing;
mod schema;

pub use agora_proto::database::{BroadcastStatus, RaftStatus, StatusReply, status_reply};
pub use database::Database;
pub use error::CallError;
pub use options::Options;
pub use schema::{Commands, Customer, Product, Schema};
