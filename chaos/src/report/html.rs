//! The report as one page that needs nothing else.

use std::fmt::Write;

use super::Report;
use super::availability::KINDS;
use super::picture::{Picture, escaped};
use crate::check::Check;

const STYLE: &str = "body{font-family:sans-serif;max-width:1200px;margin:2em auto;padding:0 1em;color:#222}\
table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ccc;padding:.3em .7em;text-align:left}\
td.n{text-align:right}.held{color:#27823f}.broken{color:#b01010;font-weight:bold}\
pre{background:#f5f5f5;padding:.6em;overflow-x:auto;font-size:12px}.picture{display:flex}.picture svg{flex:none}.course{overflow-x:auto}h1 small{font-weight:normal;color:#777}";

/// What happened in a few minutes; more of it nobody reads on a page.
const HAPPENINGS_MAX: usize = 2_000;

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let mut page = String::new();
    // Writing into a string does not fail.
    let _ = write!(
        page,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>chaos, seed {seed}</title><style>{STYLE}</style>\
         <h1>{ending} <small>plan {kind}, seed {seed}</small></h1>\
         <p>{operations} operations of {clients} clients in {seconds:.1} s; {faults} faults, {left_out} left out. \
         The same plan again: <code>{again}</code></p>",
        seed = report.plan.seed,
        ending = report.ending.tell(),
        kind = report.kind(),
        operations = report.availability.operations,
        clients = report.clients,
        seconds = report.seconds,
        faults = report.bars.len(),
        left_out = report.left_out(),
        again = report.again(),
    );
    if let Some(failure) = &report.failure {
        let _ = write!(page, "<p class=broken>{}</p>", escaped(failure));
    }
    let end_ns = report.course.step_ns.saturating_mul(report.course.steps.len() as u64);
    let picture = Picture { bars: &report.bars, timeline: &report.timeline, course: &report.course, end_ns };
    page.push_str(&picture.draw());
    checks(&mut page, &report.checks);
    report.checks.iter().for_each(|check| violations(&mut page, check));
    availability(&mut page, report);
    happenings(&mut page, report);
    page.push_str("</html>\n");
    page
}

fn checks(page: &mut String, checks: &[Check]) {
    page.push_str("<h2>What was checked</h2><table><tr><th>check<th>promise<th>examined<th>result");
    for check in checks {
        let (class, result) = (if check.held() { "held" } else { "broken" }, check.result());
        let _ = write!(
            page,
            "<tr><td>{}<td>{}<td class=n>{}<td class={class}>{result}",
            check.name,
            escaped(check.promise),
            check.examined
        );
    }
    page.push_str("</table>");
}

fn violations(page: &mut String, check: &Check) {
    if !check.undecided.is_empty() {
        let about = escaped(&check.undecided.join(", "));
        let _ = write!(
            page,
            "<p class=broken>{}: too many possibilities to decide about {about}</p>",
            check.name
        );
    }
    for violation in &check.violations {
        let _ = write!(page, "<h3 class=broken>{}: {}</h3><pre>", check.name, escaped(&violation.what));
        for event in &violation.evidence {
            let line = serde_json::to_string(event).unwrap_or_else(|error| error.to_string());
            let _ = writeln!(page, "{}", escaped(&line));
        }
        if violation.omitted > 0 {
            let _ = writeln!(page, "{} operations from the middle are left out", violation.omitted);
        }
        page.push_str("</pre>");
    }
}

fn availability(page: &mut String, report: &Report) {
    let figures = &report.availability;
    let _ = write!(
        page,
        "<h2>Availability</h2><table><tr><th>answered within 100 ms<th>within 1 s<th>ever\
         <tr><td class=n>{:.3} %<td class=n>{:.3} %<td class=n>{:.3} %</table>\
         <table><tr><th>longest time without a success<th>ms<th>at",
        figures.answered_within_100_ms * 100.0,
        figures.answered_within_1_s * 100.0,
        figures.answered * 100.0
    );
    for gap in &figures.longest_gaps {
        let _ = write!(page, "<tr><td>{}<td class=n>{:.0}<td class=n>{:.1} s", gap.of, gap.ms, gap.at_s);
    }
    page.push_str(
        "</table><p>A call that a rule of the marketplace refuses has been answered: it counts in the shares above, and is no \
         success.</p><table><tr><th>longest time without a success, ms, while<th>times",
    );
    for kind in KINDS {
        let _ = write!(page, "<th>{}", kind.name);
    }
    for gap in &figures.gaps_by_fault {
        let _ = write!(page, "<tr><td>{} was {}<td class=n>{}", gap.whom, gap.fault, gap.times);
        for kind in KINDS {
            match gap.ms.get(kind.name) {
                Some(ms) => {
                    let _ = write!(page, "<td class=n>{ms:.0}");
                }
                None => page.push_str("<td>"),
            }
        }
    }
    page.push_str("</table><table><tr><th>not done because<th>times");
    for (error, times) in &figures.errors {
        let _ = write!(page, "<tr><td>{}<td class=n>{times}", escaped(error));
    }
    page.push_str("</table>");
}

fn happenings(page: &mut String, report: &Report) {
    let left_out = report.timeline.len().saturating_sub(HAPPENINGS_MAX);
    if left_out > 0 {
        let _ = write!(
            page,
            "<h2>Timeline</h2><p>{left_out} of {} entries are only in report.json</p>",
            report.timeline.len()
        );
    } else {
        page.push_str("<h2>Timeline</h2>");
    }
    page.push_str("<details><summary>What happened</summary><pre>");
    for entry in report.timeline.iter().take(HAPPENINGS_MAX) {
        let _ =
            writeln!(page, "{:9.3} s  {}", entry.at().as_secs_f64(), escaped(&entry.happening.to_string()));
    }
    page.push_str("</pre></details>");
}
