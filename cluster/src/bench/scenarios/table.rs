//! The tables: one for each number of clients, with a row for each function and a column for each scenario.

use comfy_table::{CellAlignment, Table};

use super::Scenario;
use super::function::Function;
use super::markdown::crowd;
use super::report::{Report, RunReport};
use crate::cli::out;

/// All tables, one after the other.
pub(crate) fn tables(report: &Report) -> String {
    let mut numbers: Vec<usize> = report.runs.iter().map(|run| run.clients).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.into_iter().map(|clients| table(report, clients)).collect::<Vec<_>>().join("\n\n")
}

fn table(report: &Report, clients: usize) -> String {
    let runs: Vec<&RunReport> = report.runs.iter().filter(|run| run.clients == clients).collect();
    let mut scenarios: Vec<Scenario> = runs.iter().filter_map(|run| run.scenario()).collect();
    scenarios.sort_unstable();
    scenarios.dedup();
    let mut table = out::table();
    let header = std::iter::once("mean / p50 / p99 in ms".to_owned());
    table.set_header(header.chain(scenarios.iter().map(Scenario::to_string)));
    for function in Function::ALL {
        let cells = scenarios.iter().map(|scenario| cell(report, clients, *scenario, function));
        let cells: Vec<String> = cells.collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            table.add_row(std::iter::once(function.name().to_owned()).chain(cells));
        }
    }
    let of = |scenario: &Scenario| {
        runs.iter().copied().filter(|run| run.scenario() == Some(*scenario)).collect::<Vec<_>>()
    };
    let groups: Vec<Vec<&RunReport>> = scenarios.iter().map(of).collect();
    add_sums(&mut table, &groups);
    for column in 1..=scenarios.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let count = if runs.len() == 1 { "1 run".to_owned() } else { format!("{} runs", runs.len()) };
    format!("{} ({count})\n{table}", crowd(clients))
}

/// What is told of all functions together: mean throughput, longest gap, number of errors.
fn add_sums(table: &mut Table, groups: &[Vec<&RunReport>]) {
    let row = |name: &str, value: fn(&[&RunReport]) -> f64| {
        std::iter::once(name.to_owned())
            .chain(groups.iter().map(|runs| format!("{:.0}", value(runs))))
            .collect::<Vec<_>>()
    };
    table.add_row(row("calls/s", |runs| {
        runs.iter().map(|run| run.throughput).sum::<f64>() / runs.len().max(1) as f64
    }));
    table.add_row(row("longest gap", |runs| runs.iter().map(|run| run.max_gap_ms).fold(0.0, f64::max)));
    table.add_row(row("errors", |runs| runs.iter().map(|run| run.errors as f64).sum()));
}

/// Mean, median and 99th percentile, for people; empty if there was no such call at all.
pub(super) fn cell(report: &Report, clients: usize, scenario: Scenario, function: Function) -> String {
    let Some(latencies) = report.merged.get(&(clients, scenario, function)) else { return String::new() };
    if latencies.count() == 0 {
        return "–".to_owned();
    }
    let ms = |us: f64| {
        let value = us / 1000.0;
        if value < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") }
    };
    let (p50, p99) = (latencies.quantile_us(0.5) as f64, latencies.quantile_us(0.99) as f64);
    format!("{} / {} / {}", ms(latencies.mean_us()), ms(p50), ms(p99))
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_function_and_a_column_for_each_scenario() {
        let text = tables(&report());
        assert!(text.contains("1 seller and 1 buyer (1 run)"), "{text}");
        assert!(text.contains("4: product leader dies") && text.contains("2.00 / 2.00 / 2.00"), "{text}");
        assert!(!text.contains("make_purchase"), "what never occurred has no row: {text}");
    }
}
