//! A mail's header fields, whether SES told them or they were read from the mail: both are asked the same questions.
//!
//! SES leaves out fields past some 10 KB and decodes only a few, so what it does not have is looked up in the mail.

use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::address::Address;
use crate::record::SES_TEXT;
use crate::text::{Text, visible};

/// Header fields in the mail's order. Names may repeat; values are unfolded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Value")]
pub(super) struct Headers(Vec<(String, String)>);

impl Headers {
    pub(super) fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.trim().to_owned(), unfold(value)));
    }

    fn all(&self, name: &str) -> Vec<&str> {
        let named = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.0.iter().filter(named).map(|(_, value)| value.as_str()).collect()
    }
}

/// Reads the fields as SES's JSON has them, a list of objects; anything else is left out.
impl From<Value> for Headers {
    fn from(value: Value) -> Self {
        let mut headers = Self::default();
        let Value::Array(fields) = value else { return headers };
        for field in fields {
            let Value::Object(mut field) = field else { continue };
            let mut take = |part| Text::from(field.remove(part).unwrap_or_default());
            if let Some(name) = take("name").get() {
                headers.push(name, take("value").get().unwrap_or_default());
            }
        }
        headers
    }
}

/// Unfolds a field (RFC 5322, 2.2.3): a line break and the white space after it stand for one space.
fn unfold(value: &str) -> String {
    value.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// What is known of a mail's header, and from whom.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    /// The fields that SES told. They are asked first, since they are there for every mail.
    pub(super) by_ses: &'a Headers,
    /// The fields that were read from the mail; `None` if it was not read.
    pub(super) by_mail: Option<&'a Headers>,
    /// Whether the header is known completely, so that a field that neither source has is not in the mail.
    pub(super) whole: bool,
}

impl<'a> Told<'a> {
    /// All values of a field.
    pub(super) fn values(self, name: &str) -> Vec<&'a str> {
        let values = self.by_ses.all(name);
        if values.is_empty() {
            self.by_mail.map(|headers| headers.all(name)).unwrap_or_default()
        } else {
            values
        }
    }

    /// The first value of a field.
    pub(super) fn first(self, name: &str) -> Option<&'a str> {
        self.values(name).into_iter().next()
    }
}

/// A sender, as the mail claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mailbox {
    /// The display name, decoded.
    pub name: Option<String>,
    /// The address as it is spelled; `None` if there is none.
    pub address: Option<String>,
}

/// Decodes RFC 2047's encoded words.
pub(super) fn decoded(value: &str) -> String {
    if !value.contains("=?") {
        return value.to_owned();
    }
    let line = format!("{}\n", unfold(value));
    match MessageStream::new(line.as_bytes()).parse_unstructured() {
        HeaderValue::Text(text) => text.into_owned(),
        _ => value.to_owned(),
    }
}

/// The message ids in a field, without their angle brackets.
pub(super) fn ids(value: &str) -> Vec<String> {
    let line = format!("{}\n", unfold(value));
    let ids = match MessageStream::new(line.as_bytes()).parse_id() {
        HeaderValue::Text(id) => vec![id],
        HeaderValue::TextList(ids) => ids,
        _ => Vec::new(),
    };
    ids.iter().map(|id| visible(id.trim(), SES_TEXT)).filter(|id| !id.is_empty()).collect()
}

/// The mailboxes of an address list, groups flattened.
pub(super) fn mailboxes(value: &str) -> Vec<Mailbox> {
    let line = format!("{}\n", unfold(value));
    let HeaderValue::Address(list) = MessageStream::new(line.as_bytes()).parse_address() else {
        return Vec::new();
    };
    let shown = |text: &str| Some(visible(text.trim(), SES_TEXT)).filter(|text| !text.is_empty());
    let mailbox = |found: &mail_parser::Addr| {
        let address = found.address.as_deref().and_then(|text| Address::parse(text).ok());
        // An address that can't be read is kept as the name, since it is still what the mail said.
        let unread = found.address.as_deref().filter(|_| address.is_none());
        Mailbox {
            name: found.name.as_deref().or(unread).and_then(shown),
            address: address.map(|address| address.raw().to_owned()),
        }
    };
    list.iter().map(mailbox).filter(|mailbox| mailbox.name.is_some() || mailbox.address.is_some()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn repeated_folded_and_odd() {
        let headers = Headers::from(json!([
            {"name": "Received", "value": "from a\r\n\tby b;\n  now"}, {"name": "received", "value": "first"},
            {"name": "X-Empty", "value": ""}, {"name": "X-None"}, {"value": "nameless"}, "no field", null,
        ]));
        assert_eq!(headers.all("RECEIVED"), ["from a by b; now", "first"]);
        assert_eq!(headers.all("x-empty"), [""]);
        assert_eq!(headers.all("x-none"), [""]);
        assert_eq!(headers.0.len(), 4);
        assert_eq!(Headers::from(json!("none")), Headers::default());
    }

    #[test]
    fn words_ids_and_mailboxes() {
        assert_eq!(decoded("=?UTF-8?Q?Gr=C3=BC=C3=9Fe?= =?UTF-8?B?4pyT?="), "Grüße✓");
        assert_eq!(decoded("plain Grüße\n2"), "plain Grüße\n2");
        assert_eq!(ids("<a@b> <c@d>\t<e@f>"), ["a@b", "c@d", "e@f"]);
        assert_eq!(ids(""), Vec::<String>::new());
        let found = |value| mailboxes(value).into_iter().map(|m| (m.name, m.address)).collect::<Vec<_>>();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            found(
                r#""Doe, Jane" <jane@example.com>, =?UTF-8?Q?J=C3=BCrgen?= <J@example.com>, bare@example.com"#
            ),
            [
                (some("Doe, Jane"), some("jane@example.com")),
                (some("Jürgen"), some("J@example.com")),
                (None, some("bare@example.com")),
            ]
        );
        assert_eq!(found("undisclosed-recipients:;"), []);
        assert_eq!(found("not an address"), [(some("not an address"), None)]);
    }
}
