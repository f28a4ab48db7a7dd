//! What was done to the cluster, and what happened to it, when.

use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use super::fault::Fault;

/// Most entries; what happens later is not told. Far more than any plan has steps.
const ENTRIES_MAX: usize = 100_000;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Happening {
    /// A fault began.
    Began {
        /// Which.
        fault: Fault,
        /// Whom it hit.
        process: String,
        /// What that was at the moment.
        part: String,
    },
    /// What the fault did was undone: the process was started again, goes on, is reached again.
    Undone {
        /// Which.
        fault: Fault,
        /// Whom it had hit.
        process: String,
    },
    /// The process is ready again.
    Ready {
        /// After which fault.
        fault: Fault,
        /// Which process.
        process: String,
    },
    /// Something is wrong all the time.
    Background {
        /// What.
        ails: String,
    },
    /// A fault of the plan was left out.
    LeftOut {
        /// Which.
        fault: Fault,
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
    /// A node leads the product group, or starts an epoch of the customer group.
    Leads {
        /// Which group.
        group: &'static str,
        /// Which node.
        process: String,
        /// The term or epoch.
        term: u64,
    },
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Happening::Began { fault, process, part } => write!(f, "{process}, {part}, is {fault}"),
            Happening::Undone { fault, process } => write!(f, "{process} is no longer {fault}"),
            Happening::Ready { process, .. } => write!(f, "{process} is ready again"),
            Happening::Background { ails } => write!(f, "all the time: {ails}"),
            Happening::LeftOut { fault, target, why } => {
                write!(f, "left out: {target} is not {fault} ({why})")
            }
            Happening::Died { process, how } => write!(f, "{process} died by itself: {how}"),
            Happening::Leads { group, process, term } => write!(f, "{group} {term}: {process}"),
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

/// A fault from its beginning to when the process was ready again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bar {
    /// Which fault.
    pub fault: Fault,
    /// Whom it hit.
    pub process: String,
    /// What that was at the moment.
    pub part: String,
    /// When it began.
    pub from_ns: u64,
    /// When it was undone; the end of the run, if it was not.
    pub undone_ns: u64,
    /// When the process was ready again; the end of the run, if it was not.
    pub ready_ns: u64,
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bar { fault, process, part, .. } = self;
        let [from, undone, ready] =
            [self.from_ns, self.undone_ns, self.ready_ns].map(|ns| Duration::from_nanos(ns).as_secs_f64());
        write!(f, "{from:9.3} s  {process}, {part}, is {fault} until {undone:.3} s, ready at {ready:.3} s")
    }
}

/// All faults of a timeline.
#[must_use]
pub fn bars(entries: &[Entry], end_ns: u64) -> Vec<Bar> {
    let mut bars: Vec<Bar> = Vec::new();
    for Entry { at_ns, happening } in entries {
        match happening {
            Happening::Began { fault, process, part } => bars.push(Bar {
                fault: *fault,
                process: process.clone(),
                part: part.clone(),
                from_ns: *at_ns,
                undone_ns: end_ns,
                ready_ns: end_ns,
            }),
            Happening::Undone { process, .. } => {
                last(&mut bars, process).into_iter().for_each(|bar| bar.undone_ns = *at_ns);
            }
            Happening::Ready { process, .. } => {
                last(&mut bars, process).into_iter().for_each(|bar| bar.ready_ns = *at_ns);
            }
            _ => {}
        }
    }
    bars
}

/// The fault that the process suffers: one at a time.
fn last<'a>(bars: &'a mut [Bar], process: &str) -> Option<&'a mut Bar> {
    bars.iter_mut().rev().find(|bar| bar.process == process)
}
