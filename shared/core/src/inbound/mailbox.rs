//! The mailboxes in a field such as `From` (RFC 5322, 3.4), as mail really has them: brackets within brackets, commas in
//! names, quotes and comments without an end.

use serde::Serialize;

use super::encoded_words::{self, EncodedWord};
use crate::address::Address;
use crate::text::{MAX_SES_TEXT_CHARS, sanitize_text};

/// How many places in an entry are tried where an address may stand.
const MAX_CANDIDATES: usize = 8;

/// A sender, as the mail claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mailbox {
    /// The display name, decoded.
    pub name: Option<String>,
    /// The address as it is spelled; `None` if there is none.
    pub address: Option<String>,
}

impl Mailbox {
    /// Whether there is an address, and every character of the name could be decoded.
    pub(super) fn has_address_and_decoded_name(&self) -> bool {
        self.address.is_some() && !self.name.as_ref().is_some_and(|name| name.contains('\u{fffd}'))
    }

    fn new(name: &str, address: Option<&Address>) -> Option<Self> {
        let name = sanitize_text(encoded_words::decode_encoded_words(name).trim(), MAX_SES_TEXT_CHARS);
        let name = Some(name).filter(|name| !name.is_empty());
        let address = address.map(|address| address.spelling().to_owned());
        (name.is_some() || address.is_some()).then_some(Self { name, address })
    }
}

/// The first `max_count` mailboxes of an address list, without the names of groups.
///
/// A comma ends a mailbox only if an address stands before it: `Doe, Jane <jane@example.com>` is one mailbox.
pub(super) fn parse_mailboxes(unfolded_list: &str, max_count: usize) -> Vec<Mailbox> {
    let tokens: Vec<_> = Tokens::new(unfolded_list).collect();
    let mut mailboxes = Vec::new();
    // `pending` is the first token that belongs to no mailbox yet.
    let (mut pending, mut start) = (0, 0);
    for entry in tokens.split_inclusive(Token::ends_entry) {
        let end = start + entry.len();
        if entry.last().is_some_and(|token| token.kind == TokenKind::GroupColon) {
            pending = end;
        } else if entry.iter().any(|token| token.kind == TokenKind::OpenBracket) {
            mailboxes
                .extend(tokens.get(pending..end).and_then(|tokens| parse_mailbox(unfolded_list, tokens)));
            pending = end;
        } else if entry.iter().any(|token| token.kind == TokenKind::Plain && token.text.contains('@')) {
            mailboxes.extend(parse_each_entry(unfolded_list, tokens.get(pending..start).unwrap_or_default()));
            mailboxes.extend(parse_mailbox(unfolded_list, entry));
            pending = end;
        }
        if mailboxes.len() >= max_count {
            break;
        }
        start = end;
    }
    if mailboxes.len() < max_count {
        mailboxes.extend(parse_each_entry(unfolded_list, tokens.get(pending..).unwrap_or_default()));
    }
    mailboxes.truncate(max_count);
    mailboxes
}

/// Entries without an address, each for itself.
fn parse_each_entry(list: &str, tokens: &[Token<'_>]) -> Vec<Mailbox> {
    tokens.split_inclusive(Token::ends_entry).filter_map(|entry| parse_mailbox(list, entry)).collect()
}

/// The mailbox that the tokens of an entry make: what is in the last brackets is the address, if it is one.
fn parse_mailbox(list: &str, tokens: &[Token<'_>]) -> Option<Mailbox> {
    let tokens = match tokens.split_last() {
        Some((end, before)) if end.ends_entry() => before,
        _ => tokens,
    };
    let opens =
        tokens.iter().enumerate().filter(|(_, token)| token.kind == TokenKind::OpenBracket).map(|(at, _)| at);
    for open in opens.rev().take(MAX_CANDIDATES) {
        let (before, rest) = tokens.split_at(open);
        let mut parts = rest.get(1..).unwrap_or_default().split(Token::is_bracket);
        let Some(address) =
            parts.next().and_then(|content| source_text(list, content)).and_then(parse_address)
        else {
            continue;
        };
        // Of brackets within brackets, `Jane <Jane <jane@example.com>>`, the outermost name is enough.
        let name = before
            .split(Token::is_bracket)
            .chain(parts)
            .map(join_undecoded_name)
            .find(|name| !name.is_empty());
        return Mailbox::new(&combine_name_and_comments(name.unwrap_or_default(), tokens), Some(&address));
    }
    let plain = || tokens.iter().filter(|token| token.kind == TokenKind::Plain && token.text.contains('@'));
    if plain().next().is_some() {
        let without_comments = |token: &Token<'_>| match token.kind {
            TokenKind::Quoted => list.get(token.start..token.end).unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        if let Some(address) = parse_address(&join_tokens(tokens, without_comments)) {
            return Mailbox::new(&combine_name_and_comments(String::new(), tokens), Some(&address));
        }
        // Words before or after an address without brackets are its name.
        let words = plain().flat_map(|token| token.text.split_whitespace()).filter(|word| word.contains('@'));
        for word in words.take(MAX_CANDIDATES) {
            if let Some(address) = parse_address(word) {
                let name = join_undecoded_name(tokens).replacen(word, "", 1);
                return Mailbox::new(&combine_name_and_comments(name, tokens), Some(&address));
            }
        }
    }
    let quoted = tokens.iter().filter(|token| token.kind == TokenKind::Quoted && token.text.contains('@'));
    for text in quoted.map(|token| unescape(token.text)).take(MAX_CANDIDATES) {
        let (name, content) = text.rsplit_once('<').unwrap_or(("", &text));
        if let Some(address) = parse_address(content.split('>').next().unwrap_or_default()) {
            return Mailbox::new(name, Some(&address));
        }
    }
    Mailbox::new(&combine_name_and_comments(join_undecoded_name(tokens), tokens), None)
}

fn parse_address(text: &str) -> Option<Address> {
    Address::parse(text).ok()
}

/// The part of the list that tokens in a row stand for.
fn source_text<'a>(list: &'a str, tokens: &[Token<'_>]) -> Option<&'a str> {
    list.get(tokens.first()?.start..tokens.last()?.end)
}

/// The text of a display name: without quotes, brackets and comments, and with single spaces.
fn join_undecoded_name(tokens: &[Token<'_>]) -> String {
    join_tokens(
        tokens,
        |token| if token.kind == TokenKind::Quoted { unescape(token.text) } else { " ".to_owned() },
    )
}

/// Joins tokens; `quoted_or_comment_text` gives the text of a quoted string or comment.
fn join_tokens(tokens: &[Token<'_>], quoted_or_comment_text: impl Fn(&Token<'_>) -> String) -> String {
    let mut text = String::new();
    for token in tokens {
        match token.kind {
            TokenKind::Plain | TokenKind::EncodedWord | TokenKind::Separator | TokenKind::GroupColon => {
                text.push_str(token.text);
            }
            TokenKind::Quoted | TokenKind::Comment => text.push_str(&quoted_or_comment_text(token)),
            TokenKind::OpenBracket | TokenKind::CloseBracket => text.push(' '),
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A display name with the comments after it, which are all the name there is in `jane@example.com (Jane Doe)`.
fn combine_name_and_comments(name: String, tokens: &[Token<'_>]) -> String {
    let comments = tokens.iter().filter(|token| token.kind == TokenKind::Comment);
    let comments = comments.map(|token| unescape(token.text)).collect::<Vec<_>>().join(" ");
    match (name.trim(), comments.trim()) {
        (_, "") => name,
        ("", comments) => comments.to_owned(),
        (name, comments) => format!("{name} ({comments})"),
    }
}

/// The content of a quoted string or comment, without its backslashes.
fn unescape(content: &str) -> String {
    let mut text = String::with_capacity(content.len());
    let mut chars = content.chars();
    while let Some(c) = chars.next() {
        text.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    text
}

#[derive(Clone, Copy, PartialEq)]
enum TokenKind {
    Plain,
    Quoted,
    Comment,
    /// An encoded word.
    EncodedWord,
    OpenBracket,
    CloseBracket,
    Separator,
    /// The colon after a group's name.
    GroupColon,
}

/// A piece of an address list.
#[derive(Clone, Copy)]
struct Token<'a> {
    kind: TokenKind,
    /// The place in the list.
    start: usize,
    end: usize,
    /// The text; of quoted strings and comments what is between their delimiters.
    text: &'a str,
}

impl Token<'_> {
    fn ends_entry(&self) -> bool {
        matches!(self.kind, TokenKind::Separator | TokenKind::GroupColon)
    }

    fn is_bracket(&self) -> bool {
        matches!(self.kind, TokenKind::OpenBracket | TokenKind::CloseBracket)
    }
}

/// Cuts an address list into tokens. A quote or parenthesis without its end is plain text.
struct Tokens<'a> {
    list: &'a str,
    at: usize,
    /// Where the last encoded word and the last group end, and up to where quoted strings and comments may start: none is
    /// looked for beyond, so that no byte is looked at often.
    last_word_end: usize,
    last_semicolon: usize,
    quotes_until: usize,
    comments_until: usize,
    /// Whether a source route (`<@a.example,@b.example:jane@c.example>`) is open, whose commas are its own.
    in_route: bool,
    /// Whether the entry has had an address: a colon after that does not end a group's name.
    has_address: bool,
}

impl<'a> Tokens<'a> {
    fn new(list: &'a str) -> Self {
        Self {
            list,
            at: 0,
            last_word_end: list.rfind("?=").unwrap_or_default(),
            last_semicolon: list.rfind(';').unwrap_or_default(),
            quotes_until: list.len(),
            comments_until: list.len(),
            in_route: false,
            has_address: false,
        }
    }

    /// The token that starts with a special character at `self.at`.
    fn measure_special_token(&mut self) -> Option<TokenExtent> {
        let rest = self.list.get(self.at..)?;
        match rest.bytes().next()? {
            b'"' if self.at < self.quotes_until => {
                let end = quoted_string_length(rest);
                if end.is_none() {
                    self.quotes_until = self.at;
                }
                end.map(|len| TokenExtent { kind: TokenKind::Quoted, len, delimiter_len: 1 })
            }
            b'(' if self.at < self.comments_until => {
                let end = comment_length(rest);
                if end.is_none() {
                    self.comments_until = self.at;
                }
                end.map(|len| TokenExtent { kind: TokenKind::Comment, len, delimiter_len: 1 })
            }
            b'=' if self.at < self.last_word_end => {
                let word = EncodedWord::parse_prefix(rest)?;
                Some(TokenExtent { kind: TokenKind::EncodedWord, len: word.len, delimiter_len: 0 })
            }
            b'<' => {
                self.in_route = rest.get(1..).is_some_and(|rest| rest.trim_start().starts_with('@'));
                self.has_address = true;
                Some(TokenExtent::one_byte(TokenKind::OpenBracket))
            }
            b'>' => {
                self.in_route = false;
                Some(TokenExtent::one_byte(TokenKind::CloseBracket))
            }
            b',' | b';' if !self.in_route => {
                self.has_address = false;
                Some(TokenExtent::one_byte(TokenKind::Separator))
            }
            b':' if !self.has_address && self.at < self.last_semicolon => {
                Some(TokenExtent::one_byte(TokenKind::GroupColon))
            }
            _ => None,
        }
    }
}

/// A token's kind, its length, and the length of the delimiter at each of its ends.
struct TokenExtent {
    kind: TokenKind,
    len: usize,
    delimiter_len: usize,
}

impl TokenExtent {
    fn one_byte(kind: TokenKind) -> Self {
        Self { kind, len: 1, delimiter_len: 0 }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let start = self.at;
        if let Some(TokenExtent { kind, len, delimiter_len }) = self.measure_special_token() {
            self.at = start + len;
            let text = self.list.get(start + delimiter_len..self.at - delimiter_len).unwrap_or_default();
            return Some(Token { kind, start, end: self.at, text });
        }
        let rest = self.list.get(start..).filter(|rest| !rest.is_empty())?;
        let first = rest.chars().next().map_or(1, char::len_utf8);
        let len = rest
            .get(first..)
            .and_then(|rest| rest.find(['"', '(', '=', '<', '>', ',', ';', ':']))
            .map_or(rest.len(), |at| at + first);
        self.at = start + len;
        let text = self.list.get(start..self.at).unwrap_or_default();
        self.has_address |= text.contains('@');
        Some(Token { kind: TokenKind::Plain, start, end: self.at, text })
    }
}

/// The length of the quoted string that `text` starts with.
fn quoted_string_length(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some(at + 1),
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    None
}

/// The length of the comment that `text` starts with, with the comments in it.
fn comment_length(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(at + 1),
            b')' => depth -= 1,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list, and the name and address of each mailbox; `-` stands for none.
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)]);

    const CASES: &[Case] = &[
        ("jane@example.com", &[("-", "jane@example.com")]),
        ("Jane <jane@example.com>", &[("Jane", "jane@example.com")]),
        (" <jane@example.com> ", &[("-", "jane@example.com")]),
        (r#""Doe, Jane" <jane@example.com>"#, &[("Doe, Jane", "jane@example.com")]),
        (r#""a \"b\" <c@d.example>" <jane@example.com>"#, &[(r#"a "b" <c@d.example>"#, "jane@example.com")]),
        ("Jane (Sales) <jane@example.com>", &[("Jane (Sales)", "jane@example.com")]),
        ("jane@example.com (Jane Doe)", &[("Jane Doe", "jane@example.com")]),
        ("jane(a (nested) one)@example.com", &[("a (nested) one", "jane@example.com")]),
        ("Jane Doe jane@example.com", &[("Jane Doe", "jane@example.com")]),
        ("<jane@example.com> Jane Doe", &[("Jane Doe", "jane@example.com")]),
        (r#""a b"@example.com"#, &[("-", r#""a b"@example.com"#)]),
        ("<@a.example,@b.example:jane@example.com>", &[("-", "jane@example.com")]),
        // Encoded words: in quotes, with a comma, split characters.
        ("=?UTF-8?Q?J=C3=BCrgen?= <j@example.com>", &[("Jürgen", "j@example.com")]),
        ("\"=?UTF-8?Q?J=C3=BCrgen?=\" <j@example.com>", &[("Jürgen", "j@example.com")]),
        ("=?utf-8?Q?Doe,_J=C3?= =?utf-8?Q?=BC?=<j@example.com>", &[("Doe, Jü", "j@example.com")]),
        ("=?utf-8?Q?a:_b;_<c@d.example>?= <j@example.com>", &[("a: b; <c@d.example>", "j@example.com")]),
        ("j@example.com (=?iso-2022-jp?B?GyRCTmtMWhsoQg==?=)", &[("鈴木", "j@example.com")]),
        // Brackets within brackets, and brackets without an end.
        ("Like This <Like This <ann@x.example>>", &[("Like This", "ann@x.example")]),
        ("<Ann <ann@x.example>>", &[("Ann", "ann@x.example")]),
        ("Ann <<ann@x.example>>", &[("Ann", "ann@x.example")]),
        ("Ann <ann@x.example> <ann@y.example>", &[("Ann", "ann@y.example")]),
        ("Ann <ann@x.example> <>", &[("Ann", "ann@x.example")]),
        ("Ann <ann@x.example", &[("Ann", "ann@x.example")]),
        ("Ann <Sales> <ann@x.example>", &[("Ann", "ann@x.example")]),
        // Quotes and comments without an end.
        (r#"Ann "The Ann <ann@x.example>"#, &[(r#"Ann "The Ann"#, "ann@x.example")]),
        (r#""Ann <ann@x.example>"#, &[(r#""Ann"#, "ann@x.example")]),
        ("Ann (Sales <ann@x.example>", &[("Ann (Sales", "ann@x.example")]),
        ("Ann ((Sales) <ann@x.example>", &[("Ann ((Sales)", "ann@x.example")]),
        ("Ann Sales) <ann@x.example>", &[("Ann Sales)", "ann@x.example")]),
        (r#""Ann <ann@x.example>""#, &[("Ann", "ann@x.example")]),
        (r#""ann@x.example""#, &[("-", "ann@x.example")]),
        // Commas in names, and lists.
        ("Doe, Jane <jane@example.com>", &[("Doe, Jane", "jane@example.com")]),
        ("Doe, Jane, Dr. <jane@example.com>", &[("Doe, Jane, Dr.", "jane@example.com")]),
        (
            "Doe, Jane <jane@example.com>, Roe, Rick <rick@example.com>",
            &[("Doe, Jane", "jane@example.com"), ("Roe, Rick", "rick@example.com")],
        ),
        ("a@example.com, b@example.com", &[("-", "a@example.com"), ("-", "b@example.com")]),
        (
            "a@example.com, Sales <b@example.com>; c@example.com,",
            &[("-", "a@example.com"), ("Sales", "b@example.com"), ("-", "c@example.com")],
        ),
        (
            r#"Ann "The Ann <ann@x.example>, Bob <bob@x.example>"#,
            &[(r#"Ann "The Ann"#, "ann@x.example"), ("Bob", "bob@x.example")],
        ),
        // Groups, and what is no address.
        ("Friends: a@example.com, B <b@example.com>;", &[("-", "a@example.com"), ("B", "b@example.com")]),
        ("undisclosed-recipients:;", &[]),
        ("Re: Jane <jane@example.com>", &[("Re: Jane", "jane@example.com")]),
        ("", &[]),
        (" , ;", &[]),
        ("not an address", &[("not an address", "-")]),
        ("not an address, Jane <jane@example.com>", &[("not an address, Jane", "jane@example.com")]),
        ("Jane <jane@example.com>, not an address", &[("Jane", "jane@example.com"), ("not an address", "-")]),
        ("Jane <not an address>", &[("Jane not an address", "-")]),
    ];

    #[test]
    fn names_and_addresses() {
        for (list, expected) in CASES {
            let found = parse_mailboxes(list, 5);
            let found: Vec<_> = found
                .iter()
                .map(|m| (m.name.as_deref().unwrap_or("-"), m.address.as_deref().unwrap_or("-")))
                .collect();
            assert_eq!(found, *expected, "{list}");
        }
        assert_eq!(parse_mailboxes("a@x.example, b@x.example, c", 2).len(), 2);
    }
}
