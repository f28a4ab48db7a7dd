//! What the runs tell, with one entry for each run: the JSON.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::function::Function;
use super::run::Sample;
use super::timeline::Timeline;
use super::{Scenario, Setting};
use crate::bench::latency::Latencies;

/// Of the errors of a run, so many kinds are kept.
const KINDS_MAX: usize = 8;

/// Where and when a report was made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct About {
    /// RFC 3339, to the second, UTC.
    pub date: String,
    /// Processors, memory, operating system.
    pub machine: String,
    pub version: String,
    /// The command line that made it.
    pub command: String,
}

impl About {
    /// This machine, now.
    pub fn here() -> Self {
        let system = System::new_with_specifics(
            RefreshKind::nothing()
                .with_cpu(CpuRefreshKind::nothing())
                .with_memory(MemoryRefreshKind::nothing().with_ram()),
        );
        let cpu = system.cpus().first().map(|cpu| cpu.brand().trim().to_owned()).unwrap_or_default();
        let os = System::long_os_version().unwrap_or_else(|| "unknown system".into());
        let gib = system.total_memory() as f64 / f64::from(1 << 30);
        let now = OffsetDateTime::now_utc();
        let now = now.replace_nanosecond(0).unwrap_or(now);
        About {
            date: now.format(&Rfc3339).unwrap_or_default(),
            machine: format!("{} × {cpu}, {gib:.0} GiB, {os}", system.cpus().len()),
            version: env!("CARGO_PKG_VERSION").into(),
            command: std::env::args().skip(1).fold("cluster".to_owned(), |line, word| line + " " + &word),
        }
    }
}

/// All runs so far.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Absent in reports that others made.
    #[serde(default)]
    pub about: About,
    pub runs: Vec<RunReport>,
    /// The response times of all runs of a setting together: clients, scenario, function.
    #[serde(skip)]
    pub merged: BTreeMap<(usize, Scenario, Function), Latencies>,
}

/// One run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RunReport {
    #[serde(rename = "scenario")]
    pub number: u8,
    /// What tells scenarios of one number apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
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
    pub functions: BTreeMap<String, FunctionReport>,
    /// Errors by what they said.
    #[serde(default)]
    pub error_kinds: BTreeMap<String, u64>,
    /// What was answered well around the failure.
    #[serde(default)]
    pub timeline: Timeline,
    #[serde(skip)]
    latencies: BTreeMap<Function, Latencies>,
}

/// One function in one run.
#[derive(Debug, Serialize, Deserialize)]
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
            (function.name().to_owned(), FunctionReport::new(latencies, errors))
        });
        let timeline = Timeline::around(samples, began, began + died_at);
        Ok(RunReport {
            number: setting.scenario.into(),
            variant: setting.scenario.variant().map(str::to_owned),
            clients: setting.clients,
            run: setting.run,
            throughput: rounded(well as f64 / took.as_secs_f64().max(1e-9)),
            seconds: rounded(took.as_secs_f64()),
            errors: failed,
            max_gap_ms: timeline.gap_ms(),
            died,
            died_at_s: rounded(died_at.as_secs_f64()),
            complete: samples.len() >= 2 * setting.clients * setting.calls,
            functions: functions.collect(),
            error_kinds,
            timeline,
            latencies,
        })
    }
}

impl RunReport {
    /// Which one it was; none if this program does not know it.
    pub fn scenario(&self) -> Option<Scenario> {
        Scenario::by_number(self.number).find(|known| known.variant() == self.variant.as_deref())
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

pub(super) fn rounded(value: f64) -> f64 {
    if value.is_finite() { (value * 1000.0).round() / 1000.0 } else { 0.0 }
}

impl Report {
    /// Takes in a run.
    pub fn add(&mut self, mut run: RunReport) {
        for (function, latencies) in std::mem::take(&mut run.latencies) {
            let Some(scenario) = run.scenario() else { continue };
            match self.merged.entry((run.clients, scenario, function)) {
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
                let scenario =
                    run.scenario().map_or_else(|| run.number.to_string(), |known| known.to_string());
                lines.push_str(&format!("\n  {scenario}, {} clients: {count} × {kind}", run.clients));
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
