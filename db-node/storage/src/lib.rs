//! A durable log and a state store over sled.
//!
//! A node's data directory holds an identity file, a lock, and two sled databases: `log/`, whose fsync is what an
//! acknowledged write waits for, and `state/`, which is written without waiting because the log can rebuild what it
//! lacks. They are apart so that the log's fsync never has to write out state pages.
//!
//! What holds:
//! - a [`LogBatch`] is on disk as a whole or not at all, whenever the process dies;
//! - what [`Log::sync`] returned for is still there after kill -9 and power loss;
//! - a state and the position it was applied up to are never apart;
//! - a directory that is damaged, or that belongs to another node, is refused with a message that names it and the ways
//!   out; it is never silently started afresh;
//! - a directory keeps the [`DiskId`] that it was created with, and no other directory has it: a node that starts empty in
//!   the place of one that had promised something is known by that.
//!
//! It knows no protocol and no marketplace. All functions block: async callers use a thread of their own.

mod directory;
mod error;
mod identity;
mod log;
mod log_record;
mod state_store;

pub use directory::Directory;
pub use error::StorageError;
pub use identity::{DiskId, Identity};
pub use log::{Log, LogBatch};
pub use state_store::{KeyValue, StagedState, StateStore};
