//! All steps of a sweep, what they say of the promise that goodput stays near its peak, and the same for people.

use std::fmt;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use super::chart::chart;
use super::step::Step;
use crate::bench::load::Op;
use crate::bench::scenarios::About;
use crate::cli::out;

/// At this load, as a multiple of the capacity, and beyond…
pub(super) const PROMISED_AT: f64 = 3.0;
/// …this share of the highest goodput is still done.
pub(super) const PROMISED_SHARE: f64 = 0.8;

/// The whole curve.
#[derive(Debug, Serialize)]
pub(crate) struct Curve {
    pub about: About,
    pub op: &'static str,
    pub seconds: u64,
    pub capacity_per_s: f64,
    pub steps: Vec<AtMultiple>,
    pub verdict: Verdict,
}

/// A step, and where it stands.
#[derive(Debug, Serialize)]
pub(crate) struct AtMultiple {
    pub multiple: f64,
    #[serde(flatten)]
    pub step: Step,
    /// Of the highest goodput of all steps.
    pub share_of_peak: f64,
}

/// What a curve says of the promise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// It holds at this load, and at all higher ones that were tried.
    Kept { multiple: f64, share_of_peak: f64 },
    /// Here least is done.
    NotKept { multiple: f64, share_of_peak: f64 },
    /// There was no load high enough: none was tried, or it could all be done.
    NotJudged,
}

impl Verdict {
    fn of(steps: &[AtMultiple]) -> Self {
        // Where more than half of what was asked for is done, the capacity is higher than it was taken for.
        let too_much = |at: &&AtMultiple| at.step.goodput_per_s <= at.step.offered_per_s / 2.0;
        let judged = steps.iter().filter(|at| at.multiple >= PROMISED_AT).filter(too_much);
        match judged.min_by(|a, b| a.share_of_peak.total_cmp(&b.share_of_peak)) {
            None => Verdict::NotJudged,
            Some(&AtMultiple { multiple, share_of_peak, .. }) if share_of_peak >= PROMISED_SHARE => {
                Verdict::Kept { multiple, share_of_peak }
            }
            Some(&AtMultiple { multiple, share_of_peak, .. }) => Verdict::NotKept { multiple, share_of_peak },
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let promise = percent(PROMISED_SHARE);
        match *self {
            Verdict::Kept { multiple, share_of_peak } => {
                let share = percent(share_of_peak);
                write!(
                    f,
                    "kept: at {multiple} × the capacity {share} of the peak is done; promised are {promise}"
                )
            }
            Verdict::NotKept { multiple, share_of_peak } => {
                let share = percent(share_of_peak);
                write!(
                    f,
                    "not kept: at {multiple} × the capacity {share} of the peak is done; promised are {promise}"
                )
            }
            Verdict::NotJudged => {
                write!(
                    f,
                    "not judged: {promise} of the peak are promised at {PROMISED_AT} × the capacity; no load was so high"
                )
            }
        }
    }
}

const HEADER: [&str; 14] = [
    "load",
    "calls/s",
    "done/s",
    "of peak",
    "p50",
    "p99",
    "refused/s",
    "told p50",
    "told p99",
    "late",
    "failed",
    "behind p50",
    "behind p99",
    "callers",
];

impl AtMultiple {
    fn cells(&self) -> [String; 14] {
        let ms = |us: u64| if us == 0 { "-".to_owned() } else { format!("{:.1} ms", us as f64 / 1000.0) };
        let step = &self.step;
        [
            format!("{} ×", self.multiple),
            format!("{:.0}", step.offered_per_s),
            format!("{:.0}", step.goodput_per_s),
            format!("{:.0} %", self.share_of_peak * 100.0),
            ms(step.p50_us),
            ms(step.p99_us),
            format!("{:.0}", step.refused_per_s),
            ms(step.refused_p50_us),
            ms(step.refused_p99_us),
            step.late.to_string(),
            step.failed.to_string(),
            ms(step.behind_p50_us),
            ms(step.behind_p99_us),
            format!("{:.0} %", step.callers_share * 100.0),
        ]
    }
}

impl Curve {
    /// The curve through these steps: multiples of the capacity, and what was done there.
    pub fn new(op: Op, seconds: u64, capacity_per_s: f64, steps: Vec<(f64, Step)>) -> Self {
        let peak = steps.iter().map(|(_, step)| step.goodput_per_s).fold(f64::MIN_POSITIVE, f64::max);
        let steps = steps.into_iter().map(|(multiple, step)| AtMultiple {
            multiple,
            share_of_peak: (step.goodput_per_s / peak * 1000.0).round() / 1000.0,
            step,
        });
        let steps: Vec<_> = steps.collect();
        let verdict = Verdict::of(&steps);
        Curve { about: About::here(), op: op.as_str(), seconds, capacity_per_s, steps, verdict }
    }

    fn notes(&self) -> String {
        format!(
            "{} at the buyer frontends, {} s at each rate; capacity {:.0} /s. Done: within 1 s of when the call was due. \
             Callers: what they took of this machine's processors; behind: how late they sent what was due, and so \
             noticed what was told.",
            self.op, self.seconds, self.capacity_per_s
        )
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut table = out::table();
        table.set_header(HEADER);
        for step in &self.steps {
            table.add_row(step.cells());
        }
        format!("{}\n{table}\n{}", self.notes(), self.verdict)
    }

    fn markdown(&self, title: &str, caption: &str) -> String {
        let About { date, machine, version, command } = &self.about;
        let mut text = format!(
            "# What is still done when too much is asked for\n\n{date} · {machine} · version {version}\n\n```\n{command}\n```\n\n\
             {} Refusals are 429 and 503; how soon they are told counts from when their calls were sent. The callers run on the \
             same machine, and nobody repeats a call.\n\n**{}**\n\n",
            self.notes(),
            self.verdict
        );
        text += &format!("| {} |\n|{}\n", HEADER.join(" | "), "---:|".repeat(HEADER.len()));
        for step in &self.steps {
            text += &format!("| {} |\n", step.cells().join(" | "));
        }
        text + &format!("\n![{title}](overload.svg)\n\n*{title}. {caption}*\n")
    }

    /// Writes `overload.md`, `overload.svg` and `overload.json` into a folder, which is made if it isn't there.
    ///
    /// # Errors
    /// It can't be written, or drawn.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("can't make the folder {}", folder.display()))?;
        let chart = chart(self).context("can't draw the chart")?;
        let file = |ending: &str, text: &str| {
            let path = folder.join(&chart.name).with_extension(ending);
            std::fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))
        };
        file("svg", &chart.svg)?;
        file("json", &(serde_json::to_string(self)? + "\n"))?;
        file("md", &self.markdown(&chart.title, chart.caption))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A curve through these: multiples of 100 calls a second, and how many of them were done.
    pub(in crate::bench::overload) fn curve(done: &[(f64, f64)]) -> Curve {
        let step = |(multiple, goodput_per_s): &(f64, f64)| {
            let offered_per_s = multiple * 100.0;
            let step = Step {
                offered_per_s,
                goodput_per_s: *goodput_per_s,
                p50_us: 2_000,
                p99_us: 9_000,
                refused_per_s: offered_per_s - goodput_per_s,
                refused_p50_us: 300,
                refused_p99_us: 1_000,
                late: 0,
                failed: 0,
                behind_p50_us: 100,
                behind_p99_us: 500,
                callers_share: 0.1,
            };
            (*multiple, step)
        };
        Curve::new(Op::Write, 5, 100.0, done.iter().map(step).collect())
    }

    #[test]
    fn the_promise_is_judged_where_least_is_done_at_three_times_the_capacity_and_beyond() {
        let verdict = |done: &[(f64, f64)]| curve(done).verdict;
        let kept = Verdict::Kept { multiple: 3.0, share_of_peak: 0.8 };
        assert_eq!(verdict(&[(1.0, 100.0), (2.0, 10.0), (3.0, 80.0), (5.0, 90.0)]), kept);
        let not_kept = Verdict::NotKept { multiple: 5.0, share_of_peak: 0.799 };
        assert_eq!(verdict(&[(1.0, 100.0), (3.0, 95.0), (5.0, 79.9)]), not_kept);
        assert_eq!(verdict(&[(0.5, 50.0), (2.0, 10.0)]), Verdict::NotJudged);
        assert_eq!(verdict(&[(1.0, 100.0), (3.0, 290.0)]), Verdict::NotJudged, "that was not too much");
        assert_eq!(verdict(&[(3.0, 0.0)]), Verdict::NotKept { multiple: 3.0, share_of_peak: 0.0 });
        assert!(not_kept.to_string().starts_with("not kept: at 5 × the capacity 79.9 % of the peak"));
    }

    #[test]
    fn programs_and_people_are_told_the_verdict() {
        let curve = curve(&[(1.0, 100.0), (3.0, 90.0)]);
        let told = serde_json::to_value(&curve).unwrap();
        let verdict = serde_json::json!({"verdict": "kept", "multiple": 3.0, "share_of_peak": 0.9});
        assert_eq!(told["verdict"], verdict);
        assert!(curve.text().ends_with("promised are 80.0 %"), "{}", curve.text());
        let markdown = curve.markdown("Title", "Caption.");
        assert!(markdown.contains("**kept: at 3 × the capacity 90.0 % of the peak"), "{markdown}");
        assert!(markdown.contains("| 3 × | 300 | 90 | 90 % |"), "{markdown}");
        assert!(markdown.contains("![Title](overload.svg)"), "{markdown}");
    }
}
