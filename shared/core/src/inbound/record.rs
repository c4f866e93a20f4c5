//! The record of a mail that was received, for one recipient of its envelope.

use serde::Serialize;

use super::disposition::Disposition;
use super::headers::Mailbox;
use super::loops::LoopSigns;
use super::mime::Structure;
use super::reference::Reference;
use super::verdict::Verdicts;
use crate::record::Record;
use crate::timestamp::Timestamp;

/// A fact: this mail came for this recipient, and lies there. Holds no time of our own: whoever is told of the same mail
/// again writes the same.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InboundRecord {
    /// `MAILBOX#<match address>`: the table's partition key.
    pub pk: String,
    /// `INBOUND#<time>#<message id>`: the table's sort key.
    pub sk: String,
    /// `received`
    pub kind: &'static str,
    /// The Region whose SES received the mail.
    pub region: Option<String>,
    /// The account whose SES received it.
    pub account: Option<String>,
    /// When SES received it.
    pub occurred_at: Timestamp,
    /// `mail.timestamp` as SES spelled it, if that was unreadable: `occurred_at` is then when the action was taken, or when
    /// SNS took the notification.
    pub occurred_at_unread: Option<String>,
    /// The recipient of the envelope (`RCPT TO`) as SES spelled it. The `To` field's may be others.
    pub recipient: String,
    /// Its match form.
    pub address: String,
    /// SES's id of the mail.
    pub message_id: String,
    /// The sender of the envelope (`MAIL FROM`).
    pub mail_from: Option<String>,
    /// The senders that the mail claims to be from.
    pub from: Vec<Mailbox>,
    /// Decoded.
    pub subject: Option<String>,
    /// `Message-ID`, without angle brackets, like the two below.
    pub header_message_id: Option<String>,
    /// The mail that this one answers.
    pub in_reply_to: Option<String>,
    /// The mails before it in its thread, oldest first. Of many the first and the last are kept.
    pub references: Vec<String>,
    /// What SES checked.
    pub verdicts: Verdicts,
    /// What to do with it, by [`super::DispositionPolicy`].
    pub disposition: Disposition,
    /// Whether a machine wrote it.
    pub loop_signs: LoopSigns,
    /// Where it lies; absent if nobody knows.
    pub reference: Option<Reference>,
    /// What is in it; absent if nobody has looked.
    pub structure: Option<Structure>,
    /// How long SES took.
    pub processing_time_ms: Option<u64>,
    /// Seconds since the epoch: DynamoDB's TTL.
    pub expires_at: i64,
}

impl Record for InboundRecord {
    fn key(&self) -> (&str, &str) {
        (&self.pk, &self.sk)
    }
}
