//! The timeline as a picture: faults as bars, who leads as colours, successes and errors beneath.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::course::Course;
use crate::faults::{Bar, Entry, Fault, Happening};

const WIDTH: f64 = 1180.0;
const LEFT: f64 = 130.0;
const ROW: f64 = 16.0;
const CHART: f64 = 120.0;
const GAP: f64 = 14.0;
/// With more bars than this there is no room to point at one, and what it is called would be most of the page.
const NAMED_BARS_MAX: usize = 500;
/// Colours of nodes, by their numbers.
const NODES: [&str; 6] = ["#4e79a7", "#f28e2b", "#59a14f", "#b07aa1", "#edc948", "#9c755f"];

/// What the picture shows.
pub(super) struct Picture<'a> {
    pub bars: &'a [Bar],
    pub timeline: &'a [Entry],
    pub course: &'a Course,
    pub end_ns: u64,
}

fn color(fault: Fault) -> &'static str {
    match fault {
        Fault::Kill | Fault::KillAll => "#c0392b",
        Fault::Terminate | Fault::Roll => "#e67e22",
        Fault::Pause => "#8e44ad",
        Fault::Isolate | Fault::Disconnect => "#2c3e50",
        Fault::Deafen | Fault::Mute => "#5d6d7e",
        Fault::Slow => "#95a5a6",
        Fault::Wipe => "#641e16",
        Fault::ClockAhead | Fault::ClockBehind => "#16a085",
        Fault::SlowDisk | Fault::FullDisk => "#a04000",
    }
}

/// Text within XML.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

impl Picture<'_> {
    /// As SVG.
    pub fn draw(&self) -> String {
        let mut rows: BTreeMap<&str, Vec<&Bar>> = BTreeMap::new();
        for bar in self.bars {
            rows.entry(&bar.process).or_default().push(bar);
        }
        let mut svg = String::new();
        let mut y = self.legend(&mut svg) + GAP;
        for (process, bars) in &rows {
            self.label(&mut svg, y, process);
            bars.iter().for_each(|bar| self.bar(&mut svg, y, bar));
            y += ROW;
        }
        y += GAP;
        for group in ["product term", "customer epoch"] {
            self.label(&mut svg, y, group);
            self.leaders(&mut svg, y, group);
            y += ROW + 4.0;
        }
        y += GAP;
        self.label(&mut svg, y + 4.0, "done per second");
        self.columns(&mut svg, y, "#27ae60", |counts| counts.ok);
        y += CHART + GAP;
        self.label(&mut svg, y + 4.0, "refused per second");
        self.columns(&mut svg, y, "#f1c40f", |counts| counts.refused);
        y += CHART + GAP;
        self.label(&mut svg, y + 4.0, "failed per second");
        self.columns(&mut svg, y, "#c0392b", |counts| counts.failed);
        y += CHART;
        self.axis(&mut svg, y);
        let (width, height) = (WIDTH + 20.0, y + 30.0);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
             font-size=\"11\">{svg}</svg>"
        )
    }

    /// Which colour is which fault. Gives where it ends.
    fn legend(&self, svg: &mut String) -> f64 {
        let faults: BTreeSet<Fault> = self.bars.iter().map(|bar| bar.fault).collect();
        let (mut x, mut y) = (LEFT, 3.0);
        for fault in faults {
            let text = fault.to_string();
            let width = 30.0 + 6.0 * text.len() as f64;
            if x + width > WIDTH {
                (x, y) = (LEFT, y + ROW);
            }
            // Writing into a string does not fail.
            let _ = write!(
                svg,
                "<rect x=\"{x}\" y=\"{y}\" width=\"10\" height=\"10\" fill=\"{}\"/><text x=\"{}\" y=\"{}\">{text}</text>",
                color(fault),
                x + 14.0,
                y + 9.0
            );
            x += width;
        }
        y + ROW
    }

    fn x(&self, at_ns: u64) -> f64 {
        LEFT + (WIDTH - LEFT) * (at_ns.min(self.end_ns) as f64 / self.end_ns.max(1) as f64)
    }

    fn label(&self, svg: &mut String, y: f64, text: &str) {
        // Writing into a string does not fail.
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            y + 11.0,
            escaped(text)
        );
    }

    fn rect(
        &self,
        svg: &mut String,
        (from_ns, to_ns): (u64, u64),
        (y, height): (f64, f64),
        style: &str,
        title: &str,
    ) {
        let (x, width) = (self.x(from_ns), (self.x(to_ns) - self.x(from_ns)).max(1.5));
        let _ = write!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" {style}"
        );
        if self.bars.len() > NAMED_BARS_MAX {
            svg.push_str("/>");
        } else {
            let _ = write!(svg, "><title>{}</title></rect>", escaped(title));
        }
    }

    /// In full colour until it was undone, lighter until the process was ready.
    fn bar(&self, svg: &mut String, y: f64, bar: &Bar) {
        let seconds = |ns: u64| ns as f64 / 1e9;
        let title = format!(
            "{} is {}: {:.2} s to {:.2} s, ready at {:.2} s",
            bar.process,
            bar.fault,
            seconds(bar.from_ns),
            seconds(bar.undone_ns),
            seconds(bar.ready_ns)
        );
        let fill = color(bar.fault);
        let (full, light) = (format!("fill=\"{fill}\""), format!("fill=\"{fill}\" opacity=\"0.35\""));
        self.rect(svg, (bar.undone_ns, bar.ready_ns), (y + 1.0, ROW - 3.0), &light, &title);
        self.rect(svg, (bar.from_ns, bar.undone_ns), (y + 1.0, ROW - 3.0), &full, &title);
    }

    fn leaders(&self, svg: &mut String, y: f64, wanted: &str) {
        let leads: Vec<(u64, &String, u64)> = self
            .timeline
            .iter()
            .filter_map(|entry| match &entry.happening {
                Happening::Leads { group, process, term } if *group == wanted => {
                    Some((entry.at_ns, process, *term))
                }
                _ => None,
            })
            .collect();
        for (at, (from_ns, process, term)) in leads.iter().enumerate() {
            let to_ns = leads.get(at + 1).map_or(self.end_ns, |(next_ns, ..)| *next_ns);
            let number = process.rsplit('-').next().and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
            let style = format!("fill=\"{}\"", NODES[number % NODES.len()]);
            self.rect(svg, (*from_ns, to_ns), (y, ROW), &style, &format!("{wanted} {term}: {process}"));
            if self.x(to_ns) - self.x(*from_ns) > 60.0 {
                let _ = write!(
                    svg,
                    "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"white\">{} ({term})</text>",
                    self.x(*from_ns) + 4.0,
                    y + 12.0,
                    escaped(process)
                );
            }
        }
    }

    fn columns(&self, svg: &mut String, y: f64, fill: &str, count: impl Fn(&super::course::Counts) -> u64) {
        let Course { step_ns, steps } = self.course;
        let per_second = |counts| count(counts) as f64 * 1e9 / *step_ns as f64;
        let most = steps.iter().map(per_second).fold(1.0, f64::max);
        let style = format!("fill=\"{fill}\"");
        let mut from_ns = 0;
        for counts in steps {
            let rate = per_second(counts);
            let height = CHART * rate / most;
            if height > 0.0 {
                let (to_ns, title) = (from_ns + step_ns, format!("{:.1} s: {rate:.0}", from_ns as f64 / 1e9));
                self.rect(svg, (from_ns, to_ns), (y + CHART - height, height), &style, &title);
            }
            from_ns += step_ns;
        }
        let (x, bottom) = (LEFT - 8.0, y + CHART);
        let _ = write!(
            svg,
            "<text x=\"{x}\" y=\"{bottom}\" text-anchor=\"end\" fill=\"#777\">at most {most:.0}</text>\
             <line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{bottom}\" y2=\"{bottom}\" stroke=\"#bbb\"/>"
        );
    }

    fn axis(&self, svg: &mut String, y: f64) {
        let seconds = self.end_ns / 1_000_000_000;
        let every =
            [1, 2, 5, 10, 30, 60, 300, 600].into_iter().find(|every| seconds / every <= 20).unwrap_or(3_600);
        for second in (0..=seconds).step_by(every as usize) {
            let x = self.x(second * 1_000_000_000);
            let _ = write!(
                svg,
                "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555\">{second} s</text>",
                y + 16.0
            );
        }
    }
}
