//! The report on the terminal.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};

use super::Report;
use super::availability::{FaultGap, KINDS};
use crate::check::{Check, EVIDENCE_MAX};
use crate::say::say;

/// Prints what people want to know of a run.
pub fn print(report: &Report) {
    let availability = &report.availability;
    say!("");
    say!(
        "{} operations of {} clients in {:.1} s; {} faults, {} left out",
        availability.operations,
        report.clients,
        report.seconds,
        report.bars.len(),
        report.left_out()
    );
    say!(
        "  done {}, refused {}, failed {}, outcome unknown {}",
        availability.ok,
        availability.refused,
        availability.failed,
        availability.unknown
    );
    say!(
        "  succeeded within 100 ms: {:.2} %, within 1 s: {:.2} %, at all: {:.2} %",
        availability.succeeded_within_100_ms * 100.0,
        availability.succeeded_within_1_s * 100.0,
        availability.succeeded * 100.0
    );
    say!(
        "  answered within 100 ms: {:.2} %, within 1 s: {:.2} %, at all: {:.2} %",
        availability.answered_within_100_ms * 100.0,
        availability.answered_within_1_s * 100.0,
        availability.answered * 100.0
    );
    for gap in &availability.longest_gaps {
        say!("  longest time without a success, {}: {:.0} ms, at {:.1} s", gap.of, gap.ms, gap.at_s);
    }
    say!("  (refused by a rule of the marketplace is answered, and is no success)");
    say!("{}", gaps(&availability.gaps_by_fault));
    for (error, count) in &availability.errors {
        say!("  {count} × {error}");
    }
    say!("  calls that ended without an answer: {}", report.call_errors.values().sum::<u64>());
    for (error, count) in &report.call_errors {
        say!("    {count} × {error}");
    }
    print_checks(&report.checks);
    for caveat in report.caveats() {
        say!("Note: {caveat}");
    }
    say!("{}. Seed {}. Again: {}", report.ending.tell(), report.plan.seed, report.again);
    say!("({})", report.program);
}

/// Prints what was checked, and what was found with its evidence.
pub fn print_checks(checks: &[Check]) {
    say!("{}", table(checks));
    for check in checks {
        violations(check);
        if let Some(note) = &check.note {
            say!("{}: {note}", check.name);
        }
    }
}

/// Faults, and the longest time without a success of each kind.
fn gaps(gaps: &[FaultGap]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    let kinds = KINDS.iter().map(|kind| format!("{}, ms", kind.name));
    table.set_header(["while".to_owned(), "times".to_owned()].into_iter().chain(kinds));
    for gap in gaps {
        let ms = |kind: &str| gap.ms.get(kind).map(|ms| format!("{ms:.0}")).unwrap_or_default();
        let row = [format!("{} was {}", gap.whom, gap.fault), gap.times.to_string()];
        table.add_row(row.into_iter().chain(KINDS.iter().map(|kind| ms(kind.name))));
    }
    table
}

fn table(checks: &[Check]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["check", "promise", "examined", "result"]);
    for check in checks {
        let (name, promise) = (check.name.to_owned(), check.promise.to_owned());
        table.add_row([name, promise, check.examined.to_string(), check.result()]);
    }
    table
}

fn violations(check: &Check) {
    for violation in &check.violations {
        say!("{}: {}", check.name, violation.what);
        for event in &violation.evidence {
            match serde_json::to_string(event) {
                Ok(line) => say!("    {line}"),
                Err(error) => say!("    an operation that can't be shown: {error}"),
            }
        }
    }
    if check.violations.iter().any(|violation| violation.omitted > 0) {
        say!("{}: of more than {EVIDENCE_MAX} operations, those in the middle are left out", check.name);
    }
    if !check.undecided.is_empty() {
        say!("{}: too many possibilities to decide about {}", check.name, check.undecided.join(", "));
    }
    if check.more > 0 {
        say!("{}: and {} more", check.name, check.more);
    }
}
