//! The report on the terminal.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};

use super::{Ending, Report};
use crate::check::Check;

/// Prints what people want to know of a run.
pub fn print(report: &Report) {
    let availability = &report.availability;
    println!();
    println!(
        "{} operations of {} clients in {:.1} s; {} faults, {} left out",
        availability.operations,
        report.clients,
        report.seconds,
        report.bars.len(),
        report.left_out()
    );
    println!(
        "  done {}, refused {}, failed {}, outcome unknown {}",
        availability.ok, availability.refused, availability.failed, availability.unknown
    );
    println!(
        "  answered within 100 ms: {:.2} %, within 1 s: {:.2} %, at all: {:.2} %",
        availability.answered_within_100_ms * 100.0,
        availability.answered_within_1_s * 100.0,
        availability.answered * 100.0
    );
    for gap in &availability.longest_gaps {
        println!("  longest time without a success, {}: {:.0} ms, at {:.1} s", gap.of, gap.ms, gap.at_s);
    }
    for gap in &availability.gaps_by_fault {
        println!("  while a process was {} ({} times): {:.0} ms", gap.fault, gap.times, gap.ms);
    }
    for (error, count) in &availability.errors {
        println!("  {count} × {error}");
    }
    println!("  calls that ended without an answer: {}", report.call_errors.values().sum::<u64>());
    for (error, count) in &report.call_errors {
        println!("    {count} × {error}");
    }
    println!("{}", table(&report.checks));
    for check in &report.checks {
        violations(check);
    }
    println!(
        "{} Seed {}. Again: {}",
        match report.ending {
            Ending::Held => "Every promise was kept.",
            Ending::Violation => "A promise was broken.",
            Ending::Interrupted => "Interrupted: not everything could be checked.",
        },
        report.plan.seed,
        report.again()
    );
}

fn table(checks: &[Check]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["check", "promise", "examined", "result"]);
    for check in checks {
        let found = check.violations.len() as u64 + check.more;
        let result = match (check.held(), check.undecided.as_slice()) {
            (true, []) => "held".to_owned(),
            (true, undecided) => format!("held, {} undecided", undecided.len()),
            (false, _) => format!("BROKEN, {found} times"),
        };
        table.add_row([check.name.to_owned(), check.promise.to_owned(), check.examined.to_string(), result]);
    }
    table
}

fn violations(check: &Check) {
    for violation in &check.violations {
        println!("{}: {}", check.name, violation.what);
        for event in &violation.evidence {
            match serde_json::to_string(event) {
                Ok(line) => println!("    {line}"),
                Err(error) => println!("    an operation that can't be shown: {error}"),
            }
        }
    }
    if check.more > 0 {
        println!("{}: and {} more", check.name, check.more);
    }
}
