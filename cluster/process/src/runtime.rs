//! The async runtime of a process that shares its machine with others.

use std::num::NonZero;

use tokio::runtime::{Builder, Runtime};

/// A runtime with workers for half of the machine's cores, at least one. The other half is for the threads that write, apply and
/// answer queries, and for the processes beside this one; more workers would only wake each other up.
///
/// # Errors
/// The system gives no threads.
pub fn runtime() -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    Builder::new_multi_thread().worker_threads((cores / 2).max(1)).enable_all().build()
}
