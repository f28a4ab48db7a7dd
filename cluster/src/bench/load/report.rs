//! What a load run tells: JSON for machines, a few lines for people.

use std::collections::BTreeMap;

use serde::Serialize;

use super::runner::{Outcome, Pace};
use super::{Killed, Op, Target, Use};
use crate::cli::out;

/// What was measured, and how.
#[derive(Debug)]
pub(crate) struct Measured {
    pub target: Target,
    pub op: Op,
    pub clients: usize,
    pub conditions: Conditions,
    pub pace: Pace,
    pub outcome: Outcome,
    pub killed: Option<Killed>,
    /// Empty if the processes are not known.
    pub uses: Vec<Use>,
    /// Bytes that the machine's disks wrote for each operation.
    pub disk_bytes_per_op: Option<f64>,
}

/// What was not as usual, by the names of nodes.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Conditions {
    /// The only node that was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// It was dead all the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down: Option<String>,
    /// Its messages came late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<String>,
}

impl Conditions {
    fn text(&self) -> String {
        let told = |before: &str, name: &Option<String>, after: &str| {
            name.as_ref().map(|name| format!("{before}{name}{after}")).unwrap_or_default()
        };
        told(" at ", &self.node, "") + &told(", ", &self.down, " dead") + &told(", ", &self.slow, " slow")
    }
}

/// The result of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub target: &'static str,
    pub op: &'static str,
    pub clients: usize,
    #[serde(flatten)]
    pub conditions: Conditions,
    /// Calls a second that were to be made, in an open loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    pub seconds: f64,
    pub ops: u64,
    pub ops_per_s: f64,
    pub mean_us: f64,
    pub p50_us: u64,
    pub p99_us: u64,
    pub p999_us: u64,
    pub max_us: u64,
    pub errors: u64,
    pub error_kinds: BTreeMap<String, u64>,
    pub max_gap_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub killed: Option<Killed>,
    /// What it cost, by kind of process.
    pub resources: Vec<Use>,
    /// Bytes that the machine's disks wrote for each operation, whoever wrote them.
    pub disk_bytes_per_op: Option<f64>,
}

impl Report {
    pub fn new(measured: Measured) -> Self {
        let Measured { target, op, clients, conditions, pace, outcome, killed, uses, disk_bytes_per_op } =
            measured;
        let (latencies, seconds) = (&outcome.latencies, outcome.measured.as_secs_f64());
        let per_second = if seconds > 0.0 { latencies.count() as f64 / seconds } else { 0.0 };
        Report {
            target: target.as_str(),
            op: op.as_str(),
            clients,
            conditions,
            rate: match pace {
                Pace::Closed => None,
                Pace::Open { per_second } => Some(per_second),
            },
            seconds,
            ops: latencies.count(),
            ops_per_s: (per_second * 10.0).round() / 10.0,
            mean_us: (latencies.mean_us() * 10.0).round() / 10.0,
            p50_us: latencies.quantile_us(0.5),
            p99_us: latencies.quantile_us(0.99),
            p999_us: latencies.quantile_us(0.999),
            max_us: latencies.max_us(),
            errors: outcome.errors.values().sum(),
            max_gap_us: u64::try_from(outcome.max_gap.as_micros()).unwrap_or(u64::MAX),
            error_kinds: outcome.errors,
            killed,
            resources: uses,
            disk_bytes_per_op,
        }
    }

    /// The figures in a line, for people.
    pub fn line(&self) -> String {
        let ms = |us: u64| format!("{:.2} ms", us as f64 / 1000.0);
        format!(
            "{} {}{}, {} clients{}, {:.1} s: {:.0} /s   p50 {}   p99 {}   p99.9 {}   max {}   longest gap {}   errors {}",
            self.target,
            self.op,
            self.conditions.text(),
            self.clients,
            self.rate.map(|rate| format!(" at {rate} /s")).unwrap_or_default(),
            self.seconds,
            self.ops_per_s,
            ms(self.p50_us),
            ms(self.p99_us),
            ms(self.p999_us),
            ms(self.max_us),
            ms(self.max_gap_us),
            self.errors,
        )
    }

    /// The medians of several runs in a line, for people.
    pub fn medians(runs: &[Report]) -> String {
        let median = |of: fn(&Report) -> f64| {
            let mut values: Vec<f64> = runs.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or(0.0)
        };
        let ms = |of| format!("{:.2} ms", median(of) / 1000.0);
        format!(
            "  medians of {} runs: {:.0} /s   p50 {}   p99 {}   max {}",
            runs.len(),
            median(|run| run.ops_per_s),
            ms(|run| run.p50_us as f64),
            ms(|run| run.p99_us as f64),
            ms(|run| run.max_us as f64),
        )
    }

    /// All of it, for people.
    pub fn text(&self) -> String {
        let ms = |us: u64| format!("{:.2} ms", us as f64 / 1000.0);
        let mut text = self.line();
        for (kind, count) in &self.error_kinds {
            text.push_str(&format!("\n  {count} × {kind}"));
        }
        if let Some(Killed { name, at_s, recovered_us }) = &self.killed {
            let recovered = recovered_us.map_or("nothing succeeded after that".into(), |us| {
                format!("the next success of a call made after that came {} later", ms(us))
            });
            text.push_str(&format!("\n  {name} was killed at {at_s:.2} s; {recovered}"));
        }
        if !self.resources.is_empty() {
            text.push('\n');
            text.push_str(&costs(&self.resources).to_string());
        }
        if let Some(bytes) = self.disk_bytes_per_op {
            text.push_str(&format!(
                "\nThe machine's disks wrote {} for each call.",
                out::bytes(bytes as u64)
            ));
        }
        text
    }
}

/// What each operation costs.
fn costs(resources: &[Use]) -> comfy_table::Table {
    let mut table = out::table();
    table.set_header(["", "processes", "µs of CPU / op", "memory", "log syncs / op"]);
    for used in resources {
        table.add_row([
            used.part.clone(),
            used.processes.to_string(),
            format!("{:.1}", used.cpu_us_per_op),
            out::bytes(used.memory_bytes),
            format!("{:.2}", used.syncs_per_op),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bench::latency::Latencies;

    #[test]
    fn what_is_not_as_usual_is_told() {
        let told = |node: Option<&str>, down: Option<&str>, slow: Option<&str>| {
            let [node, down, slow] = [node, down, slow].map(|name| name.map(str::to_owned));
            Conditions { node, down, slow }.text()
        };
        assert_eq!(told(None, None, None), "");
        assert_eq!(told(Some("a"), Some("b"), Some("c")), " at a, b dead, c slow");
    }

    #[test]
    fn the_json_has_the_documented_fields() {
        let mut latencies = Latencies::new().unwrap();
        (0..100).for_each(|_| latencies.record(Duration::from_micros(800)));
        let outcome = Outcome {
            latencies,
            errors: [("overloaded".to_owned(), 3)].into(),
            max_gap: Duration::from_millis(7),
            measured: Duration::from_secs(2),
        };
        let killed = Killed { name: "customer-3".into(), at_s: 1.0, recovered_us: Some(70_000) };
        let used = Use {
            part: "customer nodes".into(),
            processes: 5,
            cpu_us_per_op: 90.0,
            memory_bytes: 1 << 20,
            syncs_per_op: 0.5,
        };
        let measured = Measured {
            target: Target::Customer,
            op: Op::Write,
            clients: 4,
            conditions: Conditions { node: Some("customer-2".into()), ..Conditions::default() },
            pace: Pace::Closed,
            outcome,
            killed: Some(killed),
            uses: vec![used],
            disk_bytes_per_op: Some(2048.0),
        };
        let report = Report::new(measured);
        let run = |ops_per_s, p50_us| Report { ops_per_s, p50_us, ..report.clone() };
        let medians = Report::medians(&[run(10.0, 700), run(30.0, 900), run(20.0, 5000)]);
        assert_eq!(medians, "  medians of 3 runs: 20 /s   p50 0.90 ms   p99 0.80 ms   max 0.80 ms");
        let text = report.text();
        assert!(text.starts_with("customer write at customer-2, 4 clients,"), "{text}");
        assert!(
            text.contains("customer-3 was killed at 1.00 s") && text.contains("70.00 ms later"),
            "{text}"
        );
        assert!(text.contains("customer nodes") && text.contains("90.0"), "{text}");
        assert!(text.contains("wrote 2.0 KiB"), "{text}");
        let json = serde_json::to_value(&report).unwrap();
        for (field, value) in [
            ("target", serde_json::json!("customer")),
            ("op", serde_json::json!("write")),
            ("clients", serde_json::json!(4)),
            ("node", serde_json::json!("customer-2")),
            ("seconds", serde_json::json!(2.0)),
            ("ops_per_s", serde_json::json!(50.0)),
            ("p50_us", serde_json::json!(800)),
            ("p99_us", serde_json::json!(800)),
            ("max_us", serde_json::json!(800)),
            ("errors", serde_json::json!(3)),
            ("max_gap_us", serde_json::json!(7000)),
            ("killed", serde_json::json!({"name": "customer-3", "at_s": 1.0, "recovered_us": 70_000})),
        ] {
            assert_eq!(json[field], value, "{field}");
        }
    }
}
