//! Lines for people and machines. That nobody reads them any more (`… | head -1`) is no reason to fall over.

use std::io::Write;

use comfy_table::{Table, TableComponent, presets};

/// A line on standard output.
pub(crate) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}

/// A line on standard error.
pub(crate) fn note(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// An error, as the last thing that a command says.
pub(crate) fn error(text: &str) {
    note(&format!("error: {text}"));
}

/// An empty table in the style of this program: lines above, below and under the header.
pub(crate) fn table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    for component in [
        TableComponent::HorizontalLines,
        TableComponent::LeftBorderIntersections,
        TableComponent::RightBorderIntersections,
        TableComponent::MiddleIntersections,
    ] {
        table.remove_style(component);
    }
    table
}

/// A number of bytes, for people.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (count as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if unit == 0 || value >= 100.0 { 0 } else { 1 };
    format!("{value:.digits$} {}", UNITS.get(unit).unwrap_or(&""))
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn bytes_are_shown_in_the_unit_that_fits() {
        assert_eq!(
            [0, 1023, 1024, 1536, 150 << 20, 3 << 40].map(bytes),
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "150 MiB", "3.0 TiB"]
        );
    }
}
