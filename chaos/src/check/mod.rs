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
#[cfg(test)]
mod scale;
mod sessions;
#[cfg(test)]
mod testing;
mod units;
mod votes;

use serde::Serialize;

use crate::history::Event;
use crate::readings::{Part, Readings};
use crate::workload::People;

/// Most violations that one check tells of. The first ones say it all.
const VIOLATIONS_MAX: usize = 20;
/// Most operations that are shown with a violation.
pub(crate) const EVIDENCE_MAX: usize = 40;

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
    /// What else is worth knowing of what it looked at.
    pub note: Option<String>,
}

/// A broken promise, and the operations that show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Violation {
    /// What is wrong.
    pub what: String,
    /// The operations on the thing that it is about, as few as show it.
    pub evidence: Vec<Event>,
    /// How many more there are, of those in the middle.
    pub omitted: usize,
}

impl Check {
    /// One that found nothing yet.
    #[must_use]
    pub fn new(name: &'static str, promise: &'static str) -> Self {
        Check {
            name,
            promise,
            examined: 0,
            violations: Vec::new(),
            more: 0,
            undecided: Vec::new(),
            note: None,
        }
    }

    /// Whether the promise was certainly kept: nothing is wrong, and nothing was left undecided.
    #[must_use]
    pub fn held(&self) -> bool {
        !self.broken() && self.undecided.is_empty()
    }

    /// Whether the promise was certainly broken.
    #[must_use]
    pub fn broken(&self) -> bool {
        !self.violations.is_empty()
    }

    /// What came of it, in a few words.
    #[must_use]
    pub fn result(&self) -> String {
        let found = self.violations.len() as u64 + self.more;
        match (self.broken(), self.undecided.len()) {
            (true, _) => format!("BROKEN, {found} times"),
            (false, 0) if self.examined == 0 => "nothing to look at".to_owned(),
            (false, 0) => "held".to_owned(),
            (false, undecided) => format!("UNDECIDED about {undecided}"),
        }
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
        self.violate_at(what, evidence, None);
    }

    /// The same of something that shows at one of the operations.
    fn violate_at<'a>(
        &mut self,
        what: String,
        evidence: impl IntoIterator<Item = &'a Event>,
        shows: Option<&'a Event>,
    ) {
        if self.violations.len() == VIOLATIONS_MAX {
            self.more += 1;
            return;
        }
        let (evidence, omitted) = shortened(evidence.into_iter().collect(), shows);
        self.violations.push(Violation { what, evidence: evidence.into_iter().cloned().collect(), omitted });
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

/// In the order of time, and not more than people read: how it began and how it ended, and what shows that something is wrong.
/// Gives how many are left out, besides.
fn shortened<'a>(mut evidence: Vec<&'a Event>, shows: Option<&Event>) -> (Vec<&'a Event>, usize) {
    evidence.sort_by_key(|event| event.start_ns);
    let omitted = evidence.len().saturating_sub(EVIDENCE_MAX);
    if omitted > 0 {
        let kept = EVIDENCE_MAX / 2..EVIDENCE_MAX / 2 + omitted;
        let mut place = 0;
        let pinned =
            evidence.get(kept.clone()).unwrap_or_default().iter().copied().find(|it| shows == Some(*it));
        evidence.retain(|_| {
            place += 1;
            !kept.contains(&(place - 1))
        });
        if let (Some(pinned), Some(last_early)) = (pinned, evidence.get_mut(kept.start)) {
            // Instead of the earliest of the late ones.
            *last_early = pinned;
        }
    }
    (evidence, omitted)
}

/// The checks of the final state, as far as it could be read.
#[must_use]
pub fn check_readings(history: &[Event], readings: &Readings, people: &People) -> Vec<Check> {
    let mut checks = Vec::new();
    if readings.has(Part::Books) && readings.has(Part::Accounts) {
        checks.push(books::check(history, readings));
    }
    if readings.has(Part::Accounts) {
        checks.push(items::check(history, readings, people));
        checks.push(purchases::check(history, readings, people));
        checks.push(feedback::check(history, readings));
    }
    checks.push(replicas::check(readings));
    checks
}

/// The checks that need no final readings.
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

#[cfg(test)]
mod tests {
    use super::testing::{History, item};
    use super::*;

    #[test]
    fn too_much_evidence_loses_its_middle_but_not_what_shows_the_violation() {
        let mut history = History::default();
        (0..100).for_each(|cents| history.set_price(0, item(1), cents).ok());
        let events = history.events();
        for shows in [None, Some(&events[3]), Some(&events[50]), Some(&events[99])] {
            let mut check = Check::new("a", "");
            check.violate_at("wrong".into(), events.iter().rev(), shows);
            let violation = &check.violations[0];
            assert_eq!((violation.evidence.len(), violation.omitted), (EVIDENCE_MAX, 100 - EVIDENCE_MAX));
            assert!(violation.evidence.is_sorted_by_key(|event| event.start_ns));
            assert_eq!((&violation.evidence[0], violation.evidence.last()), (&events[0], events.last()));
            assert!(shows.is_none_or(|shows| violation.evidence.contains(shows)));
        }
        let mut check = Check::new("a", "");
        check.violate("wrong".into(), &events[..EVIDENCE_MAX]);
        assert_eq!((check.violations[0].evidence.len(), check.violations[0].omitted), (EVIDENCE_MAX, 0));
    }
}
