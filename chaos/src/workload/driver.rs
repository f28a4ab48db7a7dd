//! Carries out the operations of one client, and takes each of them down.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agora_clients::model::Session;
use agora_clients::{Error, Failure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;

use crate::history::{Action, Answer, Event, Outcome, Recorder};

/// How long a change whose outcome is unknown is repeated before its outcome stays unknown.
const PATIENCE: Duration = Duration::from_secs(90);

/// Between two such repeats.
const PAUSE: Duration = Duration::from_millis(200);

/// One client's hand on the history.
#[derive(Debug)]
pub(super) struct Driver {
    pub client: u32,
    pub rng: StdRng,
    /// The session that the client's calls belong to.
    pub session: Option<u32>,
    recorder: Arc<Recorder>,
    pause_max: Duration,
    /// Nobody waits for answers any more.
    give_up: CancellationToken,
}

/// What became of an operation.
#[derive(Debug)]
pub(super) enum Done<T> {
    /// It was done.
    Ok(T),
    /// It certainly was not.
    Not,
    /// It may have been, or may yet be.
    Unknown,
}

/// What came of sending a change again and again.
struct Repeated<T> {
    result: Result<T, Error>,
    /// It failed, and yet may have happened.
    unknown: bool,
}

impl<T> From<Repeated<T>> for Done<T> {
    fn from(repeated: Repeated<T>) -> Self {
        match repeated.result {
            Ok(result) => Done::Ok(result),
            Err(_) if repeated.unknown => Done::Unknown,
            Err(_) => Done::Not,
        }
    }
}

impl<T> Done<T> {
    pub fn ok(self) -> Option<T> {
        match self {
            Done::Ok(result) => Some(result),
            Done::Not | Done::Unknown => None,
        }
    }
}

impl Driver {
    pub fn new(
        client: u32,
        seed: u64,
        recorder: Arc<Recorder>,
        pause_max: Duration,
        give_up: CancellationToken,
    ) -> Self {
        // Each client has a stream of its own, so that one more client changes nobody else's choices.
        let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(u64::from(client));
        Driver { client, rng: StdRng::seed_from_u64(seed), session: None, recorder, pause_max, give_up }
    }

    /// A number below this one.
    pub fn random(&mut self, below: u64) -> u64 {
        self.rng.random_range(0..below.max(1))
    }

    /// A moment of rest. False when it is time to stop.
    pub async fn rest(&mut self, stop: &CancellationToken) -> bool {
        let pause = self.pause_max.mul_f64(self.rng.random::<f64>());
        tokio::select! {
            () = stop.cancelled() => false,
            () = tokio::time::sleep(pause) => !stop.is_cancelled() && !self.recorder.full().is_cancelled(),
        }
    }

    /// An operation that changes nothing.
    pub async fn read<T>(
        &self,
        action: Action,
        key: impl Into<String>,
        call: impl Future<Output = Result<T, Error>>,
        answer: impl FnOnce(&T) -> Answer,
    ) -> Option<T> {
        let start_ns = self.recorder.now_ns();
        let result = match self.give_up.run_until_cancelled(call).await {
            Some(result) => result,
            None => Err(gave_up(1, None)),
        };
        self.count(&result);
        let answer = match &result {
            Ok(result) => answer(result),
            Err(error) => no(error),
        };
        let outcome = if result.is_ok() { Outcome::Ok } else { Outcome::Fail };
        self.record(action, key.into(), answer, outcome, start_ns);
        result.ok()
    }

    /// An operation that changes something. The call gets the idempotency key; while its outcome is unknown it is repeated.
    pub async fn change<T, F: Future<Output = Result<T, Error>>>(
        &self,
        action: Action,
        key: impl Into<String>,
        call: impl Fn(String) -> F,
        answer: impl FnOnce(&T) -> Answer,
    ) -> Done<T> {
        let start_ns = self.recorder.now_ns();
        let done = self.repeat(call).await;
        self.note(&done, action, key.into(), answer, start_ns);
        done.into()
    }

    /// A login: what the client does from here on belongs to the session that it opened. False if that did not work.
    pub async fn login<F: Future<Output = Result<Session, Error>>>(
        &mut self,
        action: Action,
        key: impl Into<String>,
        call: impl Fn(String) -> F,
    ) -> bool {
        let start_ns = self.recorder.now_ns();
        let done = self.repeat(call).await;
        self.session = done.result.is_ok().then(|| self.recorder.new_session());
        let answer = |session: &Session| Answer::User { user_id: session.user_id };
        self.note(&done, action, key.into(), answer, start_ns);
        self.session.is_some()
    }

    async fn repeat<T, F: Future<Output = Result<T, Error>>>(
        &self,
        call: impl Fn(String) -> F,
    ) -> Repeated<T> {
        let give_up = Instant::now() + PATIENCE;
        let idempotency_key = uuid::Uuid::new_v4().to_string();
        let (mut unknown, mut attempts) = (false, 0);
        let result = loop {
            attempts += 1;
            let called = self.give_up.run_until_cancelled(call(idempotency_key.clone())).await;
            let Some(result) = called else {
                // It may be done by now, or yet.
                unknown = true;
                break Err(gave_up(attempts, Some(idempotency_key)));
            };
            self.count(&result);
            unknown = match &result {
                Err(error) if error.is_the_one_answer() => false,
                Err(error) => unknown || error.may_have_happened(),
                Ok(_) => false,
            };
            let open = matches!(&result, Err(Error::OutcomeUnknown(_) | Error::BadAnswer(_)))
                || (unknown && matches!(&result, Err(Error::Unavailable(_))));
            if !open || Instant::now() >= give_up {
                break result;
            }
            self.give_up.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
        };
        Repeated { unknown: unknown && result.is_err(), result }
    }

    fn note<T>(
        &self,
        done: &Repeated<T>,
        action: Action,
        key: String,
        answer: impl FnOnce(&T) -> Answer,
        start_ns: u64,
    ) {
        let (outcome, answer) = match &done.result {
            Ok(result) => (Outcome::Ok, answer(result)),
            Err(error) => (if done.unknown { Outcome::Info } else { Outcome::Fail }, no(error)),
        };
        self.record(action, key, answer, outcome, start_ns);
    }

    /// A refusal is an answer, unless nobody knows what became of the call.
    fn count<T>(&self, result: &Result<T, Error>) {
        // That nobody waited for an answer does not say that there would have been none.
        if let Err(error) = result
            && !self.give_up.is_cancelled()
            && (error.code().is_none() || error.may_have_happened())
        {
            self.recorder.add_error(error);
        }
    }

    fn record(&self, action: Action, key: String, answer: Answer, outcome: Outcome, start_ns: u64) {
        let end_ns = (outcome != Outcome::Info).then(|| self.recorder.now_ns());
        let Driver { client, session, .. } = *self;
        self.recorder.add(Event { client, session, action, key, answer, outcome, start_ns, end_ns });
    }
}

/// What a call comes to that is under way when nobody waits any more.
fn gave_up(attempts: u32, key: Option<String>) -> Error {
    let reason = "the run ended before the answer".to_owned();
    Error::OutcomeUnknown(Failure { reason, attempts, elapsed: Duration::ZERO, key })
}

fn no(error: &Error) -> Answer {
    match error {
        Error::Refused { code, .. } => Answer::Refused { code: code.clone() },
        error => Answer::None { error: error.to_string() },
    }
}
