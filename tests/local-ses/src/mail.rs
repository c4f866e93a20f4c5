//! A mail that is received, and what SES reads from its headers.

use bytes::Bytes;
use mail_parser::{Addr, Address, HeaderName, Message, MessageParser};
use time::OffsetDateTime;

use crate::clock::rfc5322;

/// The size of headers, in bytes, after which the rest is left out of events (guide, "Contents of notifications": 10 KB).
const HEADERS_LIMIT: usize = 10 * 1024;

/// A mail as it comes in an SMTP conversation.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The sender that MAIL FROM gives. It is empty for the null sender.
    pub mail_from: String,
    /// The recipients that RCPT TO gives.
    pub recipients: Vec<String>,
    /// The raw mail.
    pub raw: Bytes,
    /// The results of SES's checks.
    pub verdicts: Verdicts,
    /// Whether the mail came over TLS.
    pub tls: bool,
    /// The id that SES gives the mail. `None`: the next one that it makes.
    pub message_id: Option<String>,
}

impl Envelope {
    /// A mail that passes all checks and comes over TLS.
    pub fn new<'a>(
        mail_from: &str,
        recipients: impl IntoIterator<Item = &'a str>,
        raw: impl Into<Bytes>,
    ) -> Self {
        Self {
            mail_from: mail_from.to_owned(),
            recipients: recipients.into_iter().map(str::to_owned).collect(),
            raw: raw.into(),
            verdicts: Verdicts::default(),
            tls: true,
            message_id: None,
        }
    }

    /// Sets the results of SES's checks.
    #[must_use]
    pub fn verdicts(self, verdicts: Verdicts) -> Self {
        Self { verdicts, ..self }
    }

    /// Sets the id that SES gives the mail.
    #[must_use]
    pub fn message_id(self, id: &str) -> Self {
        Self { message_id: Some(id.to_owned()), ..self }
    }

    /// Lets the mail come without TLS.
    #[must_use]
    pub fn without_tls(self) -> Self {
        Self { tls: false, ..self }
    }
}

/// The results of SES's checks: `PASS`, `FAIL`, `GRAY`, `PROCESSING_FAILED`, or whatever SES may say one day. `None` leaves
/// a verdict out of the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdicts {
    /// Whether the mail is spam. The event says `DISABLED` if the rule does not scan.
    pub spam: Option<String>,
    /// Whether the mail holds a virus. The event says `DISABLED` if the rule does not scan.
    pub virus: Option<String>,
    /// SPF: whether the client may send for the domain of MAIL FROM.
    pub spf: Option<String>,
    /// DKIM: whether a signature is valid.
    pub dkim: Option<String>,
    /// DMARC: whether SPF or DKIM is aligned with the From header.
    pub dmarc: Option<String>,
    /// The policy of the DMARC record: `none`, `quarantine` or `reject`. The event has it only if DMARC fails.
    pub dmarc_policy: Option<String>,
}

impl Default for Verdicts {
    fn default() -> Self {
        let pass = || Some("PASS".to_owned());
        Self { spam: pass(), virus: pass(), spf: pass(), dkim: pass(), dmarc: pass(), dmarc_policy: None }
    }
}

impl Verdicts {
    /// Results that pass, except for DMARC, whose record has this policy.
    pub fn dmarc_fails(policy: &str) -> Self {
        Self { dmarc: Some("FAIL".to_owned()), dmarc_policy: Some(policy.to_owned()), ..Self::default() }
    }
}

/// The headers that SES puts before a received mail, in its order (seen). The signatures in them are not valid ones.
pub(crate) fn received_headers(
    envelope: &Envelope,
    message_id: &str,
    region: &str,
    scanned: bool,
    at: OffsetDateTime,
) -> String {
    let (from, verdicts) = (&envelope.mail_from, &envelope.verdicts);
    let lower = |verdict: &Option<String>| verdict.as_deref().unwrap_or("none").to_ascii_lowercase();
    let first = envelope.recipients.first().map_or("", String::as_str);
    let domain = from.rsplit_once('@').map_or("", |(_, domain)| domain);
    let mut text = format!(
        "Return-Path: <{from}>\r\nReceived: from smtp.example.com (smtp.example.com [203.0.113.1])\r\n \
         by inbound-smtp.{region}.amazonaws.com with SMTP id {message_id}\r\n for {first};\r\n {} (UTC)\r\n",
        rfc5322(at)
    );
    if scanned {
        for (name, verdict) in [("Spam", &verdicts.spam), ("Virus", &verdicts.virus)] {
            if let Some(verdict) = verdict {
                text.push_str(&format!("X-SES-{name}-Verdict: {verdict}\r\n"));
            }
        }
    }
    let (spf, dkim, dmarc) = (lower(&verdicts.spf), lower(&verdicts.dkim), lower(&verdicts.dmarc));
    text.push_str(&format!(
        "Received-SPF: {spf} (spfCheck) client-ip=203.0.113.1; envelope-from={from}; helo=smtp.example.com;\r\n\
         Authentication-Results: amazonses.com;\r\n spf={spf} client-ip=203.0.113.1; envelope-from={from};\r\n \
         dkim={dkim} header.i=@{domain};\r\n dmarc={dmarc} header.from={domain};\r\n\
         X-SES-RECEIPT: {message_id}\r\n"
    ));
    text
}

/// What an event tells about a mail's headers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Headers {
    /// Each header's name and unfolded value, in the order and spelling in which they came, up to the limit.
    pub(crate) all: Vec<(String, String)>,
    pub(crate) truncated: bool,
    /// The addresses in To and Cc, without names.
    pub(crate) destination: Vec<String>,
    pub(crate) common: Common,
}

/// The headers that SES picks out, decoded. Those that the mail does not have are left out of the event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Common {
    pub(crate) return_path: Option<String>,
    pub(crate) from: Vec<String>,
    pub(crate) sender: Option<String>,
    pub(crate) reply_to: Vec<String>,
    pub(crate) to: Vec<String>,
    pub(crate) cc: Vec<String>,
    pub(crate) bcc: Vec<String>,
    pub(crate) date: Option<String>,
    pub(crate) message_id: Option<String>,
    pub(crate) subject: Option<String>,
}

impl Headers {
    /// Reads the headers of a mail. What follows them is not looked at.
    pub(crate) fn of(raw: &[u8]) -> Self {
        let Some(message) = MessageParser::default().parse_headers(raw) else { return Self::default() };
        let mut headers = Self { common: Common::of(&message), ..Self::default() };
        let mut size = 0;
        for (name, value) in as_they_came(&message) {
            size += name.len() + value.len();
            if size > HEADERS_LIMIT {
                headers.truncated = true;
                break;
            }
            headers.all.push((name, value));
        }
        for list in [message.to(), message.cc()].into_iter().flatten() {
            headers.destination.extend(addresses(list).filter_map(|addr| addr.address().map(str::to_owned)));
        }
        headers
    }
}

impl Common {
    fn of(message: &Message<'_>) -> Self {
        let list = |list: Option<&Address<'_>>| list.into_iter().flat_map(addresses).map(written).collect();
        let raw = |name: &str| {
            as_they_came(message).find(|header| header.0.eq_ignore_ascii_case(name)).map(|header| header.1)
        };
        let bare = |name: HeaderName<'_>| {
            let address = message.header(name)?.as_address()?.first()?.address()?;
            Some(address.to_owned())
        };
        Self {
            return_path: raw("return-path").map(|path| path.trim_matches(['<', '>']).to_owned()),
            from: list(message.from()),
            sender: bare(HeaderName::Sender),
            reply_to: list(message.reply_to()),
            to: list(message.to()),
            cc: list(message.cc()),
            bcc: list(message.bcc()),
            date: raw("date"),
            message_id: raw("message-id"),
            subject: message.subject().map(str::to_owned),
        }
    }
}

/// The headers with their names in the case in which they came, and with unfolded values, even those that are not UTF-8.
fn as_they_came<'m>(message: &'m Message<'_>) -> impl Iterator<Item = (String, String)> + 'm {
    let text = |from: u32, to: u32| {
        let range = usize::try_from(from).unwrap_or_default()..usize::try_from(to).unwrap_or_default();
        String::from_utf8_lossy(message.raw_message.get(range).unwrap_or_default()).into_owned()
    };
    message.headers().iter().map(move |header| {
        let name = text(header.offset_field, header.offset_start);
        (
            name.trim_end_matches([':', ' ', '\t']).to_owned(),
            unfold(&text(header.offset_start, header.offset_end)),
        )
    })
}

fn addresses<'x>(list: &'x Address<'x>) -> Box<dyn Iterator<Item = &'x Addr<'x>> + 'x> {
    match list {
        Address::List(addresses) => Box::new(addresses.iter()),
        Address::Group(groups) => Box::new(groups.iter().flat_map(|group| &group.addresses)),
    }
}

/// An address as `Name <address>`, with the name in quotes if it needs them (seen: where it holds a comma or an `@`).
fn written(addr: &Addr<'_>) -> String {
    let address = addr.address().unwrap_or_default();
    let Some(name) = addr.name().filter(|name| !name.is_empty()) else { return address.to_owned() };
    if name.contains(|c: char| "()<>[]:;@\\,.\"".contains(c)) {
        format!("\"{}\" <{address}>", name.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        format!("{name} <{address}>")
    }
}

/// Unfolds a header's value into one line: each line break becomes one blank together with the blanks after it (seen).
fn unfold(value: &str) -> String {
    let mut unfolded = String::with_capacity(value.len());
    for line in value.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if unfolded.is_empty() {
            unfolded.push_str(line.trim_start());
        } else if !line.trim().is_empty() {
            unfolded.push(' ');
            unfolded.push_str(line.trim_start());
        }
    }
    unfolded.truncate(unfolded.trim_end().len());
    unfolded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_are_unfolded_and_the_common_ones_decoded() {
        let raw = b"Return-Path: <a@example.com>\r\nFrom: =?utf-8?Q?J=C3=B6rg?= <joerg@example.com>\r\n\
            To: \"Doe, John\" <john@example.net>,\r\n\tjane@example.net\r\nCC: Team: x@example.org, y@example.org;\r\n\
            Sender: <list@example.com>\r\nX-Folded: one;\r\n\ttwo\r\nX-Same: 1\r\nX-Same: 2\r\nX-Empty:\r\n\
            Subject: =?utf-8?B?w6TDtsO8?=\r\nDate: Mon, 5 Aug 2019 21:29:57 +0000\r\nMessage-ID: <1@example.com>\r\n\
            \r\nTo: nobody@example.net\r\n";
        let headers = Headers::of(raw);
        assert_eq!(
            headers.destination,
            ["john@example.net", "jane@example.net", "x@example.org", "y@example.org"]
        );
        let common = &headers.common;
        assert_eq!(common.from, ["Jörg <joerg@example.com>"]);
        assert_eq!(common.to, ["\"Doe, John\" <john@example.net>", "jane@example.net"]);
        assert_eq!(common.sender.as_deref(), Some("list@example.com"));
        assert_eq!(common.return_path.as_deref(), Some("a@example.com"));
        assert_eq!(common.subject.as_deref(), Some("äöü"));
        assert_eq!(common.date.as_deref(), Some("Mon, 5 Aug 2019 21:29:57 +0000"));
        assert_eq!(common.message_id.as_deref(), Some("<1@example.com>"));
        let all: Vec<(&str, &str)> = headers.all.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert!(all.contains(&("X-Folded", "one; two")), "{all:?}");
        assert!(all.contains(&("X-Empty", "")), "{all:?}");
        assert_eq!(all.iter().filter(|(name, _)| *name == "X-Same").count(), 2);
        assert_eq!(all[1], ("From", "=?utf-8?Q?J=C3=B6rg?= <joerg@example.com>"));
        assert!(!headers.truncated);
    }

    #[test]
    fn bcc_only_mail_has_neither_to_nor_destination() {
        let headers = Headers::of(b"From: a@example.com\r\nSubject: secret\r\n\r\nhello");
        assert!(headers.common.to.is_empty() && headers.destination.is_empty());
    }

    #[test]
    fn more_than_10_kb_of_headers_is_cut_between_headers() {
        let mut raw = String::new();
        for number in 0..30 {
            raw.push_str(&format!("X-{number}: {}\r\n", "x".repeat(1000)));
        }
        let headers = Headers::of(raw.as_bytes());
        assert!(headers.truncated);
        assert_eq!(headers.all.len(), 10);
        assert!(headers.all.iter().all(|(_, value)| value.len() == 1000));
    }

    proptest! {
        #[test]
        fn no_mail_breaks_it(raw in proptest::collection::vec(any::<u8>(), 0..400)) {
            Headers::of(&raw);
        }

        #[test]
        fn no_value_keeps_its_line_breaks(value in "[ -~\r\n\t]{0,80}") {
            prop_assert!(!unfold(&value).contains('\n'));
        }
    }
}
