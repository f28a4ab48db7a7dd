//! What a soak run tells: JSON for machines, a few lines for people.

use serde::Serialize;

use super::{Found, Phase, Plan, Sample, Verdict};
use crate::bench::load::Outcome;
use crate::cli::out;

/// The result.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub down: String,
    pub clients: usize,
    pub writes: u64,
    pub ops_per_s: f64,
    pub errors: u64,
    pub max_gap_us: u64,
    pub memory_bytes_most: u64,
    pub disk_bytes_most: u64,
    pub log_slots_most: u64,
    /// By so much memory and disk grew for each write in the second half of the time in which the node was down, at most.
    pub memory_bytes_per_write: f64,
    pub disk_bytes_per_write: f64,
    /// Until the node that was down was up to date, took turns and answered calls; none if it did not come to that.
    pub caught_up_s: Option<f64>,
    /// It was so far behind that it was sent a whole state.
    pub took_state: bool,
    /// So many replicas hold the same in the end.
    pub replicas_equal: usize,
    pub verdict: Verdict,
    pub samples: Vec<Sample>,
}

impl Report {
    pub fn new(plan: &Plan, found: Found, outcome: &Outcome) -> Self {
        let verdict = Verdict::of(plan, &found, &outcome.errors);
        let Found { samples, back_after, took_state, replicas, .. } = found;
        let most = |of: fn(&super::sample::Usage) -> Option<u64>| {
            samples.iter().map(|sample| sample.most(of)).max().unwrap_or(0)
        };
        let writes = outcome.latencies.count();
        Report {
            down: plan.down.clone(),
            clients: plan.clients,
            writes,
            ops_per_s: (writes as f64 / outcome.measured.as_secs_f64().max(f64::MIN_POSITIVE)).round(),
            errors: outcome.errors.values().sum(),
            max_gap_us: u64::try_from(outcome.max_gap.as_micros()).unwrap_or(u64::MAX),
            memory_bytes_most: most(|node| node.memory_bytes),
            disk_bytes_most: most(|node| node.disk_bytes),
            log_slots_most: most(|node| node.log_slots),
            memory_bytes_per_write: growth(&samples, plan, |sample| sample.most(|node| node.memory_bytes)),
            disk_bytes_per_write: growth(&samples, plan, |sample| sample.most(|node| node.disk_bytes)),
            caught_up_s: back_after.map(|after| after.as_secs_f64()),
            took_state,
            replicas_equal: replicas.unwrap_or(0),
            verdict,
            samples,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        format!(
            "{} writes with {} clients, {} /s, {} errors, longest gap {:.0} ms; at most {} of memory and {} of disk a node, {} slots of log\n\
             {:.0} bytes of memory and {:.0} of disk more for each write in the second half of the time\n\
             {} was brought up to date {}\n\
             {}",
            self.writes,
            self.clients,
            self.ops_per_s,
            self.errors,
            self.max_gap_us as f64 / 1e3,
            out::bytes(self.memory_bytes_most),
            out::bytes(self.disk_bytes_most),
            self.log_slots_most,
            self.memory_bytes_per_write,
            self.disk_bytes_per_write,
            self.down,
            if self.took_state { "by a whole state" } else { "from the logs of the others" },
            self.verdict.text(),
        )
    }
}

/// The growth for each write in the second half of the time in which the node was down.
fn growth(samples: &[Sample], plan: &Plan, of: impl Fn(&Sample) -> u64) -> f64 {
    let half = plan.time.as_secs_f64() / 2.0;
    let is_in = |sample: &&Sample| sample.phase == Phase::Down && sample.at_s >= half;
    let mut second_half = samples.iter().filter(is_in);
    let Some(first) = second_half.next() else { return 0.0 };
    let last = second_half.next_back().unwrap_or(first);
    let writes = last.writes.saturating_sub(first.writes).max(1);
    (of(last) as f64 - of(first) as f64) / writes as f64
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>6.1} s {:>10} writes ", self.at_s, self.writes)?;
        for node in &self.nodes {
            match (node.memory_bytes, node.disk_bytes) {
                (None, None) => write!(f, "  {}: down", node.node)?,
                (memory, disk) => write!(
                    f,
                    "  {}: {} + {}",
                    node.node,
                    out::bytes(memory.unwrap_or(0)),
                    out::bytes(disk.unwrap_or(0))
                )?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::sample::Usage;
    use super::*;

    #[test]
    fn growth_is_that_of_the_second_half_and_not_of_what_comes_after() {
        let sample = |phase, at_s: u64, writes: u64, memory: u64| {
            let usage = Usage {
                node: "n".into(),
                memory_bytes: Some(memory),
                disk_bytes: None,
                log_slots: None,
                applied: None,
            };
            Sample { phase, at_s: at_s as f64, writes, nodes: vec![usage] }
        };
        let while_down = [(0, 0, 0), (5, 100, 9000), (8, 150, 9500), (10, 200, 9800)];
        let while_down = while_down.into_iter();
        let mut samples: Vec<Sample> =
            while_down.map(|(at, writes, memory)| sample(Phase::Down, at, writes, memory)).collect();
        samples.push(sample(Phase::CatchingUp, 11, 250, 50_000));
        samples.push(sample(Phase::Back, 12, 300, 40_000));
        let plan = Plan {
            down: "n".into(),
            time: Duration::from_secs(10),
            clients: 1,
            rate: 1000,
            every: Duration::from_secs(1),
            back_within: Duration::ZERO,
            keep_log_slots: 1,
            keep_log_bytes: 1,
        };
        let memory = |sample: &Sample| sample.most(|node| node.memory_bytes);
        assert_eq!(growth(&samples, &plan, memory), 8.0);
        assert_eq!(growth(&samples[..1], &plan, memory), 0.0);
    }
}
