//! What a load run tells: JSON for machines, a few lines for people.

use std::collections::BTreeMap;

use serde::Serialize;

use super::runner::{Outcome, Pace};
use super::{Op, Target};

/// The result of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub target: &'static str,
    pub op: &'static str,
    pub clients: usize,
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
}

impl Report {
    pub fn new(target: Target, op: Op, clients: usize, pace: Pace, outcome: &Outcome) -> Self {
        let (latencies, seconds) = (&outcome.latencies, outcome.measured.as_secs_f64());
        let per_second = if seconds > 0.0 { latencies.count() as f64 / seconds } else { 0.0 };
        Report {
            target: target.as_str(),
            op: op.as_str(),
            clients,
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
            error_kinds: outcome.errors.clone(),
            max_gap_us: u64::try_from(outcome.max_gap.as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let ms = |us: u64| format!("{:.2} ms", us as f64 / 1000.0);
        let mut text = format!(
            "{} {}, {} clients{}, {:.1} s: {:.0} /s   p50 {}   p99 {}   p99.9 {}   max {}   longest gap {}   errors {}",
            self.target,
            self.op,
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
        );
        for (kind, count) in &self.error_kinds {
            text.push_str(&format!("\n  {count} × {kind}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bench::latency::Latencies;

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
        let report = Report::new(Target::Customer, Op::Write, 4, Pace::Closed, &outcome);
        let json = serde_json::to_value(&report).unwrap();
        for (field, value) in [
            ("target", serde_json::json!("customer")),
            ("op", serde_json::json!("write")),
            ("clients", serde_json::json!(4)),
            ("seconds", serde_json::json!(2.0)),
            ("ops_per_s", serde_json::json!(50.0)),
            ("p50_us", serde_json::json!(800)),
            ("p99_us", serde_json::json!(800)),
            ("max_us", serde_json::json!(800)),
            ("errors", serde_json::json!(3)),
            ("max_gap_us", serde_json::json!(7000)),
        ] {
            assert_eq!(json[field], value, "{field}");
        }
    }
}
