//! From a notification to records: one per event, recipient and format, keyed only by what SES said, so that the same
//! notification delivered ten times is one record, byte for byte.

mod details;
mod event_id;

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use crate::address::Address;
use crate::arn::Arn;
use crate::evidence::{self, BounceReport, DecisionTrigger, Evidence};
use crate::malformed::{InputProblem, MalformedInput};
use crate::notification::{BounceEvent, EventBody, EventKind, Notification, NotificationFormat, Recipient};
use crate::origin::MessageOrigin;
use crate::record::{self, EventTime, ParsedRecipients, TableItem, replace_key_separators};
use crate::text::{MAX_SES_TEXT_CHARS, sanitize_text};
use crate::timestamp::Timestamp;

pub use crate::record::Retention;
pub use details::{DeliveryReport, EventDetails, TopicPreferences};

/// The records that one notification becomes, and what of it could not be read.
#[derive(Debug, Default)]
pub struct NormalizedFeedback {
    /// The records, one per match form, in the order of SES's recipients.
    pub records: Vec<FeedbackRecord>,
    /// The recipients that could not be read. The message is not done until somebody has looked at it, but its other
    /// recipients are recorded.
    pub malformed_recipients: Vec<MalformedInput>,
}

/// A fact: this happened to this mail for this recipient. It is appended and never edited, and holds no time of
/// Mailroom's own.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeedbackRecord {
    /// `ADDR#<match address>`: the table's partition key.
    pub pk: String,
    /// `FEEDBACK#<event time>#<kind>#<event id>#<format>`: the table's sort key.
    pub sk: String,
    /// What happened.
    pub kind: EventKind,
    /// Which of SES's vocabularies told it. To count events, count event ids: both vocabularies may have told the same
    /// event.
    pub format: NotificationFormat,
    /// The Region whose SES sent the mail.
    pub region: Option<String>,
    /// When it happened, according to SES.
    pub occurred_at: Timestamp,
    /// The event's own time as SES spelled it, if that was unreadable: `occurred_at` is then when the mail was sent, or
    /// when SNS or EventBridge took the event.
    pub occurred_at_unread: Option<String>,
    /// The recipient's address as SES spelled it.
    pub recipient: String,
    /// The recipient's address in match form.
    pub address: String,
    /// SES's id of the mail.
    pub message_id: String,
    /// The id by which events are counted: SES's feedback id, or else a hash of what both vocabularies say of the event.
    pub event_id: String,
    /// What this says against the address, by [`crate::evidence`].
    pub evidence: Option<Evidence>,
    /// What kind of decision the record calls for; `None` if there is nothing to decide. The table's stream is filtered
    /// by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decidable: Option<DecisionTrigger>,
    /// Whether a bounce is an automatic reply, such as an out-of-office notice. It is never counted.
    #[serde(skip_serializing_if = "is_false")]
    pub auto_response: bool,
    /// Whether a bounce or complaint names a recipient that is not in `mail.destination`. It decides nothing.
    #[serde(skip_serializing_if = "is_false")]
    pub not_in_destination: bool,
    /// Whether a bounce or complaint named no recipient, and this is the mail's only destination. It decides nothing.
    #[serde(skip_serializing_if = "is_false")]
    pub recipient_assumed: bool,
    /// When SES took the mail.
    pub sent_at: Option<Timestamp>,
    /// The identity the mail was sent from: `example.com`.
    pub source_identity: Option<String>,
    /// The account that owns the identity.
    pub source_account: Option<String>,
    /// The account that sent the mail, which is not the identity's under sending authorization.
    pub sending_account: Option<String>,
    /// The configuration set that the mail was sent with (tag `ses:configuration-set`).
    pub configuration_set: Option<String>,
    /// The tenant for whom the mail was sent (tag `ses:tenant-name`).
    pub tenant: Option<String>,
    /// All tags of the mail (`mail.tags`), SES's own among them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, Vec<String>>,
    /// What only this kind of event says.
    #[serde(flatten)]
    pub details: EventDetails,
    /// What SES says of the event and of this recipient that is not in its documentation, as a JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<String>,
    /// When the record expires, in seconds since the Unix epoch (DynamoDB's TTL).
    pub expires_at: i64,
}

impl FeedbackRecord {
    /// Whether this is a permanent bounce that decides nothing because of its subtype: SES itself refused to send, or AWS
    /// has added the subtype since.
    pub fn is_presumed_refusal_by_ses(&self) -> bool {
        let EventDetails::Bounce { bounce_type, bounce_subtype, .. } = &self.details else { return false };
        let report = BounceReport {
            bounce_type: bounce_type.as_deref(),
            subtype: bounce_subtype.as_deref(),
            ..BounceReport::default()
        };
        report.is_presumed_refusal_by_ses()
    }
}

impl TableItem for FeedbackRecord {
    fn key(&self) -> (&str, &str) {
        (&self.pk, &self.sk)
    }
}

/// Turns a notification into records. `default_region` is the Region to record if neither the notification nor its envelopes name
/// one.
///
/// # Errors
/// If it names no recipients, or there is no time in it to go by.
pub fn normalize(
    notification: &Notification,
    origin: &MessageOrigin,
    default_region: Option<&str>,
    retention: Retention,
) -> Result<NormalizedFeedback, MalformedInput> {
    let ParsedRecipients { valid: recipients, malformed } = parse_notification_recipients(notification)?;
    let own_time = notification.body.timestamp();
    let EventTime { occurred_at, unreadable_text: occurred_at_unread } =
        record::event_time_or_fallback(own_time, &[&notification.mail.timestamp], origin)?;
    let event_id = event_id::feedback_id_or_hash(
        notification,
        occurred_at,
        recipients.iter().map(|(address, _)| address),
    );
    let mail = &notification.mail;
    let identity = notification.source_arn();
    let region = identity.and_then(Arn::region).or(origin.region.as_deref()).or(default_region);
    let tag = |name: &str| {
        mail.tags
            .get(name)
            .and_then(|values| values.first())
            .map(|value| sanitize_text(value, MAX_SES_TEXT_CHARS))
    };

    // It may have been a recipient whose address could not be read, so those count as well.
    let candidates = recipients.len() + malformed.len();
    let accuses = matches!(notification.body, EventBody::Bounce(_) | EventBody::Complaint(_));
    let destinations = if accuses { destination_match_forms(notification) } else { HashSet::new() };
    let record = |(address, recipient): (Address, &Recipient)| {
        let not_in_destination = accuses && !destinations.contains(address.match_form());
        let decidable = decision_trigger(&notification.body, recipient)
            .filter(|_| !not_in_destination && !notification.assumes_recipient() && !address.is_simulator());
        FeedbackRecord {
            pk: format!("ADDR#{}", address.match_form()),
            sk: format!(
                "FEEDBACK#{occurred_at}#{}#{event_id}#{}",
                replace_key_separators(notification.kind.as_str()),
                notification.format.as_str()
            ),
            kind: notification.kind.clone(),
            format: notification.format,
            region: region.map(|region| sanitize_text(region, MAX_SES_TEXT_CHARS)),
            occurred_at,
            occurred_at_unread: occurred_at_unread.clone(),
            recipient: address.spelling().to_owned(),
            address: address.match_form().to_owned(),
            message_id: mail.message_id.clone(),
            event_id: event_id.clone(),
            evidence: decidable.and_then(DecisionTrigger::evidence_by_itself),
            decidable,
            auto_response: is_auto_response(&notification.body, recipient),
            not_in_destination,
            recipient_assumed: notification.assumes_recipient(),
            sent_at: mail.timestamp.get().and_then(Timestamp::parse),
            source_identity: identity.map(|arn| {
                sanitize_text(
                    arn.resource.strip_prefix("identity/").unwrap_or(arn.resource),
                    MAX_SES_TEXT_CHARS,
                )
            }),
            source_account: identity.map(|arn| sanitize_text(arn.account, MAX_SES_TEXT_CHARS)),
            sending_account: mail.sending_account_id.sanitized_text(MAX_SES_TEXT_CHARS),
            configuration_set: tag("ses:configuration-set"),
            tenant: tag("ses:tenant-name"),
            tags: details::cap_tags(&mail.tags),
            details: EventDetails::from_body(&notification.body, recipient, candidates),
            extra: notification.unknown_fields_json(recipient),
            expires_at: retention.expires_at(occurred_at),
        }
    };
    Ok(NormalizedFeedback {
        records: recipients.into_iter().map(record).collect(),
        malformed_recipients: malformed,
    })
}

/// The recipients that the event concerns: those that its body names, else everybody the mail was sent to. Of a bounce or
/// a complaint that is `mail.destination` only if nobody is named and there is only one, since most of several are innocent.
fn parse_notification_recipients(
    notification: &Notification,
) -> Result<ParsedRecipients<'_, Recipient>, MalformedInput> {
    let (list, entry) = match notification.body {
        _ if notification.assumes_recipient() => ("mail.destination", ""),
        EventBody::Bounce(_) => ("bounce.bouncedRecipients", ".emailAddress"),
        EventBody::Complaint(_) => ("complaint.complainedRecipients", ".emailAddress"),
        EventBody::Delivery(_) => ("delivery.recipients", ""),
        EventBody::DeliveryDelay(..) => ("deliveryDelay.delayedRecipients", ".emailAddress"),
        _ => ("mail.destination", ""),
    };
    let named = notification.recipients();
    if named.is_empty() {
        return Err(MalformedInput::new(list, InputProblem::Missing));
    }
    Ok(record::parse_distinct_recipients(named, |recipient| &recipient.email_address, list, entry))
}

/// The addresses that the mail was sent to, in match form. Only these can be accused: the recipient of a bounce is the
/// `Final-Recipient` of a delivery status notification, which whoever received the mail can write, and which honestly
/// names the forwarding target of an address or one member of a mailing list. Nobody is accused instead, since it is not
/// known which destination it was. SES writes `mail.destination` whole into both formats, Bcc included, whatever happens
/// to the headers (`headersTruncated`). If it is absent nevertheless, nobody is accused, and an entry that cannot be read
/// matches nobody: a bounce that is missed comes again with the next mail.
fn destination_match_forms(notification: &Notification) -> HashSet<String> {
    let addresses = notification.mail.destination.iter().filter_map(|to| to.email_address.get());
    let read = |text| Address::parse(text).ok().map(|address| address.match_form().to_owned());
    addresses.filter_map(read).collect()
}

fn decision_trigger(body: &EventBody, recipient: &Recipient) -> Option<DecisionTrigger> {
    match body {
        EventBody::Bounce(bounce) => bounce_report(bounce, recipient).decision_trigger(),
        EventBody::Complaint(complaint) => evidence::complaint_trigger(
            complaint.complaint_feedback_type.get(),
            complaint.complaint_sub_type.get(),
        ),
        _ => None,
    }
}

fn is_auto_response(body: &EventBody, recipient: &Recipient) -> bool {
    matches!(body, EventBody::Bounce(bounce) if bounce_report(bounce, recipient).is_auto_response())
}

fn bounce_report<'a>(bounce: &'a BounceEvent, recipient: &'a Recipient) -> BounceReport<'a> {
    BounceReport {
        bounce_type: bounce.bounce_type.get(),
        subtype: bounce.bounce_sub_type.get(),
        action: recipient.action.get(),
        status: recipient.status.get(),
        diagnostic: recipient.diagnostic_code.get(),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}
