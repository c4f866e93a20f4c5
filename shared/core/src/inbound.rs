//! From a mail that SES received to records: one per recipient of its envelope, each saying where the mail lies.
//!
//! | module | has |
//! |---|---|
//! | [`receipt`] | what SES says of a mail, whichever of a rule's actions says it |
//! | [`verdict`], [`disposition`] | what SES checked, and one word for what to do with it |
//! | [`mod@reference`] | where the mail lies, and what it takes to read it |
//! | [`mime`] | what is in it, from its first bytes |
//! | `headers`, `mailbox` | its header fields, whoever told them, and the senders in them |
//! | `words`, `parameters`, `charset` | encoded words, parameters and character sets of header fields |
//! | [`loops`] | whether it may be answered automatically |
//! | [`record`] | the record |

mod charset;
pub mod disposition;
mod headers;
pub mod loops;
mod mailbox;
pub mod mime;
mod parameters;
pub mod receipt;
pub mod record;
pub mod reference;
pub mod verdict;
mod words;

use crate::address::Address;
use crate::arn::Arn;
use crate::malformed::{Malformed, Problem};
use crate::origin::Origin;
use crate::record::{Recipients, Retention, key_part, recipients, time};
use crate::text::{MAX_SES_TEXT_CHARS, Text, visible};
use headers::{Headers, Told};
use loops::{Envelope, Senders};

pub use disposition::{Disposition, DispositionPolicy};

pub use loops::LoopSigns;
pub use mailbox::Mailbox;
pub use mime::{Attachment, Extent, Structure, Unreadable};
pub use receipt::{Action, Receipt};
pub use record::InboundRecord;
pub use reference::{Encryption, Location, ObjectFacts, Reference, Store, key};
pub use verdict::{DmarcPolicy, Verdict, Verdicts};

/// The most senders that are kept. RFC 5322 allows lists, but nobody shows more senders than this.
const MAX_FROM: usize = 5;
/// The most references that are kept. Threads grow, but the first and the last of the earlier mails say where this one
/// belongs.
const MAX_REFERENCES: usize = 10;

/// What was found out about the mail besides what SES said. Each field may be `None`.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Where the mail lies, by [`Location::of`].
    pub location: Option<Location>,
    /// What S3 says of the object there.
    pub object: Option<ObjectFacts>,
    /// What is in the mail.
    pub structure: Option<Structure>,
}

/// What the template's parameters say about inbound mail.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules<'a> {
    /// The Region to record if neither the receipt nor its envelopes name one.
    pub home: Option<&'a str>,
    /// How verdicts become a disposition.
    pub disposition: DispositionPolicy,
    /// How long records are kept.
    pub retention: Retention,
}

/// The records that one receipt becomes, and what of it could not be read.
#[derive(Debug, Default)]
pub struct Normalized {
    /// The records, one per match form, in the order of the envelope's recipients.
    pub records: Vec<InboundRecord>,
    /// The recipients that could not be read. The message is not done until somebody has looked at it, but its other
    /// recipients are recorded.
    pub malformed: Vec<Malformed>,
}

/// Turns a receipt into records.
///
/// # Errors
/// If it names no recipients, or there is no time in it to go by.
pub fn normalize(
    receipt: &Receipt,
    origin: &Origin,
    found: &Found,
    rules: Rules<'_>,
) -> Result<Normalized, Malformed> {
    let said = &receipt.said;
    let named = said.recipients.as_deref().unwrap_or_default();
    let list = receipt.at("receipt.recipients");
    if named.is_empty() {
        return Err(Malformed::new(list, Problem::Missing));
    }
    let Recipients { read, malformed } = recipients(named, |recipient: &Text| recipient, &list, "");
    // Takes the time of the mail, not of the action, so that all actions of a rule make the same key.
    let mail = &receipt.mail;
    let (occurred_at, occurred_at_unread) = time(Some(&mail.timestamp), &[&said.timestamp], origin)
        .map_err(|error| error.within(receipt.path))?;

    let region = receipt.action_arn().and_then(Arn::region).or(origin.region.as_deref()).or(rules.home);
    let account = receipt.action_arn().map(|arn| arn.account).filter(|account| !account.is_empty());
    let verdicts = receipt.verdicts();
    let no_headers = Headers::default();
    let structure = found.structure.as_ref();
    let header = Told {
        by_ses: mail.headers.as_ref().unwrap_or(&no_headers),
        by_mail: structure.map(|structure| &structure.headers),
        whole: mail.has_all_headers() || structure.is_some_and(|structure| structure.has_all_headers),
    };
    let common = &mail.common_headers;
    let subject = header.subject(common.subject.get());
    let header_message_id = common.message_id.get().or(header.first("Message-ID"));
    let from = header.from(&common.from.0, MAX_FROM);
    let envelope = Envelope { mail_from: mail.source.get(), return_path: common.return_path.get() };
    let senders = Senders::of(header, envelope, &from);
    let signs = LoopSigns::of(header, envelope, &senders);
    let of_all = InboundRecord {
        pk: String::new(),
        sk: format!("INBOUND#{occurred_at}#{}", key_part(&visible(&receipt.message_id, MAX_SES_TEXT_CHARS))),
        kind: "received",
        region: region.map(|region| visible(region, MAX_SES_TEXT_CHARS)),
        account: account.or(origin.account.as_deref()).map(|account| visible(account, MAX_SES_TEXT_CHARS)),
        occurred_at,
        occurred_at_unread,
        recipient: String::new(),
        address: String::new(),
        message_id: visible(&receipt.message_id, MAX_SES_TEXT_CHARS),
        mail_from: mail.source.visible(MAX_SES_TEXT_CHARS),
        from,
        subject: subject.as_deref().map(|subject| visible(subject.trim(), MAX_SES_TEXT_CHARS)),
        header_message_id: header_message_id.and_then(|id| headers::ids(id).into_iter().next()),
        in_reply_to: header.first("In-Reply-To").and_then(|id| headers::ids(id).into_iter().next()),
        references: references(header),
        disposition: rules.disposition.disposition(&verdicts),
        verdicts,
        loop_signs: signs.clone(),
        reference: (found.location.as_ref())
            .map(|location| Reference::new(location, found.object.as_ref(), region)),
        structure: found.structure.clone(),
        processing_time_ms: said.processing_time_millis.get().and_then(|millis| millis.parse().ok()),
        expires_at: rules.retention.expires_at(occurred_at),
    };
    let record = |(address, _): (Address, _)| InboundRecord {
        pk: format!("MAILBOX#{}", address.match_form()),
        recipient: address.raw().to_owned(),
        address: address.match_form().to_owned(),
        loop_signs: signs.for_recipient(&address, &senders),
        ..of_all.clone()
    };
    Ok(Normalized { records: read.into_iter().map(record).collect(), malformed })
}

fn references(header: Told<'_>) -> Vec<String> {
    let mut ids: Vec<_> = header.values("References").into_iter().flat_map(headers::ids).collect();
    if ids.len() > MAX_REFERENCES {
        ids.drain(1..ids.len() - (MAX_REFERENCES - 1));
    }
    ids
}
