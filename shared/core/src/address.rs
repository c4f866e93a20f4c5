//! An e-mail address in two forms: as SES spelled it, and as two spellings of it are compared.

mod mailbox;

use std::borrow::Cow;

use crate::malformed::{InputProblem, MalformedInput};

/// A recipient's address (RFC 5321 `Mailbox`), without display name and comments.
///
/// SES manages its suppression list by exact case but sends without regard to it: whoever deletes an entry needs the
/// raw form, whoever asks "is this one suppressed?" the match form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    spelling: String,
    match_form: String,
}

/// RFC 5321 allows 64 octets, `@`, and 255. SES sends to nothing longer, and no key of the table could hold it.
const MAX_OCTETS: usize = 320;

impl Address {
    /// Reads RFC 5322's `mailbox` (`jane@example.com`, `"Doe, Jane" <jane@example.com>`, with comments), tolerantly:
    /// dots in a row, underscores in domains and non-ASCII characters occur in mail that was delivered. In reports of
    /// bounces the display part may be broken (`Jane "The Jane <jane@example.com>`), an address type may stand before the
    /// address (`rfc822; jane@example.com`), and punctuation after it (`jane@example.com>`).
    ///
    /// # Errors
    /// [`InputProblem::NotAnAddress`], also for two addresses in one text, and for one whose match form does not read as itself,
    /// since it would be kept under one key and looked for under another. [`InputProblem::TooLong`], [`InputProblem::Missing`]. The
    /// field is left for the caller to name.
    pub fn parse(text: &str) -> Result<Self, MalformedInput> {
        let malformed = |problem| MalformedInput::new("", problem).with_excerpt(text);
        if text.trim().is_empty() {
            return Err(malformed(InputProblem::Missing));
        }
        let address = mailbox::find_address(text).ok_or_else(|| malformed(InputProblem::NotAnAddress))?;
        if address.spelling.len().max(address.match_form.len()) > MAX_OCTETS {
            return Err(malformed(InputProblem::TooLong));
        }
        let again = mailbox::find_address(&address.match_form);
        if again.is_none_or(|again| {
            [again.spelling, again.match_form].iter().any(|form| *form != address.match_form)
        }) {
            return Err(malformed(InputProblem::NotAnAddress));
        }
        Ok(address)
    }

    /// Reads RFC 5322's `addr-spec` without anything around it. The match form may be no address.
    fn from_addr_spec(addr_spec: &str) -> Option<Self> {
        let (local, domain) = split_addr_spec(addr_spec)?;
        let match_form = format!("{}@{}", normalize_local_part(local), normalize_domain(domain));
        Some(Self { spelling: addr_spec.to_owned(), match_form })
    }

    /// The address as SES spelled it: `Jane.Doe@Bücher.Example`.
    pub fn spelling(&self) -> &str {
        &self.spelling
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

/// Splits at the `@` between local part and domain; `None` if either is not one.
fn split_addr_spec(addr_spec: &str) -> Option<(&str, &str)> {
    let (local, domain) = addr_spec.rsplit_once('@')?;
    let local_ok = match local.strip_prefix('"') {
        Some(rest) => unescape_quoted_string(rest.strip_suffix('"')?).is_some(),
        None => !local.is_empty() && local.chars().all(is_utf8_atext_or_dot),
    };
    let literal = domain.starts_with('[') && domain.ends_with(']');
    let labels = domain.trim_end_matches('.');
    let domain_ok = !labels.is_empty()
        && !labels.starts_with('.')
        && !labels.contains("..")
        && domain.chars().all(|c| is_tolerated_domain_char(c) || (literal && matches!(c, '[' | ']' | ':')));
    (local_ok && domain_ok).then_some((local, domain))
}

/// RFC 5322's `atext` and the dot, and everything beyond ASCII that is visible (RFC 6532). The at signs beyond ASCII are what
/// an input method makes of `@`.
fn is_utf8_atext_or_dot(c: char) -> bool {
    !c.is_whitespace()
        && !c.is_control()
        && !matches!(
            c,
            '"' | '(' | ')' | ',' | ':' | ';' | '<' | '>' | '@' | '[' | ']' | '\\' | '\u{ff20}' | '\u{fe6b}'
        )
}

/// What a domain may hold: RFC 5321's letters, digits and hyphens, the underscores that occur, and everything beyond ASCII that
/// is visible, but no quotation marks, which belong to the text around the address.
fn is_tolerated_domain_char(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
    } else {
        is_utf8_atext_or_dot(c)
            && !matches!(c, '\u{2018}'..='\u{201f}' | '«' | '»' | '‹' | '›' | '\u{ff02}' | '\u{ff07}')
    }
}

/// The content of a quoted string without its escapes; `None` if a bare quote or control character stands in it.
fn unescape_quoted_string(content: &str) -> Option<String> {
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
fn normalize_local_part(local_part: &str) -> String {
    let Some(plain) =
        local_part.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).and_then(unescape_quoted_string)
    else {
        return local_part.to_lowercase();
    };
    let plain = plain.to_lowercase();
    if !plain.is_empty() && plain.chars().all(is_utf8_atext_or_dot) {
        return plain;
    }
    format!("\"{}\"", plain.replace('\\', r"\\").replace('"', "\\\""))
}

fn normalize_domain(domain: &str) -> Cow<'_, str> {
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
            ("user@例え。テスト", "user@例え。テスト", "user@xn--r8jz45g.xn--zckzah"),
            ("user@[192.0.2.1]", "user@[192.0.2.1]", "user@[192.0.2.1]"),
            ("user@[IPv6:2001:DB8::1]", "user@[IPv6:2001:DB8::1]", "user@[ipv6:2001:db8::1]"),
            ("x-user@[IPv6:2001:DB8::1]", "x-user@[IPv6:2001:DB8::1]", "x-user@[ipv6:2001:db8::1]"),
        ];
        for (text, raw, match_form) in cases {
            let address = Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((address.spelling(), address.match_form()), (raw, match_form), "{text}");
        }
    }

    #[test]
    fn what_bounces_name() {
        let cases = [
            (r#"Ann "The Ann <ann@example.com>"#, "ann@example.com"),
            (r#"Ann "The Ann" Lee" <ann@example.com>"#, "ann@example.com"),
            (r#""Ann \" <ann@example.com>"#, "ann@example.com"),
            (r#""Ann <ann@example.com>""#, "ann@example.com"),
            (r#""ann@example.com <Ann@Example.com>"#, "Ann@Example.com"),
            ("Ann “Ann <ann@example.com>", "ann@example.com"),
            ("Ann (Sales <ann@example.com>", "ann@example.com"),
            ("Ann Sales) <ann@example.com>", "ann@example.com"),
            (r#"Ann (Sales) "EU <ann@example.com>,"#, "ann@example.com"),
            (r#"Ann "(" <"odd > place"@example.com>"#, r#""odd > place"@example.com"#),
            ("<<ann@example.com>>", "ann@example.com"),
            ("Ann <sales <ann@example.com>>", "ann@example.com"),
            ("ann@example.com <mailto:ann@example.com>", "ann@example.com"),
            ("Lee, Ann <ann@example.com>", "ann@example.com"),
            ("bob@example.com <ann@example.com>", "ann@example.com"),
            (r#""bob@example.com, Bob" <ann@example.com>"#, "ann@example.com"),
            ("ann@example.com>", "ann@example.com"),
            ("ann@example.com,", "ann@example.com"),
            ("ann@example.com ; ", "ann@example.com"),
            ("<ann@example.com>;", "ann@example.com"),
            ("<ann@example.com,>", "ann@example.com"),
            ("rfc822;ann@example.com", "ann@example.com"),
            ("RFC822 ; Ann@Example.com", "Ann@Example.com"),
            ("rfc822; <ann@example.com>", "ann@example.com"),
            ("<rfc822;ann@example.com>", "ann@example.com"),
            ("rfc822: ann@example.com", "ann@example.com"),
            ("rfc822; Ann (Sales) <ann@example.com>", "ann@example.com"),
            (r#"rfc822;"a b"@example.com"#, r#""a b"@example.com"#),
            ("rfc822;@relay.example:ann@example.com", "ann@example.com"),
            ("utf-8; jürgen@example.com", "jürgen@example.com"),
            ("rfc822;SMTP:ann@example.com", "ann@example.com"),
            ("LOCAL; ann@example.com", "ann@example.com"),
            ("X-Notes; ann@example.com", "ann@example.com"),
            (r#""bob@example.com <ann@example.com>"#, "ann@example.com"),
            ("'ann@example.com'", "ann@example.com"),
            ("`ann@example.com`", "ann@example.com"),
            ("“ann@example.com”", "ann@example.com"),
            ("‘ann@example.com’", "ann@example.com"),
            ("«ann@example.com»", "ann@example.com"),
            ("{ann@example.com}", "ann@example.com"),
            (r#""ann@example.com""#, "ann@example.com"),
            ("<'ann@example.com'>", "ann@example.com"),
            ("ann@example.com'", "ann@example.com"),
            ("'o'neil'@example.com", "'o'neil'@example.com"),
            ("mailto:ann@example.com", "ann@example.com"),
            ("MAILTO:ann@example.com?subject=Hello;>", "ann@example.com"),
        ];
        for (text, raw) in cases {
            let address = Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(address.spelling(), raw, "{text}");
        }
    }

    #[test]
    fn what_is_no_address() {
        let cases = [
            "Ann <ann@example.com>, Bob <bob@example.com>",
            "<ann@example.com> <bob@example.com>",
            "<ann@example.com>, bob@example.com",
            "ann@example.com, Bob <bob@example.com>",
            "Ann \"The Ann <ann@example.com>, Bob <bob@example.com>",
            "ann@example.com (Ann <bob@example.com>",
            "ann@example.com; Bob (Sales <bob@example.com>",
            "ann@example.com;bob@example.com",
            "rfc822;ann@example.com;rfc822;bob@example.com",
            "john;doe@example.com",
            "Sales:ann@example.com;",
            "rfc822;ann",
            "rfc822;",
            "mailto:a%40b@example.com",
            "utf-8; j\\x{fc}rgen@example.com",
            "Ann \"Ann <ann>",
            "Ann \"Ann <ann@example.com> <>",
            ";,>",
            "a@example.com。",
            "a＠example.com",
            "a＠b@example.com",
            "a@b＠example.com",
            "a@example。com。",
            "a@exa（mple.com",
            "a@exa；mple.com",
            "jane",
            "@example.com",
            "jane@",
            "jane@.",
            "a b@example.com",
            "a@b@c",
            "<jane@example.com",
            "Jane \"The Jane <jane@example.com",
            "\"jane@example.com",
            "undisclosed-recipients:;",
            "a@example.com, b@example.com",
            "jane@exa mple.com",
            "<>",
            "jane@example.com (",
            "jane\u{7}@example.com",
            "jane@example..com",
            "jane@.example.com",
            "jane@exa|mple.com",
            "jane@example.com?x",
            "jane@example.com/",
            "jane@exam“ple.com",
            "\"a\"b\"@example.com",
        ];
        for text in cases {
            assert_eq!(Address::parse(text).unwrap_err().problem(), InputProblem::NotAnAddress, "{text}");
        }
        assert_eq!(Address::parse(" ").unwrap_err().problem(), InputProblem::Missing);
        assert_eq!(
            Address::parse(&format!("{}@example.com", "a".repeat(400))).unwrap_err().problem(),
            InputProblem::TooLong
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

    #[test]
    fn neither_form_is_too_long() {
        // In Punycode a domain takes more octets than in UTF-8.
        let text = format!("{}@{}.example", "a".repeat(240), ["ü日"; 10].join("."));
        let error = Address::parse(&text).unwrap_err();
        assert_eq!((error.problem(), text.len() <= MAX_OCTETS), (InputProblem::TooLong, true));
    }

    /// Characters to which a step gives another meaning, or that case folding or IDNA's mapping turns into others.
    const ODD: &[char] = &[
        'a',
        'A',
        '.',
        '-',
        'İ',
        'ı',
        'Σ',
        'ς',
        'ß',
        'ẞ',
        'ﬁ',
        '。',
        '．',
        '｡',
        '＠',
        '﹫',
        '（',
        '＜',
        '；',
        '：',
        '，',
        '＂',
        '［',
        '\u{a8}',
        '\u{ad}',
        '\u{301}',
        '\u{200b}',
        '\u{200d}',
        '\u{202e}',
        '\u{2060}',
        '\u{3000}',
        '\u{fdd0}',
        '\u{feff}',
        '\u{fffd}',
        '\u{ffff}',
        '\u{1f3f3}',
        '\u{e0001}',
        '\u{10ffff}',
    ];

    fn odd() -> impl Strategy<Value = String> {
        let chars = prop::collection::vec(prop::sample::select(ODD), 1..6);
        chars.prop_map(|chars| chars.into_iter().collect())
    }

    fn spelled() -> impl Strategy<Value = String> {
        let local = prop_oneof![r#""[ a-zA-Z@\\"<>(,;]{0,6}""#, "[a-zA-ZäÖİΣς.+]{1,8}", odd(), "\\PC{1,6}"];
        let domain = prop_oneof![
            "[a-zA-ZäÖß.-]{1,12}",
            odd(),
            (odd(), odd()).prop_map(|(name, suffix)| format!("{name}。{suffix}")),
            "\\PC{1,8}"
        ];
        (local, domain).prop_map(|(local, domain)| format!("{local}@{domain}"))
    }

    proptest! {
        #[test]
        fn each_form_reads_as_itself(text in spelled()) {
            if let Ok(address) = Address::parse(&text) {
                let again = Address::parse(address.match_form()).unwrap();
                prop_assert_eq!((again.spelling(), again.match_form()), (address.match_form(), address.match_form()));
                prop_assert_eq!(Address::parse(address.spelling()), Ok(address));
            }
        }

        /// Whatever stands around an address, nobody else's is read.
        #[test]
        fn the_address_read_is_the_one_in_brackets(before in r#"[ a"\\().,;:@<>]{0,16}"#, after in r#"[ ",;>)]{0,4}"#) {
            let text = format!("{before}<ann@example.com>{after}");
            if let Ok(address) = Address::parse(&text) {
                prop_assert!(address.spelling() == "ann@example.com" || address.spelling().starts_with('"'), "{}", text);
            }
        }

        #[test]
        fn case_of_ascii_never_tells_two_addresses_apart(text in "[a-zA-Z.+-]{1,12}@[a-zA-Z.-]{1,12}") {
            let lower = Address::parse(&text.to_ascii_lowercase()).map(|address| address.match_form().to_owned());
            let upper = Address::parse(&text.to_ascii_uppercase()).map(|address| address.match_form().to_owned());
            prop_assert_eq!(lower.ok(), upper.ok());
        }

        #[test]
        fn no_text_panics(text in r#"\PC*|[a@"\\()<>,;:. ]*"#) {
            let _ = Address::parse(&text);
        }
    }
}
