//! What the runs tell, with one entry for each run: the JSON.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::function::Function;
use super::run::Sample;
use super::{Scenario, Setting};
use crate::bench::latency::Latencies;

/// Of the errors of a run, so many kinds are kept.
const KINDS_MAX: usize = 8;

/// All runs so far.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub runs: Vec<RunReport>,
    /// The response times of all runs of a setting together: clients, scenario, function.
    #[serde(skip)]
    pub merged: BTreeMap<(usize, Scenario, Function), Latencies>,
}

/// One run.
#[derive(Debug, Serialize)]
pub(crate) struct RunReport {
    pub scenario: Scenario,
    pub clients: usize,
    pub run: usize,
    /// Calls that were answered well, in a second, over all functions.
    pub throughput: f64,
    pub seconds: f64,
    pub errors: u64,
    /// The longest time in which no call at all was answered well, from the failure on (without one: from the middle).
    pub max_gap_ms: f64,
    /// Who died.
    pub died: Vec<String>,
    /// When, after the beginning.
    pub died_at_s: f64,
    /// False if it was interrupted.
    pub complete: bool,
    pub functions: BTreeMap<&'static str, FunctionReport>,
    /// Errors by what they said.
    pub error_kinds: BTreeMap<String, u64>,
    #[serde(skip)]
    latencies: BTreeMap<Function, Latencies>,
}

/// One function in one run.
#[derive(Debug, Serialize)]
pub(crate) struct FunctionReport {
    /// All calls.
    pub count: u64,
    /// Those that failed; the times are those of the others.
    pub errors: u64,
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

impl RunReport {
    pub fn new(
        setting: Setting,
        (died, died_at): (Vec<String>, Duration),
        began: Instant,
        took: Duration,
        samples: &[Sample],
    ) -> anyhow::Result<Self> {
        let mut latencies: BTreeMap<Function, Latencies> = BTreeMap::new();
        let mut errors: BTreeMap<Function, u64> = BTreeMap::new();
        let mut error_kinds: BTreeMap<String, u64> = BTreeMap::new();
        for sample in samples {
            let of_function = match latencies.entry(sample.function) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(Latencies::new()?),
            };
            let Some(error) = &sample.error else {
                of_function.record(sample.took);
                continue;
            };
            *errors.entry(sample.function).or_default() += 1;
            let kind = format!("{}: {error}", sample.function.name());
            if error_kinds.len() < KINDS_MAX || error_kinds.contains_key(&kind) {
                *error_kinds.entry(kind).or_default() += 1;
            }
        }
        let failed: u64 = errors.values().sum();
        let well = samples.len() as u64 - failed;
        let functions = latencies.iter().map(|(function, latencies)| {
            let errors = errors.get(function).copied().unwrap_or(0);
            (function.name(), FunctionReport::new(latencies, errors))
        });
        Ok(RunReport {
            scenario: setting.scenario,
            clients: setting.clients,
            run: setting.run,
            throughput: rounded(well as f64 / took.as_secs_f64().max(1e-9)),
            seconds: rounded(took.as_secs_f64()),
            errors: failed,
            max_gap_ms: rounded(longest_gap(samples, began + died_at).as_secs_f64() * 1000.0),
            died,
            died_at_s: rounded(died_at.as_secs_f64()),
            complete: samples.len() >= 2 * setting.clients * setting.calls,
            functions: functions.collect(),
            error_kinds,
            latencies,
        })
    }
}

impl FunctionReport {
    fn new(latencies: &Latencies, errors: u64) -> Self {
        let ms = |us: f64| rounded(us / 1000.0);
        FunctionReport {
            count: latencies.count() + errors,
            errors,
            mean_ms: ms(latencies.mean_us()),
            p50_ms: ms(latencies.quantile_us(0.5) as f64),
            p99_ms: ms(latencies.quantile_us(0.99) as f64),
            max_ms: ms(latencies.max_us() as f64),
        }
    }
}

fn rounded(value: f64) -> f64 {
    if value.is_finite() { (value * 1000.0).round() / 1000.0 } else { 0.0 }
}

/// From then on. What was answered last ends it: after that nobody asks any more.
fn longest_gap(samples: &[Sample], from: Instant) -> Duration {
    let well = samples.iter().filter(|sample| sample.error.is_none()).map(|sample| sample.ended);
    let mut ends: Vec<Instant> = well.filter(|ended| *ended > from).collect();
    ends.push(from);
    ends.sort_unstable();
    let gaps = ends.iter().zip(ends.iter().skip(1)).map(|(earlier, later)| later.duration_since(*earlier));
    gaps.max().unwrap_or_default()
}

impl Report {
    /// Takes in a run.
    pub fn add(&mut self, mut run: RunReport) {
        for (function, latencies) in std::mem::take(&mut run.latencies) {
            match self.merged.entry((run.clients, run.scenario, function)) {
                Entry::Occupied(mut entry) => entry.get_mut().add(&latencies),
                Entry::Vacant(entry) => drop(entry.insert(latencies)),
            }
        }
        self.runs.push(run);
    }

    /// What went wrong, for people: empty if nothing did.
    pub fn errors(&self) -> String {
        let mut lines = String::new();
        for run in &self.runs {
            for (kind, count) in &run.error_kinds {
                lines.push_str(&format!("\n  {}, {} clients: {count} × {kind}", run.scenario, run.clients));
            }
        }
        lines
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn report() -> Report {
        let began = Instant::now();
        let sample = |function, ms, error: Option<&str>| Sample {
            function,
            took: Duration::from_millis(2),
            ended: began + Duration::from_millis(ms),
            error: error.map(str::to_owned),
        };
        let samples = [
            sample(Function::CreateBuyer, 100, None),
            sample(Function::SearchItems, 150, None),
            sample(Function::SearchItems, 500, Some("unavailable")),
            sample(Function::SearchItems, 900, None),
        ];
        let setting = Setting { scenario: Scenario::ProductLeader, clients: 1, run: 1, calls: 2, seed: 0 };
        let died = (vec!["product-3".to_owned()], Duration::from_millis(160));
        let run = RunReport::new(setting, died, began, Duration::from_secs(1), &samples).unwrap();
        let mut report = Report::default();
        report.add(run);
        report
    }

    #[test]
    fn the_json_has_the_documented_shape() {
        let json = serde_json::to_value(report()).unwrap();
        let run = &json["runs"][0];
        assert_eq!((&run["scenario"], &run["clients"], &run["run"]), (&4.into(), &1.into(), &1.into()));
        assert_eq!(run["throughput"], 3.0);
        assert_eq!(run["max_gap_ms"], 740.0, "from the death at 160 ms to the next success at 900 ms");
        let search = &run["functions"]["search_items"];
        assert_eq!((&search["count"], &search["errors"]), (&3.into(), &1.into()));
        for field in ["mean_ms", "p50_ms", "p99_ms", "max_ms"] {
            let ms = search[field].as_f64().unwrap();
            assert!((ms - 2.0).abs() < 0.01, "{field}: {ms}");
        }
    }

    #[test]
    fn errors_are_told_by_what_they_said() {
        assert_eq!(report().errors(), "\n  4: product leader dies, 1 clients: 1 × search_items: unavailable");
    }
}
