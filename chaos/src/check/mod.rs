//! Whether the marketplace kept its promises: pure functions of a history and of the final readings. Each file checks one
//! promise, and knows nothing of how the run was made.
//!
//! An operation whose outcome is unknown may have taken effect or not, now or later: every checker allows for both. None of
//! them ever calls a correct run wrong; what they can't see is said in each file.

mod books;
mod carts;
mod feedback;
mod items;
mod linear;
mod prices;
mod purchases;
mod range;
mod registers;
mod replicas;
mod sessions;
#[cfg(test)]
mod testing;
mod units;
mod votes;

use serde::Serialize;

use crate::history::Event;
use crate::readings::Readings;
use crate::workload::People;

/// Most violations that one check tells of. The first ones say it all.
const VIOLATIONS_MAX: usize = 20;
/// Most operations that are shown with a violation.
const EVIDENCE_MAX: usize = 40;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// The promise that it checks.
    pub promise: &'static str,
    /// How many things it looked at.
    pub examined: u64,
    /// What it found to be wrong.
    pub violations: Vec<Violation>,
    /// How many more it found than it tells of.
    pub more: u64,
    /// What it could not decide, because there were too many possibilities.
    pub undecided: Vec<String>,
}

/// A broken promise, and the operations that show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Violation {
    /// What is wrong.
    pub what: String,
    /// The last operations on the thing that it is about.
    pub evidence: Vec<Event>,
}

impl Check {
    /// One that found nothing yet.
    #[must_use]
    pub fn new(name: &'static str, promise: &'static str) -> Self {
        Check { name, promise, examined: 0, violations: Vec::new(), more: 0, undecided: Vec::new() }
    }

    /// Whether the promise was kept.
    #[must_use]
    pub fn held(&self) -> bool {
        self.violations.is_empty()
    }

    /// Looks at one more thing.
    fn examine(&mut self) {
        self.examined += 1;
    }

    /// Looks at one more thing, which must be so.
    fn require<'a>(
        &mut self,
        so: bool,
        what: impl FnOnce() -> String,
        evidence: impl IntoIterator<Item = &'a Event>,
    ) {
        self.examine();
        if !so {
            self.violate(what(), evidence);
        }
    }

    fn violate<'a>(&mut self, what: String, evidence: impl IntoIterator<Item = &'a Event>) {
        if self.violations.len() == VIOLATIONS_MAX {
            self.more += 1;
            return;
        }
        let mut evidence: Vec<Event> = evidence.into_iter().cloned().collect();
        evidence.sort_by_key(|event| event.start_ns);
        let skip = evidence.len().saturating_sub(EVIDENCE_MAX);
        self.violations.push(Violation { what, evidence: evidence.split_off(skip) });
    }

    /// A check of something that is not in the history, told by whoever saw it.
    #[must_use]
    pub fn told(name: &'static str, promise: &'static str, examined: u64, wrong: &[String]) -> Self {
        let mut check = Check::new(name, promise);
        check.examined = examined;
        for what in wrong {
            check.violate(what.clone(), []);
        }
        check
    }
}

/// All checks of a run that came to its end.
#[must_use]
pub fn check_all(history: &[Event], readings: &Readings, people: &People) -> Vec<Check> {
    let of_readings = [
        books::check(history, readings),
        items::check(history, readings, people),
        purchases::check(history, readings, people),
        feedback::check(history, readings),
        replicas::check(readings),
    ];
    check_history(history).into_iter().chain(of_readings).collect()
}

/// The checks that need no final readings: for a run that was interrupted.
#[must_use]
pub fn check_history(history: &[Event]) -> Vec<Check> {
    vec![
        prices::check(history),
        units::check(history),
        votes::check(history),
        carts::check(history),
        sessions::check(history),
    ]
}
