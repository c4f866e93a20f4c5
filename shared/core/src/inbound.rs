//! From a mail that SES received to records: one per recipient of its envelope, each saying where the mail lies.
//!
//! | module | has |
//! |---|---|
//! | [`receipt`] | what SES says of a mail, whichever of a rule's actions says it |
//! | [`verdict`], [`disposition`] | what SES checked, and one word for what to do with it |
//! | [`mod@reference`] | where the mail lies, and what it takes to read it |
//! | [`mime`] | what is in it, from its first bytes |
//! | `headers`, `mailbox` | its header fields, whoever told them, and the senders in them |
//! | `encoded_words`, `parameters`, `charset` | encoded words, parameters and character sets of header fields |
//! | [`loops`] | whether it may be answered automatically |
//! | [`record`] | the record |

mod charset;
pub mod disposition;
mod encoded_words;
mod headers;
pub mod loops;
mod mailbox;
pub mod mime;
mod parameters;
pub mod receipt;
pub mod record;
pub mod reference;
pub mod verdict;

use crate::address::Address;
use crate::arn::Arn;
use crate::malformed::{InputProblem, MalformedInput};
use crate::origin::MessageOrigin;
use crate::record::{
    EventTime, ParsedRecipients, Retention, event_time_or_fallback, parse_distinct_recipients,
    replace_key_separators,
};
use crate::text::{MAX_SES_TEXT_CHARS, ScalarText, sanitize_text};
use headers::{HeaderFields, HeaderView};
use loops::{Senders, SmtpEnvelope};

pub use disposition::{DispositionPolicy, MailDisposition};

pub use loops::LoopSigns;
pub use mailbox::Mailbox;
pub use mime::{Attachment, MailStructure, ReadExtent, UnreadableReason};
pub use receipt::{Receipt, ReceiptActionType};
pub use record::InboundRecord;
pub use reference::{
    MailReference, MailStore, ObjectEncryption, ObjectFacts, ObjectLocation, object_key_in_folder,
};
pub use verdict::{DmarcPolicy, MailVerdict, MailVerdicts};

/// The most senders that are kept. RFC 5322 allows lists, but nobody shows more senders than this.
const MAX_FROM_MAILBOXES: usize = 5;
/// The most references that are kept. Threads grow, but the first and the last of the earlier mails say where this one
/// belongs.
const MAX_REFERENCES: usize = 10;

/// What was found out about the mail besides what SES said. Each field may be `None`.
#[derive(Debug, Clone, Default)]
pub struct MailInspection {
    /// Where the mail lies, by [`ObjectLocation::from_receipt`].
    pub location: Option<ObjectLocation>,
    /// What S3 says of the object there.
    pub object: Option<ObjectFacts>,
    /// What is in the mail.
    pub structure: Option<MailStructure>,
}

/// What the template's parameters say about inbound mail.
#[derive(Debug, Clone, Copy, Default)]
pub struct InboundSettings<'a> {
    /// The Region to record if neither the receipt nor its envelopes name one.
    pub default_region: Option<&'a str>,
    /// How verdicts become a disposition.
    pub disposition_policy: DispositionPolicy,
    /// How long records are kept.
    pub retention: Retention,
}

/// The records that one receipt becomes, and what of it could not be read.
#[derive(Debug, Default)]
pub struct NormalizedReceipt {
    /// The records, one per match form, in the order of the envelope's recipients.
    pub records: Vec<InboundRecord>,
    /// The recipients that could not be read. The message is not done until somebody has looked at it, but its other
    /// recipients are recorded.
    pub malformed_recipients: Vec<MalformedInput>,
}

/// Turns a receipt into records.
///
/// # Errors
/// If it names no recipients, or there is no time in it to go by.
pub fn normalize_valid_recipients(
    receipt: &Receipt,
    origin: &MessageOrigin,
    inspection: &MailInspection,
    settings: InboundSettings<'_>,
) -> Result<NormalizedReceipt, MalformedInput> {
    let said = &receipt.details;
    let named = said.recipients.as_deref().unwrap_or_default();
    let list = receipt.field_path("receipt.recipients");
    if named.is_empty() {
        return Err(MalformedInput::new(list, InputProblem::Missing));
    }
    let ParsedRecipients { valid: read, malformed } =
        parse_distinct_recipients(named, |recipient: &ScalarText| recipient, &list, "");
    // Takes the time of the mail, not of the action, so that all actions of a rule make the same key.
    let mail = &receipt.mail;
    let EventTime { occurred_at, unreadable_text: occurred_at_unread } =
        event_time_or_fallback(Some(&mail.timestamp), &[&said.timestamp], origin)
            .map_err(|error| error.prefix_field(receipt.path))?;

    let region =
        receipt.action_arn().and_then(Arn::region).or(origin.region.as_deref()).or(settings.default_region);
    let account = receipt.action_arn().map(|arn| arn.account).filter(|account| !account.is_empty());
    let verdicts = receipt.verdicts();
    let no_headers = HeaderFields::default();
    let structure = inspection.structure.as_ref();
    let header = HeaderView {
        from_ses: mail.headers.as_ref().unwrap_or(&no_headers),
        from_mail: structure.map(|structure| &structure.headers),
        is_complete: mail.has_all_headers() || structure.is_some_and(|structure| structure.has_all_headers),
    };
    let common = &mail.common_headers;
    let subject = header.choose_decodable_subject(common.subject.get());
    let header_message_id = common.message_id.get().or(header.first_value_from_ses_else_mail("Message-ID"));
    let from = header.choose_decodable_senders(&common.from.0, MAX_FROM_MAILBOXES);
    let envelope = SmtpEnvelope { mail_from: mail.source.get(), return_path: common.return_path.get() };
    let senders = Senders::from_header(header, envelope, &from);
    let signs = LoopSigns::detect_machine_mail(header, envelope, &senders);
    let of_all = InboundRecord {
        pk: String::new(),
        sk: format!(
            "INBOUND#{occurred_at}#{}",
            replace_key_separators(&sanitize_text(&receipt.message_id, MAX_SES_TEXT_CHARS))
        ),
        kind: "received",
        region: region.map(|region| sanitize_text(region, MAX_SES_TEXT_CHARS)),
        account: account
            .or(origin.account.as_deref())
            .map(|account| sanitize_text(account, MAX_SES_TEXT_CHARS)),
        occurred_at,
        occurred_at_unread,
        recipient: String::new(),
        address: String::new(),
        message_id: sanitize_text(&receipt.message_id, MAX_SES_TEXT_CHARS),
        mail_from: mail.source.sanitized_text(MAX_SES_TEXT_CHARS),
        from,
        subject: subject.as_deref().map(|subject| sanitize_text(subject.trim(), MAX_SES_TEXT_CHARS)),
        header_message_id: header_message_id.and_then(|id| headers::parse_message_ids(id).into_iter().next()),
        in_reply_to: header
            .first_value_from_ses_else_mail("In-Reply-To")
            .and_then(|id| headers::parse_message_ids(id).into_iter().next()),
        references: parse_capped_references(header),
        disposition: settings.disposition_policy.strictest_disposition(&verdicts),
        verdicts,
        loop_signs: signs.clone(),
        reference: (inspection.location.as_ref())
            .map(|location| MailReference::new(location, inspection.object.as_ref(), region)),
        structure: inspection.structure.clone(),
        processing_time_ms: said.processing_time_millis.get().and_then(|millis| millis.parse().ok()),
        expires_at: settings.retention.expires_at(occurred_at),
    };
    let record = |(address, _): (Address, _)| InboundRecord {
        pk: format!("MAILBOX#{}", address.match_form()),
        recipient: address.spelling().to_owned(),
        address: address.match_form().to_owned(),
        loop_signs: signs.forbid_self_reply(&address, &senders),
        ..of_all.clone()
    };
    Ok(NormalizedReceipt { records: read.into_iter().map(record).collect(), malformed_recipients: malformed })
}

fn parse_capped_references(header: HeaderView<'_>) -> Vec<String> {
    let mut ids: Vec<_> = header
        .values_from_ses_else_mail("References")
        .into_iter()
        .flat_map(headers::parse_message_ids)
        .collect();
    if ids.len() > MAX_REFERENCES {
        ids.drain(1..ids.len() - (MAX_REFERENCES - 1));
    }
    ids
}
