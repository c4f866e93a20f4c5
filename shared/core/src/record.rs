//! What records of every kind have in common: keys, times, recipients and an end.

use std::collections::HashSet;

use serde::Serialize;

use crate::address::Address;
use crate::envelope::Origin;
use crate::malformed::{Malformed, Problem};
use crate::text::Text;
use crate::timestamp::Timestamp;

/// SES's own words (types, names, ids) are kept up to this many characters.
pub(crate) const SES_TEXT: usize = 256;

/// A fact for the table: written under its key, whole, and the same however often it is written.
pub trait Record: Serialize {
    /// The table's partition key and sort key.
    fn key(&self) -> (&str, &str);
}

/// How long records are kept, in days from the event's own time: the same for every redelivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// At least as long as the policy looks back.
    pub days: u16,
}

impl Default for Retention {
    /// The template's default: a year and a month.
    fn default() -> Self {
        Self { days: 400 }
    }
}

impl Retention {
    /// Seconds since the epoch: DynamoDB's TTL.
    pub(crate) fn expires_at(self, occurred_at: Timestamp) -> i64 {
        occurred_at.seconds() + i64::from(self.days) * 24 * 60 * 60
    }
}

/// An event's own time; where it has none, or an unreadable one, the first readable of the `others`, then the envelope's.
/// One odd date must not lose an event, and a redelivery must find the same one. Beside it the own time's text, if that
/// was unreadable.
pub(crate) fn time(
    own: Option<&Text>,
    others: &[&Text],
    origin: &Origin,
) -> Result<(Timestamp, Option<String>), Malformed> {
    let read = |text: &Text| text.get().and_then(Timestamp::parse);
    let told = own.into_iter().chain(others.iter().copied()).find_map(read);
    let time = told.or(origin.time).ok_or_else(|| Malformed::new("mail.timestamp", Problem::NoTime))?;
    Ok((time, own.filter(|text| read(text).is_none()).and_then(|text| text.visible(SES_TEXT))))
}

/// Whom an event concerns.
pub(crate) struct Recipients<'a, T> {
    /// One per match form.
    pub(crate) read: Vec<(Address, &'a T)>,
    pub(crate) malformed: Vec<Malformed>,
}

/// Reads each address alone: one that is none does not cost the others. `list[i]entry` is the path of each.
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

/// A text of SES's as part of a sort key: `#` divides the parts, so it may not stand in one.
pub(crate) fn key_part(text: &str) -> String {
    text.replace('#', "_")
}
