//! The report as one page that needs nothing else.

use std::collections::BTreeMap;
use std::fmt::Write;

use clap::ValueEnum;

use super::Report;
use super::availability::KINDS;
use super::picture::{Picture, escaped};
use crate::check::Check;
use crate::faults::Happening;

const STYLE: &str = "body{font-family:sans-serif;max-width:1200px;margin:2em auto;padding:0 1em;color:#222}\
table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ccc;padding:.3em .7em;text-align:left}\
td.n{text-align:right;white-space:nowrap}.note{background:#fff3cd;padding:.4em .7em}summary{cursor:pointer}.held{color:#27823f}.broken{color:#b01010;font-weight:bold}\
pre{background:#f5f5f5;padding:.6em;overflow-x:auto;font-size:12px}.picture{display:flex}.picture svg{flex:none}.course{overflow-x:auto}h1 small{font-weight:normal;color:#777}";

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let mut page = String::new();
    // Writing into a string does not fail.
    let _ = write!(
        page,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>chaos, seed {seed}</title><style>{STYLE}</style>\
         <h1>{ending} <small>plan {kind}, seed {seed}</small></h1>\
         <p>{operations} operations of {clients} clients in {seconds:.1} s; {faults} faults, {left_out} left out. \
         The same plan again: <code>{again}</code><br>This was {program}.</p>",
        seed = report.plan.seed,
        ending = report.ending.tell(),
        kind = kind(report),
        operations = report.availability.operations,
        clients = report.clients,
        seconds = report.seconds,
        faults = report.bars.len(),
        left_out = report.left_out(),
        again = escaped(&report.again),
        program = report.program,
    );
    for caveat in report.caveats() {
        let _ = write!(page, "<p class=note>Note: {}</p>", escaped(&caveat));
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
    for check in checks {
        if let Some(note) = &check.note {
            let _ = write!(page, "<p>{}: {}</p>", check.name, escaped(note));
        }
    }
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
        "<h2>Availability</h2><table><tr><th>share of calls<th>within 100 ms<th>within 1 s<th>ever\
         <tr><td>succeeded<td class=n>{:.3} %<td class=n>{:.3} %<td class=n>{:.3} %\
         <tr><td>answered<td class=n>{:.3} %<td class=n>{:.3} %<td class=n>{:.3} %</table>\
         <p>A call that a rule of the marketplace refuses has been answered, and is no success.</p>\
         <table><tr><th>longest time without a success<th>ms<th>at",
        figures.succeeded_within_100_ms * 100.0,
        figures.succeeded_within_1_s * 100.0,
        figures.succeeded * 100.0,
        figures.answered_within_100_ms * 100.0,
        figures.answered_within_1_s * 100.0,
        figures.answered * 100.0
    );
    for gap in &figures.longest_gaps {
        let _ = write!(page, "<tr><td>{}<td class=n>{:.0}<td class=n>{:.1} s", gap.of, gap.ms, gap.at_s);
    }
    page.push_str("</table>");
    gaps_by_fault(page, report);
    page.push_str("<table><tr><th>not done because<th>times");
    for (error, times) in &figures.errors {
        let _ = write!(page, "<tr><td>{}<td class=n>{times}", escaped(error));
    }
    page.push_str("</table>");
}

/// Each kind of fault, when there were such, and how long clients and processes had to wait.
fn gaps_by_fault(page: &mut String, report: &Report) {
    page.push_str(
        "<table><tr><th rowspan=2>while<th rowspan=2>times<th rowspan=2>first<th rowspan=2>last<th rowspan=2>longest until ready again",
    );
    let _ = write!(page, "<th colspan={}>longest time without a success, ms<tr>", KINDS.len());
    for kind in KINDS {
        let _ = write!(page, "<th>{}", kind.name);
    }
    for gap in &report.availability.gaps_by_fault {
        let _ = write!(
            page,
            "<tr><td>{} was {}<td class=n>{}<td class=n>{:.0} s<td class=n>{:.0} s<td class=n>{:.1} s",
            gap.whom, gap.fault, gap.times, gap.first_s, gap.last_s, gap.longest_recovery_s
        );
        for kind in KINDS {
            match gap.ms.get(kind.name) {
                Some(ms) => {
                    let _ = write!(page, "<td class=n>{ms:.0}");
                }
                None => page.push_str("<td>"),
            }
        }
    }
    page.push_str("</table>");
}

/// All that happened, folded by kind, so that an hour of it can be read.
fn happenings(page: &mut String, report: &Report) {
    page.push_str("<h2>Timeline</h2>");
    let mut folds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for bar in &report.bars {
        folds.entry(format!("{}: faults", bar.fault)).or_default().push(bar.to_string());
    }
    for entry in &report.timeline {
        let fold = match &entry.happening {
            // The bars are made of them.
            Happening::Began { .. } | Happening::Undone { .. } | Happening::Ready { .. } => continue,
            Happening::LeftOut { why, .. } => format!("left out: {why}"),
            Happening::Leads { group, .. } => format!("leads: {group}"),
            Happening::Died { .. } => "died by itself".to_owned(),
            Happening::Background { .. } => "all the time".to_owned(),
        };
        let line = format!("{:9.3} s  {}", entry.at().as_secs_f64(), entry.happening);
        folds.entry(fold).or_default().push(line);
    }
    for (fold, lines) in folds {
        let _ = write!(page, "<details><summary>{} ({})</summary><pre>", escaped(&fold), lines.len());
        for line in lines {
            let _ = writeln!(page, "{}", escaped(&line));
        }
        page.push_str("</pre></details>");
    }
}

/// The plan's name, as on the command line.
fn kind(report: &Report) -> String {
    report.plan.kind.to_possible_value().map(|kind| kind.get_name().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::check::check_history;
    use crate::faults::{CustomerNodes, Entry, Fault, Kind, Plan, Reach, bars};
    use crate::history::Event;
    use crate::report::{Availability, Course, Ending, Program};

    /// What a kept history would have: a price is set, and a buyer sees the one before.
    fn stale_read() -> Vec<Event> {
        let lines = [
            r#"{"client":0,"op":"add_item","key":"seller:1","arg":{"name":"lamp <1>","category":1,"price":"1.00","quantity":5},"result":{"item_id":"1-1","quantity":5,"merged":false},"outcome":"ok","start_ns":1,"end_ns":2,"session":0}"#,
            r#"{"client":0,"op":"set_price","key":"1-1","arg":"7.00","result":null,"outcome":"ok","start_ns":3,"end_ns":4,"session":0}"#,
            r#"{"client":1,"op":"get_item","key":"1-1","arg":null,"result":{"item_id":"1-1","name":"lamp <1>","price":"1.00","quantity":5,"thumbs_up":0,"thumbs_down":0},"outcome":"ok","start_ns":5,"end_ns":6,"session":1}"#,
        ];
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn report(history: &[Event], timeline: Vec<Entry>) -> Report {
        let second = Duration::from_secs(1);
        let plan = Plan::draw(Kind::ReplicaKill, 1, second, CustomerNodes::Spared, Reach::Everything);
        let bars = bars(&timeline, 1_000_000_000);
        let checks = check_history(history);
        Report {
            ending: Ending::of(&checks, None, true, &[]),
            failure: None,
            doubts: Vec::new(),
            program: Program::THIS,
            again: "cargo run -- run".into(),
            limits: Some("not in this run: <clocks>".into()),
            cut_short: None,
            customer_nodes: plan.customer_nodes(),
            plan,
            seconds: 1.0,
            clients: 2,
            availability: Availability::of(history, &bars, 0, 1_000_000_000),
            course: Course::of(history, 1_000_000_000),
            bars,
            timeline,
            call_errors: BTreeMap::new(),
            checks,
            readings: None,
        }
    }

    #[test]
    fn a_violation_is_shown_with_its_operations() {
        let history = stale_read();
        let report = report(&history, Vec::new());
        let violation = &report.checks[0].violations[0];
        assert_eq!((report.checks[0].name, &violation.evidence[..]), ("prices", &history[1..]));
        let page = page(&report);
        for event in &violation.evidence {
            assert!(page.contains(&escaped(&serde_json::to_string(event).unwrap())), "{page}");
        }
        assert!(page.contains(&escaped(&violation.what)) && !page.contains("lamp <1>"));
        let json = serde_json::to_value(&report).unwrap();
        let evidence = &json["checks"][0]["violations"][0]["evidence"];
        assert_eq!(evidence, &serde_json::to_value(&history[1..]).unwrap());
    }

    #[test]
    fn what_made_the_report_and_what_it_does_not_show_are_on_the_page() {
        let page = page(&report(&stale_read(), Vec::new()));
        assert!(page.contains(&Program::THIS.to_string()) && page.contains("cargo run -- run"));
        assert!(page.contains("not in this run: &lt;clocks&gt;"));
    }

    #[test]
    fn all_that_happened_is_on_the_page_however_much_and_can_be_pointed_at() {
        let process = || "product-1".to_owned();
        let mut timeline = Vec::new();
        for n in 0..3_000 {
            let fault = Fault::Kill;
            let entry = |offset: u64, happening| Entry { at_ns: n * 100_000 + offset, happening };
            let part = format!("part {n}");
            timeline.push(entry(0, Happening::Began { fault, process: process(), part }));
            timeline.push(entry(10, Happening::Undone { fault, process: process() }));
            timeline.push(entry(20, Happening::Ready { fault, process: process() }));
            let (target, why) = (format!("target {n}"), "enough is out".to_owned());
            timeline.push(entry(30, Happening::LeftOut { fault, target, why }));
        }
        let page = page(&report(&[], timeline));
        for n in (0..3_000).step_by(300) {
            assert!(page.contains(&format!("target {n} ")));
            assert_eq!(page.matches(&format!("part {n},")).count(), 3, "a line, and a bar in two colours");
        }
        assert!(page.contains("<summary>left out: enough is out (3000)</summary>"));
    }
}
