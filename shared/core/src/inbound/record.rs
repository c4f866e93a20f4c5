//! The record of a mail that was received, for one recipient of its envelope.

use serde::Serialize;

use super::disposition::MailDisposition;
use super::loops::LoopSigns;
use super::mailbox::Mailbox;
use super::mime::MailStructure;
use super::reference::MailReference;
use super::verdict::MailVerdicts;
use crate::record::TableItem;
use crate::timestamp::Timestamp;

/// A fact: this mail came for this recipient, and lies there. It holds no time of Mailroom's own, so that being told of
/// the same mail again writes the same record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InboundRecord {
    /// `MAILBOX#<match address>`: the table's partition key.
    pub pk: String,
    /// `INBOUND#<time>#<message id>`: the table's sort key.
    pub sk: String,
    /// The kind of record, which is always `received`.
    pub kind: &'static str,
    /// The Region whose SES received the mail.
    pub region: Option<String>,
    /// The account whose SES received the mail.
    pub account: Option<String>,
    /// When SES received the mail.
    pub occurred_at: Timestamp,
    /// `mail.timestamp` as SES spelled it, if that was unreadable: `occurred_at` is then when the action was taken, or when
    /// SNS took the notification.
    pub occurred_at_unread: Option<String>,
    /// The recipient in the envelope (`RCPT TO`) as SES spelled it. The field `To` may name others.
    pub recipient: String,
    /// The recipient's address in match form.
    pub address: String,
    /// SES's id of the mail.
    pub message_id: String,
    /// The sender in the envelope (`MAIL FROM`).
    pub mail_from: Option<String>,
    /// The senders that the mail claims to be from.
    pub from: Vec<Mailbox>,
    /// The subject, decoded.
    pub subject: Option<String>,
    /// The field `Message-ID`, without angle brackets, like the two below.
    pub header_message_id: Option<String>,
    /// The id of the mail that this one answers.
    pub in_reply_to: Option<String>,
    /// The ids of the earlier mails in the thread, oldest first. Of many, the first and the last are kept.
    pub references: Vec<String>,
    /// What SES checked, and what it found.
    pub verdicts: MailVerdicts,
    /// What to do with the mail, by [`super::DispositionPolicy`].
    pub disposition: MailDisposition,
    /// The signs by which a machine's mail is known.
    pub loop_signs: LoopSigns,
    /// Where the mail lies; `None` if nobody knows.
    pub reference: Option<MailReference>,
    /// What is in the mail; `None` if nobody has looked.
    pub structure: Option<MailStructure>,
    /// How long SES took to process the mail, in milliseconds.
    pub processing_time_ms: Option<u64>,
    /// When the record expires, in seconds since the Unix epoch (DynamoDB's TTL).
    pub expires_at: i64,
}

impl TableItem for InboundRecord {
    fn key(&self) -> (&str, &str) {
        (&self.pk, &self.sk)
    }
}
