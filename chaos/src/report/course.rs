//! How a run went, in equal steps of time: successes and errors in each.

use serde::Serialize;

use crate::history::{Answer, Event, Outcome};

/// Steps of a run, however long it is.
const STEPS: u64 = 1_200;
const STEP_NS_MIN: u64 = 100_000_000;

/// A run in equal steps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Course {
    /// How long a step is.
    pub step_ns: u64,
    /// The steps.
    pub steps: Vec<Counts>,
}

/// What ended in a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Operations that were done.
    pub ok: u64,
    /// Those that were refused by a rule.
    pub refused: u64,
    /// Those that failed, or whose outcome is unknown: by their beginnings.
    pub failed: u64,
}

impl Course {
    /// The course of a history until this time.
    #[must_use]
    pub fn of(history: &[Event], end_ns: u64) -> Self {
        let step_ns = (end_ns / STEPS).max(STEP_NS_MIN);
        let count = usize::try_from(end_ns / step_ns + 1).unwrap_or(usize::MAX);
        let mut steps = vec![Counts::default(); count];
        for event in history {
            let at_ns = event.end_ns.filter(|_| event.is_ok()).unwrap_or(event.start_ns);
            let step = usize::try_from(at_ns / step_ns).ok().and_then(|step| steps.get_mut(step));
            let Some(step) = step else { continue };
            match (event.outcome, &event.answer) {
                (Outcome::Ok, _) => step.ok += 1,
                (Outcome::Fail, Answer::Refused { .. }) => step.refused += 1,
                (Outcome::Fail | Outcome::Info, _) => step.failed += 1,
            }
        }
        Course { step_ns, steps }
    }
}
