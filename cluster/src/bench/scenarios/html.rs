//! The report as one page that needs nothing else: it reads on a screen, in the dark, and in print.

use maud::{DOCTYPE, PreEscaped, html};

use super::markdown::{NOTES, crowd, sizes};
use super::report::Report;
use super::{Function, Scenario};
use crate::bench::draw::Chart;

const STYLE: &str = "
:root { --ink: #222831; --faint: #667085; --line: #d0d5dd; --paper: #fff; --bad: #b42318; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --faint: #98a2b3; --line: #3a4048; --paper: #16191d; --bad: #f97066; } }
* { box-sizing: border-box; }
body { color: var(--ink); background: var(--paper); font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .5rem; } h2 { margin: 3rem 0 .75rem; font-size: 1.25rem; }
.about { color: var(--faint); margin: 0; } pre { white-space: pre-wrap; overflow-wrap: anywhere; color: var(--faint); font-size: .85rem; }
nav a { color: inherit; margin-right: 1rem; }
.wide { overflow-x: auto; width: max-content; max-width: calc(100vw - 3rem); position: relative; left: 50%; transform: translateX(-50%); } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .85rem; margin: 1rem 0; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } thead th { border-bottom-width: 2px; vertical-align: bottom; white-space: normal; }
td small { color: var(--faint); } .bad { color: var(--bad); font-weight: 600; }
figure { margin: 1.5rem 0; } figure svg { width: 100%; height: auto; border-radius: 6px; } figcaption { color: var(--faint); font-size: .85rem; } figcaption b { color: var(--ink); }
@page { size: A4 landscape; margin: 12mm; }
@media print { body { max-width: none; padding: 0; font-size: 11px; } .wide { overflow: visible; width: auto; max-width: none; left: 0; transform: none; } nav { display: none; } h2 { break-before: page; } figure, tr { break-inside: avoid; } th, td { padding: .15rem .4rem; } }
";

/// The whole page.
pub(crate) fn page(report: &Report, charts: &[Chart]) -> String {
    let about = &report.about;
    let figure = |chart: &Chart| {
        html! {
            figure {
                (PreEscaped(&chart.svg))
                figcaption { b { (chart.title) } ". " (chart.caption) }
            }
        }
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "What failures cost: " (about.date) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "What failures cost the clients of the marketplace" }
                p.about { (about.date) " · " (about.machine) " · version " (about.version) }
                pre { (about.command) }
                p { (NOTES) }
                nav { @for clients in sizes(report) { a href=(format!("#clients-{clients}")) { (clients) " + " (clients) } } }
                @for clients in sizes(report) {
                    h2 id=(format!("clients-{clients}")) { (crowd(clients)) }
                    (tables(report, clients))
                    @for chart in charts.iter().filter(|chart| chart.name.ends_with(&format!("-{clients}"))) {
                        (figure(chart))
                    }
                }
                @for chart in charts.iter().filter(|chart| chart.name == "scaling") {
                    h2 { "Scaling" }
                    (figure(chart))
                }
                @let errors = report.errors();
                @if !errors.is_empty() {
                    h2 { "Errors" }
                    pre.bad { (errors.trim_start()) }
                }
            }
        }
    };
    page.into_string()
}

fn tables(report: &Report, clients: usize) -> PreEscaped<String> {
    let runs = |scenario: Scenario| {
        report.runs.iter().filter(move |run| run.clients == clients && run.scenario() == Some(scenario))
    };
    let present: Vec<Scenario> = Scenario::ALL.into_iter().filter(|s| runs(*s).next().is_some()).collect();
    let latencies = |scenario: &Scenario, function: &Function| {
        report.merged.get(&(clients, *scenario, *function)).filter(|latencies| latencies.count() > 0)
    };
    let called: Vec<Function> = Function::ALL
        .into_iter()
        .filter(|function| present.iter().any(|scenario| latencies(scenario, function).is_some()))
        .collect();
    let mean = |scenario: Scenario, figure: fn(&super::RunReport) -> f64| {
        runs(scenario).map(figure).sum::<f64>() / runs(scenario).count().max(1) as f64
    };
    let worst = |scenario: Scenario| runs(scenario).map(|run| run.max_gap_ms).fold(0.0, f64::max);
    let errors = |scenario: Scenario| runs(scenario).map(|run| run.errors).sum::<u64>();
    let ms = |us: f64| if us < 1e4 { format!("{:.2}", us / 1e3) } else { format!("{:.0}", us / 1e3) };
    html! {
        div.wide {
            table {
                thead {
                    tr {
                        th { "mean " small { "p50 · p99, ms" } }
                        @for scenario in &present { th { (scenario) } }
                    }
                }
                tbody {
                    @for function in &called {
                        tr {
                            td { (function.name()) }
                            @for scenario in &present {
                                td {
                                    @if let Some(latencies) = latencies(scenario, function) {
                                        (ms(latencies.mean_us())) " "
                                        small { (ms(latencies.quantile_us(0.5) as f64)) " · " (ms(latencies.quantile_us(0.99) as f64)) }
                                    }
                                }
                            }
                        }
                    }
                    tr { td { b { "calls/s" } } @for scenario in &present { td { b { (format!("{:.0}", mean(*scenario, |run| run.throughput))) } } } }
                    tr { td { "longest gap " small { "mean · worst run" } } @for scenario in &present {
                        td { (format!("{:.0} ms", mean(*scenario, |run| run.max_gap_ms))) " " small { (format!("· {:.0} ms", worst(*scenario))) } }
                    } }
                    tr { td { "errors" } @for scenario in &present { td.bad[errors(*scenario) > 0] { (errors(*scenario)) } } }
                    tr { td { "runs" } @for scenario in &present { td { (runs(*scenario).count()) } } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn the_page_needs_no_other_file() {
        let report = report();
        let page = page(&report, &super::super::charts(&report).unwrap());
        assert!(
            page.starts_with("<!DOCTYPE html>") && page.contains("<svg") && page.contains("search_items")
        );
        for outside in ["src=", "href=\"http", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn what_errors_say_is_shown_and_not_run() {
        let mut report = report();
        report.runs[0].error_kinds.insert("<script>alert(1)</script>".into(), 1);
        let page = page(&report, &[]);
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"));
    }
}
