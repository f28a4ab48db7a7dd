//! The loop around the attempts of a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::Rng;
use tokio::time::{Instant, sleep_until};

use super::attempt::{Effect, Failed, Fault, Outcome, attempt, headers};
use super::backoff::Backoff;
use super::budget::Budget;
use super::frontends::Frontends;
use super::request::{Answer, Pace, Request};
use crate::error::{Error, Failure};
use crate::options::{ClientOptions, Start};

/// How long a frontend that can't serve now is left alone when it does not say.
const BUSY_DEFAULT: Duration = Duration::from_millis(100);

/// A way to the marketplace over several frontends. Clones share everything.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    http: reqwest::Client,
    frontends: Arc<Frontends>,
    /// The frontend that this client stays with.
    preferred: Arc<AtomicUsize>,
    budget: Arc<Budget>,
    options: Arc<ClientOptions>,
}

impl Transport {
    pub fn new(servers: &[String], options: ClientOptions) -> Result<Self, Error> {
        let frontends = Arc::new(Frontends::new(servers)?);
        // Frontends are spoken to directly: a proxy in the environment is meant for the web.
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(options.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .user_agent(concat!("agora-clients/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::Configuration(format!("no HTTP client can be made: {error}")))?;
        Ok(Self::over(http, frontends, Arc::new(options)))
    }

    /// One with a preference and a budget of its own that shares connections and what is known of the frontends.
    pub fn sibling(&self) -> Self {
        Self::over(self.http.clone(), Arc::clone(&self.frontends), Arc::clone(&self.options))
    }

    fn over(http: reqwest::Client, frontends: Arc<Frontends>, options: Arc<ClientOptions>) -> Self {
        let preferred = match options.start {
            Start::Random => rand::rng().random_range(0..frontends.len()),
            Start::At(index) => index % frontends.len(),
        };
        let budget =
            Budget::new(options.retry_burst, options.retry_rate, options.retry_share, Instant::now());
        Transport {
            http,
            frontends,
            preferred: Arc::new(preferred.into()),
            budget: Arc::new(budget),
            options,
        }
    }

    pub fn deadline(&self) -> Duration {
        self.options.deadline
    }

    /// The frontend that the next call goes to first, unless it is found to be down.
    pub fn preferred_url(&self) -> &str {
        self.frontends.url(self.preferred.load(Ordering::Relaxed))
    }

    /// Sends until there is an answer or the deadline has passed.
    pub async fn call(
        &self,
        request: &Request,
        token: Option<&str>,
        deadline: Duration,
    ) -> Result<Answer, Error> {
        let headers = headers(request, token)?;
        let patience = match request.pace {
            Pace::Usual => self.options.attempt_timeout,
            Pace::Purchase => self.options.purchase_timeout,
        };
        let mut run = Run::new(self, request, deadline);
        loop {
            let index = run.next_turn().await?;
            let left = run.deadline.saturating_duration_since(Instant::now());
            let timeout = left.min(patience);
            match attempt(&self.http, self.frontends.url(index), request, &headers, timeout).await {
                Outcome::Answered { status, body } => {
                    self.frontends.served(index);
                    self.preferred.store(index, Ordering::Relaxed);
                    self.budget.succeeded(Instant::now());
                    return Ok(Answer { status, body, repeated: run.perhaps_done });
                }
                Outcome::Failed(failed) => run.failed(index, failed)?,
            }
        }
    }
}

/// The attempts of one call.
struct Run<'a> {
    transport: &'a Transport,
    started: Instant,
    deadline: Instant,
    key: Option<&'a str>,
    backoff: Backoff,
    attempts: u32,
    /// Some attempt may have taken effect. Never unset.
    perhaps_done: bool,
    stumbles: usize,
    not_before: Option<Instant>,
    reason: String,
}

impl<'a> Run<'a> {
    fn new(transport: &'a Transport, request: &'a Request, deadline: Duration) -> Self {
        let started = Instant::now();
        Run {
            transport,
            started,
            deadline: started + deadline,
            key: request.key.as_deref(),
            backoff: Backoff::new(transport.options.backoff_first, transport.options.backoff_max),
            attempts: 0,
            perhaps_done: false,
            stumbles: 0,
            not_before: None,
            reason: "there was no time to try".into(),
        }
    }

    /// Waits until an attempt may be made, and says at which frontend. An error when that is not before the deadline.
    async fn next_turn(&mut self) -> Result<usize, Error> {
        let now = Instant::now();
        let choice = self.transport.frontends.choose(self.transport.preferred.load(Ordering::Relaxed), now);
        let mut at = now.max(self.not_before.unwrap_or(now)).max(choice.not_before.unwrap_or(now));
        let repeat = self.attempts > 0;
        if repeat {
            at = at.max(now + self.transport.budget.take(now));
        }
        if at >= self.deadline && repeat {
            self.transport.budget.give_back(now);
            return Err(self.give_up());
        }
        // No call fails untried: if all that is known speaks against it, that may be out of date.
        let at = if at >= self.deadline { now } else { at };
        if at > now {
            sleep_until(at).await;
        }
        self.attempts += 1;
        Ok(choice.index)
    }

    fn failed(&mut self, index: usize, failed: Failed) -> Result<(), Error> {
        let frontends = &self.transport.frontends;
        tracing::debug!(reason = failed.reason, effect = ?failed.effect, attempt = self.attempts, "an attempt failed");
        self.reason = failed.reason;
        self.perhaps_done |= self.key.is_some() && failed.effect == Effect::Perhaps;
        let (now, mut rng) = (Instant::now(), rand::rng());
        let bounded =
            |wait: Option<Duration>| wait.map(|wait| wait.min(self.transport.options.retry_after_max));
        match failed.fault {
            Fault::Frontend => {
                frontends.failed(index, now, &mut rng);
                // Another one that is well is tried at once: this failure says nothing about it.
                let at_once = frontends.any_well(now);
                self.not_before = if at_once { None } else { Some(now + self.backoff.next(&mut rng)) };
            }
            Fault::Busy { retry_after } => {
                frontends.busy(index, now + bounded(retry_after).unwrap_or(BUSY_DEFAULT));
                self.not_before = Some(now + self.backoff.next(&mut rng));
            }
            Fault::SlowDown { retry_after } => {
                let asked = bounded(retry_after).unwrap_or(BUSY_DEFAULT);
                self.not_before = Some(now + asked + self.backoff.next(&mut rng));
            }
            Fault::Internal => {
                self.stumbles += 1;
                if self.stumbles >= frontends.len().max(2) {
                    return Err(self.give_up());
                }
                frontends.busy(index, now + BUSY_DEFAULT);
                self.not_before = Some(now + self.backoff.next(&mut rng));
            }
        }
        Ok(())
    }

    fn give_up(&self) -> Error {
        let failure = Failure {
            reason: self.reason.clone(),
            attempts: self.attempts,
            elapsed: self.started.elapsed(),
            key: self.key.map(str::to_owned),
        };
        if self.perhaps_done { Error::OutcomeUnknown(failure) } else { Error::Unavailable(failure) }
    }
}
