//! What records of every kind have in common: keys, times, recipients and an end.

use std::collections::HashSet;

use serde::Serialize;

use crate::address::Address;
use crate::malformed::{InputProblem, MalformedInput};
use crate::origin::MessageOrigin;
use crate::text::{MAX_SES_TEXT_CHARS, ScalarText};
use crate::timestamp::Timestamp;

/// The most bytes of a message id. SES's ids are some 60 characters; a key of the `message` index may have 2,048 bytes.
pub(crate) const MAX_MESSAGE_ID_BYTES: usize = 255;

/// A fact for the table: written under its key, whole, and the same however often it is written.
pub trait TableItem: Serialize {
    /// The table's partition key and sort key.
    fn key(&self) -> (&str, &str);
}

/// How long records are kept, in days from the event's own time: the same for every redelivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How many days: at least as many as the policy looks back.
    pub days: u16,
}

impl Default for Retention {
    /// The template's default, a year and a month.
    fn default() -> Self {
        Self { days: 400 }
    }
}

impl Retention {
    /// When a record expires, in seconds since the Unix epoch (DynamoDB's TTL).
    pub(crate) fn expires_at(self, occurred_at: Timestamp) -> i64 {
        occurred_at.seconds() + i64::from(self.days) * 24 * 60 * 60
    }
}

/// When an event occurred.
pub(crate) struct EventTime {
    pub(crate) occurred_at: Timestamp,
    /// The text of the event's own time, if that was unreadable.
    pub(crate) unreadable_text: Option<String>,
}

/// An event's own time; where it has none, or an unreadable one, the first of the `fallback_times` that is readable, then the
/// envelope's. One odd date must not lose an event, and a redelivery must find the same time.
pub(crate) fn event_time_or_fallback(
    own_time: Option<&ScalarText>,
    fallback_times: &[&ScalarText],
    origin: &MessageOrigin,
) -> Result<EventTime, MalformedInput> {
    let read = |text: &ScalarText| text.get().and_then(Timestamp::parse);
    let told = own_time.into_iter().chain(fallback_times.iter().copied()).find_map(read);
    let occurred_at = told
        .or(origin.time)
        .ok_or_else(|| MalformedInput::new("mail.timestamp", InputProblem::NoReadableTime))?;
    let unreadable = own_time.filter(|text| read(text).is_none());
    let unreadable_text = unreadable.and_then(|text| text.sanitized_text(MAX_SES_TEXT_CHARS));
    Ok(EventTime { occurred_at, unreadable_text })
}

/// The recipients that an event concerns.
pub(crate) struct ParsedRecipients<'a, T> {
    /// The addresses that could be read, one per match form.
    pub(crate) valid: Vec<(Address, &'a T)>,
    pub(crate) malformed: Vec<MalformedInput>,
}

/// Reads each address alone, so that one that can't be read does not cost the others. `list_path[i]entry_path` is the path of each.
pub(crate) fn parse_distinct_recipients<'a, T>(
    raw_recipients: &'a [T],
    address_of: impl Fn(&T) -> &ScalarText,
    list_path: &str,
    entry_path: &str,
) -> ParsedRecipients<'a, T> {
    let mut seen = HashSet::new();
    let mut recipients =
        ParsedRecipients { valid: Vec::with_capacity(raw_recipients.len()), malformed: Vec::new() };
    for (index, recipient) in raw_recipients.iter().enumerate() {
        match Address::parse(address_of(recipient).get().unwrap_or_default()) {
            Ok(address) if seen.insert(address.match_form().to_owned()) => {
                recipients.valid.push((address, recipient));
            }
            Ok(_) => {}
            Err(error) => {
                recipients.malformed.push(error.with_field(format!("{list_path}[{index}]{entry_path}")));
            }
        }
    }
    recipients
}

/// A text of SES's as part of a sort key: `#` separates the parts, so it is replaced.
pub(crate) fn replace_key_separators(text: &str) -> String {
    text.replace('#', "_")
}

/// What `mail.messageId` says.
pub(crate) enum MessageId<'a> {
    /// SES's id of a mail.
    Mail(&'a str),
    /// SES is only trying out a receipt rule: there is no mail.
    ReceiptRuleTest,
}

/// Reads `mail.messageId`.
///
/// # Errors
/// If there is none, or one that no key could hold.
pub(crate) fn parse_message_id(id: &ScalarText) -> Result<MessageId<'_>, MalformedInput> {
    let id = id.get().ok_or_else(|| MalformedInput::new("mail.messageId", InputProblem::Missing))?;
    if id.len() > MAX_MESSAGE_ID_BYTES {
        return Err(MalformedInput::new("mail.messageId", InputProblem::TooLong).with_excerpt(id));
    }
    Ok(match id {
        "AMAZON_SES_SETUP_NOTIFICATION" => MessageId::ReceiptRuleTest,
        id => MessageId::Mail(id),
    })
}
