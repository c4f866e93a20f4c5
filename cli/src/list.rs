//! Lists of addresses as operators have them: one a line, or what a spreadsheet or another tool exported as CSV.

use mailroom_core::address::Address;
use mailroom_core::text::escape_invisible;

/// How a column of addresses may be headed, apart from case and whatever is no letter. `address` alone may be the postal one.
const HEADINGS: [&str; 5] = ["email", "emailaddress", "mail", "recipient", "address"];

/// What was read of a list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct List {
    /// Each spelling once, in the order of the list: a release takes every spelling off SES's list.
    pub(crate) addresses: Vec<Address>,
    /// The lines that have none.
    pub(crate) unreadable: Vec<Unreadable>,
}

/// A line in which no address can be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// The line's number, from 1.
    pub(crate) line: usize,
    pub(crate) why: String,
}

/// Why a list is not read at all: some of it would be lost.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Garbled {
    #[error("it is UTF-16, as spreadsheets save \"Unicode text\": save it as CSV in UTF-8")]
    Utf16,
    #[error("line {0}: a quotation mark opens a field that never ends; all that follows would be lost in it")]
    OpenQuote(usize),
}

/// Reads an address that operators may decide on.
pub(crate) fn address(text: &str) -> Result<Address, String> {
    let address = Address::parse(text).map_err(|error| {
        let told = error.to_string();
        told.strip_prefix("payload: ").unwrap_or(&told).to_owned()
    })?;
    if address.is_simulator() {
        return Err(format!(
            "{}: SES's mailbox simulator is never suppressed, or every test of a bounce would break the next",
            escape_invisible(address.raw(), usize::MAX)
        ));
    }
    Ok(address)
}

impl List {
    /// Reads a list: the column that is headed as one of addresses, else the first.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Garbled> {
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return Err(Garbled::Utf16);
        }
        // A name in some other encoding, in some other column, is no reason to refuse its address.
        let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
        let mut rows = Rows { rest: &text, line: 1, separator: separator(&text) };
        let mut list = Self::default();
        let mut seen = std::collections::HashSet::new();
        let mut column = None;
        while let Some((line, row)) = rows.next()? {
            let Some(column) = column else {
                let heading = heading(&row);
                column = Some(heading.unwrap_or(0));
                if heading.is_none() {
                    list.take(line, row.first(), &mut seen);
                }
                continue;
            };
            list.take(line, row.get(column), &mut seen);
        }
        Ok(list)
    }

    fn take(&mut self, line: usize, cell: Option<&String>, seen: &mut std::collections::HashSet<String>) {
        let cell = cell.map_or("", String::as_str);
        let read = if cell.contains(char::REPLACEMENT_CHARACTER) {
            Err("not UTF-8".to_owned())
        } else {
            address(cell)
        };
        match read {
            Ok(address) => {
                if seen.insert(address.raw().to_owned()) {
                    self.addresses.push(address);
                }
            }
            Err(why) => self.unreadable.push(Unreadable { line, why }),
        }
    }
}

/// The column of addresses, if this row heads one.
fn heading(row: &[String]) -> Option<usize> {
    let plain = |cell: &String| -> String {
        cell.chars().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_lowercase()).collect()
    };
    let row: Vec<_> = row.iter().map(plain).collect();
    HEADINGS.iter().find_map(|heading| row.iter().position(|cell| cell == heading))
}

/// What the first line separates its columns by.
fn separator(text: &str) -> char {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    [',', ';', '\t'].into_iter().find(|separator| first.contains(*separator)).unwrap_or(',')
}

/// The rows of CSV as RFC 4180 has it; a field that only starts with a quoted part is taken as it stands:
/// `"Doe, Jane" <jane@example.com>`.
struct Rows<'a> {
    rest: &'a str,
    line: usize,
    separator: char,
}

impl Rows<'_> {
    /// The next row that is not empty, with its first line's number.
    fn next(&mut self) -> Result<Option<(usize, Vec<String>)>, Garbled> {
        while !self.rest.is_empty() {
            let line = self.line;
            let mut row = Vec::new();
            while let Some(cell) = self.cell()? {
                row.push(cell);
            }
            if row.iter().any(|cell| !cell.is_empty()) {
                return Ok(Some((line, row)));
            }
        }
        Ok(None)
    }

    /// The next field of a row; `None` after the last, and the row's end is passed.
    fn cell(&mut self) -> Result<Option<String>, Garbled> {
        // A row's last field leaves its line's end standing.
        if let Some(rest) = self.rest.strip_prefix('\n') {
            self.rest = rest;
            self.line += 1;
            return Ok(None);
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (mut quoted, mut end) = (false, self.rest.len());
        for (at, c) in self.rest.char_indices() {
            match c {
                '"' if quoted || self.rest[..at].trim_start().is_empty() => quoted = !quoted,
                '"' if self.rest[..at].trim_start().starts_with('"') => quoted = true,
                '\n' if !quoted => {
                    end = at;
                    break;
                }
                c if c == self.separator && !quoted => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        if quoted {
            return Err(Garbled::OpenQuote(self.line));
        }
        let (field, rest) = self.rest.split_at(end);
        self.line += field.matches('\n').count();
        self.rest = rest.strip_prefix(self.separator).unwrap_or(rest);
        Ok(Some(plain(field.trim())))
    }
}

/// A field without its quotes, if they are all around it.
fn plain(field: &str) -> String {
    let inner = field.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner.map(|inner| (inner, inner.replace("\"\"", ""))) {
        Some((inner, bare)) if !bare.contains('"') => inner.replace("\"\"", "\""),
        _ => field.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what failed by panicking")]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<String>, Vec<usize>) {
        let list = List::read(text.as_bytes()).unwrap();
        let raw = list.addresses.iter().map(|address| address.raw().to_owned()).collect();
        (raw, list.unreadable.iter().map(|unreadable| unreadable.line).collect())
    }

    #[test]
    fn lists_of_every_shape() {
        let cases = [
            ("a@x.example\nb@x.example", &["a@x.example", "b@x.example"][..], &[][..]),
            ("\u{feff}a@x.example\r\n\r\n  b@x.example  \r\n", &["a@x.example", "b@x.example"], &[]),
            (
                "a@x.example,Ann,7\nb@x.example,\"Bo, \"\"B\"\"\nof X\",8\nc@x.example,,\n",
                &["a@x.example", "b@x.example", "c@x.example"],
                &[],
            ),
            ("id;E-Mail;Address\n1;a@x.example;1 Main St\n", &["a@x.example"], &[]),
            ("Name,Address\n\"Doe, Ann\",a@x.example\n", &["a@x.example"], &[]),
            ("Email Address\na@x.example\n", &["a@x.example"], &[]),
            ("emailAddress\treason\na@x.example\tBOUNCE\n", &["a@x.example"], &[]),
            (
                "\"Doe, Jane\" <jane@x.example>\nAnn <a@x.example>, Ann\n",
                &["jane@x.example", "a@x.example"],
                &[],
            ),
            ("\"a@x.example\",\"1\"\n\"a b\"@x.example\n", &["a@x.example", "\"a b\"@x.example"], &[]),
            ("a@x.example\nA@X.example\na@x.example\n", &["a@x.example", "A@X.example"], &[]),
            ("name,email\nAnn,a@x.example\nBo\nCy,\nDi,nobody\n", &["a@x.example"], &[3, 4, 5]),
            ("Ann,\"two\nlines\"\nnobody\na@x.example\n", &["a@x.example"], &[1, 3]),
            ("bounce@simulator.amazonses.com\n", &[], &[1]),
            ("", &[], &[]),
            ("\n \n", &[], &[]),
            ("a@x.example,", &["a@x.example"], &[]),
            (",a@x.example\nb@x.example", &["b@x.example"], &[1]),
        ];
        for (text, addresses, unreadable) in cases {
            let (raw, lines) = read(text);
            assert_eq!(
                (&raw[..], &lines[..]),
                (&addresses.iter().map(|raw| (*raw).to_owned()).collect::<Vec<_>>()[..], unreadable),
                "{text:?}"
            );
        }
    }

    #[test]
    fn another_columns_encoding_costs_no_address() {
        let list = List::read(b"a@x.example,J\xfcrgen\nb\xff@x.example,\n").unwrap();
        assert_eq!((list.addresses.len(), list.unreadable.len()), (1, 1));
    }

    #[test]
    fn what_would_lose_addresses_is_refused_whole() {
        assert_eq!(List::read(b"\xff\xfea\0@\0x\0"), Err(Garbled::Utf16));
        assert_eq!(List::read(b"a@x.example\n\"b@x.example\nc@x.example\n"), Err(Garbled::OpenQuote(2)));
    }

    #[test]
    fn an_unreadable_line_says_why() {
        let list = List::read(b"jane doe@x.example\n\"\",x\nbounce+1@simulator.amazonses.com\n").unwrap();
        let why: Vec<_> = list.unreadable.into_iter().map(|unreadable| unreadable.why).collect();
        assert_eq!(why[0], "not an e-mail address: jane doe@x.example");
        assert_eq!(why[1], "missing or empty");
        assert!(
            why[2].starts_with("bounce+1@simulator.amazonses.com: SES's mailbox simulator"),
            "{}",
            why[2]
        );
    }

    #[test]
    fn no_text_makes_it_hang_or_panic() {
        for seed in 0..2_000_u32 {
            let mut state = seed;
            let text: String = (0..24)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    ['"', ',', '\n', '\r', 'a', '@', ' ', ';', 'é'][(state >> 16) as usize % 9]
                })
                .collect();
            let _ = List::read(text.as_bytes());
        }
    }
}
