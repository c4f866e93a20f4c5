//! A mail's header fields, whether SES told them or they were read from the mail: both are asked the same questions.
//!
//! SES leaves out fields past some 10 KB and decodes only a few, so what it does not have is looked up in the mail.

use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;
use serde::Deserialize;
use serde_json::Value;

use super::mailbox::{self, Mailbox};
use super::{charset, encoded_words};
use crate::text::{MAX_SES_TEXT_CHARS, ScalarText, sanitize_text};

/// How much of a value is decoded, in bytes: far more than is stored, and little enough to need no more memory than that.
pub(super) const MAX_VALUE_BYTES: usize = 16 * 1024;

/// Header fields in the mail's order. Names may repeat; values are unfolded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Value")]
pub(super) struct HeaderFields {
    fields: Vec<(String, String)>,
    /// Whether SES listed a field without a name or a value that can be read, which may have been any.
    pub(super) has_unreadable: bool,
}

impl HeaderFields {
    pub(super) fn push(&mut self, name: &str, folded_value: &str) {
        self.fields.push((name.trim().to_owned(), join_folded_lines(folded_value)));
    }

    fn values(&self, name: &str) -> Vec<&str> {
        self.fields().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Reads the fields as SES's JSON has them, a list of objects. Anything else is left out, and noted as unreadable.
impl From<Value> for HeaderFields {
    fn from(value: Value) -> Self {
        let mut headers = Self::default();
        let Value::Array(fields) = value else { return headers };
        for field in fields {
            let Value::Object(mut field) = field else {
                headers.has_unreadable = true;
                continue;
            };
            let is_scalar =
                |part| matches!(field.get(part), Some(Value::String(_) | Value::Number(_) | Value::Bool(_)));
            headers.has_unreadable |= !is_scalar("name") || !is_scalar("value");
            let mut take = |part| ScalarText::from(field.remove(part).unwrap_or_default());
            if let Some(name) = take("name").get() {
                headers.push(name, take("value").get().unwrap_or_default());
            }
        }
        headers
    }
}

/// Unfolds a field (RFC 5322, 2.2.3): a line break and the white space after it stand for one space.
pub(super) fn join_folded_lines(value: &str) -> String {
    value.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// What is known of a mail's header, and from whom.
#[derive(Clone, Copy)]
pub(super) struct HeaderView<'a> {
    /// The fields that SES told. They are asked first, since they are there for every mail.
    pub(super) from_ses: &'a HeaderFields,
    /// The fields that were read from the mail; `None` if it was not read.
    pub(super) from_mail: Option<&'a HeaderFields>,
    /// Whether the header is known completely, so that a field that neither source has is not in the mail.
    pub(super) is_complete: bool,
}

impl<'a> HeaderView<'a> {
    /// All values of a field.
    pub(super) fn values_from_ses_else_mail(self, name: &str) -> Vec<&'a str> {
        let values = self.from_ses.values(name);
        if values.is_empty() {
            self.from_mail.map(|headers| headers.values(name)).unwrap_or_default()
        } else {
            values
        }
    }

    /// The first value of a field.
    pub(super) fn first_value_from_ses_else_mail(self, name: &str) -> Option<&'a str> {
        self.values_from_ses_else_mail(name).into_iter().next()
    }

    /// All fields, those that SES told first. A field that both sources have is there twice.
    pub(super) fn fields_from_ses_and_mail(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.from_ses.fields().chain(self.from_mail.into_iter().flat_map(HeaderFields::fields))
    }

    /// The values of a field, not decoded, of both sources.
    pub(super) fn values_from_ses_and_mail(self, name: &str) -> impl Iterator<Item = &'a str> {
        self.fields_from_ses_and_mail()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The subject. SES's reading of it is taken unless SES could not decode it, which it shows by U+FFFD.
    pub(super) fn choose_decodable_subject(self, preferred_ses_subject: Option<&str>) -> Option<String> {
        let mut subjects = preferred_ses_subject
            .into_iter()
            .chain(self.values_from_ses_and_mail("Subject"))
            .map(decode_value)
            .peekable();
        let first = subjects.peek().cloned();
        subjects.find(|subject| !subject.contains('\u{fffd}')).or(first)
    }

    /// The first `max_count` senders, likewise, but SES's reading must have an address for each.
    pub(super) fn choose_decodable_senders(
        self,
        preferred_ses_senders: &[String],
        max_count: usize,
    ) -> Vec<Mailbox> {
        // SES may have cut a name at its comma.
        let by_ses = (!preferred_ses_senders.is_empty()).then(|| preferred_ses_senders.join(", "));
        let by_header = self.values_from_ses_else_mail("From").join(", ");
        let by_mail = self.from_mail.map(|headers| headers.values("From").join(", "));
        let lists = by_ses.into_iter().chain([by_header]).chain(by_mail);
        let mut senders = lists
            .map(|list| unfold_and_parse_mailboxes(&list, max_count))
            .filter(|list| !list.is_empty())
            .peekable();
        let first = senders.peek().cloned();
        senders
            .find(|senders| senders.iter().all(Mailbox::has_address_and_decoded_name))
            .or(first)
            .unwrap_or_default()
    }
}

/// A value with its encoded words decoded.
pub(super) fn decode_value(unfolded_value: &str) -> String {
    encoded_words::decode_encoded_words(&charset::decode_iso_2022_jp_escapes(truncate_value(unfolded_value)))
}

/// The first `max_count` mailboxes of an address list.
pub(super) fn unfold_and_parse_mailboxes(list: &str, max_count: usize) -> Vec<Mailbox> {
    mailbox::parse_mailboxes(
        &charset::decode_iso_2022_jp_escapes(&join_folded_lines(truncate_value(list))),
        max_count,
    )
}

/// As much of a value as is decoded.
fn truncate_value(value: &str) -> &str {
    value.get(..value.floor_char_boundary(MAX_VALUE_BYTES)).unwrap_or(value)
}

/// The message ids in a field, without their angle brackets.
pub(super) fn parse_message_ids(value: &str) -> Vec<String> {
    let line = format!("{}\n", join_folded_lines(value));
    let ids = match MessageStream::new(line.as_bytes()).parse_id() {
        HeaderValue::Text(id) => vec![id],
        HeaderValue::TextList(ids) => ids,
        _ => Vec::new(),
    };
    ids.iter().map(|id| sanitize_text(id.trim(), MAX_SES_TEXT_CHARS)).filter(|id| !id.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn repeated_folded_and_odd() {
        let headers = HeaderFields::from(json!([
            {"name": "Received", "value": "from a\r\n\tby b;\n  now"}, {"name": "received", "value": "first"},
            {"name": "X-Empty", "value": ""}, {"name": "X-None"}, {"value": "nameless"}, "no field", null,
        ]));
        assert!(headers.has_unreadable);
        for (value, has_unreadable) in
            [(json!(""), false), (json!("no"), false), (json!(1), false), (json!(null), true)]
        {
            let headers = HeaderFields::from(json!([{"name": "Auto-Submitted", "value": value}]));
            assert_eq!(headers.has_unreadable, has_unreadable, "{value}");
        }
        assert_eq!(headers.values("RECEIVED"), ["from a by b; now", "first"]);
        assert_eq!(headers.values("x-empty"), [""]);
        assert_eq!(headers.values("x-none"), [""]);
        assert_eq!(headers.fields.len(), 4);
        assert_eq!(HeaderFields::from(json!("none")), HeaderFields::default());
    }

    #[test]
    fn ids_with_and_without_brackets() {
        assert_eq!(parse_message_ids("<a@b> <c@d>\t<e@f>"), ["a@b", "c@d", "e@f"]);
        assert_eq!(parse_message_ids("a@b"), ["a@b"]);
        assert_eq!(parse_message_ids(""), Vec::<String>::new());
    }

    #[test]
    fn what_ses_could_not_decode_is_taken_from_the_header() {
        let mut by_mail = HeaderFields::default();
        by_mail.push("Subject", "=?utf-8?Q?Gr=C3?= =?utf-8?Q?=BC=C3=9Fe?=");
        by_mail.push("From", "=?gb2312?B?1cXI/Q==?= <zhang@example.com>");
        let header =
            HeaderView { from_ses: &HeaderFields::default(), from_mail: Some(&by_mail), is_complete: true };
        assert_eq!(header.choose_decodable_subject(Some("Gr\u{fffd}\u{fffd}ße")).as_deref(), Some("Grüße"));
        assert_eq!(header.choose_decodable_subject(Some("Another")).as_deref(), Some("Another"));
        assert_eq!(header.choose_decodable_subject(None).as_deref(), Some("Grüße"));
        let names = |by_ses: &[&str]| {
            let by_ses: Vec<_> = by_ses.iter().map(|text| (*text).to_owned()).collect();
            header
                .choose_decodable_senders(&by_ses, 5)
                .into_iter()
                .map(|sender| sender.name.unwrap_or_default())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&["\u{fffd}\u{fffd} <zhang@example.com>"]), ["张三"]);
        assert_eq!(names(&["nobody"]), ["张三"]);
        assert_eq!(names(&["Zhang", "San <zhang@example.com>"]), ["Zhang, San"]);
        assert_eq!(names(&[]), ["张三"]);
        let nothing = HeaderView { from_ses: &HeaderFields::default(), from_mail: None, is_complete: false };
        assert_eq!(
            (nothing.choose_decodable_subject(None), nothing.choose_decodable_senders(&[], 5)),
            (None, Vec::new())
        );
        assert_eq!(nothing.choose_decodable_subject(Some("\u{fffd}")).as_deref(), Some("\u{fffd}"));
    }

    #[test]
    fn of_a_huge_value_the_beginning_is_read() {
        let many = "ü, ".repeat(400_000);
        assert_eq!(decode_value(&many).len(), MAX_VALUE_BYTES);
        assert_eq!(unfold_and_parse_mailboxes(&many, 5).len(), 5);
        assert_eq!(unfold_and_parse_mailboxes(&format!("{many}jane@example.com"), 5).len(), 5);
    }

    #[test]
    fn escape_sequences_that_ses_passes_on() {
        assert_eq!(decode_value("\u{1b}$BF|K\\8l\u{1b}(B Re:"), "日本語 Re:");
        let sender = unfold_and_parse_mailboxes("\u{1b}$BNkLZ\u{1b}(B <suzuki@example.com>", 5).remove(0);
        assert_eq!(sender.name.as_deref(), Some("鈴木"));
        assert_eq!(decode_value("\u{1b}[31mred"), "\u{1b}[31mred");
    }
}
