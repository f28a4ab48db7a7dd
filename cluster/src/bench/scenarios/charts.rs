//! The charts of a report, each one an SVG picture.

use std::collections::BTreeSet;

use plotters::prelude::*;

use super::Scenario;
use super::function::Function;
use super::markdown::crowd;
use super::report::Report;
use crate::bench::draw::{ALARM, Area, COLOURS, Chart, FAINT, INK, below_legend, picture, text};
use crate::bench::latency::Latencies;

/// All charts that the report has figures for.
pub(crate) fn charts(report: &Report) -> anyhow::Result<Vec<Chart>> {
    let mut charts = Vec::new();
    let sizes: BTreeSet<usize> = report.runs.iter().map(|run| run.clients).collect();
    for clients in &sizes {
        let view = View { report, clients: *clients };
        let who = crowd(*clients);
        charts.push(Chart {
            name: format!("response-times-{clients}"),
            title: format!("Response time of each function, {who}"),
            caption: "A dot is the mean, the line from it ends at the 99th percentile. Logarithmic.",
            svg: picture(100 + 34 * view.functions().len() as u32, |area| view.response_times(area))?,
        });
        charts.push(Chart {
            name: format!("around-the-failure-{clients}"),
            title: format!("Throughput around the failure, {who}"),
            caption: "Calls answered in a second, mean of the runs, in steps of 25 ms. The failure is at 0; red is the \
                      longest time without an answer in any run.",
            svg: picture(150 * view.scenarios().len().div_ceil(2) as u32 + 30, |area| view.around_failure(area))?,
        });
        charts.push(Chart {
            name: format!("distribution-{clients}"),
            title: format!("Distribution of response times, {who}"),
            caption: "Which share of all calls was answered within which time, but for account creation and login, which \
                      hash a password.",
            svg: picture(380, |area| view.distribution(area))?,
        });
    }
    if sizes.len() > 1 {
        charts.push(Chart {
            name: "scaling".into(),
            title: "Throughput by number of clients".into(),
            caption: "So many sellers, and as many buyers, each with one call under way at a time.",
            svg: picture(380, |area| scaling(report, &sizes, area))?,
        });
    }
    Ok(charts)
}

fn colour(scenario: Scenario) -> RGBColor {
    let index = Scenario::ALL.iter().position(|known| *known == scenario).unwrap_or(0);
    COLOURS.get(index).copied().unwrap_or(INK)
}

fn ms(value: &f64) -> String {
    match *value {
        value if value >= 1_000.0 => format!("{} s", value / 1_000.0),
        value => format!("{value} ms"),
    }
}

/// A range that holds all of these, with room, for a logarithmic axis of milliseconds.
fn decades(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
    for value in values.filter(|value| *value > 0.0) {
        (low, high) = (low.min(value), high.max(value));
    }
    if high == 0.0 { 0.1..10.0 } else { low * 0.8..(high * 1.25).max(low * 10.0) }
}

/// Which scenario has which colour.
fn legend(scenarios: &[Scenario]) -> Vec<(String, RGBColor)> {
    scenarios.iter().map(|scenario| (scenario.to_string(), colour(*scenario))).collect()
}

/// What the runs with one number of clients tell.
struct View<'a> {
    report: &'a Report,
    clients: usize,
}

impl View<'_> {
    fn scenarios(&self) -> Vec<Scenario> {
        let runs = self.report.runs.iter().filter(|run| run.clients == self.clients);
        let known: BTreeSet<Scenario> = runs.filter_map(|run| run.scenario()).collect();
        known.into_iter().collect()
    }

    fn latencies(&self, scenario: Scenario, function: Function) -> Option<&Latencies> {
        let latencies = self.report.merged.get(&(self.clients, scenario, function));
        latencies.filter(|latencies| latencies.count() > 0)
    }

    /// Those that were called at all.
    fn functions(&self) -> Vec<Function> {
        let called = |function: &Function| {
            self.scenarios().iter().any(|scenario| self.latencies(*scenario, *function).is_some())
        };
        Function::ALL.into_iter().filter(called).collect()
    }

    fn response_times(&self, area: &Area) -> anyhow::Result<()> {
        let (functions, scenarios) = (self.functions(), self.scenarios());
        let figures = |scenario: Scenario, function: Function| {
            let latencies = self.latencies(scenario, function)?;
            Some((latencies.mean_us() / 1e3, latencies.quantile_us(0.99) as f64 / 1e3))
        };
        let every = scenarios.iter().flat_map(|scenario| functions.iter().map(|f| figures(*scenario, *f)));
        let span = decades(every.flatten().flat_map(|(mean, p99)| [mean, p99]));
        let rows = functions.len() as f64;
        let area = &below_legend(area, &legend(&scenarios))?;
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .x_label_area_size(30)
            .y_label_area_size(200)
            .build_cartesian_2d(span.log_scale(), 0.0..rows)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(0)
            .light_line_style(TRANSPARENT)
            .bold_line_style(FAINT)
            .axis_style(FAINT)
            .x_label_formatter(&ms)
            .label_style(text(13))
            .draw()?;
        for (index, function) in functions.iter().enumerate() {
            let middle = rows - index as f64 - 0.5;
            // The chart says where that is in the picture, and draws in its own part of it.
            let (x, y) = chart.backend_coord(&(chart.x_range().start, middle));
            let (left, top) = area.get_base_pixel();
            area.draw(&Text::new(function.name(), (x - left - 190, y - top - 7), text(13)))?;
            let line = rows - index as f64 - 1.0;
            let ends = [(chart.x_range().start, line), (chart.x_range().end, line)];
            chart.draw_series(std::iter::once(PathElement::new(ends, FAINT.mix(0.6))))?;
        }
        let step = 0.8 / scenarios.len().max(1) as f64;
        for (place, scenario) in scenarios.iter().enumerate() {
            let ink = colour(*scenario);
            let mut lines = Vec::new();
            let mut dots = Vec::new();
            for (index, function) in functions.iter().enumerate() {
                let Some((mean, p99)) = figures(*scenario, *function) else { continue };
                let y = rows - index as f64 - 0.1 - step * (place as f64 + 0.5);
                lines.push(PathElement::new([(mean, y), (p99, y)], ink.stroke_width(2)));
                dots.push(Circle::new((mean, y), 3, ink.filled()));
            }
            chart.draw_series(lines)?;
            chart.draw_series(dots)?;
        }
        Ok(())
    }

    fn around_failure(&self, area: &Area) -> anyhow::Result<()> {
        let scenarios = self.scenarios();
        let panels = area.margin(6, 6, 6, 6).split_evenly((scenarios.len().div_ceil(2).max(1), 2));
        let lines: Vec<Vec<(f64, f64)>> =
            scenarios.iter().map(|scenario| self.rate_around(*scenario)).collect();
        let highest = lines.iter().flatten().map(|(_, rate)| *rate).fold(1.0, f64::max) * 1.1;
        for ((scenario, line), panel) in scenarios.iter().zip(lines).zip(&panels) {
            let mut chart = ChartBuilder::on(panel)
                .caption(scenario.to_string(), text(14))
                .margin(4)
                .x_label_area_size(22)
                .y_label_area_size(52)
                .build_cartesian_2d(-1_000.0..2_000.0, 0.0..highest)?;
            if let Some((from, to)) = self.worst_gap(*scenario) {
                let shade =
                    Rectangle::new([(from, 0.0), (to.min(2_000.0), highest)], ALARM.mix(0.35).filled());
                chart.draw_series(std::iter::once(shade))?;
            }
            chart
                .configure_mesh()
                .light_line_style(TRANSPARENT)
                .bold_line_style(FAINT.mix(0.6))
                .axis_style(FAINT)
                .x_labels(4)
                .y_labels(4)
                .x_label_formatter(&ms)
                .y_label_formatter(&|rate| format!("{rate:.0}/s"))
                .label_style(text(12))
                .draw()?;
            chart.draw_series(LineSeries::new(line, colour(*scenario).stroke_width(2)))?;
        }
        Ok(())
    }

    /// Calls a second in each stretch of time, the mean of all runs that reached it.
    fn rate_around(&self, scenario: Scenario) -> Vec<(f64, f64)> {
        let mut stretches = std::collections::BTreeMap::<i64, (u32, u32)>::new();
        for timeline in self.runs(scenario).map(|run| &run.timeline).filter(|line| line.bin_ms > 0) {
            let bin_ms = f64::from(timeline.bin_ms);
            let first = (timeline.from_ms / bin_ms).round() as i64;
            for (index, count) in timeline.successes.iter().enumerate() {
                let (sum, runs) = stretches.entry(first + index as i64).or_default();
                (*sum, *runs) = (*sum + count, *runs + 1);
            }
        }
        let bin_ms = self.runs(scenario).map(|run| f64::from(run.timeline.bin_ms)).fold(1.0, f64::max);
        let point = |(bin, (sum, runs)): (i64, (u32, u32))| {
            ((bin as f64 + 0.5) * bin_ms, f64::from(sum) / f64::from(runs) / bin_ms * 1e3)
        };
        stretches.into_iter().map(point).collect()
    }

    fn worst_gap(&self, scenario: Scenario) -> Option<(f64, f64)> {
        let died = self.runs(scenario).filter(|run| !run.died.is_empty());
        died.map(|run| run.timeline.gap).max_by(|a, b| (a.1 - a.0).total_cmp(&(b.1 - b.0)))
    }

    fn runs(&self, scenario: Scenario) -> impl Iterator<Item = &super::RunReport> {
        let wanted =
            move |run: &&super::RunReport| run.clients == self.clients && run.scenario() == Some(scenario);
        self.report.runs.iter().filter(wanted)
    }

    fn distribution(&self, area: &Area) -> anyhow::Result<()> {
        // The axis is that of high-dynamic-range histograms: each step is a tenth of the calls that are slower.
        const SHARES: [(f64, &str); 5] =
            [(0.0, "0 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %")];
        let place = |share: f64| -(1.0 - share).log10();
        let line = |scenario: &Scenario| -> anyhow::Result<Vec<(f64, f64)>> {
            let mut all = Latencies::new()?;
            for function in self.functions().into_iter().filter(|function| !function.hashes_password()) {
                if let Some(latencies) = self.latencies(*scenario, function) {
                    all.add(latencies);
                }
            }
            // Beyond one call in so many there is nothing to show.
            let end = place(1.0 - 1.0 / all.count().max(10) as f64).min(4.0);
            let points = (0..=200).map(|step| f64::from(step) / 200.0 * end);
            let time = |x: f64| (x, all.quantile_us(1.0 - 10f64.powf(-x)) as f64 / 1e3);
            Ok(points.map(time).collect())
        };
        let scenarios = self.scenarios();
        let lines = scenarios.iter().map(line).collect::<anyhow::Result<Vec<_>>>()?;
        let span = decades(lines.iter().flatten().map(|(_, ms)| *ms));
        let end = lines.iter().flatten().map(|(x, _)| *x).fold(1.0, f64::max);
        let mut chart = ChartBuilder::on(&below_legend(area, &legend(&scenarios))?)
            .margin(10)
            .x_label_area_size(30)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..end, span.log_scale())?;
        let share = |x: &f64| {
            SHARES
                .iter()
                .find(|(share, _)| (place(*share) - x).abs() < 1e-6)
                .map_or("", |(_, name)| name)
                .to_owned()
        };
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(FAINT)
            .axis_style(FAINT)
            .x_labels(5)
            .x_label_formatter(&share)
            .y_label_formatter(&ms)
            .label_style(text(13))
            .draw()?;
        for (scenario, line) in scenarios.iter().zip(lines) {
            chart.draw_series(LineSeries::new(line, colour(*scenario).stroke_width(2)))?;
        }
        Ok(())
    }
}

fn scaling(report: &Report, sizes: &BTreeSet<usize>, area: &Area) -> anyhow::Result<()> {
    let mean = |scenario: Scenario, clients: usize| {
        let runs: Vec<f64> = (View { report, clients }).runs(scenario).map(|run| run.throughput).collect();
        (!runs.is_empty()).then(|| runs.iter().sum::<f64>() / runs.len() as f64)
    };
    let known: BTreeSet<Scenario> = report.runs.iter().filter_map(|run| run.scenario()).collect();
    let line = |scenario: &Scenario| -> Vec<(f64, f64)> {
        sizes.iter().filter_map(|size| Some((*size as f64, mean(*scenario, *size)?))).collect()
    };
    let lines: Vec<(Scenario, Vec<(f64, f64)>)> = known.iter().map(|known| (*known, line(known))).collect();
    let highest = lines.iter().flat_map(|(_, line)| line).map(|(_, rate)| *rate).fold(1.0, f64::max) * 1.1;
    let (least, most) =
        (sizes.first().copied().unwrap_or(1) as f64, sizes.last().copied().unwrap_or(1) as f64);
    let scenarios: Vec<Scenario> = known.iter().copied().collect();
    let mut chart = ChartBuilder::on(&below_legend(area, &legend(&scenarios))?)
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d((least * 0.9..most * 1.1).log_scale(), 0.0..highest)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(FAINT)
        .x_label_formatter(&|clients| format!("{clients:.0} + {clients:.0}"))
        .y_label_formatter(&|rate| format!("{rate:.0}/s"))
        .label_style(text(13))
        .draw()?;
    for (scenario, line) in lines {
        let ink = colour(scenario);
        chart.draw_series(line.iter().map(|at| Circle::new(*at, 3, ink.filled())))?;
        chart.draw_series(LineSeries::new(line, ink.stroke_width(2)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn every_chart_is_a_picture_that_names_what_it_shows() {
        let charts = charts(&report()).unwrap();
        let names: Vec<&str> = charts.iter().map(|chart| chart.name.as_str()).collect();
        assert_eq!(names, ["response-times-1", "around-the-failure-1", "distribution-1"]);
        for chart in &charts {
            assert!(
                chart.svg.starts_with("<svg") && chart.svg.trim_end().ends_with("</svg>"),
                "{}",
                chart.name
            );
            assert!(chart.svg.contains("4: product leader dies"), "{}", chart.name);
        }
        assert!(charts[0].svg.contains("search_items") && !charts[0].svg.contains("make_purchase"));
    }
}
