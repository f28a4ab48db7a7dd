//! Those who call: a few threads, each with a runtime and connections of its own.
//!
//! Whoever asks a machine for more than it can do, from that same machine, must take little of it and must not be kept waiting
//! himself: what he notices late counts as answered late. Tasks that never change threads wake up no other thread, and several
//! threads that each do little get their turn sooner than one that does much.

use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::Context;
use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::wire::Connection;

/// Connections at a time, of all callers together. Who has so many calls under way has its answer.
const CONNECTIONS_MAX: usize = 4_000;
/// Threads for each processor…
const THREADS_EACH: usize = 2;
/// …and on a large machine at most.
const THREADS_MAX: usize = 16;

/// All callers. Their threads end when this is dropped.
#[derive(Debug)]
pub(crate) struct Callers {
    each: Vec<Caller>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Caller {
    runtime: Handle,
    frontends: Arc<Frontends>,
}

impl Callers {
    /// Callers of these frontends.
    ///
    /// # Errors
    /// There is no frontend, or the system gives no threads.
    pub fn start(addresses: &[SocketAddr]) -> anyhow::Result<Self> {
        anyhow::ensure!(!addresses.is_empty(), "the cluster has no buyer frontend");
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let threads = (processors * THREADS_EACH).min(THREADS_MAX);
        let stop = CancellationToken::new();
        let mut each = Vec::with_capacity(threads);
        for number in 0..threads {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let frontends = Arc::new(Frontends::new(addresses, number, CONNECTIONS_MAX / threads));
            each.push(Caller { runtime: runtime.handle().clone(), frontends });
            let stopped = stop.clone();
            let run = move || runtime.block_on(stopped.cancelled());
            thread::Builder::new().name(format!("caller-{number}")).spawn(run)?;
        }
        Ok(Callers { each, _stop: stop.drop_guard() })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.each.len()
    }

    /// Has each caller, by its number, do its share at the same time.
    ///
    /// # Errors
    /// One of them did not come to an end.
    pub async fn all<T, F>(&self, share: impl Fn(usize, Arc<Frontends>) -> F) -> anyhow::Result<Vec<T>>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let spawn = |(number, caller): (usize, &Caller)| {
            caller.runtime.spawn(share(number, Arc::clone(&caller.frontends)))
        };
        let shares: Vec<_> = self.each.iter().enumerate().map(spawn).collect();
        let mut done = Vec::with_capacity(shares.len());
        for share in shares {
            done.push(share.await.context("a caller failed")?);
        }
        Ok(done)
    }
}

/// The frontends, called in turn.
#[derive(Debug)]
pub(crate) struct Frontends {
    members: Vec<Frontend>,
    turn: AtomicUsize,
    open: AtomicUsize,
    open_max: usize,
}

/// A frontend, and the connections to it that nobody uses just now.
#[derive(Debug)]
struct Frontend {
    address: SocketAddr,
    idle: Mutex<Vec<Connection>>,
}

impl Frontends {
    fn new(addresses: &[SocketAddr], turn: usize, open_max: usize) -> Self {
        let member = |address: &SocketAddr| Frontend { address: *address, idle: Mutex::default() };
        let members = addresses.iter().map(member).collect();
        Frontends { members, turn: AtomicUsize::new(turn), open: AtomicUsize::new(0), open_max }
    }

    /// Calls the next frontend: its status, and when the call was sent. None: there was no answer.
    pub async fn call(&self, request: &[u8]) -> Option<(u16, Instant)> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let frontend = self.members.get(turn % self.members.len())?;
        let idle = frontend.idle.lock().pop();
        let mut connection = match idle {
            Some(idle) => idle,
            None => self.connect(frontend.address).await?,
        };
        let sent = Instant::now();
        match connection.ask(request).await {
            Ok(status) => {
                frontend.idle.lock().push(connection);
                Some((status, sent))
            }
            Err(_) => {
                self.open.fetch_sub(1, Ordering::Relaxed);
                None
            }
        }
    }

    async fn connect(&self, address: SocketAddr) -> Option<Connection> {
        if self.open.fetch_add(1, Ordering::Relaxed) < self.open_max
            && let Ok(connection) = Connection::open(address).await
        {
            return Some(connection);
        }
        self.open.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_caller_does_its_share_on_a_thread_of_its_own() {
        let callers = Callers::start(&[([127, 0, 0, 1], 1).into()]).unwrap();
        let names = callers.all(|number, _| async move {
            // Where a task that it spawns runs, too.
            let name = async { thread::current().name().map(str::to_owned) };
            (number, tokio::spawn(name).await.unwrap())
        });
        let expected: Vec<_> = (0..callers.count()).map(|n| (n, Some(format!("caller-{n}")))).collect();
        assert_eq!(names.await.unwrap(), expected);
        assert!(Callers::start(&[]).is_err(), "there must be somebody to call");
    }

    #[tokio::test]
    async fn a_call_beyond_the_connections_and_one_that_nobody_takes_have_no_answer() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent_address = silent.local_addr().unwrap();
        let frontends = Arc::new(Frontends::new(&[silent_address], 0, 1));
        let waits = tokio::spawn({
            let frontends = Arc::clone(&frontends);
            async move { frontends.call(b"x").await }
        });
        let (stream, _) = silent.accept().await.unwrap();
        assert_eq!(frontends.call(b"x").await, None, "its only connection is in use");
        drop(stream);
        assert_eq!(waits.await.unwrap(), None);
        drop(silent);
        assert_eq!(frontends.call(b"x").await, None);
        assert_eq!(frontends.open.load(Ordering::Relaxed), 0);
    }
}
