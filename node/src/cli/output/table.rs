//! Tables that fit the terminal and can be cut apart by programs.

use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, Table, presets};

use super::clean;

/// What a state means; shown as a colour on top of its word, where colours are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Good,
    Busy,
    Bad,
    Plain,
}

/// What becomes of a column where the terminal is narrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// As wide as what is in it: ids and numbers are of no use in two pieces.
    Fixed,
    /// May be broken into lines.
    Flexible,
}

/// A table without lines. It is as wide as the terminal where its columns allow it, and unbounded
/// without one.
pub fn table(header: &[(&str, Width)]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header.iter().map(|(title, _)| title.to_uppercase()));
    for (column, (_, width)) in table.column_iter_mut().zip(header) {
        column.set_padding((0, 2));
        if *width == Width::Fixed {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table
}

/// A cell with a text that others may have written.
pub fn cell(text: impl AsRef<str>) -> Cell {
    Cell::new(clean(text.as_ref()))
}

/// A cell in the colour of what it means.
pub fn toned(text: impl AsRef<str>, tone: Tone) -> Cell {
    let cell = cell(text);
    let color = match tone {
        Tone::Plain => return cell,
        Tone::Good => Color::Green,
        Tone::Busy => Color::Cyan,
        Tone::Bad => Color::Red,
    };
    if wants_colors() { cell.fg(color) } else { cell }
}

/// <https://no-color.org> and <https://bixense.com/clicolors>. Whether stdout is a terminal is
/// the table's own question.
fn wants_colors() -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let clicolor_off = std::env::var_os("CLICOLOR").is_some_and(|value| value == "0");
    !no_color && !clicolor_off
}
