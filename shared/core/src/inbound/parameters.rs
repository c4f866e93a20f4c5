//! Fields with parameters (RFC 2045, 5.1): `Content-Type` and `Content-Disposition`, with what RFC 2231 added and what mail
//! programs make of it.

use super::charset;
use super::encoded_words::{self, EncodedWord, parse_hex_byte};

/// The value before the parameters, in lower case: `text/plain`, `attachment`.
pub(super) fn value_before_parameters(field: &str) -> String {
    let field = without_comments(field);
    let value = field.split([';', '(']).next().unwrap_or_default();
    value.split_whitespace().next().unwrap_or_default().to_ascii_lowercase()
}

/// A field's value without its comments (RFC 5322, 3.2.2), which may stand anywhere in it. One that does not end is text.
pub(super) fn without_comments(field: &str) -> String {
    let mut plain = String::with_capacity(field.len());
    let (mut depth, mut quoted) = (0_usize, false);
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted || depth > 0 => {
                let escaped = chars.next();
                if depth == 0 {
                    plain.push(c);
                    plain.extend(escaped);
                }
                continue;
            }
            '"' if depth == 0 => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted && depth > 0 => {
                depth -= 1;
                plain.push(' ');
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            plain.push(c);
        }
    }
    if depth == 0 { plain } else { field.to_owned() }
}

/// A parameter whose value is a token, such as a boundary or a character set.
pub(super) fn plain_else_decoded_parameter(field: &str, name: &str) -> Option<String> {
    let plain = Parameters::new(field).find(|(key, _)| key.eq_ignore_ascii_case(name));
    let value = plain.map(|(_, value)| value).or_else(|| decoded_parameter(field, name))?;
    Some(value.trim_end().to_owned()).filter(|value| !value.is_empty())
}

/// A parameter whose value is text, such as a file name. Of several spellings the one with a character set counts, as
/// senders give the other one to old programs.
pub(super) fn decoded_parameter(field: &str, name: &str) -> Option<String> {
    let mut sections: Vec<ParameterSection> = Vec::new();
    let mut plain = None;
    for (key, value) in Parameters::new(field) {
        let (base, suffix) = key.split_once('*').map_or((key, None), |(base, suffix)| (base, Some(suffix)));
        if !base.trim().eq_ignore_ascii_case(name) {
            continue;
        }
        match suffix.map(str::trim) {
            None => plain = plain.or_else(|| Some(encoded_words::decode_encoded_words(&value))),
            Some(suffix) => {
                let is_encoded = suffix.is_empty() || suffix.ends_with('*');
                let number = suffix.trim_end_matches('*').parse().unwrap_or(0);
                sections.push(ParameterSection { number, is_encoded, value });
            }
        }
    }
    // The sort is stable: of a section that stands there twice, the first counts.
    sections.sort_by_key(|section| section.number);
    sections.dedup_by_key(|section| section.number);
    if sections.is_empty() { plain } else { Some(join_sections(&sections)) }
}

/// A section of a value, `name*number*=value` (RFC 2231, 3).
struct ParameterSection {
    number: u32,
    is_encoded: bool,
    value: String,
}

fn join_sections(sections: &[ParameterSection]) -> String {
    if sections.iter().all(|section| !section.is_encoded) {
        // Encoded words that somebody has cut into sections.
        return encoded_words::decode_encoded_words(
            &sections.iter().map(|section| section.value.as_str()).collect::<String>(),
        );
    }
    let mut name = "";
    let mut text = String::new();
    let mut bytes = Vec::new();
    for (index, section) in sections.iter().enumerate() {
        let mut value = section.value.as_str();
        if !section.is_encoded {
            // A character may be split between encoded sections, but not across plain ones.
            text.push_str(&charset::decode_charset(name, &std::mem::take(&mut bytes)));
            text.push_str(value);
            continue;
        }
        if index == 0
            && let Some((charset, (_, after))) =
                value.split_once('\'').and_then(|(charset, rest)| Some((charset, rest.split_once('\'')?)))
        {
            (name, value) = (charset, after);
        }
        append_percent_decoded(value, &mut bytes);
    }
    text.push_str(&charset::decode_charset(name, &bytes));
    text
}

fn append_percent_decoded(value: &str, bytes: &mut Vec<u8>) {
    let mut rest = value.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, parse_hex_byte(after)) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => bytes.push(*first),
        }
    }
}

/// The parameters, as they stand: names with their asterisks, values without quotes and comments.
struct Parameters<'a> {
    rest: &'a str,
    /// The length of the field's end in which no encoded word ends, so that none is looked for there.
    tail: usize,
}

impl<'a> Parameters<'a> {
    fn new(field: &'a str) -> Self {
        let rest = field.split_once(';').map_or("", |(_, parameters)| parameters);
        Self { rest, tail: rest.rfind("?=").map_or(rest.len(), |at| rest.len() - at) }
    }

    /// Takes a parameter's value.
    fn take_value(&mut self) -> String {
        let text = self.rest.trim_start();
        let (value, rest) = match text.strip_prefix('"') {
            Some(quoted) => split_quoted_value(quoted),
            None => self.split_plain_value(text),
        };
        self.rest = rest;
        value
    }

    fn split_plain_value(&self, text: &'a str) -> (String, &'a str) {
        let mut end = 0;
        while let Some(rest) = text.get(end..) {
            let Some(found) = rest.find(['=', ';']) else {
                end = text.len();
                break;
            };
            end += found;
            let rest = text.get(end..).unwrap_or_default();
            if rest.starts_with(';') {
                break;
            }
            // An encoded word may hold a semicolon.
            let word = (rest.len() > self.tail).then(|| EncodedWord::parse_prefix(rest)).flatten();
            end += word.map_or(1, |word| word.len);
        }
        let (value, after) = text.split_at_checked(end).unwrap_or((text, ""));
        // A comment may stand after a token, while a file name may hold parentheses.
        let without_comment = value.trim_end().strip_suffix(')').and_then(|value| value.split_once('('));
        let value = match without_comment {
            Some((token, _)) if !token.trim().contains(char::is_whitespace) => token,
            _ => value,
        };
        (value.trim().to_owned(), after)
    }
}

/// The value of a quoted string whose first quote is gone, and what comes after it.
fn split_quoted_value(quoted: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            // Only these two need a backslash; before anything else it is meant, as in a Windows path.
            '\\' if quoted.get(at + 1..).is_some_and(|rest| rest.starts_with(['"', '\\'])) => {
                value.extend(chars.next().map(|(_, escaped)| escaped));
            }
            _ => value.push(c),
        }
    }
    (value, "")
}

impl<'a> Iterator for Parameters<'a> {
    type Item = (&'a str, String);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.rest.trim_start_matches(|c: char| c == ';' || c.is_whitespace());
            if rest.is_empty() {
                return None;
            }
            let end = rest.find(['=', ';']).unwrap_or(rest.len());
            let (key, after) = rest.split_at(end);
            let Some(after) = after.strip_prefix('=') else {
                // Without a value it is no parameter.
                self.rest = after;
                continue;
            };
            self.rest = after;
            return Some((key.trim(), self.take_value()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_in_every_spelling() {
        let cases = [
            ("attachment; filename=a.pdf", "a.pdf"),
            ("attachment; filename=\"a; b.pdf\"; size=3", "a; b.pdf"),
            ("attachment;filename = \"a.pdf\"", "a.pdf"),
            ("attachment; FileName=report (1).pdf; x=y", "report (1).pdf"),
            ("attachment; filename=a.pdf (a comment)", "a.pdf"),
            (r#"attachment; filename="C:\Users\a \"b\".txt""#, r#"C:\Users\a "b".txt"#),
            ("attachment; filename=\"open", "open"),
            ("attachment; size; filename=a.pdf", "a.pdf"),
            ("attachment; filename=a.pdf; filename=b.pdf", "a.pdf"),
            ("attachment; filename=a.pdf; filename*=UTF-8''%C3%A9.pdf", "é.pdf"),
            ("attachment; filename*=UTF-8''Rechnung%20%E2%82%AC.pdf", "Rechnung €.pdf"),
            ("attachment; filename*=\"utf-8'de'%C3%A9.pdf\"", "é.pdf"),
            ("attachment; filename*=%C3%A9.pdf", "é.pdf"),
            ("attachment; filename*=utf-8''100%.pdf", "100%.pdf"),
            ("attachment; filename*1*=%BC.pdf; filename*0*=UTF-8''r%C3", "rü.pdf"),
            ("attachment; filename*0=\"a long \"; filename*1=\"name.pdf\"", "a long name.pdf"),
            ("attachment; filename*0*=iso-8859-1''r%FC; filename*1=ck; filename*2*=%FC.txt", "rückü.txt"),
            ("attachment; filename*0*=shift_jis'ja'%95%5C%8E; filename*1*=%A6.pdf", "表示.pdf"),
            ("attachment; filename*0*=gb2312''%B6%A9%B5; filename*1*=%A5.doc", "订单.doc"),
            ("attachment; filename*=iso-2022-jp''%1B%24B%40A5a%1B%28B.pdf", "請求.pdf"),
            ("attachment; filename*=ks_c_5601-1987''%C1%D6%B9%AE.hwp", "주문.hwp"),
            ("attachment; filename==?UTF-8?Q?a;b=C3=A9?=.pdf; x=y", "a;bé.pdf"),
            ("attachment; filename=\"=?Shift_JIS?B?lVyOpi5wZGY=?=\"", "表示.pdf"),
            (
                "attachment; filename=\"=?ISO-2022-JP?B?GyRCQEE1YRsoQg==?= =?ISO-2022-JP?B?LnBkZg==?=\"",
                "請求.pdf",
            ),
            ("attachment; filename*0=\"=?UTF-8?B?UmVjaG51\"; filename*1=\"bmcucGRm?=\"", "Rechnung.pdf"),
        ];
        for (field, name) in cases {
            assert_eq!(decoded_parameter(field, "filename").as_deref(), Some(name), "{field}");
        }
        for field in ["attachment", "", "; filename", "attachment; name=x", "attachment; xfilename=y"] {
            assert_eq!(decoded_parameter(field, "filename"), None, "{field}");
        }
    }

    #[test]
    fn keywords_and_tokens() {
        assert_eq!(value_before_parameters(" Text/HTML ; charset=x"), "text/html");
        assert_eq!(value_before_parameters("ATTACHMENT"), "attachment");
        assert_eq!(value_before_parameters("text/plain (a comment); x=y"), "text/plain");
        assert_eq!(
            plain_else_decoded_parameter("text/plain; charset=us-ascii (Plain text)", "charset").as_deref(),
            Some("us-ascii")
        );
        assert_eq!(
            plain_else_decoded_parameter("multipart/mixed; boundary=\"a b\"", "boundary").as_deref(),
            Some("a b")
        );
        assert_eq!(plain_else_decoded_parameter("multipart/mixed; boundary=\"\"", "boundary"), None);
    }
}
