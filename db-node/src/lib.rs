//! The database node: one member of the customer or of the product group.
//!
//! It puts a state machine, a group that replicates it, a data directory and a gRPC service together into one process. It is the
//! only place that knows which of the two databases is replicated in which way.

pub mod service;
