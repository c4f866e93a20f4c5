//! Tables for people: cells side by side, each column as wide as its widest cell, and nothing in them that is not seen.

use std::io::{self, Write};

use mailroom_core::text::escape_invisible;

/// Prints rows of cells.
pub(crate) fn print_rows(rows: &[impl AsRef<[String]>], out: &mut impl Write) -> io::Result<()> {
    let shown =
        |row: &[String]| row.iter().map(|cell| escape_invisible(cell, usize::MAX)).collect::<Vec<_>>();
    let rows: Vec<_> = rows.iter().map(|row| shown(row.as_ref())).collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in &rows {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}
