//! The timeline as a picture: faults as bars, who leads as colours, successes and errors beneath.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::course::Course;
use crate::faults::{Bar, Entry, Fault, Happening};

/// How wide the course of a run is: so much, or more if there would be less than so much for a second.
const WIDTH_MIN: f64 = 1040.0;
const SECOND_WIDTH_MIN: f64 = 3.0;
/// More than that nobody scrolls, and browsers do not like to draw.
const WIDTH_MAX: f64 = 30_000.0;
/// Names stand beside it, and stay when it is scrolled.
const NAMES_WIDTH: f64 = 130.0;
/// The legend has to do without scrolling.
const LEGEND_WIDTH: f64 = 1040.0;
/// Room for the last number of the axis.
const MARGIN: f64 = 24.0;
/// Numbers of the axis are so far apart at least.
const TICK_WIDTH_MIN: f64 = 55.0;
const ROW: f64 = 16.0;
const CHART: f64 = 120.0;
const GAP: f64 = 14.0;
/// Colours of nodes, by their numbers.
const NODES: [&str; 6] = ["#4e79a7", "#f28e2b", "#59a14f", "#b07aa1", "#edc948", "#9c755f"];

/// What is wrong all the time.
const BACKGROUND: &str = "#cfd8dc";
/// Terms and epochs that follow each other have two shades, so that two of one node can be told apart.
const SHADES: [&str; 2] = ["1", "0.62"];

/// What the picture shows.
pub(super) struct Picture<'a> {
    pub bars: &'a [Bar],
    pub timeline: &'a [Entry],
    pub course: &'a Course,
    pub end_ns: u64,
}

/// The colour of a fault, and whether it is striped: variants of a fault have its colour, and stripes.
fn paint(fault: Fault) -> (&'static str, Stripes) {
    use Stripes::{Crossed, No, Yes};
    match fault {
        Fault::Kill => ("#d63031", No),
        Fault::KillAll => ("#d63031", Yes),
        Fault::KillEverything => ("#d63031", Crossed),
        Fault::Wipe => ("#6d1410", No),
        Fault::Terminate => ("#e67e22", No),
        Fault::Roll => ("#e67e22", Yes),
        Fault::Pause => ("#8e44ad", No),
        Fault::Isolate => ("#1f3a93", No),
        Fault::Disconnect => ("#1f3a93", Yes),
        Fault::Deafen => ("#3498db", No),
        Fault::Mute => ("#3498db", Yes),
        Fault::CutLink => ("#00838f", No),
        Fault::CutOneWay => ("#00838f", Yes),
        Fault::Slow => ("#7f8c8d", No),
        Fault::BadLinks => ("#7f8c8d", Yes),
        Fault::ClockAhead => ("#27ae60", No),
        Fault::ClockBehind => ("#27ae60", Yes),
        Fault::SlowDisk => ("#b7950b", No),
        Fault::StuckDisk => ("#b7950b", Yes),
        Fault::FullDisk => ("#b7950b", Crossed),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stripes {
    No,
    Yes,
    Crossed,
}

/// What a fault is filled with.
fn fill(fault: Fault) -> String {
    match paint(fault) {
        (color, Stripes::No) => color.to_owned(),
        (color, stripes) => format!("url(#{})", pattern(color, stripes)),
    }
}

fn pattern(color: &str, stripes: Stripes) -> String {
    format!(
        "{}-{}",
        if stripes == Stripes::Yes { "striped" } else { "crossed" },
        color.trim_start_matches('#')
    )
}

/// Text within XML.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

impl Picture<'_> {
    /// As SVG within HTML: the names, and beside them what happened, which can be scrolled if it is long.
    pub fn draw(&self) -> String {
        let mut rows: BTreeMap<&str, Vec<&Bar>> = BTreeMap::new();
        for bar in self.bars {
            rows.entry(&bar.process).or_default().push(bar);
        }
        let (mut names, mut svg) = (String::new(), String::new());
        let mut y = 0.0;
        if let Some(what) = self.background() {
            name(&mut names, y, "all links");
            let style = format!("fill=\"{BACKGROUND}\"");
            self.rect(&mut svg, (0, self.end_ns), (y + 1.0, ROW - 3.0), &style, what);
            y += ROW;
        }
        for (process, bars) in &rows {
            name(&mut names, y, process);
            bars.iter().for_each(|bar| self.bar(&mut svg, y, bar));
            y += ROW;
        }
        y += GAP;
        for group in ["product term", "customer epoch"] {
            name(&mut names, y, group);
            self.leaders(&mut svg, y, group);
            y += ROW + 4.0;
        }
        y += GAP;
        name(&mut names, y + 4.0, "done per second");
        self.columns(&mut names, &mut svg, y, "#27ae60", |counts| counts.ok);
        y += CHART + GAP;
        name(&mut names, y + 4.0, "refused per second");
        self.columns(&mut names, &mut svg, y, "#f1c40f", |counts| counts.refused);
        y += CHART + GAP;
        name(&mut names, y + 4.0, "failed per second");
        self.columns(&mut names, &mut svg, y, "#c0392b", |counts| counts.failed);
        y += CHART;
        let grid = self.axis(&mut svg, y);
        let (legend, legend_height) = self.legend();
        let (height, width) = (y + 30.0, self.width() + MARGIN);
        format!(
            "{legend}<div class=picture>{names}<div class=course>{course}</div></div>",
            legend = svg_of(LEGEND_WIDTH, legend_height, &format!("{}{legend}", self.patterns())),
            names = svg_of(NAMES_WIDTH, height, &names),
            course = svg_of(width, height, &format!("{grid}{svg}")),
        )
    }

    /// The stripes of the faults that there were.
    fn patterns(&self) -> String {
        let striped: BTreeSet<(&str, Stripes)> = self.bars.iter().map(|bar| paint(bar.fault)).collect();
        let mut defs = "<defs>".to_owned();
        for (color, stripes) in striped.into_iter().filter(|(_, stripes)| *stripes != Stripes::No) {
            let cross = if stripes == Stripes::Crossed {
                "<rect width=\"5\" height=\"1.5\" fill=\"white\"/>"
            } else {
                ""
            };
            let _ = write!(
                defs,
                "<pattern id=\"{}\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" \
                 patternTransform=\"rotate(45)\"><rect width=\"5\" height=\"5\" fill=\"{color}\"/>\
                 <rect width=\"1.5\" height=\"5\" fill=\"white\"/>{cross}</pattern>",
                pattern(color, stripes)
            );
        }
        defs + "</defs>"
    }

    fn background(&self) -> Option<&str> {
        self.timeline.iter().find_map(|entry| match &entry.happening {
            Happening::Background { ails } => Some(ails.as_str()),
            _ => None,
        })
    }

    /// Which colour is which fault, and which node leads. And how high that is.
    fn legend(&self) -> (String, f64) {
        let faults: BTreeSet<Fault> = self.bars.iter().map(|bar| bar.fault).collect();
        let mut entries: Vec<(String, String)> =
            faults.into_iter().map(|fault| (fill(fault), fault.to_string())).collect();
        entries.extend(self.background().map(|what| (BACKGROUND.to_owned(), what.to_owned())));
        let mut svg = String::new();
        let y = swatches(&mut svg, 3.0, "Faults, light until the process was ready again:", &entries);
        let leaders: BTreeSet<usize> = self
            .timeline
            .iter()
            .filter_map(|entry| match &entry.happening {
                Happening::Leads { process, .. } => Some(number(process)),
                _ => None,
            })
            .collect();
        let entries: Vec<(String, String)> = leaders
            .into_iter()
            .map(|number| (NODES[number % NODES.len()].to_owned(), format!("node {number}")))
            .collect();
        let title =
            "Who leads the product group, who coordinates the customer group (two shades, term by term):";
        let y = swatches(&mut svg, y, title, &entries);
        (svg, y + GAP)
    }

    fn width(&self) -> f64 {
        (self.end_ns as f64 / 1e9 * SECOND_WIDTH_MIN).clamp(WIDTH_MIN, WIDTH_MAX)
    }

    fn x(&self, at_ns: u64) -> f64 {
        self.width() * (at_ns.min(self.end_ns) as f64 / self.end_ns.max(1) as f64)
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
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" {style}>\
             <title>{}</title></rect>",
            escaped(title)
        );
    }

    /// In full colour until it was undone, lighter until the process was ready.
    fn bar(&self, svg: &mut String, y: f64, bar: &Bar) {
        let title = bar.to_string();
        let title = title.trim_start();
        let fill = fill(bar.fault);
        let (full, light) = (format!("fill=\"{fill}\""), format!("fill=\"{fill}\" opacity=\"0.35\""));
        self.rect(svg, (bar.undone_ns, bar.ready_ns), (y + 1.0, ROW - 3.0), &light, title);
        self.rect(svg, (bar.from_ns, bar.undone_ns), (y + 1.0, ROW - 3.0), &full, title);
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
            let (color, shade) = (NODES[number(process) % NODES.len()], SHADES[at % SHADES.len()]);
            let style = format!("fill=\"{color}\" fill-opacity=\"{shade}\"");
            self.rect(svg, (*from_ns, to_ns), (y, ROW), &style, &format!("{wanted} {term}: {process}"));
            if self.x(to_ns) - self.x(*from_ns) > 60.0 {
                let _ = write!(
                    svg,
                    "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"#222\">{} ({term})</text>",
                    self.x(*from_ns) + 4.0,
                    y + 12.0,
                    escaped(process)
                );
            }
        }
    }

    fn columns(
        &self,
        names: &mut String,
        svg: &mut String,
        y: f64,
        fill: &str,
        count: impl Fn(&super::course::Counts) -> u64,
    ) {
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
        let (bottom, width) = (y + CHART, self.width());
        name(names, bottom - 11.0, &format!("at most {most:.0}"));
        let _ =
            write!(svg, "<line x1=\"0\" x2=\"{width}\" y1=\"{bottom}\" y2=\"{bottom}\" stroke=\"#bbb\"/>");
    }

    /// Seconds beneath; gives the lines that stand behind everything.
    fn axis(&self, svg: &mut String, y: f64) -> String {
        let seconds = self.end_ns / 1_000_000_000;
        let wide = |every: &u64| self.x(every * 1_000_000_000) >= TICK_WIDTH_MIN;
        let every = [1, 2, 5, 10, 30, 60, 120, 300, 600].into_iter().find(wide).unwrap_or(3_600);
        let mut grid = String::new();
        for second in (0..=seconds).step_by(every as usize) {
            let x = self.x(second * 1_000_000_000);
            let _ = write!(
                svg,
                "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"{}\" fill=\"#555\">{second} s</text>",
                y + 16.0,
                if second == 0 { "start" } else { "middle" }
            );
            let _ = write!(grid, "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"{y}\" stroke=\"#eee\"/>");
        }
        grid
    }
}

/// A row of colours and what they mean, over as many lines as it takes. Gives where it ends.
fn swatches(svg: &mut String, y: f64, title: &str, entries: &[(String, String)]) -> f64 {
    let _ = write!(svg, "<text x=\"0\" y=\"{}\" fill=\"#555\">{title}</text>", y + 9.0);
    let (mut x, mut y) = (0.0, y + ROW);
    for (fill, text) in entries {
        let width = 30.0 + 6.0 * text.len() as f64;
        if x + width > LEGEND_WIDTH {
            (x, y) = (0.0, y + ROW);
        }
        let _ = write!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"14\" height=\"11\" fill=\"{fill}\"/><text x=\"{}\" y=\"{}\">{}</text>",
            x + 18.0,
            y + 9.0,
            escaped(text)
        );
        x += width;
    }
    y + ROW + 4.0
}

fn name(names: &mut String, y: f64, text: &str) {
    // Writing into a string does not fail.
    let _ = write!(
        names,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
        NAMES_WIDTH - 8.0,
        y + 11.0,
        escaped(text)
    );
}

fn svg_of(width: f64, height: f64, content: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" font-family=\"sans-serif\" \
         font-size=\"11\">{content}</svg>"
    )
}

/// The number in the name of a node.
fn number(process: &str) -> usize {
    process.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::faults::{CustomerNodes, Kind, Plan, Reach};
    use std::time::Duration;

    /// All faults that plans have.
    fn faults() -> BTreeSet<Fault> {
        let plans = Kind::value_variants().iter().map(|kind| {
            Plan::draw(*kind, 1, Duration::from_secs(3_600), CustomerNodes::Killed, Reach::Everything)
        });
        plans.flat_map(|plan| plan.steps).map(|step| step.fault).collect()
    }

    fn bar(fault: Fault) -> Bar {
        Bar {
            fault,
            process: "product-1".into(),
            part: "the product leader".into(),
            from_ns: 0,
            undone_ns: 1,
            ready_ns: 2,
        }
    }

    #[test]
    fn no_two_faults_look_alike_and_all_that_is_referred_to_is_there() {
        let faults = faults();
        let fills: BTreeSet<String> = faults.iter().map(|fault| fill(*fault)).collect();
        assert_eq!(fills.len(), faults.len());
        let bars: Vec<Bar> = faults.iter().map(|fault| bar(*fault)).collect();
        let picture = Picture { bars: &bars, timeline: &[], course: &Course::default(), end_ns: 10 };
        let drawn = picture.draw();
        for id in drawn.split("url(#").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(drawn.contains(&format!("id=\"{id}\"")), "{id}");
        }
        assert!(faults.iter().all(|fault| drawn.contains(&format!(">{fault}</text>"))));
    }

    #[test]
    fn an_hour_is_wide_enough_to_be_read_and_two_terms_of_one_node_differ() {
        let leads = |at_ns, term| Entry {
            at_ns,
            happening: Happening::Leads { group: "product term", process: "product-2".into(), term },
        };
        let timeline = [leads(0, 1), leads(1_000_000_000_000, 2)];
        let course = Course { step_ns: 1, steps: Vec::new() };
        let picture = Picture { bars: &[], timeline: &timeline, course: &course, end_ns: 3_600_000_000_000 };
        assert!(picture.x(picture.end_ns) >= 3_600.0);
        let drawn = picture.draw();
        let color = NODES[2];
        assert!(
            SHADES.iter().all(|shade| drawn.contains(&format!("fill=\"{color}\" fill-opacity=\"{shade}\"")))
        );
        assert!(drawn.contains(">node 2</text>"));
    }
}
