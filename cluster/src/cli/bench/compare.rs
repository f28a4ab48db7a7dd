//! `bench compare`: what a change did to the speed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use comfy_table::CellAlignment;

use crate::bench::scenarios::compare::{Comparison, Verdict, compare};
use crate::bench::scenarios::{Report, Scenario};
use crate::cli::out;

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// A report of `bench scenarios`, as JSON.
    first: PathBuf,
    /// Another one; ratios are this one's figures by the first one's. `bench scenarios --against` makes two whose runs are
    /// interleaved.
    second: PathBuf,
    /// How sure the intervals are to be.
    #[arg(long, value_name = "SHARE", default_value_t = 0.95, value_parser = confidence)]
    confidence: f64,
    /// Also write the comparison as JSON into this file (- for standard output).
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn confidence(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(share),
        _ => Err("a share between 0 and 1, like 0.95".into()),
    }
}

pub fn run(args: CompareArgs) -> anyhow::Result<ExitCode> {
    let (first, second) = (read(&args.first)?, read(&args.second)?);
    let rows = compare(&first, &second, args.confidence);
    anyhow::ensure!(
        !rows.is_empty(),
        "{} and {} have no complete run of the same scenario, number of clients and run number",
        args.first.display(),
        args.second.display()
    );
    let text = table(&rows, args.confidence);
    match &args.json {
        Some(path) if path.as_os_str() == "-" => out::note(&text),
        _ => out::line(&text),
    }
    args.json.as_ref().map_or(Ok(()), |path| super::write_json(path, &rows))?;
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> anyhow::Result<Report> {
    let text = std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is no report of `bench scenarios --json`", path.display()))
}

fn table(rows: &[Comparison], confidence: f64) -> String {
    let mut table = out::table();
    let interval = format!("{:.0} % interval", confidence * 100.0);
    table.set_header(["clients", "scenario", "figure", "runs", "ratio", interval.as_str(), "verdict"]);
    for row in rows {
        let known = Scenario::by_number(row.figure.scenario)
            .find(|known| known.variant() == row.figure.variant.as_deref());
        table.add_row([
            row.figure.clients.to_string(),
            known.map_or_else(|| row.figure.scenario.to_string(), |known| known.to_string()),
            row.figure.function.clone().unwrap_or_else(|| "calls/s".into()),
            row.pairs.to_string(),
            format!("{:.3}", row.ratio),
            row.interval.map_or_else(String::new, |(low, high)| format!("{low:.3} – {high:.3}")),
            verdict(row.verdict).to_owned(),
        ]);
    }
    for column in [0, 3, 4, 5] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!(
        "{table}\nRatios of times: below 1 is faster. Of calls/s: above 1 is faster. Among so many rows a few differ by chance alone."
    )
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "better",
        Verdict::Worse => "worse",
        Verdict::NoDifferenceShown => "no difference shown",
        Verdict::TooFewRuns => "too few runs",
    }
}
