//! What the demo prints: headings, tables, and how long things took.

use std::io::{IsTerminal, stdout};
use std::time::{Duration, Instant};

use local_aws::ministack::Ministack;

/// The widest that a column may be. Longer cells are cut.
const WIDEST: usize = 44;

/// Prints what is being done, with the time since the start.
pub(crate) struct Progress {
    started: Instant,
}

impl Progress {
    /// Starts to count the time now.
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Prints that something is being done now.
    pub(crate) fn say(&self, what: &str) {
        println!("[{:5.1} s] {what}", self.started.elapsed().as_secs_f64());
    }
}

/// The result of a part of the demo: a line for the summary, and what is not as it must be.
pub(crate) struct Part {
    /// One line for the summary at the end.
    pub(crate) short: String,
    /// What is wrong, one sentence each.
    pub(crate) complaints: Vec<String>,
}

/// Prints the heading of a part.
pub(crate) fn heading(text: &str) {
    const WIDTH: usize = 100;
    let rule = WIDTH.saturating_sub(text.chars().count() + 4);
    println!("\n{}\n", styled(BOLD, &format!("━━ {text} {}", "━".repeat(rule.max(2)))));
}

/// Codes of ECMA-48's "select graphic rendition".
const BOLD: u8 = 1;
const RED: u8 = 31;
const GREEN: u8 = 32;

/// Styles a text, if it goes to a terminal.
fn styled(style: u8, text: &str) -> String {
    if stdout().is_terminal() { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Prints amounts as bars, the longest of which fills its column. An amount that is not zero always shows.
pub(crate) fn bars(rows: &[(&str, usize, String)]) {
    const WIDTH: usize = 60;
    let most = rows.iter().map(|(_, amount, _)| *amount).max().unwrap_or_default().max(1);
    let name = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or_default();
    for (of, amount, said) in rows {
        let length = (amount * WIDTH).div_ceil(most);
        println!("  {of:<name$}  {} {said}", "█".repeat(length));
    }
}

/// A time in seconds, for a person to read.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// A number with commas, such as `1,234,567`.
pub(crate) fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Prints rows in columns that are as wide as their widest cell; the last column is never cut. Numbers are aligned right.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let last = header.len() - 1;
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|row| {
            let cells = row.into_iter().enumerate();
            cells.map(|(column, cell)| if column == last { cell } else { cut(&cell) }).collect()
        })
        .collect();
    let right: Vec<bool> = (0..=last)
        .map(|column| {
            let mut cells =
                rows.iter().map(|row| row[column].as_str()).filter(|cell| !cell.is_empty()).peekable();
            cells.peek().is_some() && cells.all(is_number)
        })
        .collect();
    let header: Vec<String> = header.iter().map(|cell| (*cell).to_owned()).collect();
    let all = || std::iter::once(&header).chain(&rows);
    let widths: Vec<usize> = (0..=last)
        .map(|column| all().map(|row| row[column].chars().count()).max().unwrap_or_default())
        .collect();
    for row in all() {
        let cells = row.iter().zip(&widths).zip(&right);
        let cells: Vec<String> = cells
            .map(
                |((cell, width), right)| {
                    if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
                },
            )
            .collect();
        println!("  {}", cells.join("  ").trim_end());
    }
}

fn is_number(cell: &str) -> bool {
    let number = cell.trim_end_matches(" s");
    !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | '.' | '-'))
}

fn cut(cell: &str) -> String {
    if cell.chars().count() <= WIDEST {
        return cell.to_owned();
    }
    cell.chars().take(WIDEST - 1).chain(['…']).collect()
}

/// Prints a command as one would type it, and what it printed.
pub(crate) fn command(line: &str, said: &str) {
    println!("  $ {line}");
    for line in said.trim_end().lines() {
        println!("{}", format!("  {line}").trim_end());
    }
}

/// Prints the summary of all parts: whether everything is as it must be.
pub(crate) fn summary(parts: &[Part]) {
    heading("In short");
    for Part { short, complaints } in parts {
        let mark = if complaints.is_empty() { styled(GREEN, "ok") } else { styled(RED, "NO") };
        println!("  {mark}  {short}");
    }
    let complaints: Vec<&String> = parts.iter().flat_map(|part| &part.complaints).collect();
    if complaints.is_empty() {
        println!("\nAll of it is as it must be.\n");
        return;
    }
    println!("\n{} things are not as they must be:", complaints.len());
    for complaint in complaints {
        println!("  {complaint}");
    }
    println!();
}

/// Prints the end of the functions' log, which says why something is wrong.
pub(crate) fn log_of_functions(ministack: &Ministack) {
    const LINES: usize = 40;
    let log = ministack.log();
    // A poller that fails complains every second, so such lines are shown once. Each line begins with the time.
    let mut lines: Vec<&str> = log.lines().collect();
    lines.dedup_by_key(|line| line.get("2026-01-01 00:00:00 ".len()..).unwrap_or_default());
    eprintln!("the local AWS's log, with what the functions print, ends with:");
    for line in &lines[lines.len().saturating_sub(LINES)..] {
        eprintln!("  {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_have_commas() {
        let texts: Vec<String> = [0, 12, 999, 1000, 12_345, 1_234_567].into_iter().map(count).collect();
        assert_eq!(texts, ["0", "12", "999", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn numbers_are_told_from_words() {
        assert!(["1", "2,000", "1.5 s", "-"].into_iter().all(is_number));
        assert!(!["", "s", "bounce", "12 calls"].into_iter().any(is_number));
    }
}
