//! Takes down what clients do: into memory, for the checkers, and into a file, for everybody else.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use agora_clients::Error;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Event, Outcome};

/// Most operations of a run. A run ends early when it gets there, because checkers need them all in memory.
pub const EVENTS_MAX: usize = 5_000_000;

/// Kinds of errors that are told apart; there are far fewer.
const ERRORS_MAX: usize = 100;

/// A history in the making.
#[derive(Debug)]
pub struct Recorder {
    origin: Instant,
    most: usize,
    full: CancellationToken,
    state: Mutex<State>,
    sessions: AtomicU32,
}

#[derive(Debug, Default)]
struct State {
    events: Vec<Event>,
    counts: Counts,
    errors: BTreeMap<String, u64>,
    file: Option<BufWriter<File>>,
    error: Option<io::Error>,
}

/// How many operations ended how.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub ok: u64,
    pub fail: u64,
    pub info: u64,
}

impl Recorder {
    /// Takes down so many operations before no more should begin, and writes them to this file, if there is one.
    #[must_use]
    pub fn new(origin: Instant, most: usize, file: Option<File>) -> Self {
        Recorder {
            origin,
            most,
            full: CancellationToken::new(),
            state: Mutex::new(State { file: file.map(BufWriter::new), ..State::default() }),
            sessions: AtomicU32::new(0),
        }
    }

    /// Nanoseconds since the beginning of the run.
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Takes down an operation that has ended.
    pub fn add(&self, event: Event) {
        let mut state = self.state.lock();
        match event.outcome {
            Outcome::Ok => state.counts.ok += 1,
            Outcome::Fail => state.counts.fail += 1,
            Outcome::Info => state.counts.info += 1,
        }
        if state.error.is_none()
            && let Some(file) = &mut state.file
            && let Err(error) = write_line(file, &event)
        {
            state.error = Some(error);
        }
        state.events.push(event);
        if state.events.len() == self.most {
            self.full.cancel();
        }
    }

    /// A number for a session that was opened.
    pub fn new_session(&self) -> u32 {
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes that a client's call ended without an answer, whether or not it is made again.
    pub fn add_error(&self, error: &Error) {
        // The numbers of tries and seconds differ each time, and so does the frontend.
        let text = error.to_string();
        let kind = text.split([':', '(']).next().unwrap_or_default().trim().to_owned();
        let mut state = self.state.lock();
        if state.errors.len() < ERRORS_MAX || state.errors.contains_key(&kind) {
            *state.errors.entry(kind).or_default() += 1;
        }
    }

    /// The calls that ended without an answer, by kind.
    pub fn errors(&self) -> BTreeMap<String, u64> {
        self.state.lock().errors.clone()
    }

    /// Cancelled when no more operations should begin.
    pub fn full(&self) -> &CancellationToken {
        &self.full
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state.lock().counts
    }

    /// All operations in the order of their ends, and whether the file has them, too. The recorder is empty afterwards.
    pub fn finish(&self) -> (Vec<Event>, io::Result<()>) {
        let mut state = self.state.lock();
        let flushed = state.file.take().map_or(Ok(()), |mut file| file.flush());
        let written = state.error.take().map_or(flushed, Err);
        (std::mem::take(&mut state.events), written)
    }
}

fn write_line(file: &mut BufWriter<File>, event: &Event) -> io::Result<()> {
    serde_json::to_writer(&mut *file, event)?;
    file.write_all(b"\n")
}
