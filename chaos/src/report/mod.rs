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
use crate::faults::{Bar, CustomerNodes, Entry, Happening, Plan, Reach};
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
    /// It was interrupted before everything was checked; what was checked held.
    Interrupted,
}

impl Ending {
    /// The exit status that says so.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Ending::Held => 0,
            Ending::Violation => 1,
            Ending::Interrupted => 2,
        }
    }
}

/// A run, from its seed to what was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How it ended.
    pub ending: Ending,
    /// The plan that was carried out, with its seed.
    pub plan: Plan,
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
        let customer = if self.customer_nodes == CustomerNodes::Killed { " --customer-nodes" } else { "" };
        let seconds = self.plan.length.as_secs();
        let running = if self.plan.reach == Reach::Processes { " --cluster DIR" } else { "" };
        let (kind, seed) = (self.kind(), self.plan.seed);
        format!("chaos run --plan {kind} --seed {seed} --seconds {seconds}{customer}{running}")
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
