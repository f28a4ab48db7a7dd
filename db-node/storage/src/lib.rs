//! A durable log in files of its own, and a state store over a dense file and sled.
//!
//! A node's data directory holds an identity file, a lock, the segments of the log in `log/`, whose fdatasync is what an
//! acknowledged write waits for, and a state in `state-N/`, which is written without waiting because the log can rebuild
//! what it lacks: in `base` all records as they once were, and in a sled database what has changed since. When that has
//! become large, base and changes are written together as the base of `state-N+1/`.
//!
//! The log is not in sled because sled's flush is no fsync on Linux (it starts and awaits the write-back of a range, but
//! commits neither the file's size nor the disk's own cache), and because a tree is much work for a queue. A base is not in
//! sled because sled takes almost three times as much for the same records even if it gets them in order, and gives nothing
//! back.
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
mod state;

pub use directory::Directory;
pub use error::StorageError;
pub use identity::{DiskId, Identity};
pub use log::{Log, LogBatch};
pub use state::{Compaction, KeyValue, StagedState, StateStore};
