//! How all charts of reports look.

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;

pub(crate) const WIDTH: u32 = 960;
pub(crate) const INK: RGBColor = RGBColor(34, 40, 49);
pub(crate) const FAINT: RGBColor = RGBColor(208, 213, 221);
/// What is bad.
pub(crate) const ALARM: RGBColor = RGBColor(214, 69, 65);
/// Told apart by people with any colour vision (Okabe & Ito, "Color Universal Design", 2008), on white.
pub(crate) const COLOURS: [RGBColor; 8] = [
    RGBColor(34, 40, 49),
    RGBColor(0, 114, 178),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(148, 103, 40),
];

pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A picture.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    /// The name of its file, without the ending.
    pub name: String,
    pub title: String,
    /// What it shows and how to read it.
    pub caption: &'static str,
    pub svg: String,
}

/// Draws on white.
///
/// # Errors
/// There is nothing to draw on.
pub(crate) fn picture(height: u32, draw: impl FnOnce(&Area) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE)?;
        draw(&area)?;
        area.present()?;
    }
    Ok(svg)
}

pub(crate) fn text(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}

/// Which colour is which, in a strip above the picture, which gets the rest of the area.
///
/// # Errors
/// There is nothing to draw on.
pub(crate) fn below_legend<'a>(area: &Area<'a>, names: &[(String, RGBColor)]) -> Result<Area<'a>> {
    const PER_ROW: usize = 4;
    const ROW: i32 = 20;
    let rows = names.len().div_ceil(PER_ROW) as i32;
    let (strip, rest) = area.split_vertically(rows * ROW + 8);
    for (index, (name, colour)) in names.iter().enumerate() {
        let x = 12 + (index % PER_ROW) as i32 * (WIDTH as i32 - 12) / PER_ROW as i32;
        let y = 4 + (index / PER_ROW) as i32 * ROW;
        strip.draw(&Rectangle::new([(x, y + 3), (x + 14, y + 13)], colour.filled()))?;
        strip.draw(&Text::new(name.clone(), (x + 20, y + 2), text(13)))?;
    }
    Ok(rest)
}
