//! The curve as a picture.

use plotters::prelude::*;

use super::curve::{Curve, PROMISED_AT, PROMISED_SHARE};
use crate::bench::draw::{ALARM, Area, COLOURS, Chart, FAINT, below_legend, picture, text};

/// What is asked for, done, and refused.
const ASKED: RGBColor = FAINT;
const DONE: RGBColor = COLOURS[1];
const REFUSED: RGBColor = COLOURS[6];

/// # Errors
/// It can't be drawn.
pub(super) fn chart(curve: &Curve) -> anyhow::Result<Chart> {
    Ok(Chart {
        name: "overload".into(),
        title: format!("Calls done by calls asked for: {}", curve.op),
        caption: "Multiples of the capacity, and calls a second. The red line is what is promised to be done at three times \
                  the capacity and beyond.",
        svg: picture(420, |area| draw(curve, area))?,
    })
}

fn draw(curve: &Curve, area: &Area) -> anyhow::Result<()> {
    let most =
        |figure: fn(&super::Step) -> f64| curve.steps.iter().map(|at| figure(&at.step)).fold(1.0, f64::max);
    let (done, refused) = (most(|step| step.goodput_per_s), most(|step| step.refused_per_s));
    let end = curve.steps.iter().map(|at| at.multiple).fold(PROMISED_AT, f64::max) * 1.05;
    let highest = done.max(refused) * 1.1;
    let names = [("asked for", ASKED), ("done within 1 s", DONE), ("told to come back", REFUSED)];
    let mut names: Vec<_> = names.map(|(name, colour)| (name.to_owned(), colour)).into();
    names.push((format!("{:.0} % of the peak", PROMISED_SHARE * 100.0), ALARM));
    let mut chart = ChartBuilder::on(&below_legend(area, &names)?)
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..end, 0.0..highest)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT.mix(0.6))
        .axis_style(FAINT)
        .x_label_formatter(&|multiple| format!("{multiple} ×"))
        .y_label_formatter(&|rate| format!("{rate:.0}/s"))
        .label_style(text(13))
        .draw()?;
    // As far as it fits: what is asked for is far above what can be done.
    let last = end.min(highest / curve.capacity_per_s.max(f64::MIN_POSITIVE));
    let asked = [(0.0, 0.0), (last, last * curve.capacity_per_s)];
    chart.draw_series(LineSeries::new(asked, ASKED.stroke_width(2)))?;
    let floor = done * PROMISED_SHARE;
    chart.draw_series(LineSeries::new([(PROMISED_AT, floor), (end, floor)], ALARM.stroke_width(2)))?;
    for (colour, figure) in
        [(REFUSED, (|step| step.refused_per_s) as fn(&super::Step) -> f64), (DONE, |step| step.goodput_per_s)]
    {
        let mut line: Vec<_> = curve.steps.iter().map(|at| (at.multiple, figure(&at.step))).collect();
        line.sort_by(|a, b| a.0.total_cmp(&b.0));
        chart.draw_series(line.iter().map(|at| Circle::new(*at, 3, colour.filled())))?;
        chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::curve::tests::curve;
    use super::*;

    #[test]
    fn the_picture_names_what_it_shows_and_has_a_point_for_each_step() {
        let steps = [(0.5, 50.0), (1.0, 100.0), (3.0, 90.0)];
        let chart = chart(&curve(&steps)).unwrap();
        assert!(chart.svg.starts_with("<svg") && chart.svg.trim_end().ends_with("</svg>"));
        for name in ["asked for", "done within 1 s", "told to come back", "80 % of the peak"] {
            assert!(chart.svg.contains(name), "{name}");
        }
        assert_eq!(chart.svg.matches("<circle").count(), 2 * steps.len());
    }

    #[test]
    fn a_curve_without_a_single_call_done_can_be_drawn_too() {
        assert!(chart(&curve(&[(3.0, 0.0)])).unwrap().svg.contains("<svg"));
    }
}
