//! The openraft group.

mod log_cache;
mod log_store;
mod log_writer;
mod snapshot_file;
mod state_machine;
#[cfg(test)]
mod suite_tests;
mod types;
mod wire;
