//! Lists of addresses as operators have them: one a line, what a spreadsheet or another tool exported as CSV, or what SES
//! imports.
//!
//! SES imports two formats (Amazon SES Developer Guide, "Adding email addresses in bulk to your account-level suppression
//! list"): CSV without a header, `jane@example.com,BOUNCE`, and an object a line, `{"emailAddress":"jane@example.com",
//! "reason":"BOUNCE"}`. To delete entries, only the address is given.

use std::collections::HashMap;

use mailroom_core::address::Address;
use mailroom_core::suppression::reason::SuppressionReason;
use mailroom_core::text::escape_invisible;

/// How a column of addresses may be headed, apart from case and whatever is no letter. `address` alone may be the postal one.
const ADDRESS_HEADINGS: [&str; 5] = ["email", "emailaddress", "mail", "recipient", "address"];

/// How a column of reasons is headed.
const REASON_HEADING: &str = "reason";

/// What was read of a list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct AddressList {
    pub(crate) addresses: ListedAddresses,
    /// The lines that have none.
    pub(crate) unreadable_lines: Vec<UnreadableLine>,
}

/// An address of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedAddress {
    pub(crate) address: Address,
    /// The reason beside it, if it is one of SES's.
    pub(crate) reason: Option<SuppressionReason>,
}

/// Each spelling once, in the order in which they came: a release takes every spelling off SES's list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ListedAddresses {
    entries: Vec<ListedAddress>,
    by_spelling: HashMap<String, usize>,
}

impl ListedAddresses {
    /// Adds an address. If it is there already, the graver of both reasons stays.
    pub(crate) fn add_keeping_graver_reason(&mut self, address: Address, reason: Option<SuppressionReason>) {
        let index = *self.by_spelling.entry(address.spelling().to_owned()).or_insert(self.entries.len());
        match self.entries.get_mut(index) {
            Some(entry) => entry.reason = entry.reason.max(reason),
            None => self.entries.push(ListedAddress { address, reason }),
        }
    }

    pub(crate) fn into_vec(self) -> Vec<ListedAddress> {
        self.entries
    }
}

/// A line in which no address can be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnreadableLine {
    /// The line's number, from 1.
    pub(crate) line_number: usize,
    pub(crate) problem: String,
}

/// Why a list is not read at all: some of it would be lost.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ListFormatError {
    #[error("it is UTF-16, as spreadsheets save \"Unicode text\": save it as CSV in UTF-8")]
    Utf16,
    #[error("line {0}: a quotation mark opens a field that never ends; all that follows would be lost in it")]
    UnclosedQuote(usize),
}

/// Reads an address that operators may decide on.
pub(crate) fn parse_non_simulator_address(text: &str) -> Result<Address, String> {
    let address = Address::parse(text).map_err(|error| {
        let told = error.to_string();
        told.strip_prefix("payload: ").unwrap_or(&told).to_owned()
    })?;
    if address.is_simulator() {
        return Err(format!(
            "{}: SES's mailbox simulator is never suppressed, or every test of a bounce would break the next",
            escape_invisible(address.spelling(), usize::MAX)
        ));
    }
    Ok(address)
}

impl AddressList {
    /// Reads a list: the column that is headed as one of addresses, else the first; and the column that is headed as one of
    /// reasons or, if no column is headed, the second. Where a line gives none of SES's reasons, `default_reason` is its reason.
    /// A list whose first line begins with an object is one of objects.
    pub(crate) fn parse(
        bytes: &[u8],
        default_reason: Option<SuppressionReason>,
    ) -> Result<Self, ListFormatError> {
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return Err(ListFormatError::Utf16);
        }
        // A name in some other encoding, in some other column, is no reason to refuse its address.
        let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
        // Some spreadsheets end lines in a carriage return alone.
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let mut list = Self::default();
        if starts_with_json(&text) {
            list.parse_json_lines(&text, default_reason);
            return Ok(list);
        }
        let mut rows = CsvRows { rest: &text, line: 1, separator: detect_separator(&text) };
        let mut columns = None;
        let mut is_headed = false;
        while let Some((line, row)) = rows.next_row()? {
            let (addresses, reasons) = match columns {
                Some(columns) => columns,
                None => match find_address_and_reason_columns(&row) {
                    Some(headed) => {
                        columns = Some(headed);
                        is_headed = true;
                        continue;
                    }
                    None => *columns.insert((0, Some(1))),
                },
            };
            let cell = |column: usize| row.get(column).map_or("", String::as_str);
            if !is_headed && row.iter().skip(1).any(|cell| Address::parse(cell).is_ok()) {
                let why = "more than one address, and no heading that says which column to read".to_owned();
                list.unreadable_lines.push(UnreadableLine { line_number: line, problem: why });
                continue;
            }
            list.add_line(
                line,
                cell(addresses),
                reasons.and_then(|column| parse_ses_reason(cell(column))).or(default_reason),
            );
        }
        Ok(list)
    }

    fn parse_json_lines(&mut self, text: &str, default_reason: Option<SuppressionReason>) {
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let Ok(object) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line) else {
                let why = "not a JSON object; there must be one in each line".to_owned();
                self.unreadable_lines.push(UnreadableLine { line_number: index + 1, problem: why });
                continue;
            };
            let names: Vec<String> = object.keys().cloned().collect();
            let value =
                |column: usize| object.values().nth(column).and_then(serde_json::Value::as_str).unwrap_or("");
            match find_address_and_reason_columns(&names) {
                Some((address, given)) => {
                    self.add_line(
                        index + 1,
                        value(address),
                        given.and_then(|column| parse_ses_reason(value(column))).or(default_reason),
                    );
                }
                None => self.add_line(index + 1, "", default_reason),
            }
        }
    }

    fn add_line(&mut self, line_number: usize, address_text: &str, reason: Option<SuppressionReason>) {
        let read = if address_text.contains(char::REPLACEMENT_CHARACTER) {
            Err("not UTF-8".to_owned())
        } else {
            parse_non_simulator_address(address_text)
        };
        match read {
            Ok(address) => self.addresses.add_keeping_graver_reason(address, reason),
            Err(why) => self.unreadable_lines.push(UnreadableLine { line_number, problem: why }),
        }
    }
}

/// Whether the first line begins with a JSON object or array, with which no address begins.
fn starts_with_json(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with('[')
        || text.strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with(['"', '}']))
}

/// SES's reason of this name; `None` if it is none, such as another tool's words for why an address is on its list.
fn parse_ses_reason(text: &str) -> Option<SuppressionReason> {
    [SuppressionReason::Bounce, SuppressionReason::Complaint]
        .into_iter()
        .find(|reason| text.trim().eq_ignore_ascii_case(reason.as_ses()))
}

/// The columns of addresses and of reasons, if this row heads one of addresses.
fn find_address_and_reason_columns(heading_row: &[String]) -> Option<(usize, Option<usize>)> {
    let plain = |cell: &String| -> String {
        cell.chars().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_lowercase()).collect()
    };
    let row: Vec<_> = heading_row.iter().map(plain).collect();
    let column = |heading: &str| row.iter().position(|cell| cell == heading);
    let addresses = ADDRESS_HEADINGS.iter().find_map(|heading| column(heading))?;
    Some((addresses, column(REASON_HEADING)))
}

/// What the first line separates its columns by.
fn detect_separator(text: &str) -> char {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    [',', ';', '\t'].into_iter().find(|separator| first.contains(*separator)).unwrap_or(',')
}

/// The rows of CSV as RFC 4180 has it; a field that only starts with a quoted part is taken as it stands:
/// `"Doe, Jane" <jane@example.com>`.
struct CsvRows<'a> {
    rest: &'a str,
    line: usize,
    separator: char,
}

impl CsvRows<'_> {
    /// The next row that is not empty, with its first line's number.
    fn next_row(&mut self) -> Result<Option<(usize, Vec<String>)>, ListFormatError> {
        while !self.rest.is_empty() {
            let line = self.line;
            let mut row = Vec::new();
            while let Some(cell) = self.next_cell()? {
                row.push(cell);
            }
            if row.iter().any(|cell| !cell.is_empty()) {
                return Ok(Some((line, row)));
            }
        }
        Ok(None)
    }

    /// The next field of a row; `None` after the last, and the row's end is passed.
    fn next_cell(&mut self) -> Result<Option<String>, ListFormatError> {
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
            return Err(ListFormatError::UnclosedQuote(self.line));
        }
        let (field, rest) = self.rest.split_at(end);
        self.line += field.matches('\n').count();
        self.rest = rest.strip_prefix(self.separator).unwrap_or(rest);
        Ok(Some(unquote(field.trim())))
    }
}

/// A field without its quotes, if they are all around it.
fn unquote(field: &str) -> String {
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
        let list = AddressList::parse(text.as_bytes(), None).unwrap();
        let raw = list.addresses.entries.iter().map(|entry| entry.address.spelling().to_owned()).collect();
        (raw, list.unreadable_lines.iter().map(|unreadable| unreadable.line_number).collect())
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
            // As a spreadsheet's "CSV (Macintosh)" ends lines.
            (
                "email,reason\ra@x.example,BOUNCE\rb@x.example,COMPLAINT\r",
                &["a@x.example", "b@x.example"],
                &[],
            ),
            (
                "a@x.example,BOUNCE\rb@x.example\r\nc@x.example\n",
                &["a@x.example", "b@x.example", "c@x.example"],
                &[],
            ),
            ("a@x.example;b@x.example;c@x.example\nd@x.example;\n", &["d@x.example"], &[1]),
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
    fn lists_with_reasons() {
        const B: Option<SuppressionReason> = Some(SuppressionReason::Bounce);
        const C: Option<SuppressionReason> = Some(SuppressionReason::Complaint);
        let cases = [
            ("a@x.example,BOUNCE\nb@x.example,COMPLAINT\nc@x.example\n", &[B, C, None][..]),
            ("\u{feff}a@x.example, COMPLAINT\r\n\"b@x.example\",\"bounce\"\r\n", &[C, B]),
            ("emailAddress,reason\na@x.example,COMPLAINT\nb@x.example,\n", &[C, None]),
            ("reason;email\nBOUNCE;a@x.example\n550 5.1.1 unknown;b@x.example\n", &[B, None]),
            // A column that is headed as something else is not one of reasons.
            ("email,name\na@x.example,Bounce\n", &[None]),
            ("a@x.example,Ann\nb@x.example,OTHER\n", &[None, None]),
            ("a@x.example,BOUNCE\na@x.example,COMPLAINT\nb@x.example,COMPLAINT\nb@x.example\n", &[C, C]),
            (
                "{\"emailAddress\":\"a@x.example\",\"reason\":\"BOUNCE\"}\r\n\r\n{ \"reason\": \"COMPLAINT\", \"EmailAddress\": \"b@x.example\", \"n\": 1}\n{\"emailAddress\":\"c@x.example\"}",
                &[B, C, None],
            ),
            ("\u{feff} { \"emailAddress\" : \"\\\"a b\\\"@x.example\", \"reason\": 7 }\n", &[None]),
            ("{a}@x.example,COMPLAINT\n", &[C]),
        ];
        for (text, reasons) in cases {
            for default in [None, B] {
                let list = AddressList::parse(text.as_bytes(), default).unwrap();
                assert_eq!(list.unreadable_lines, [], "{text:?}");
                let read: Vec<_> = list.addresses.into_vec().into_iter().map(|entry| entry.reason).collect();
                let expected: Vec<_> = reasons.iter().map(|reason| reason.or(default)).collect();
                assert_eq!(read, expected, "{text:?}");
            }
        }
    }

    #[test]
    fn an_object_that_cannot_be_read_costs_its_line() {
        let text = "{\"emailAddress\":\"a@x.example\"}\n{\"emailAddress\":\n{\"emailAddress\":[\"b@x.example\"]}\n{\"id\":1}\n[]\nc@x.example\n\
            {\"emailAddress\":\"nobody\"}\n";
        assert_eq!(read(text), (vec!["a@x.example".to_owned()], vec![2, 3, 4, 5, 6, 7]));
        assert_eq!(read("[\n{\"emailAddress\":\"a@x.example\"}\n]").1, [1, 3]);
    }

    #[test]
    fn another_columns_encoding_costs_no_address() {
        let list = AddressList::parse(b"a@x.example,J\xfcrgen\nb\xff@x.example,\n", None).unwrap();
        assert_eq!((list.addresses.into_vec().len(), list.unreadable_lines.len()), (1, 1));
    }

    #[test]
    fn what_would_lose_addresses_is_refused_whole() {
        assert_eq!(AddressList::parse(b"\xff\xfea\0@\0x\0", None), Err(ListFormatError::Utf16));
        assert_eq!(
            AddressList::parse(b"a@x.example\n\"b@x.example\nc@x.example\n", None),
            Err(ListFormatError::UnclosedQuote(2))
        );
    }

    #[test]
    fn an_unreadable_line_says_why() {
        let list =
            AddressList::parse(b"jane doe@x.example\n\"\",x\nbounce+1@simulator.amazonses.com\n", None)
                .unwrap();
        let why: Vec<_> = list.unreadable_lines.into_iter().map(|unreadable| unreadable.problem).collect();
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
                    ['"', ',', '\n', '\r', 'a', '@', ' ', ';', 'é', '{', ':'][(state >> 16) as usize % 11]
                })
                .collect();
            let _ = AddressList::parse(text.as_bytes(), None);
        }
    }
}
