//! Two reports side by side: the ratio of each figure, how sure it is, and a verdict.
//!
//! Runs of the same scenario, number of clients and run number are pairs, made one right after the other. The mean of the logarithms of
//! their ratios has Student's t distribution (Student, "The probable error of a mean", 1908), which gives the interval.

use std::collections::BTreeMap;

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{Report, RunReport};

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Figure {
    pub clients: usize,
    pub scenario: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// A function, whose mean time is compared; none for the throughput over all of them.
    pub function: Option<String>,
}

/// What the pairs of runs say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Better,
    Worse,
    /// The interval holds 1.
    NoDifferenceShown,
    /// One pair, or none.
    TooFewRuns,
}

/// A figure of the second report by that of the first.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Comparison {
    #[serde(flatten)]
    pub figure: Figure,
    pub pairs: usize,
    /// The geometric mean of the pairs' ratios.
    pub ratio: f64,
    /// Where the true ratio lies, with the confidence asked for.
    pub interval: Option<(f64, f64)>,
    pub verdict: Verdict,
}

/// Every figure that both reports have, with intervals of this confidence (0 to 1).
pub(crate) fn compare(first: &Report, second: &Report, confidence: f64) -> Vec<Comparison> {
    let (first, second) = (figures(first), figures(second));
    let both = first.into_iter().filter_map(|(figure, runs)| {
        let others = second.get(&figure)?;
        let ratios: Vec<f64> =
            runs.iter().filter_map(|(run, value)| Some((others.get(run)? / value).ln())).collect();
        (!ratios.is_empty()).then(|| comparison(figure, &ratios, confidence))
    });
    both.collect()
}

/// By run number; only what can be divided.
type Runs = BTreeMap<usize, f64>;

fn figures(report: &Report) -> BTreeMap<Figure, Runs> {
    let mut figures: BTreeMap<Figure, Runs> = BTreeMap::new();
    let complete = report.runs.iter().filter(|run| run.complete);
    for run in complete {
        let mut add = |function: Option<&String>, value: f64| {
            if value.is_finite() && value > 0.0 {
                figures.entry(figure(run, function)).or_default().insert(run.run, value);
            }
        };
        add(None, run.throughput);
        for (name, function) in &run.functions {
            add(Some(name), function.mean_ms);
        }
    }
    figures
}

fn figure(run: &RunReport, function: Option<&String>) -> Figure {
    Figure {
        clients: run.clients,
        scenario: run.number,
        variant: run.variant.clone(),
        function: function.cloned(),
    }
}

fn comparison(figure: Figure, logarithms: &[f64], confidence: f64) -> Comparison {
    let count = logarithms.len() as f64;
    let mean = logarithms.iter().sum::<f64>() / count;
    let interval = half_width(logarithms, mean, confidence)
        .map(|half_width| ((mean - half_width).exp(), (mean + half_width).exp()));
    // Of times less is better, of throughput more.
    let (below, above) = match figure.function {
        Some(_) => (Verdict::Better, Verdict::Worse),
        None => (Verdict::Worse, Verdict::Better),
    };
    let verdict = match interval {
        None => Verdict::TooFewRuns,
        Some((_, high)) if high < 1.0 => below,
        Some((low, _)) if low > 1.0 => above,
        Some(_) => Verdict::NoDifferenceShown,
    };
    Comparison { figure, pairs: logarithms.len(), ratio: mean.exp(), interval, verdict }
}

/// Half of the interval's width, on the logarithms' scale.
fn half_width(logarithms: &[f64], mean: f64, confidence: f64) -> Option<f64> {
    let freedom = logarithms.len().checked_sub(1).filter(|freedom| *freedom > 0)? as f64;
    let squares: f64 = logarithms.iter().map(|value| (value - mean).powi(2)).sum();
    let error_of_mean = (squares / freedom / logarithms.len() as f64).sqrt();
    let student = StudentsT::new(0.0, 1.0, freedom).ok()?;
    Some(student.inverse_cdf(0.5 + confidence / 2.0) * error_of_mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(function: Option<&str>) -> Figure {
        Figure { clients: 1, scenario: 1, variant: None, function: function.map(str::to_owned) }
    }

    fn of(function: Option<&str>, ratios: &[f64]) -> Comparison {
        let logarithms: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
        comparison(figure(function), &logarithms, 0.95)
    }

    #[test]
    fn a_steady_ratio_is_a_verdict_and_its_direction_depends_on_the_figure() {
        let shorter = [0.5, 0.52, 0.48, 0.5];
        assert_eq!(of(Some("search_items"), &shorter).verdict, Verdict::Better);
        assert_eq!(of(None, &shorter).verdict, Verdict::Worse);
        let longer = [2.0, 2.1, 1.9];
        assert_eq!(of(Some("search_items"), &longer).verdict, Verdict::Worse);
        assert_eq!(of(None, &longer).verdict, Verdict::Better);
    }

    #[test]
    fn noise_is_no_verdict_and_one_pair_is_none_at_all() {
        assert_eq!(of(None, &[0.7, 1.5, 1.1, 0.8]).verdict, Verdict::NoDifferenceShown);
        let one = of(None, &[0.1]);
        assert_eq!((one.verdict, one.interval), (Verdict::TooFewRuns, None));
    }

    #[test]
    fn the_interval_is_students() {
        // Two pairs: one degree of freedom, whose 97.5 % point is 12.706 (any table of t).
        let comparison = of(None, &[1.0_f64.exp(), 3.0_f64.exp()]);
        let (low, high) = comparison.interval.unwrap();
        assert!((comparison.ratio.ln() - 2.0).abs() < 1e-9);
        assert!((low.ln() - (2.0 - 12.706)).abs() < 0.01 && (high.ln() - (2.0 + 12.706)).abs() < 0.01);
    }

    #[test]
    fn runs_are_paired_by_their_numbers() {
        use super::super::report::tests::report;
        let (mut first, mut second) = (report(), report());
        first.runs[0].complete = true;
        second.runs[0].complete = true;
        second.runs[0].throughput *= 2.0;
        let compared = compare(&first, &second, 0.95);
        let throughput = compared.iter().find(|row| row.figure.function.is_none()).unwrap();
        assert!((throughput.ratio - 2.0).abs() < 1e-9 && throughput.pairs == 1);
        second.runs[0].run = 7;
        assert!(compare(&first, &second, 0.95).is_empty());
    }
}
