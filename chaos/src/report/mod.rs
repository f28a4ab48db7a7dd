//! What is told of a run, for people and for machines.

mod availability;
mod course;
mod html;
mod picture;
mod print;
mod program;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Duration;

use serde::Serialize;

use crate::check::Check;
use crate::faults::{Bar, CustomerNodes, Entry, Happening, Plan};
use crate::readings::Readings;

pub use availability::{Availability, FaultGap, Gap};
pub use course::{Counts, Course};
pub use print::{print, print_checks};
pub use program::Program;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Everything was checked, and every promise was kept.
    Held,
    /// A promise was broken.
    Violation,
    /// Nothing was found to be wrong, but not everything could be decided.
    Undecided,
    /// It was interrupted before everything was checked; what was checked held.
    Interrupted,
    /// All checks held, but that says nothing: there was nothing that could have gone wrong, or nothing to look at.
    Vacuous,
    /// Chaos itself failed: it could not do what its plan says, or not read or write all that it should. What was checked held.
    Failed,
}

impl Ending {
    /// How a run ended with these checks, in which chaos itself failed or not, of which the final state was read or not, and for whose
    /// holding there are these doubts that it says anything.
    #[must_use]
    pub fn of(checks: &[Check], failure: Option<&String>, was_read: bool, doubts: &[String]) -> Self {
        if checks.iter().any(Check::broken) {
            Ending::Violation
        } else if failure.is_some() {
            Ending::Failed
        } else if !was_read {
            Ending::Interrupted
        } else if !checks.iter().all(Check::held) {
            Ending::Undecided
        } else if doubts.is_empty() {
            Ending::Held
        } else {
            Ending::Vacuous
        }
    }

    /// The same in a few words.
    #[must_use]
    pub fn tell(self) -> &'static str {
        match self {
            Ending::Held => "Every promise was kept",
            Ending::Violation => "A promise was broken",
            Ending::Undecided => "Not everything could be checked; what could be held",
            Ending::Interrupted => "Interrupted: not everything could be checked",
            Ending::Vacuous => "Nothing is shown",
            Ending::Failed => "Chaos itself failed: not everything could be done and checked",
        }
    }

    /// The exit status that says so.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Ending::Held => 0,
            Ending::Violation => 1,
            Ending::Undecided | Ending::Interrupted | Ending::Vacuous | Ending::Failed => 2,
        }
    }
}

/// A run, from its seed to what was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How it ended.
    pub ending: Ending,
    /// What chaos itself could not do, if it failed.
    pub failure: Option<String>,
    /// Why it says nothing that all checks held, if it does not.
    pub doubts: Vec<String>,
    /// The program that ran.
    pub program: Program,
    /// The command that carries out the same plan again, as far as real processes do the same again.
    pub again: String,
    /// The plan that was carried out, with its seed.
    pub plan: Plan,
    /// What belongs to the plan and was not done, and why.
    pub limits: Option<String>,
    /// Why it ended before its time.
    pub cut_short: Option<String>,
    /// Whether customer nodes were killed.
    pub customer_nodes: CustomerNodes,
    /// How long the workload ran, in seconds.
    pub seconds: f64,
    /// How many clients there were.
    pub clients: usize,
    /// What happened to the cluster.
    pub timeline: Vec<Entry>,
    /// The faults among it, from beginning to end.
    pub bars: Vec<Bar>,
    /// How the workload went meanwhile.
    pub course: Course,
    /// How the marketplace served its clients.
    pub availability: Availability,
    /// How often a client's call ended without an answer, by kind, whether or not it was then made again.
    pub call_errors: BTreeMap<String, u64>,
    /// What was checked.
    pub checks: Vec<Check>,
    /// The final state, if it could be read.
    pub readings: Option<Readings>,
}

impl Report {
    /// Writes it as JSON.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write(&self, file: &File) -> std::io::Result<()> {
        let mut file = BufWriter::new(file);
        serde_json::to_writer(&mut file, self)?;
        file.flush()
    }

    /// Writes it as a page that needs nothing else.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write_page(&self, mut file: &File) -> std::io::Result<()> {
        file.write_all(html::page(self).as_bytes())
    }

    /// What else is to be known of the run before anything is made of it: what was not done, and what it does not show.
    pub(crate) fn caveats(&self) -> impl Iterator<Item = String> {
        let doubts =
            (!self.doubts.is_empty()).then(|| format!("nothing is shown: {}", self.doubts.join("; ")));
        let unread = self.readings.iter().flat_map(|readings| &readings.unread);
        let unread = unread.map(|unread| format!("{} could not be read: {}", unread.part, unread.why));
        let failure = self.failure.iter().map(|failure| format!("chaos itself failed: {failure}"));
        let others = [self.limits.clone(), self.cut_short.clone(), doubts];
        others.into_iter().flatten().chain(unread).chain(failure)
    }

    /// How many faults of the plan were left out.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.timeline.iter().filter(|entry| matches!(entry.happening, Happening::LeftOut { .. })).count()
    }

    /// How long the workload ran.
    #[must_use]
    pub fn length(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

/// Why it would say nothing that all of these checks held: nothing was broken, nothing was done, or one had nothing to look at.
pub(crate) fn doubts(checks: &[Check], faults: usize, successes: u64) -> Vec<String> {
    let nothing = checks.iter().filter(|check| check.examined == 0);
    let no_fault = (faults == 0).then(|| "no fault was inflicted while clients were at work".to_owned());
    let no_success = (successes == 0).then(|| "no operation succeeded".to_owned());
    let nothing = nothing.map(|check| format!("there was nothing to check for \"{}\"", check.name));
    no_fault.into_iter().chain(no_success).chain(nothing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_of_which_everything_was_decided_held() {
        let held = || Check::told("a", "", 1, &[]);
        let broken = || Check::told("b", "", 1, &["wrong".into()]);
        let undecided = || Check { undecided: vec!["1-7".into()], ..held() };
        let failure = "no launcher".to_owned();
        let doubt = vec!["no fault".to_owned()];
        for (checks, failure, was_read, ending, status) in [
            (vec![held(), held()], None, true, Ending::Held, 0),
            (vec![held(), undecided()], None, true, Ending::Undecided, 2),
            (vec![undecided(), broken()], None, true, Ending::Violation, 1),
            (vec![held()], None, false, Ending::Interrupted, 2),
            (vec![held()], Some(&failure), true, Ending::Failed, 2),
            (vec![held()], Some(&failure), false, Ending::Failed, 2),
            (vec![broken()], Some(&failure), false, Ending::Violation, 1),
        ] {
            let found = Ending::of(&checks, failure, was_read, &[]);
            assert_eq!((found, found.exit_code()), (ending, status));
            let doubted = Ending::of(&checks, failure, was_read, &doubt);
            assert_eq!(doubted, if ending == Ending::Held { Ending::Vacuous } else { ending });
        }
        assert_eq!(Ending::Vacuous.exit_code(), 2);
    }

    #[test]
    fn that_nothing_was_broken_done_or_looked_at_shows_nothing() {
        let held = || Check::told("a", "", 1, &[]);
        assert_eq!(doubts(&[held()], 1, 1), [""; 0]);
        assert_eq!(doubts(&[held()], 0, 1).len(), 1);
        assert_eq!(doubts(&[held()], 1, 0).len(), 1);
        let found = doubts(&[held(), Check::new("b", "")], 1, 1);
        assert_eq!(found, ["there was nothing to check for \"b\""]);
    }
}
