//! All steps of a sweep, what they say of the promises that goodput stays near its peak and that the rest is told so at once,
//! and the same for people.

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
/// …and 99 of 100 refusals are told within this.
const TOLD_WITHIN_US: u64 = 10_000;

/// The whole curve.
#[derive(Debug, Serialize)]
pub(crate) struct Curve {
    pub about: About,
    pub op: &'static str,
    pub seconds: u64,
    pub capacity_per_s: f64,
    pub steps: Vec<AtMultiple>,
    pub verdict: Verdict,
    pub told: Told,
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

/// What a curve says of the promise that refusals are told at once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub(crate) enum Told {
    /// It holds at this load, and at all others where the promise does.
    Kept { multiple: f64, p99_us: u64 },
    /// Here they are told last.
    NotKept { multiple: f64, p99_us: u64 },
    /// There was no load high enough, or the callers were so late themselves that they can't tell.
    NotJudged,
}

/// What the promises are judged by.
fn judged(steps: &[AtMultiple]) -> impl Iterator<Item = &AtMultiple> {
    // Where more than half of what was asked for is done, the capacity is higher than it was taken for.
    let too_much = |at: &&AtMultiple| at.step.goodput_per_s <= at.step.offered_per_s / 2.0;
    steps.iter().filter(|at| at.multiple >= PROMISED_AT).filter(too_much)
}

impl Told {
    fn of(steps: &[AtMultiple]) -> Self {
        let refusing = judged(steps).filter(|at| at.step.refused_per_s > 0.0);
        let Some(last) = refusing.max_by_key(|at| at.step.refused_p99_us) else { return Told::NotJudged };
        let (multiple, p99_us) = (last.multiple, last.step.refused_p99_us);
        if p99_us <= TOLD_WITHIN_US {
            Told::Kept { multiple, p99_us }
        } else if last.step.behind_p99_us > TOLD_WITHIN_US {
            // So late do they send what is due, and notice what has come.
            Told::NotJudged
        } else {
            Told::NotKept { multiple, p99_us }
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |us: u64| us as f64 / 1000.0;
        let promise = ms(TOLD_WITHIN_US);
        let mut told = |verdict: &str, multiple: f64, p99_us: u64| {
            let p99 = ms(p99_us);
            write!(
                f,
                "{verdict}: at {multiple} × the capacity 99 % of the refusals are told within {p99:.1} ms; promised are {promise} ms"
            )
        };
        match *self {
            Told::Kept { multiple, p99_us } => told("kept", multiple, p99_us),
            Told::NotKept { multiple, p99_us } => told("not kept", multiple, p99_us),
            Told::NotJudged => write!(
                f,
                "not judged: refusals are promised within {promise} ms at {PROMISED_AT} × the capacity; no load was so high, or \
                 the callers were later than that themselves"
            ),
        }
    }
}

impl Verdict {
    fn of(steps: &[AtMultiple]) -> Self {
        match judged(steps).min_by(|a, b| a.share_of_peak.total_cmp(&b.share_of_peak)) {
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
        let (verdict, told) = (Verdict::of(&steps), Told::of(&steps));
        Curve { about: About::here(), op: op.as_str(), seconds, capacity_per_s, steps, verdict, told }
    }

    /// Whether both promises are kept; none if one is not judged and neither is broken.
    pub fn is_kept(&self) -> Option<bool> {
        match (self.verdict, self.told) {
            (Verdict::NotKept { .. }, _) | (_, Told::NotKept { .. }) => Some(false),
            (Verdict::Kept { .. }, Told::Kept { .. }) => Some(true),
            (Verdict::NotJudged, _) | (_, Told::NotJudged) => None,
        }
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
        format!("{}\n{table}\n{}\n{}", self.notes(), self.verdict, self.told)
    }

    fn markdown(&self, title: &str, caption: &str) -> String {
        let About { date, machine, version, command } = &self.about;
        let mut text = format!(
            "# What is still done when too much is asked for\n\n{date} · {machine} · version {version}\n\n```\n{command}\n```\n\n\
             {} Refusals are 429 and 503; how soon they are told counts from when their calls were sent. The callers run on the \
             same machine, and nobody repeats a call.\n\n- **{}**\n- **{}**\n\n",
            self.notes(),
            self.verdict,
            self.told
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
    fn refusals_are_judged_where_they_come_last_and_only_by_callers_who_are_in_time() {
        let told = |refused_p99_us, behind_p99_us| {
            let mut steps = curve(&[(1.0, 100.0), (3.0, 90.0), (5.0, 90.0)]).steps;
            steps[0].step.refused_p99_us = 50_000;
            (steps[2].step.refused_p99_us, steps[2].step.behind_p99_us) = (refused_p99_us, behind_p99_us);
            Told::of(&steps)
        };
        assert_eq!(told(10_000, 500), Told::Kept { multiple: 5.0, p99_us: 10_000 });
        assert_eq!(told(10_000, 90_000), Told::Kept { multiple: 5.0, p99_us: 10_000 });
        assert_eq!(told(10_001, 10_000), Told::NotKept { multiple: 5.0, p99_us: 10_001 });
        assert_eq!(told(10_001, 10_001), Told::NotJudged);
        assert_eq!(curve(&[(2.0, 10.0)]).told, Told::NotJudged);
        assert!(
            told(25_250, 0).to_string().starts_with("not kept: at 5 × the capacity 99 % of the refusals")
        );
    }

    #[test]
    fn both_promises_must_be_kept_and_judged() {
        let kept = |steps: &[(f64, f64)], p99_us| {
            let mut curve = curve(steps);
            curve.steps.iter_mut().for_each(|at| at.step.refused_p99_us = p99_us);
            curve.told = Told::of(&curve.steps);
            curve.is_kept()
        };
        assert_eq!(kept(&[(1.0, 100.0), (3.0, 90.0)], 1_000), Some(true));
        assert_eq!(kept(&[(1.0, 100.0), (3.0, 70.0)], 1_000), Some(false));
        assert_eq!(kept(&[(1.0, 100.0), (3.0, 90.0)], 20_000), Some(false));
        assert_eq!(kept(&[(1.0, 100.0)], 1_000), None);
    }

    #[test]
    fn programs_and_people_are_told_the_verdict() {
        let curve = curve(&[(1.0, 100.0), (3.0, 90.0)]);
        let told = serde_json::to_value(&curve).unwrap();
        let verdict = serde_json::json!({"verdict": "kept", "multiple": 3.0, "share_of_peak": 0.9});
        assert_eq!(told["verdict"], verdict);
        let verdict = serde_json::json!({"verdict": "kept", "multiple": 3.0, "p99_us": 1_000});
        assert_eq!(told["told"], verdict);
        let text = curve.text();
        let last: Vec<_> = text.lines().rev().take(2).collect();
        assert!(last[1].starts_with("kept: ") && last[1].ends_with("promised are 80.0 %"), "{text}");
        assert!(last[0].starts_with("kept: ") && last[0].ends_with("promised are 10 ms"), "{text}");
        let markdown = curve.markdown("Title", "Caption.");
        assert!(markdown.contains("**kept: at 3 × the capacity 90.0 % of the peak"), "{markdown}");
        assert!(markdown.contains("**kept: at 3 × the capacity 99 % of the refusals are told within 1.0 ms"));
        assert!(markdown.contains("| 3 × | 300 | 90 | 90 % |"), "{markdown}");
        assert!(markdown.contains("![Title](overload.svg)"), "{markdown}");
    }
}
