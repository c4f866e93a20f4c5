//! Tables for people: cells side by side, each column as wide as its widest cell.

use std::io::{self, Write};

/// Prints rows of cells.
pub(crate) fn print(rows: &[impl AsRef<[String]>], out: &mut impl Write) -> io::Result<()> {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        let row = row.as_ref();
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in rows {
        let padded = row.as_ref().iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}
