//! What is in a mail, from its first bytes.
//!
//! The parts are found here, not by a library that would decode every body and copy the mail once for each mail within it
//! (measured: 120 MB for a mail of 80 KB that somebody made for it): all that is wanted of a body is where it ends. So memory
//! stays below a small multiple of the bytes given, and no byte is looked at more than `MAX_DEPTH` times a small constant.

use serde::{Serialize, Serializer};

use super::headers::{HeaderFields, MAX_VALUE_BYTES, join_folded_lines};
use super::{charset, loops, parameters};
use crate::text::sanitize_text;

/// The most attachments that are listed.
const MAX_ATTACHMENTS: usize = 20;
const MAX_NAME_CHARS: usize = 128;
const MAX_TYPE_CHARS: usize = 100;
/// How deep multiparts within multiparts are looked into.
const MAX_DEPTH: usize = 16;
/// The header fields of the mail that are used, besides those that say that a machine wrote it.
const KEPT_FIELDS: &[&str] = &["Subject", "From", "Message-ID", "In-Reply-To", "References"];

/// What is in a mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MailStructure {
    /// How much of the mail was looked at.
    pub read: ReadExtent,
    /// Why the mail can't be read; `None` if it can.
    pub unreadable: Option<UnreadableReason>,
    /// The mail's content type, such as `multipart/mixed`.
    pub content_type: Option<String>,
    /// The attachments, in the mail's order: the parts that are no text of the mail itself, or have a name, or say that
    /// they are attachments.
    pub attachments: Vec<Attachment>,
    /// How many more attachments there are that are not listed.
    pub attachments_omitted: usize,
    #[serde(skip)]
    pub(super) headers: HeaderFields,
    #[serde(skip)]
    pub(super) has_all_headers: bool,
}

/// How much of a mail was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadExtent {
    /// All of the mail was read.
    Complete,
    /// Only the mail's beginning was read: there may be more attachments.
    Truncated,
    /// Nothing could be read.
    Unreadable,
}

/// Why a mail can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableReason {
    /// The mail is encrypted on the client's side: see [`super::ObjectEncryption::is_client_side`].
    #[error("encrypted on the client's side")]
    Encrypted,
    /// There are no bytes.
    #[error("empty")]
    Empty,
    /// The bytes do not begin with a header field.
    #[error("not a mail")]
    NotMail,
}

impl Serialize for UnreadableReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A part of a mail that is not its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attachment {
    /// The file name that the sender gave: never to be used as a path.
    pub name: Option<String>,
    /// The content type that the sender gave, such as `application/pdf`.
    #[serde(rename = "type")]
    pub content_type: Option<String>,
    /// The decoded size in bytes; `None` if the part's end was not read.
    pub size: Option<u64>,
}

impl MailStructure {
    /// The structure of a mail that can't be read.
    pub fn from_unreadable(reason: UnreadableReason) -> Self {
        Self {
            read: ReadExtent::Unreadable,
            unreadable: Some(reason),
            content_type: None,
            attachments: Vec::new(),
            attachments_omitted: 0,
            headers: HeaderFields::default(),
            has_all_headers: false,
        }
    }

    /// Reads a mail's first bytes; `is_complete` says that there are no more.
    pub fn parse(bytes: &[u8], is_complete: bool) -> Self {
        if bytes.is_empty() {
            return Self::from_unreadable(UnreadableReason::Empty);
        }
        let mut top = Entity::parse(bytes, is_complete);
        if !top.begins_with_field {
            return Self::from_unreadable(UnreadableReason::NotMail);
        }
        let fields = std::mem::take(&mut top.fields);
        let mut structure = Self {
            read: if is_complete { ReadExtent::Complete } else { ReadExtent::Truncated },
            unreadable: None,
            content_type: top.content_type(),
            attachments: Vec::new(),
            attachments_omitted: 0,
            headers: HeaderFields::default(),
            has_all_headers: top.has_all_headers,
        };
        let charset = structure.list_parts_and_find_charset(top, is_complete);
        for HeaderField { name, value } in fields {
            if KEPT_FIELDS.iter().any(|kept| name.eq_ignore_ascii_case(kept)) || loops::is_sign_field(name) {
                structure.headers.push(name, &charset::decode_field(value, charset.as_deref()));
            }
        }
        structure
    }

    /// Goes through the parts, delimiter by delimiter (RFC 2046, 5.1). Returns the first character set that the mail or a
    /// part of it declares.
    fn list_parts_and_find_charset(&mut self, top: Entity<'_>, is_complete: bool) -> Option<String> {
        let bytes = top.bytes;
        let mut boundaries: Vec<Vec<u8>> = Vec::new();
        let mut charset = None;
        let mut entity = Some(top);
        let mut at = 0;
        loop {
            let next = Delimiter::find(bytes, at, &boundaries, is_complete);
            if let Some(mut read) = entity.take() {
                charset = charset.or_else(|| read.charset.take());
                if boundaries.len() < MAX_DEPTH
                    && let Some(boundary) = read.boundary.take()
                {
                    at += read.body_start;
                    boundaries.push(boundary);
                    continue;
                }
                let end = next.as_ref().map_or(bytes.len(), |next| next.body_end);
                let body = bytes.get(at + read.body_start..end).unwrap_or_default();
                self.list_if_attachment(&read, body, next.is_some() || is_complete, charset.as_deref());
            }
            let Some(delimiter) = next else { return charset };
            at = delimiter.next_line;
            boundaries.truncate(delimiter.level + usize::from(!delimiter.ends_multipart));
            if !delimiter.ends_multipart {
                // A header whose end is missing ends with the part.
                let end = Delimiter::find(bytes, at, &boundaries, is_complete).map(|next| next.body_end);
                let part = bytes.get(at..end.unwrap_or(bytes.len())).unwrap_or_default();
                entity = Some(Entity::parse(part, is_complete || end.is_some()));
            } else if boundaries.is_empty() {
                return charset;
            }
        }
    }

    fn list_if_attachment(
        &mut self,
        entity: &Entity<'_>,
        body: &[u8],
        is_complete: bool,
        fallback_charset: Option<&str>,
    ) {
        let name = entity.file_name(fallback_charset);
        let content_type = entity.content_type();
        let is_text = matches!(content_type.as_deref(), None | Some("text/plain" | "text/html"));
        let unlisted = is_text && name.is_none() && !entity.has_attachment_disposition();
        // A multipart without a boundary is text that some mailer mislabelled.
        if unlisted
            || (name.is_none() && entity.media_type.starts_with("multipart/") && entity.boundary.is_none())
        {
            return;
        }
        if self.attachments.len() == MAX_ATTACHMENTS {
            self.attachments_omitted += 1;
            return;
        }
        let size = is_complete.then(|| entity.decoded_size(body));
        self.attachments.push(Attachment { name, content_type, size });
    }
}

/// A line that separates or ends parts.
struct Delimiter {
    /// Which of the boundaries it is, by its place among those that are open.
    level: usize,
    /// Whether it ends the multipart as well.
    ends_multipart: bool,
    /// Where the part before it ends: the line break belongs to the delimiter.
    body_end: usize,
    /// Where the line after it begins.
    next_line: usize,
}

impl Delimiter {
    /// The first delimiter at or after `from`, which is the start of a line. If the mail goes on, its last line may be
    /// the beginning of a longer one, and does not count.
    fn find(bytes: &[u8], from: usize, boundaries: &[Vec<u8>], is_complete: bool) -> Option<Self> {
        let mut start = from;
        while start < bytes.len() && !boundaries.is_empty() {
            let LineEnd { end, next_line } = find_line_end(bytes, start, is_complete)?;
            let line = bytes.get(start..end)?;
            if let Some(line) = line.strip_prefix(b"--") {
                for (level, boundary) in boundaries.iter().enumerate().rev() {
                    let Some(rest) = line.strip_prefix(boundary.as_slice()) else { continue };
                    let (closes, rest) = rest.strip_prefix(b"--").map_or((false, rest), |rest| (true, rest));
                    if rest.iter().all(u8::is_ascii_whitespace) {
                        let before = bytes.get(from..start)?;
                        let before = before.strip_suffix(b"\n").unwrap_or(before);
                        let before = before.strip_suffix(b"\r").unwrap_or(before);
                        return Some(Self {
                            level,
                            ends_multipart: closes,
                            body_end: from + before.len(),
                            next_line,
                        });
                    }
                }
            }
            start = next_line;
        }
        None
    }
}

/// A header field: its name, and its value as it stands in the mail.
struct HeaderField<'a> {
    name: &'a str,
    value: &'a [u8],
}

/// The mail or a part of it: its header, and where its body begins.
struct Entity<'a> {
    bytes: &'a [u8],
    fields: Vec<HeaderField<'a>>,
    content_type: &'a [u8],
    /// The content type without its parameters, in lower case.
    media_type: String,
    /// The boundary, of a multipart only.
    boundary: Option<Vec<u8>>,
    charset: Option<String>,
    disposition: &'a [u8],
    transfer_encoding: String,
    begins_with_field: bool,
    has_all_headers: bool,
    body_start: usize,
}

impl<'a> Entity<'a> {
    /// Reads a header; `is_complete` says that `bytes` is not cut off. If it is, the last field is left out, since it may be
    /// cut off too.
    fn parse(bytes: &'a [u8], is_complete: bool) -> Self {
        let mut fields = Vec::new();
        let mut body = None;
        // The start of the current field's value, and whether the line before ended in a carriage return only.
        let mut value_start = None;
        let mut after_bare_cr = false;
        // Whether a line has ended in a line feed.
        let mut has_line_feeds = false;
        let mut at = 0;
        while at < bytes.len() || !is_complete {
            let rest = bytes.get(at..).unwrap_or_default();
            let continues = value_start.is_some()
                && (is_continuation_line(rest) || (after_bare_cr && parse_field_start(rest).is_none()));
            let Some(LineEnd { end, next_line }) = find_line_end(bytes, at, is_complete) else {
                if continues || rest.is_empty() {
                    fields.pop();
                }
                break;
            };
            let is_bare_cr = bytes.get(end..next_line) == Some(b"\r");
            // Among lines that end in a line feed, a carriage return alone is a stray one. SES's own fields may stand before
            // a mail whose lines all end so.
            if end == at && is_bare_cr && has_line_feeds {
                let Some(next) = find_line_end(bytes, next_line, is_complete) else { break };
                if bytes.get(next.end..next.next_line).is_some_and(|line_break| line_break.ends_with(b"\n")) {
                    after_bare_cr = true;
                    at = next_line;
                    continue;
                }
            }
            if end == at {
                body = Some(next_line);
                break;
            }
            if !continues {
                let start = parse_field_start(bytes.get(at..end).unwrap_or_default());
                value_start = start.as_ref().map(|start| at + start.value_offset);
                fields.extend(start.map(|start| HeaderField { name: start.name, value: b"" }));
            }
            if let (Some(start), Some(field)) = (value_start, fields.last_mut()) {
                field.value = bytes.get(start..end).unwrap_or_default();
            }
            after_bare_cr = is_bare_cr;
            has_line_feeds |= bytes.get(end..next_line).is_some_and(|line_break| line_break.ends_with(b"\n"));
            at = next_line;
        }
        let value = |name: &str| {
            let field = fields.iter().find(|field: &&HeaderField<'_>| field.name.eq_ignore_ascii_case(name));
            field.map(|field| field.value).unwrap_or_default()
        };
        let content_type = value("Content-Type");
        let parameters = decode_field_text(content_type, None);
        let kind = parameters::value_before_parameters(&parameters);
        let boundary = parameters::plain_else_decoded_parameter(&parameters, "boundary")
            .filter(|_| kind.starts_with("multipart/"));
        Self {
            content_type,
            media_type: kind,
            boundary: boundary.map(String::into_bytes),
            charset: parameters::plain_else_decoded_parameter(&parameters, "charset"),
            disposition: value("Content-Disposition"),
            transfer_encoding: parameters::value_before_parameters(&decode_field_text(
                value("Content-Transfer-Encoding"),
                None,
            )),
            begins_with_field: parse_field_start(bytes).is_some(),
            has_all_headers: body.is_some() || is_complete,
            body_start: body.unwrap_or(bytes.len()),
            bytes,
            fields,
        }
    }

    fn content_type(&self) -> Option<String> {
        self.media_type.contains('/').then(|| sanitize_text(&self.media_type, MAX_TYPE_CHARS))
    }

    fn has_attachment_disposition(&self) -> bool {
        parameters::value_before_parameters(&decode_field_text(self.disposition, None)) == "attachment"
    }

    /// The file name; `fallback_charset` is the one to take if the name is not encoded.
    fn file_name(&self, fallback_charset: Option<&str>) -> Option<String> {
        let charset = self.charset.as_deref().or(fallback_charset);
        let parameter = |field, name| parameters::decoded_parameter(&decode_field_text(field, charset), name);
        let name = parameter(self.disposition, "filename").filter(|name| !name.trim().is_empty());
        let name = name.or_else(|| parameter(self.content_type, "name"))?;
        Some(name.trim()).filter(|name| !name.is_empty()).map(|name| sanitize_text(name, MAX_NAME_CHARS))
    }

    /// How many bytes a body has once decoded, without decoding it.
    fn decoded_size(&self, body: &[u8]) -> u64 {
        let size = if self.transfer_encoding == "base64" {
            let digit = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
            body.iter().filter(digit).count() * 3 / 4
        } else if self.transfer_encoding == "quoted-printable" {
            quoted_printable_size(body)
        } else {
            body.len()
        };
        size as u64
    }
}

/// The decoded size of quoted-printable text: `=3D` is one byte, and `=` at the end of a line none.
fn quoted_printable_size(body: &[u8]) -> usize {
    let (mut size, mut at) = (0, 0);
    while at < body.len() {
        match body.get(at..).unwrap_or_default() {
            [b'=', b'\n', ..] => at += 2,
            [b'=', b'\r', b'\n', ..] => at += 3,
            [b'=', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                (size, at) = (size + 1, at + 3);
            }
            _ => (size, at) = (size + 1, at + 1),
        }
    }
    size
}

/// The most carriage returns before a line feed that belong to one line's end: careless gateways add one each.
const MAX_CARRIAGE_RETURNS: usize = 8;

/// Where a line ends, and where the next one starts.
struct LineEnd {
    end: usize,
    next_line: usize,
}

/// Finds the end of the line that starts at `from`; `None` if the mail goes on and the line does, too. Lines end as they
/// should, or in a line feed or carriage return alone, or in several carriage returns and a line feed.
fn find_line_end(bytes: &[u8], from: usize, is_complete: bool) -> Option<LineEnd> {
    let rest = bytes.get(from..)?;
    let Some(len) = rest.iter().position(|b| matches!(b, b'\r' | b'\n')) else {
        return is_complete.then_some(LineEnd { end: bytes.len(), next_line: bytes.len() });
    };
    let end = from + len;
    let rest = bytes.get(end..)?;
    let returns = rest.iter().take(MAX_CARRIAGE_RETURNS).take_while(|b| **b == b'\r').count();
    let break_len = match rest.get(returns) {
        Some(b'\n') => returns + 1,
        None if !is_complete => return None,
        _ => 1,
    };
    Some(LineEnd { end, next_line: end + break_len })
}

fn is_continuation_line(line: &[u8]) -> bool {
    matches!(line, [b' ' | b'\t', ..])
}

/// The name of a field, and where in its line the value begins.
struct FieldStart<'a> {
    name: &'a str,
    value_offset: usize,
}

/// Reads the beginning of a field (RFC 5322, 2.2); `None` if none starts here.
fn parse_field_start(line: &[u8]) -> Option<FieldStart<'_>> {
    let len = line.iter().position(|b| !b.is_ascii_graphic() || *b == b':')?;
    let rest = line.get(len..)?;
    let spaces = rest.iter().position(|b| !matches!(b, b' ' | b'\t'))?;
    let name = std::str::from_utf8(line.get(..len)?).ok().filter(|name| !name.is_empty())?;
    (rest.get(spaces) == Some(&b':')).then_some(FieldStart { name, value_offset: len + spaces + 1 })
}

/// The beginning of a field's value as text, unfolded.
fn decode_field_text(value: &[u8], charset: Option<&str>) -> String {
    let value = value.get(..MAX_VALUE_BYTES).unwrap_or(value);
    join_folded_lines(&charset::decode_field(value, charset))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &str = "Return-Path: <jane@example.net>\r
From: =?UTF-8?Q?J=C3=A4ne?= <jane@example.net>\r
Subject: A\r
 folded one\r
Content-Type: multipart/mixed;\r
 boundary=\"outer\"\r
\r
preamble\r
--outer\r
Content-Type: multipart/alternative; boundary=\"outer-inner\"\r
\r
--outer-inner\r
\r
plain\r
--outer-inner\r
Content-Type: text/html\r
\r
<p>rich</p>\r
--outer-inner--\r
--outer\r
Content-Type: application/pdf; name=\"other.pdf\"\r
Content-Disposition: attachment; filename*=UTF-8''Rechnung%20%E2%82%AC.pdf\r
Content-Transfer-Encoding: base64\r
\r
aGVs\r
bG8=\r
--outer\r
Content-Type: message/rfc822\r
\r
Content-Type: multipart/mixed; boundary=\"within\"\r
\r
--within\r
Content-Disposition: attachment; filename=not-ours.txt\r
\r
--within--\r
--outer\r
Content-Type: text/plain; charset=utf-8\r
Content-Disposition: attachment\r
Content-Transfer-Encoding: quoted-printable\r
\r
a=3Db=\r
c=zz\r
--outer--\r
epilogue\r
";

    fn attachment(name: Option<&str>, content_type: &str, size: Option<u64>) -> Attachment {
        Attachment { name: name.map(str::to_owned), content_type: Some(content_type.to_owned()), size }
    }

    #[test]
    fn parts_are_found() {
        let whole = MailStructure::parse(MAIL.as_bytes(), true);
        assert_eq!(whole.read, ReadExtent::Complete);
        assert_eq!(whole.content_type.as_deref(), Some("multipart/mixed"));
        let within = "Content-Type: multipart/mixed; boundary=\"within\"\r\n\r\n--within\r\nContent-Disposition: \
                      attachment; filename=not-ours.txt\r\n\r\n--within--";
        assert_eq!(
            whole.attachments,
            [
                attachment(Some("Rechnung €.pdf"), "application/pdf", Some(5)),
                attachment(None, "message/rfc822", Some(within.len() as u64)),
                attachment(None, "text/plain", Some("a=bc=zz".len() as u64)),
            ]
        );
        // The result is the same with bare line feeds, except for the mail within, which has fewer bytes then.
        let unix = MailStructure::parse(MAIL.replace('\r', "").as_bytes(), true);
        assert_eq!(unix.attachments[0], whole.attachments[0]);
        assert_eq!(unix.attachments[2], whole.attachments[2]);
    }

    #[test]
    fn a_cut_leaves_what_came_before_it() {
        let whole = MailStructure::parse(MAIL.as_bytes(), true);
        for cut in 1..MAIL.len() {
            let structure = MailStructure::parse(&MAIL.as_bytes()[..cut], false);
            assert!(cut < "Return-Path:".len() || structure.read == ReadExtent::Truncated, "{cut}");
            for (seen, expected) in structure.attachments.iter().zip(&whole.attachments) {
                assert!(
                    expected.name == seen.name
                        || seen.name.is_none()
                        || seen.name.as_deref() == Some("other.pdf")
                );
                assert_eq!(expected.content_type, seen.content_type, "{cut}");
                assert!(seen.size.is_none() || seen.size == expected.size, "{cut}");
            }
            assert!(structure.attachments.len() <= whole.attachments.len());
            assert_eq!(structure.has_all_headers, cut >= MAIL.find("preamble").unwrap(), "{cut}");
        }
        let in_subject = MailStructure::parse(&MAIL.as_bytes()[..MAIL.find("folded").unwrap()], false);
        assert_eq!(in_subject.headers, {
            let mut headers = HeaderFields::default();
            headers.push("Return-Path", "<jane@example.net>");
            headers.push("From", "=?UTF-8?Q?J=C3=A4ne?= <jane@example.net>");
            headers
        });
    }

    #[test]
    fn many_attachments_are_counted() {
        let part = "--b\nContent-Type: image/png\n\nx\n";
        let mail = format!("Content-Type: multipart/mixed; boundary=b\n\n{}--b--\n", part.repeat(25));
        let structure = MailStructure::parse(mail.as_bytes(), true);
        assert_eq!((structure.attachments.len(), structure.attachments_omitted), (MAX_ATTACHMENTS, 5));
    }

    #[test]
    fn what_is_no_mail() {
        let why = |bytes: &[u8]| MailStructure::parse(bytes, true).unreadable;
        assert_eq!(why(b""), Some(UnreadableReason::Empty));
        assert_eq!(why(b"\x93\x01\xf0 no colon in sight"), Some(UnreadableReason::NotMail));
        assert_eq!(why(b"\x93\x01: \xf0\n\n"), Some(UnreadableReason::NotMail));
        assert_eq!(why(b"\n\nbody only"), Some(UnreadableReason::NotMail));
        assert_eq!(why(b"Subject: x"), None);
    }

    #[test]
    fn mails_within_mails_and_parts_within_parts_cost_nothing() {
        let nested = "Content-Type: message/rfc822\n\n".repeat(20_000);
        let structure = MailStructure::parse(nested.as_bytes(), true);
        assert_eq!(structure.attachments.len(), 1);
        let part = |n| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n");
        let parts = (0..2000).map(part).collect::<Vec<_>>().concat();
        assert_eq!(MailStructure::parse(parts.as_bytes(), true).attachments.len(), 1);
    }
}
