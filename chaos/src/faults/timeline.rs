//! What was done to the cluster, and what happened to it, when.

use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

/// Most entries; what happens later is not told. Far more than any plan has steps.
const ENTRIES_MAX: usize = 100_000;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Happening {
    /// A process was killed.
    Killed {
        /// Which.
        process: String,
        /// What it was at that moment.
        part: String,
    },
    /// It was started again.
    Restarted {
        /// Which.
        process: String,
    },
    /// It is ready again.
    Ready {
        /// Which.
        process: String,
    },
    /// A fault of the plan was left out.
    LeftOut {
        /// What it would have hit.
        target: String,
        /// Why.
        why: String,
    },
    /// A process ended, and nobody had told it to.
    Died {
        /// Which.
        process: String,
        /// How.
        how: String,
    },
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Happening::Killed { process, part } => write!(f, "killed {process}, {part}"),
            Happening::Restarted { process } => write!(f, "restarted {process}"),
            Happening::Ready { process } => write!(f, "{process} is ready again"),
            Happening::LeftOut { target, why } => write!(f, "left out: {target} ({why})"),
            Happening::Died { process, how } => write!(f, "{process} died by itself: {how}"),
        }
    }
}

/// Something that happened, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Nanoseconds of the history's clock.
    pub at_ns: u64,
    /// What.
    #[serde(flatten)]
    pub happening: Happening,
}

/// All that happened. Told to a listener as it happens.
pub struct Timeline {
    origin: Instant,
    entries: Mutex<Vec<Entry>>,
    listener: Box<dyn Fn(&Entry) + Send + Sync>,
}

impl fmt::Debug for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeline").field("entries", &self.entries).finish_non_exhaustive()
    }
}

impl Timeline {
    /// An empty one, on the clock that began at the origin.
    pub fn new(origin: Instant, listener: impl Fn(&Entry) + Send + Sync + 'static) -> Self {
        Timeline { origin, entries: Mutex::default(), listener: Box::new(listener) }
    }

    /// Adds what happens now.
    pub fn add(&self, happening: Happening) {
        let at_ns = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let entry = Entry { at_ns, happening };
        (self.listener)(&entry);
        let mut entries = self.entries.lock();
        if entries.len() < ENTRIES_MAX {
            entries.push(entry);
        }
    }

    /// What happened so far.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().clone()
    }
}

impl Entry {
    /// Since the beginning of the run.
    #[must_use]
    pub fn at(&self) -> Duration {
        Duration::from_nanos(self.at_ns)
    }
}
