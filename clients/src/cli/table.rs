//! Tables for people. Names come from strangers, so nothing of them reaches the terminal but printable characters.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};

/// A column's title, and on which side its cells stand.
pub(super) enum Column {
    Left(&'static str),
    Right(&'static str),
}

pub(super) fn table(columns: &[Column], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(columns.iter().map(|column| match column {
        Column::Left(title) | Column::Right(title) => Cell::new(title),
    }));
    for row in rows {
        table.add_row(row.iter().map(|cell| Cell::new(printable(cell))));
    }
    for (index, column) in columns.iter().enumerate() {
        if let (Column::Right(_), Some(column)) = (column, table.column_mut(index)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

/// Without control characters, which could steer the terminal, and without characters that turn the writing's direction.
pub(super) fn printable(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_not_steer_the_terminal() {
        let shown = table(&[Column::Left("name")], [vec!["\u{1b}[2Jlamp\u{202e}\r\n".to_owned()]]);
        assert!(shown.contains("lamp"));
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}') && !shown.contains('\r'));
    }
}
