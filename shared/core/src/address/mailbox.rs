//! Finds the address in a text: past display name, comments, source route, address type and stray punctuation, whether the
//! text is well formed or not.

use super::Address;

/// What stands before addresses: the address types of RFC 3464 (`rfc822`), RFC 6533 (`utf-8`) and gateways' reports
/// (`local`, `unknown`), Exchange's `SMTP:`, and the scheme of RFC 6068. No other word is taken for a type, since
/// `john;doe@example.com` is a mistyped address, not one of `doe`.
const ADDRESS_TYPES: [&str; 7] = ["rfc822", "rfc-822", "utf-8", "smtp", "local", "unknown", "mailto"];

/// The one address in a text; `None` if there is none or more than one.
///
/// RFC 5322 says what is quoted and what is a comment. Where that yields no address, as after an unbalanced quotation mark
/// or parenthesis, both are taken for plain text, and the last `<…>` holds the address.
pub(super) fn find_address(text: &str) -> Option<Address> {
    find_in_well_formed_text(text).or_else(|| find_angle_addr_in_broken_text(text))
}

fn find_in_well_formed_text(text: &str) -> Option<Address> {
    let Segments { text_without_comments: plain, parts, angle_index: angle } =
        Segments::split_at_brackets_and_commas(text, Quoting::Rfc5322)?;
    let Some(angle) = angle else { return strip_and_parse_addr_spec(&plain) };
    let address = strip_and_parse_addr_spec(parts.get(angle)?)?;
    // The part before the brackets is the display name, which may be anything, such as another address.
    let mut others = parts.iter().enumerate().filter(|(index, _)| *index != angle && index + 1 != angle);
    others.all(|(_, text)| !is_other_address(text, &address)).then_some(address)
}

fn find_angle_addr_in_broken_text(text: &str) -> Option<Address> {
    let Segments { parts, angle_index: angle, .. } =
        Segments::split_at_brackets_and_commas(text, Quoting::None)?;
    let address = strip_and_parse_addr_spec(parts.get(angle?)?)?;
    // The display name may be another address, unless something may separate two recipients, or open a comment after the
    // first: `jane@example.com (Jane <jane@example.org>`.
    if text.matches('<').count() == 1 && !text.contains([',', ';', '(', ')']) {
        return Some(address);
    }
    // Nobody knows where the display name ends, so an address anywhere may be a second recipient.
    let between = |c: char| c.is_whitespace() || matches!(c, '"' | '(' | ')' | '[' | ']');
    let mut words = parts.iter().flat_map(|part| part.split(between));
    words.all(|word| !is_other_address(word, &address)).then_some(address)
}

fn is_other_address(text: &str, address: &Address) -> bool {
    strip_and_parse_addr_spec(text).is_some_and(|other| other.match_form != address.match_form)
}

/// Reads RFC 5322's `addr-spec`, with what may stand around it but does not belong to it.
fn strip_and_parse_addr_spec(text: &str) -> Option<Address> {
    let mut rest = text.trim();
    while let Some(after) = strip_address_type(rest) {
        rest = after.trim_start();
    }
    let rest =
        trim_quotes(rest.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '>')));
    // RFC 5321 appendix C: a source route is to be ignored.
    let rest = if rest.starts_with('@') { rest.split_once(':')?.1 } else { rest };
    Address::from_addr_spec(rest)
}

/// A text without the quotation marks around it, and without closing ones that nothing has opened.
fn trim_quotes(text: &str) -> &str {
    const PAIRS: [(char, char); 8] =
        [('"', '"'), ('\'', '\''), ('`', '`'), ('`', '\''), ('“', '”'), ('‘', '’'), ('«', '»'), ('{', '}')];
    let inner = |(open, close)| text.strip_prefix(open)?.strip_suffix(close);
    if let Some(inner) = PAIRS.into_iter().find_map(inner) {
        return inner.trim();
    }
    text.trim_end_matches(['\'', '`', '”', '’', '»'])
}

fn strip_address_type(text: &str) -> Option<&str> {
    let (prefix, rest) = text.split_once([';', ':'])?;
    let prefix = prefix.trim_end();
    // The colon may be that of a domain literal: `x-ann@[IPv6:2001:db8::1]`.
    if prefix.contains('@') {
        return None;
    }
    let private = prefix.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"));
    if !private && !ADDRESS_TYPES.iter().any(|known| prefix.eq_ignore_ascii_case(known)) {
        return None;
    }
    if !prefix.eq_ignore_ascii_case("mailto") {
        return Some(rest);
    }
    // With percent-encoding another address would be read than is meant.
    rest.split('?').next().filter(|rest| !rest.contains('%'))
}

#[derive(Clone, Copy, PartialEq)]
enum Quoting {
    /// Quotation marks, backslashes and parentheses mean what RFC 5322 says.
    Rfc5322,
    /// They are plain text.
    None,
}

/// A text without its comments, whole and cut up.
struct Segments {
    text_without_comments: String,
    /// What lies between `<`, `>`, and the list separators `,` and `;`. Quoted characters separate nothing.
    parts: Vec<String>,
    /// The index of the last part that stands in angle brackets.
    angle_index: Option<usize>,
}

impl Segments {
    /// `None` if a quotation mark, parenthesis or angle bracket is not closed. What follows an open `<` may be cut short:
    /// `<jane@example.co`.
    fn split_at_brackets_and_commas(text: &str, quoting: Quoting) -> Option<Self> {
        let mut plain = String::with_capacity(text.len());
        let (mut parts, mut part) = (Vec::new(), String::new());
        let (mut angle, mut open) = (None, false);
        let (mut quoted, mut comment_depth) = (false, 0_usize);
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let syntax = quoting == Quoting::Rfc5322;
            match c {
                '\\' if quoted || comment_depth > 0 => {
                    let escaped = chars.next()?;
                    if quoted {
                        part.extend([c, escaped]);
                        plain.extend([c, escaped]);
                    }
                    continue;
                }
                '(' if syntax && !quoted => comment_depth += 1,
                ')' if syntax && !quoted => {
                    comment_depth = comment_depth.checked_sub(1)?;
                    continue;
                }
                _ => {}
            }
            if comment_depth > 0 {
                continue;
            }
            plain.push(c);
            let separates = match c {
                '<' => true,
                '>' => open,
                ',' | ';' => !open,
                _ => false,
            };
            if quoted || !separates {
                quoted ^= syntax && c == '"';
                part.push(c);
                continue;
            }
            if c == '>' {
                angle = Some(parts.len());
            }
            open = c == '<';
            parts.push(std::mem::take(&mut part));
        }
        parts.push(part);
        (!quoted && comment_depth == 0 && !open).then_some(Self {
            text_without_comments: plain,
            parts,
            angle_index: angle,
        })
    }
}
