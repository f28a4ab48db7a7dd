//! What the openraft group takes from its surroundings besides network and disk: tasks, threads, chance and the clock.
//!
//! In the program these are tokio's and the system's. In this crate's tests a simulation may run on the thread that asks; then
//! they are the simulation's, so that all depends on a seed and on nothing else (see `simulation`).

use std::future::Future;
use std::time::Duration;
#[cfg(not(test))]
use std::time::{SystemTime, UNIX_EPOCH};

#[cfg(test)]
use tokio::sync::Semaphore;
use tokio::sync::mpsc;

#[cfg(not(test))]
pub(crate) use tokio::select;
#[cfg(not(test))]
pub(crate) use tokio::task::JoinHandle;

#[cfg(test)]
pub(crate) use crate::simulation::executor::{JoinHandle, SimulatedRuntime as OpenraftRuntime};
#[cfg(test)]
pub(crate) use biased_select as select;
#[cfg(not(test))]
pub(crate) use openraft::TokioRuntime as OpenraftRuntime;

/// tokio's `select!`, without the dice that tokio throws to be fair.
#[cfg(test)]
macro_rules! biased_select {
    ($($branches:tt)*) => { ::tokio::select! { biased; $($branches)* } };
}
#[cfg(test)]
pub(crate) use biased_select;

/// Runs a task beside the others.
pub(crate) fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    #[cfg(test)]
    return crate::simulation::executor::spawn(task);
    #[cfg(not(test))]
    tokio::spawn(task)
}

/// Runs what blocks on a thread for it, whether anybody waits for the outcome or not.
pub(crate) fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    #[cfg(test)]
    return crate::simulation::executor::blocking(work);
    #[cfg(not(test))]
    tokio::task::spawn_blocking(work)
}

/// Runs, on a thread that may block, what makes items one after the other, for as long as it is told that more are wanted.
/// It is so many items ahead at most.
pub(crate) fn produce<T: Send + 'static>(
    ahead: usize,
    make: impl FnOnce(&mut dyn FnMut(T) -> bool) + Send + 'static,
) -> mpsc::Receiver<T> {
    #[cfg(test)]
    let ahead = if crate::simulation::executor::is_running() { Semaphore::MAX_PERMITS } else { ahead };
    let (items, made) = mpsc::channel(ahead);
    drop(blocking(move || {
        make(&mut |item| {
            #[cfg(test)]
            if crate::simulation::executor::is_running() {
                return items.try_send(item).is_ok();
            }
            items.blocking_send(item).is_ok()
        });
    }));
    made
}

/// A random time below this one, which is not zero.
pub(crate) fn random_below(limit: Duration) -> Duration {
    #[cfg(test)]
    if let Some(random) = crate::simulation::executor::random_below(limit) {
        return random;
    }
    rand::Rng::random_range(&mut rand::rng(), Duration::ZERO..limit)
}

/// The milliseconds since the Unix epoch on this machine's clock.
pub(crate) fn system_clock_ms() -> u64 {
    #[cfg(test)]
    return crate::simulation::executor::clock_ms();
    #[cfg(not(test))]
    {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
    }
}
