//! What records of every kind have in common: keys, times, recipients and an end.

use std::collections::HashSet;

use serde::Serialize;

use crate::address::Address;
use crate::malformed::{Malformed, Problem};
use crate::origin::Origin;
use crate::text::{MAX_SES_TEXT_CHARS, Text};
use crate::timestamp::Timestamp;

/// The most bytes of a message id. SES's ids are some 60 characters; a key of the `message` index may have 2,048 bytes.
pub(crate) const MAX_MESSAGE_ID_BYTES: usize = 255;

/// A fact for the table: written under its key, whole, and the same however often it is written.
pub trait Record: Serialize {
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

/// An event's own time; where it has none, or an unreadable one, the first of the `others` that is readable, then the
/// envelope's. One odd date must not lose an event, and a redelivery must find the same time. The second value is the
/// text of the event's own time, if that was unreadable.
pub(crate) fn time(
    own: Option<&Text>,
    others: &[&Text],
    origin: &Origin,
) -> Result<(Timestamp, Option<String>), Malformed> {
    let read = |text: &Text| text.get().and_then(Timestamp::parse);
    let told = own.into_iter().chain(others.iter().copied()).find_map(read);
    let time = told.or(origin.time).ok_or_else(|| Malformed::new("mail.timestamp", Problem::NoTime))?;
    Ok((time, own.filter(|text| read(text).is_none()).and_then(|text| text.visible(MAX_SES_TEXT_CHARS))))
}

/// The recipients that an event concerns.
pub(crate) struct Recipients<'a, T> {
    /// The addresses that could be read, one per match form.
    pub(crate) read: Vec<(Address, &'a T)>,
    pub(crate) malformed: Vec<Malformed>,
}

/// Reads each address alone, so that one that can't be read does not cost the others. `list[i]entry` is the path of each.
pub(crate) fn recipients<'a, T>(
    named: &'a [T],
    address: impl Fn(&T) -> &Text,
    list: &str,
    entry: &str,
) -> Recipients<'a, T> {
    let mut seen = HashSet::new();
    let mut recipients = Recipients { read: Vec::with_capacity(named.len()), malformed: Vec::new() };
    for (index, recipient) in named.iter().enumerate() {
        match Address::parse(address(recipient).get().unwrap_or_default()) {
            Ok(address) if seen.insert(address.match_form().to_owned()) => {
                recipients.read.push((address, recipient));
            }
            Ok(_) => {}
            Err(error) => recipients.malformed.push(error.at(format!("{list}[{index}]{entry}"))),
        }
    }
    recipients
}

/// A text of SES's as part of a sort key: `#` separates the parts, so it is replaced.
pub(crate) fn key_part(text: &str) -> String {
    text.replace('#', "_")
}

/// SES's id of a mail (`mail.messageId`); `None` if SES is only trying out a receipt rule.
///
/// # Errors
/// If there is none, or one that no key could hold.
pub(crate) fn check_message_id(id: &Text) -> Result<Option<&str>, Malformed> {
    let id = id.get().ok_or_else(|| Malformed::new("mail.messageId", Problem::Missing))?;
    if id.len() > MAX_MESSAGE_ID_BYTES {
        return Err(Malformed::new("mail.messageId", Problem::TooLong).quoting(id));
    }
    Ok((id != "AMAZON_SES_SETUP_NOTIFICATION").then_some(id))
}
