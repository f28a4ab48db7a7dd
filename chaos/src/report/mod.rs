//! What is told of a run, for people and for machines.

mod availability;
mod course;
mod html;
mod picture;
mod print;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::check::Check;
use crate::faults::{Bar, CustomerNodes, Entry, Happening, Plan};
use crate::readings::Readings;

pub use availability::{Availability, FaultGap, Gap};
pub use course::{Counts, Course};
pub use print::print;

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
    /// Chaos itself failed: it could not do what its plan says. What was checked held.
    Failed,
}

impl Ending {
    /// How a run ended with these checks, in which chaos itself failed or not, and of which the final state was read or not.
    #[must_use]
    pub fn of(checks: &[Check], failure: Option<&String>, was_read: bool) -> Self {
        if checks.iter().any(Check::broken) {
            Ending::Violation
        } else if failure.is_some() {
            Ending::Failed
        } else if !was_read {
            Ending::Interrupted
        } else if checks.iter().all(Check::held) {
            Ending::Held
        } else {
            Ending::Undecided
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
            Ending::Failed => "Chaos itself failed: not everything could be done and checked",
        }
    }

    /// The exit status that says so.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Ending::Held => 0,
            Ending::Violation => 1,
            Ending::Undecided | Ending::Interrupted | Ending::Failed => 2,
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
    /// The plan that was carried out, with its seed.
    pub plan: Plan,
    /// Whether customer nodes were killed.
    pub customer_nodes: CustomerNodes,
    /// What else was given on the command line that made a difference.
    pub conditions: String,
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
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let file = std::fs::File::create(path)?;
        serde_json::to_writer(std::io::BufWriter::new(file), self)?;
        Ok(())
    }

    /// Writes it as a page that needs nothing else.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write_page(&self, path: &Path) -> std::io::Result<()> {
        std::fs::write(path, html::page(self))
    }

    /// The plan's name, as on the command line.
    #[must_use]
    pub fn kind(&self) -> String {
        self.plan.kind.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The arguments that carry out the same plan again, as far as real processes do the same again.
    #[must_use]
    pub fn again(&self) -> String {
        let (kind, seed, seconds) = (self.kind(), self.plan.seed, self.plan.length.as_secs());
        format!("chaos run --plan {kind} --seed {seed} --seconds {seconds}{}", self.conditions)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_of_which_everything_was_decided_held() {
        let held = || Check::told("a", "", 1, &[]);
        let broken = || Check::told("b", "", 1, &["wrong".into()]);
        let undecided = || Check { undecided: vec!["1-7".into()], ..held() };
        let failure = "no launcher".to_owned();
        for (checks, failure, was_read, ending, status) in [
            (vec![held(), held()], None, true, Ending::Held, 0),
            (vec![held(), undecided()], None, true, Ending::Undecided, 2),
            (vec![undecided(), broken()], None, true, Ending::Violation, 1),
            (vec![held()], None, false, Ending::Interrupted, 2),
            (vec![held()], Some(&failure), true, Ending::Failed, 2),
            (vec![held()], Some(&failure), false, Ending::Failed, 2),
            (vec![broken()], Some(&failure), false, Ending::Violation, 1),
        ] {
            let found = Ending::of(&checks, failure, was_read);
            assert_eq!((found, found.exit_code()), (ending, status));
        }
    }
}
