//! The clerk: one thread that keeps the ledger, so that no async worker waits for a disk.
//!
//! It takes what waits, up to a bound, writes all of it, makes it durable with one fsync, and only then gives the answers.
//! When the disk fails it gives none any more: what it wrote last may or may not be there after a restart.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::decision::Decisions;
use super::ledger::{Decision, Ledger, LedgerError, Totals};
use super::operations::AuthorizePayment;

/// Most jobs that wait; more are turned away at once.
const WAITING_MAX: usize = 4096;
/// Most jobs that share one fsync.
const BATCH_MAX: usize = 256;

/// Why a job was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClerkError {
    /// Nothing was done.
    #[error("too many payments are waiting: try again in a moment")]
    Overloaded,
    /// The service stops or its disk failed; the job may have been done.
    #[error("the ledger is closed")]
    Closed,
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

enum Job {
    Authorize(AuthorizePayment, oneshot::Sender<Result<Decision, LedgerError>>),
    Void(String, oneshot::Sender<Result<(), LedgerError>>),
    /// Do what came before, and end.
    Stop,
}

/// Hands jobs to the thread.
#[derive(Clone)]
pub(crate) struct Clerk {
    jobs: mpsc::Sender<Job>,
    totals: Arc<Mutex<Totals>>,
}

impl Clerk {
    /// Opens the ledger, and starts the thread. Blocks until the ledger is open.
    pub(crate) fn start(path: &Path, decisions: Decisions) -> Result<(Clerk, JoinHandle<()>), LedgerError> {
        let ledger = Ledger::open(path, decisions)?;
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        let totals = Arc::new(Mutex::new(ledger.totals()));
        let clerk = Clerk { jobs, totals: Arc::clone(&totals) };
        let thread =
            std::thread::Builder::new().name("ledger".into()).spawn(move || keep(ledger, waiting, &totals));
        let why =
            |error: std::io::Error| LedgerError::Storage { path: path.to_owned(), why: error.to_string() };
        Ok((clerk, thread.map_err(why)?))
    }

    /// See [`Ledger::authorize`]; durable when answered.
    pub(crate) async fn authorize(&self, payment: AuthorizePayment) -> Result<Decision, ClerkError> {
        self.ask(|answer| Job::Authorize(payment, answer)).await
    }

    /// See [`Ledger::void`]; durable when answered.
    pub(crate) async fn void(&self, transaction_id: String) -> Result<(), ClerkError> {
        self.ask(|answer| Job::Void(transaction_id, answer)).await
    }

    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, LedgerError>>) -> Job,
    ) -> Result<T, ClerkError> {
        let (answer, answered) = oneshot::channel();
        self.jobs.try_send(job(answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ClerkError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => ClerkError::Closed,
        })?;
        Ok(answered.await.map_err(|_| ClerkError::Closed)??)
    }

    /// The books, as of what is durable.
    pub(crate) fn totals(&self) -> Totals {
        *self.totals.lock()
    }

    /// Has the thread do what waits, and end.
    pub(crate) async fn stop(&self) {
        // If it can't be told, it has ended already.
        drop(self.jobs.send(Job::Stop).await);
    }

    /// Whether the thread still takes jobs.
    pub(crate) fn is_working(&self) -> bool {
        !self.jobs.is_closed()
    }
}

/// An answer that waits for the fsync.
type Answer = Box<dyn FnOnce()>;

fn keep(mut ledger: Ledger, mut waiting: mpsc::Receiver<Job>, totals: &Mutex<Totals>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while waiting.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
        let stop = batch.iter().any(|job| matches!(job, Job::Stop));
        let answers: Result<Vec<Answer>, LedgerError> =
            batch.drain(..).map(|job| carry_out(&mut ledger, job)).collect();
        // Without an answer the callers' channels close, which tells them that the outcome is unknown.
        match answers.and_then(|answers| ledger.sync().map(|()| answers)) {
            Ok(answers) => {
                *totals.lock() = ledger.totals();
                answers.into_iter().for_each(|answer| answer());
                if stop {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(%error, "the ledger failed: no more payments are taken");
                return;
            }
        }
    }
}

/// Does a job, and returns what gives its answer; an error is the disk's.
fn carry_out(ledger: &mut Ledger, job: Job) -> Result<Answer, LedgerError> {
    fn later<T: 'static>(
        answer: oneshot::Sender<Result<T, LedgerError>>,
        outcome: Result<T, LedgerError>,
    ) -> Result<Answer, LedgerError> {
        match outcome {
            Err(error @ LedgerError::Storage { .. }) => Err(error),
            // Who asked may have gone meanwhile, and will ask again.
            outcome => Ok(Box::new(move || drop(answer.send(outcome)))),
        }
    }
    match job {
        Job::Authorize(payment, answer) => later(answer, ledger.authorize(&payment)),
        Job::Void(transaction_id, answer) => later(answer, ledger.void(&transaction_id)),
        Job::Stop => Ok(Box::new(|| ())),
    }
}
