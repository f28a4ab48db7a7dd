//! A member that runs: how to see that it failed, and how to stop it.

use std::future::Future;
use std::thread;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::driver::Driver;
use super::fatal::Fatal;
use super::snapshot_take::Taker;
use super::state_sync::StateSync;

/// A member that runs. Dropping it stops the member too, but does not wait for its disk.
pub struct Running {
    stop: DropGuard,
    alarm: watch::Receiver<Option<String>>,
    driver: JoinHandle<()>,
    maintenance: JoinHandle<()>,
    taker: JoinHandle<()>,
    state_sync: StateSync,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Running {
    pub(super) fn start(
        driver: Driver,
        maintenance: impl Future<Output = ()> + Send + 'static,
        taker: Taker,
        state_sync: StateSync,
        threads: Vec<thread::JoinHandle<()>>,
        (fatal, alarm): (Fatal, watch::Receiver<Option<String>>),
        stop: CancellationToken,
    ) -> Self {
        let (mut heard, token) = (alarm.clone(), stop.clone());
        tokio::spawn(async move {
            if heard.wait_for(Option::is_some).await.is_ok() {
                token.cancel();
            }
        });
        let driver = tokio::spawn(watch_over(tokio::spawn(driver.run(stop.clone())), fatal, stop.clone()));
        let maintenance = tokio::spawn(maintenance);
        let token = stop.clone();
        let taker =
            tokio::spawn(async move { token.run_until_cancelled(taker.run()).await.unwrap_or_default() });
        Running { stop: stop.drop_guard(), alarm, driver, maintenance, taker, state_sync, threads }
    }

    /// Returns, with the reason, when the member can't go on. As long as it can, it does not return.
    pub async fn failed(&self) -> String {
        let mut alarm = self.alarm.clone();
        match alarm.wait_for(Option::is_some).await.map(|why| why.clone()) {
            Ok(Some(why)) => why,
            _ => std::future::pending().await,
        }
    }

    /// Stops the member: answers who still waits, ends the links, and makes the state durable.
    pub async fn stop(self) {
        let Running { stop, driver, maintenance, taker, state_sync, threads, .. } = self;
        stop.disarm().cancel();
        for task in [driver, maintenance, taker] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the group died");
            }
        }
        // Only now is all applied that ever will be.
        let join = move || {
            drop(state_sync);
            threads.into_iter().filter_map(|thread| thread.join().err()).count()
        };
        match tokio::task::spawn_blocking(join).await {
            Ok(0) => {}
            Ok(died) => tracing::error!(died, "threads of the group died"),
            Err(error) => tracing::error!(%error, "the group's threads could not be awaited"),
        }
    }
}

/// A driver that ends without being told to has met a broken invariant, or a thread that it needs did.
async fn watch_over(driver: JoinHandle<()>, fatal: Fatal, stop: CancellationToken) {
    match driver.await {
        Err(error) => fatal.raise(format!("the protocol broke down: {error}")),
        Ok(()) if !stop.is_cancelled() => fatal.raise("a thread of the group ended".into()),
        Ok(()) => {}
    }
}
