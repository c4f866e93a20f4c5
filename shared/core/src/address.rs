//! An e-mail address in two forms: as SES spelled it, and as two spellings of it are compared.

use std::borrow::Cow;

use crate::malformed::{Malformed, Problem};

/// A recipient's address (RFC 5321 `Mailbox`), without display name and comments.
///
/// SES manages its suppression list by exact case but sends without regard to it: whoever deletes an entry needs the
/// raw form, whoever asks "is this one suppressed?" the match form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    raw: String,
    match_form: String,
}

/// RFC 5321 allows 64 octets, `@`, and 255. SES sends to nothing longer, and no key of the table could hold it.
const MAX_OCTETS: usize = 320;

impl Address {
    /// Reads RFC 5322's `mailbox` (`jane@example.com`, `"Doe, Jane" <jane@example.com>`, with comments), tolerantly:
    /// dots in a row, underscores in domains and non-ASCII characters occur in mail that was delivered.
    ///
    /// # Errors
    /// [`Problem::NotAnAddress`], [`Problem::TooLong`], [`Problem::Missing`]; the field is left for the caller to name.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let malformed = |problem| Malformed::new("", problem).quoting(text);
        if text.trim().is_empty() {
            return Err(malformed(Problem::Missing));
        }
        let raw = addr_spec(text).ok_or_else(|| malformed(Problem::NotAnAddress))?;
        if raw.len() > MAX_OCTETS {
            return Err(malformed(Problem::TooLong));
        }
        let (local, domain) = split(&raw).ok_or_else(|| malformed(Problem::NotAnAddress))?;
        let match_form = format!("{}@{}", match_local(local), match_domain(domain));
        Ok(Self { raw, match_form })
    }

    /// The address as SES spelled it: `Jane.Doe@Bücher.Example`.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// The form by which addresses are compared and keyed. The local part is lower-cased and without needless quotes, the
    /// domain lower-cased and IDNA-encoded: `jane.doe@xn--bcher-kva.example`.
    pub fn match_form(&self) -> &str {
        &self.match_form
    }

    /// Whether the address is one of SES's mailbox simulator, labels included (AWS: "Using the mailbox simulator
    /// manually").
    pub fn is_simulator(&self) -> bool {
        self.match_form.ends_with("@simulator.amazonses.com")
    }
}

/// Strips display name, comments and source route. Takes what stands in the last angle brackets, or else the whole text.
fn addr_spec(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let (mut quoted, mut comment_depth) = (false, 0_usize);
    let mut angle = Angle::None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted || comment_depth > 0 => {
                let escaped = chars.next()?;
                if quoted {
                    plain.extend([c, escaped]);
                }
            }
            '(' if !quoted => comment_depth += 1,
            ')' if !quoted => comment_depth = comment_depth.checked_sub(1)?,
            _ if comment_depth > 0 => {}
            '<' if !quoted => {
                angle = Angle::Open;
                plain.clear();
            }
            '>' if !quoted && angle == Angle::Open => angle = Angle::Closed,
            _ if angle == Angle::Closed => {}
            _ => {
                quoted ^= c == '"';
                plain.push(c);
            }
        }
    }
    if quoted || comment_depth > 0 || angle == Angle::Open {
        return None;
    }
    let plain = plain.trim();
    // RFC 5321 appendix C: a source route is to be ignored.
    let plain = if plain.starts_with('@') { plain.split_once(':')?.1 } else { plain };
    Some(plain.to_owned())
}

/// Where the reader stands in RFC 5322's `angle-addr`.
#[derive(PartialEq)]
enum Angle {
    None,
    Open,
    Closed,
}

/// Splits at the `@` between local part and domain; `None` if either is not one.
fn split(raw: &str) -> Option<(&str, &str)> {
    let (local, domain) = raw.rsplit_once('@')?;
    let local_ok = match local.strip_prefix('"') {
        Some(rest) => unquoted(rest.strip_suffix('"')?).is_some(),
        None => !local.is_empty() && local.chars().all(is_atom_or_dot),
    };
    let literal = domain.starts_with('[') && domain.ends_with(']');
    let domain_ok = !domain.trim_end_matches('.').is_empty()
        && domain.chars().all(|c| is_atom_or_dot(c) || (literal && matches!(c, '[' | ']' | ':')));
    (local_ok && domain_ok).then_some((local, domain))
}

/// RFC 5322's `atext` and the dot, and everything beyond ASCII that is visible (RFC 6532).
fn is_atom_or_dot(c: char) -> bool {
    !c.is_whitespace()
        && !c.is_control()
        && !matches!(c, '"' | '(' | ')' | ',' | ':' | ';' | '<' | '>' | '@' | '[' | ']' | '\\')
}

/// The content of a quoted string without its escapes; `None` if a bare quote or control character stands in it.
fn unquoted(content: &str) -> Option<String> {
    let mut plain = String::with_capacity(content.len());
    let mut chars = content.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => chars.next()?,
            '"' => return None,
            c => c,
        };
        if c.is_control() {
            return None;
        }
        plain.push(c);
    }
    Some(plain)
}

/// RFC 5321 4.1.2: a quoted string and its shorter unquoted spelling are the same mailbox.
fn match_local(local: &str) -> String {
    let Some(plain) = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).and_then(unquoted)
    else {
        return local.to_lowercase();
    };
    let plain = plain.to_lowercase();
    if !plain.is_empty() && plain.chars().all(is_atom_or_dot) {
        return plain;
    }
    format!("\"{}\"", plain.replace('\\', r"\\").replace('"', "\\\""))
}

fn match_domain(domain: &str) -> Cow<'_, str> {
    let domain = domain.trim_end_matches('.');
    // A domain that UTS 46 refuses (an old deviation, a bad Punycode label) was nevertheless sent to: keep it.
    idna::domain_to_ascii_cow(domain.as_bytes(), idna::AsciiDenyList::EMPTY)
        .unwrap_or_else(|_| Cow::Owned(domain.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn raw_and_match_form() {
        let cases = [
            ("jane@example.com", "jane@example.com", "jane@example.com"),
            ("Jane.Doe@Example.COM", "Jane.Doe@Example.COM", "jane.doe@example.com"),
            ("  <jane@example.com> ", "jane@example.com", "jane@example.com"),
            ("Jane Doe <Jane@Example.com>", "Jane@Example.com", "jane@example.com"),
            (r#""Doe, Jane" <jane@example.com>"#, "jane@example.com", "jane@example.com"),
            (r#""a <b@c.d> \" e" <jane@example.com>"#, "jane@example.com", "jane@example.com"),
            ("jane@example.com (Jane (Doe) <x@y>)", "jane@example.com", "jane@example.com"),
            ("=?UTF-8?Q?J=C3=A4ne?= <jane@example.com>", "jane@example.com", "jane@example.com"),
            ("<@relay.example,@b.example:jane@example.com>", "jane@example.com", "jane@example.com"),
            (r#""John Doe"@Example.com"#, r#""John Doe"@Example.com"#, r#""john doe"@example.com"#),
            (r#""John"@example.com"#, r#""John"@example.com"#, "john@example.com"),
            (r#""j\ohn"@example.com"#, r#""j\ohn"@example.com"#, "john@example.com"),
            (r#""a@b"@example.com"#, r#""a@b"@example.com"#, r#""a@b"@example.com"#),
            (r#""a\"b\\"@example.com"#, r#""a\"b\\"@example.com"#, r#""a\"b\\"@example.com"#),
            ("user@Bücher.example", "user@Bücher.example", "user@xn--bcher-kva.example"),
            ("user@XN--BCHER-KVA.example", "user@XN--BCHER-KVA.example", "user@xn--bcher-kva.example"),
            ("user@例え.テスト", "user@例え.テスト", "user@xn--r8jz45g.xn--zckzah"),
            ("Jürgen@example.com", "Jürgen@example.com", "jürgen@example.com"),
            ("a..b.@docomo.example", "a..b.@docomo.example", "a..b.@docomo.example"),
            ("a+tag=x/y@my_host.example.", "a+tag=x/y@my_host.example.", "a+tag=x/y@my_host.example"),
            ("user@[192.0.2.1]", "user@[192.0.2.1]", "user@[192.0.2.1]"),
            ("user@[IPv6:2001:DB8::1]", "user@[IPv6:2001:DB8::1]", "user@[ipv6:2001:db8::1]"),
        ];
        for (text, raw, match_form) in cases {
            let address = Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((address.raw(), address.match_form()), (raw, match_form), "{text}");
        }
    }

    #[test]
    fn what_is_no_address() {
        let cases = [
            "jane",
            "@example.com",
            "jane@",
            "jane@.",
            "a b@example.com",
            "a@b@c",
            "<jane@example.com",
            "jane@example.com>",
            "\"jane@example.com",
            "undisclosed-recipients:;",
            "a@example.com, b@example.com",
            "jane@exa mple.com",
            "<>",
            "jane@example.com (",
            "jane\u{7}@example.com",
            "\"a\"b\"@example.com",
        ];
        for text in cases {
            assert_eq!(Address::parse(text).unwrap_err().problem(), Problem::NotAnAddress, "{text}");
        }
        assert_eq!(Address::parse(" ").unwrap_err().problem(), Problem::Missing);
        assert_eq!(
            Address::parse(&format!("{}@example.com", "a".repeat(400))).unwrap_err().problem(),
            Problem::TooLong
        );
    }

    #[test]
    fn the_simulator_with_labels() {
        for (text, simulator) in [
            ("bounce@simulator.amazonses.com", true),
            ("Complaint+label2@Simulator.AmazonSES.com", true),
            ("bounce@simulator.amazonses.com.example.com", false),
            ("bounce@notsimulator.amazonses.com", false),
        ] {
            assert_eq!(Address::parse(text).unwrap().is_simulator(), simulator, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_match_form_is_its_own_match_form(text in r#"("[ a-zA-Z@\\"]{0,6}"|[a-zA-ZäÖİΣς.+]{1,8})@[a-zA-ZäÖß.-]{1,12}"#) {
            if let Ok(address) = Address::parse(&text) {
                let again = Address::parse(address.match_form()).unwrap();
                prop_assert_eq!(again.match_form(), address.match_form());
            }
        }

        #[test]
        fn case_of_ascii_never_tells_two_addresses_apart(text in "[a-zA-Z.+-]{1,12}@[a-zA-Z.-]{1,12}") {
            let lower = Address::parse(&text.to_ascii_lowercase()).map(|address| address.match_form().to_owned());
            let upper = Address::parse(&text.to_ascii_uppercase()).map(|address| address.match_form().to_owned());
            prop_assert_eq!(lower.ok(), upper.ok());
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = Address::parse(&text);
        }
    }
}
