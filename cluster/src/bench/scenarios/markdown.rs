//! The report as a Markdown text: the tables in the form of the assignment that this marketplace comes from, a row for each
//! client function and a column for each scenario.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::report::{Report, RunReport};
use super::{Function, Scenario};
use crate::bench::draw::Chart;

/// The whole report. Its charts are files beside it.
pub(crate) fn markdown(report: &Report, charts: &[Chart]) -> String {
    let mut text = String::from("# What failures cost the clients of the marketplace\n\n");
    let about = &report.about;
    text += &format!(
        "{} · {} · version {}\n\n```\n{}\n```\n\n",
        about.date, about.machine, about.version, about.command
    );
    text += NOTES;
    for clients in sizes(report) {
        let table = Tables { report, clients };
        text += &format!("\n## {}\n\n", crowd(clients));
        text += &table.times();
        text += &table.sums();
        for chart in charts.iter().filter(|chart| chart.name.ends_with(&format!("-{clients}"))) {
            text += &figure(chart);
        }
    }
    if let Some(chart) = charts.iter().find(|chart| chart.name == "scaling") {
        text += &format!("\n## Scaling\n{}", figure(chart));
    }
    let errors = report.errors();
    if !errors.is_empty() {
        text += &format!("\n## Errors\n\n```{errors}\n```\n");
    }
    text
}

/// How to read the figures.
pub(super) const NOTES: &str = "A time is that of a call as a client sees it, with all its repetitions at other frontends. Each \
run has a fresh cluster of nineteen processes on this machine, on which the clients run as well; what the scenario says happens \
in the middle of the run. Each client has one call under way at a time, creates one account, logs in and out a few times, and does \
the rest in a mix of all functions. Throughput counts all calls; the longest gap is the longest time after the failure in which no \
client at all got an answer.\n";

fn figure(chart: &Chart) -> String {
    format!("\n![{}]({}.svg)\n\n*{}. {}*\n", chart.title, chart.name, chart.title, chart.caption)
}

/// Who calls at a time.
pub(super) fn crowd(clients: usize) -> String {
    let s = if clients == 1 { "" } else { "s" };
    format!("{clients} seller{s} and {clients} buyer{s}")
}

pub(super) fn sizes(report: &Report) -> BTreeSet<usize> {
    report.runs.iter().map(|run| run.clients).collect()
}

/// The tables of one number of clients.
struct Tables<'a> {
    report: &'a Report,
    clients: usize,
}

impl Tables<'_> {
    fn runs(&self, scenario: Scenario) -> impl Iterator<Item = &RunReport> {
        let wanted = move |run: &&RunReport| run.clients == self.clients && run.scenario() == Some(scenario);
        self.report.runs.iter().filter(wanted)
    }

    fn scenarios(&self) -> Vec<Scenario> {
        Scenario::ALL.into_iter().filter(|scenario| self.runs(*scenario).next().is_some()).collect()
    }

    fn head(&self, first: &str) -> String {
        let scenarios = self.scenarios();
        let names: String = scenarios.iter().fold(String::new(), |line, name| format!("{line} {name} |"));
        format!("| {first} |{names}\n|---|{}\n", "---:|".repeat(scenarios.len()))
    }

    fn times(&self) -> String {
        let mut text = self.head("mean / p50 / p99 in ms");
        for function in Function::ALL {
            let mut row = format!("| `{}` |", function.name());
            let mut any = false;
            for scenario in self.scenarios() {
                let cell = super::table::cell(self.report, self.clients, scenario, function);
                any |= !cell.is_empty();
                let _ = write!(row, " {cell} |");
            }
            if any {
                text += &(row + "\n");
            }
        }
        text
    }

    fn sums(&self) -> String {
        let mut text = String::from("\n") + &self.head("all functions");
        let mut row = |name: &str, value: &dyn Fn(Scenario) -> String| {
            let cells: String =
                self.scenarios().into_iter().fold(String::new(), |line, s| format!("{line} {} |", value(s)));
            text += &format!("| {name} |{cells}\n");
        };
        let mean = |scenario, figure: fn(&RunReport) -> f64| {
            let all: Vec<f64> = self.runs(scenario).map(figure).collect();
            all.iter().sum::<f64>() / all.len().max(1) as f64
        };
        row("calls/s", &|s| format!("{:.0}", mean(s, |run| run.throughput)));
        row("longest gap, mean of runs", &|s| format!("{:.0} ms", mean(s, |run| run.max_gap_ms)));
        row("longest gap, worst run", &|s| {
            format!("{:.0} ms", self.runs(s).map(|run| run.max_gap_ms).fold(0.0, f64::max))
        });
        row("errors", &|s| self.runs(s).map(|run| run.errors).sum::<u64>().to_string());
        row("runs", &|s| self.runs(s).count().to_string());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn the_text_has_a_row_for_each_function_and_names_its_pictures() {
        let report = report();
        let charts = super::super::charts(&report).unwrap();
        let text = markdown(&report, &charts);
        assert!(text.contains("| mean / p50 / p99 in ms | 4: product leader dies |"), "{text}");
        assert!(text.contains("| `search_items` | 2.00 / 2.00 / 2.00 |"), "{text}");
        assert!(!text.contains("`make_purchase`"), "{text}");
        assert!(text.contains("| longest gap, worst run | 740 ms |"), "{text}");
        assert!(text.contains("(around-the-failure-1.svg)"), "{text}");
        assert!(text.contains("1 × search_items: unavailable"), "{text}");
    }
}
