//! What SES says, as types: identity notifications (`notificationType`) and event publishing (`eventType`), tolerantly.
//!
//! Sources: "Amazon SNS notification contents for Amazon SES" and "Contents of event data that Amazon SES publishes to
//! Amazon SNS" in the Amazon SES Developer Guide. Unknown kinds and values are kept as they came; an odd value in a field
//! that nothing depends on is taken as absent.

mod event_body;
mod unknown_fields;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::address::Address;
use crate::arn::Arn;
use crate::inbound::receipt::{self, Receipt};
use crate::json::{self, JsonFields};
use crate::malformed::{InputProblem, MalformedInput};
use crate::record::{self, MAX_MESSAGE_ID_BYTES, MessageId};
use crate::text::{LenientTags, ScalarText, ScalarTexts, sanitize_text};

pub(crate) use event_body::{
    BounceEvent, ClickEvent, ComplaintEvent, ContactPreferences, DeliveryDelayEvent, DeliveryEvent,
    OpenEvent, Recipient, RejectEvent, RenderingFailureEvent, SubscriptionEvent,
};
use unknown_fields::UnknownFields;

/// What a message that could be read says.
#[derive(Debug)]
pub enum ParsedMessage {
    /// Something happened to a mail that was sent.
    Feedback(Box<Notification>),
    /// A mail was received.
    Received(Box<Receipt>),
    /// There is nothing to record: the message is to be acknowledged, and nothing done.
    Ignored(IgnoredMessage),
}

/// A message that becomes no record. Mailroom never fetches a `SubscribeURL`: the template makes the subscriptions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IgnoredMessage {
    /// SNS asks an HTTP endpoint to confirm a subscription. A queue's subscription confirms itself.
    #[error("SNS asks to confirm a subscription")]
    SubscriptionConfirmation,
    /// SNS confirms that a subscription has ended.
    #[error("SNS confirms the end of a subscription")]
    UnsubscribeConfirmation,
    /// SES tells in plain text that a configuration set's event destination was made.
    #[error("SES has validated the topic for event publishing")]
    TopicValidated,
    /// SES tells that an identity's feedback topic was set (`AmazonSnsSubscriptionSucceeded`).
    #[error("SES has taken the topic for an identity's notifications")]
    TopicSubscribed,
    /// SES tries out a receipt rule that is being made (`AMAZON_SES_SETUP_NOTIFICATION`).
    #[error("SES has tried out a receipt rule")]
    ReceiptRuleTest,
    /// An EventBridge event of SES that is not about a mail, by its `detail-type` (capped, and safe to log).
    #[error("SES service event: {0}")]
    ServiceEvent(String),
    /// A bounce or complaint that names no recipient, of a mail to several destinations: it could be of any of them. Holds
    /// SES's id of the mail.
    #[error("a bounce or complaint that names none of the mail's recipients")]
    WithoutRecipient(String),
}

impl IgnoredMessage {
    /// The `detail-type` of an EventBridge event that is not about a mail.
    pub fn detail_type(&self) -> Option<&str> {
        match self {
            Self::ServiceEvent(detail_type) => Some(detail_type),
            _ => None,
        }
    }
}

/// Which of SES's two vocabularies told an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotificationFormat {
    /// Identity notifications (`notificationType`), by an identity's bounce, complaint or delivery topic.
    Identity,
    /// Event publishing (`eventType`), by a configuration set's event destination over SNS or EventBridge.
    Event,
}

impl NotificationFormat {
    /// The vocabulary's name: `identity` or `event`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Event => "event",
        }
    }
}

/// What happened to the mail.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The mail was not delivered, and will not be (or might, if the bounce is transient).
    Bounce,
    /// The recipient told their provider that the mail is spam.
    Complaint,
    /// The recipient's server took the mail.
    Delivery,
    /// SES took the mail.
    Send,
    /// SES refused the mail because of a virus.
    Reject,
    /// The mail's tracking image was fetched.
    Open,
    /// A tracked link in the mail was followed.
    Click,
    /// The mail's template could not be filled in.
    RenderingFailure,
    /// The mail could not be delivered yet; SES goes on trying.
    DeliveryDelay,
    /// The recipient changed their topic preferences.
    Subscription,
    /// A kind that SES has added since, as it spelled it (capped).
    Unknown(String),
}

impl EventKind {
    fn parse(text: &str) -> Self {
        let squeezed: String =
            text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
        match squeezed.as_str() {
            "bounce" => Self::Bounce,
            "complaint" => Self::Complaint,
            "delivery" => Self::Delivery,
            "send" => Self::Send,
            "reject" => Self::Reject,
            "open" => Self::Open,
            "click" => Self::Click,
            // Events spell it with a space, the API's enumeration of event types with an underscore.
            "renderingfailure" => Self::RenderingFailure,
            "deliverydelay" => Self::DeliveryDelay,
            "subscription" => Self::Subscription,
            _ => Self::Unknown(sanitize_text(text, 64)),
        }
    }

    /// The kind's name, such as `bounce` or `rendering_failure`; an unknown one as SES spelled it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Bounce => "bounce",
            Self::Complaint => "complaint",
            Self::Delivery => "delivery",
            Self::Send => "send",
            Self::Reject => "reject",
            Self::Open => "open",
            Self::Click => "click",
            Self::RenderingFailure => "rendering_failure",
            Self::DeliveryDelay => "delivery_delay",
            Self::Subscription => "subscription",
            Self::Unknown(kind) => kind,
        }
    }
}

impl Serialize for EventKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One event of one mail, as SES told it.
#[derive(Debug)]
pub struct Notification {
    pub(crate) format: NotificationFormat,
    pub(crate) kind: EventKind,
    pub(crate) mail: SentMail,
    pub(crate) body: EventBody,
}

impl Notification {
    /// What happened to the mail.
    pub fn kind(&self) -> &EventKind {
        &self.kind
    }

    /// SES's id of the mail (`mail.messageId`).
    pub fn message_id(&self) -> &str {
        &self.mail.message_id
    }

    /// The recipients that the body names; where no such list belongs to the kind, everybody the mail was sent to. If a
    /// bounce or complaint names nobody, the mail's only destination, if it had only one.
    pub(crate) fn recipients(&self) -> &[Recipient] {
        match self.body.recipients() {
            Some(named) if !self.assumes_recipient() => named,
            _ => &self.mail.destination,
        }
    }

    /// Whether a bounce or complaint names no recipient, as bounces do that are automatic replies, but can only be of the
    /// mail's one destination. Since SES does not say so, it is evidence against nobody.
    pub(crate) fn assumes_recipient(&self) -> bool {
        self.body.is_bounce_or_complaint_of_nobody() && self.mail.has_one_distinct_destination()
    }

    /// What is not known of the event and of one of its recipients, as a JSON object; `None` if everything is known.
    pub(crate) fn unknown_fields_json(&self, recipient: &Recipient) -> Option<String> {
        let (_, list) = self.body.object_and_recipients_fields();
        unknown_fields::unknown_fields_to_json(self.body.unknown_fields()?, list, &recipient.extra)
    }

    /// The fields of the event's own object that are not in SES's documentation, such as `open.isAutomated` and
    /// `bounce.bouncedRecipients.newField`. A name that SES would not give to a field is replaced by `?`, since it could
    /// be anything.
    pub fn unknown_field_names(&self) -> BTreeSet<String> {
        let (object, list) = self.body.object_and_recipients_fields();
        let own = self
            .body
            .unknown_fields()
            .into_iter()
            .flat_map(UnknownFields::names)
            .map(|name| format!("{object}.{}", sanitize_field_name(name)));
        let recipients = self.body.recipients().unwrap_or_default().iter();
        let theirs = recipients.flat_map(|recipient| recipient.extra.names());
        own.chain(theirs.map(|name| format!("{object}.{list}.{}", sanitize_field_name(name)))).collect()
    }

    /// The identity that the mail was sent from.
    pub(crate) fn source_arn(&self) -> Option<Arn<'_>> {
        Arn::parse(self.mail.source_arn.get()?)
    }
}

/// The name of a field if it looks like one of SES's.
fn sanitize_field_name(name: &str) -> &str {
    let is_plain = (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_plain { name } else { "?" }
}

/// The object `mail`, which is the same in every kind.
#[derive(Debug)]
pub(crate) struct SentMail {
    pub(crate) message_id: String,
    pub(crate) timestamp: ScalarText,
    pub(crate) source_arn: ScalarText,
    pub(crate) sending_account_id: ScalarText,
    pub(crate) destination: Vec<Recipient>,
    pub(crate) tags: BTreeMap<String, Vec<String>>,
}

impl SentMail {
    /// Whether the mail went to one address, however often and in whichever spellings it is named.
    fn has_one_distinct_destination(&self) -> bool {
        let key = |to: &Recipient| {
            let text = to.email_address.get().unwrap_or_default();
            Address::parse(text).map_or_else(|_| text.to_owned(), |address| address.match_form().to_owned())
        };
        let mut keys = self.destination.iter().map(key);
        keys.next().is_some_and(|first| keys.all(|other| other == first))
    }
}

/// The object that says what happened. The kinds that only event publishing knows are also kept whole, since their event
/// id is made from their content.
#[derive(Debug)]
pub(crate) enum EventBody {
    Bounce(BounceEvent),
    Complaint(ComplaintEvent),
    Delivery(DeliveryEvent),
    DeliveryDelay(DeliveryDelayEvent, Value),
    Send(UnknownFields, Value),
    Reject(RejectEvent, Value),
    Open(OpenEvent, Value),
    Click(ClickEvent, Value),
    RenderingFailure(RenderingFailureEvent, Value),
    Subscription(SubscriptionEvent, Value),
    Unknown { timestamp: ScalarText, content: Value },
}

impl EventBody {
    /// The recipients that the body names; `None` if it is of a kind that names none.
    fn recipients(&self) -> Option<&[Recipient]> {
        match self {
            Self::Bounce(bounce) => Some(&bounce.bounced_recipients),
            Self::Complaint(complaint) => Some(&complaint.complained_recipients),
            Self::Delivery(delivery) => Some(&delivery.recipients),
            Self::DeliveryDelay(delay, _) => Some(&delay.delayed_recipients),
            _ => None,
        }
    }

    /// Whether it is a bounce or complaint of nobody.
    fn is_bounce_or_complaint_of_nobody(&self) -> bool {
        matches!(self, Self::Bounce(_) | Self::Complaint(_)) && self.recipients().is_some_and(<[_]>::is_empty)
    }

    /// What the body says that is not known; `None` if it is of a kind that is kept whole.
    fn unknown_fields(&self) -> Option<&UnknownFields> {
        Some(match self {
            Self::Bounce(bounce) => &bounce.extra,
            Self::Complaint(complaint) => &complaint.extra,
            Self::Delivery(delivery) => &delivery.extra,
            Self::DeliveryDelay(delay, _) => &delay.extra,
            Self::Send(extra, _) => extra,
            Self::Reject(reject, _) => &reject.extra,
            Self::Open(open, _) => &open.extra,
            Self::Click(click, _) => &click.extra,
            Self::RenderingFailure(failure, _) => &failure.extra,
            Self::Subscription(subscription, _) => &subscription.extra,
            Self::Unknown { .. } => return None,
        })
    }

    /// The name of the object, and of the list of recipients in it.
    fn object_and_recipients_fields(&self) -> (&'static str, &'static str) {
        match self {
            Self::Bounce(_) => ("bounce", "bouncedRecipients"),
            Self::Complaint(_) => ("complaint", "complainedRecipients"),
            Self::Delivery(_) => ("delivery", "recipients"),
            Self::DeliveryDelay(..) => ("deliveryDelay", "delayedRecipients"),
            Self::Send(..) => ("send", ""),
            Self::Reject(..) => ("reject", ""),
            Self::Open(..) => ("open", ""),
            Self::Click(..) => ("click", ""),
            Self::RenderingFailure(..) => ("failure", ""),
            Self::Subscription(..) => ("subscription", ""),
            Self::Unknown { .. } => ("", ""),
        }
    }

    /// When it happened, if the body says so; `send` never does.
    pub(crate) fn timestamp(&self) -> Option<&ScalarText> {
        Some(match self {
            Self::Bounce(bounce) => &bounce.timestamp,
            Self::Complaint(complaint) => &complaint.timestamp,
            Self::Delivery(delivery) => &delivery.timestamp,
            Self::DeliveryDelay(delay, _) => &delay.timestamp,
            Self::Reject(reject, _) => &reject.timestamp,
            Self::Open(open, _) => &open.timestamp,
            Self::Click(click, _) => &click.timestamp,
            Self::RenderingFailure(failure, _) => &failure.timestamp,
            Self::Subscription(subscription, _) => &subscription.timestamp,
            Self::Unknown { timestamp, .. } => timestamp,
            Self::Send(..) => return None,
        })
    }
}

/// The outermost object, in either vocabulary.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawNotification<'a> {
    #[serde(default)]
    notification_type: ScalarText,
    #[serde(default)]
    event_type: ScalarText,
    mail: Option<RawMail>,
    #[serde(borrow)]
    bounce: Option<JsonFields<'a>>,
    #[serde(borrow)]
    complaint: Option<JsonFields<'a>>,
    #[serde(borrow)]
    delivery: Option<JsonFields<'a>>,
    #[serde(borrow)]
    delivery_delay: Option<JsonFields<'a>>,
    /// An empty object, which nothing depends on.
    #[serde(borrow)]
    send: Option<&'a RawValue>,
    #[serde(borrow)]
    reject: Option<JsonFields<'a>>,
    #[serde(borrow)]
    open: Option<JsonFields<'a>>,
    #[serde(borrow)]
    click: Option<JsonFields<'a>>,
    /// The body of `Rendering Failure`, whose name differs from its kind's.
    #[serde(borrow)]
    failure: Option<JsonFields<'a>>,
    #[serde(borrow)]
    subscription: Option<JsonFields<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawMail {
    message_id: ScalarText,
    timestamp: ScalarText,
    source_arn: ScalarText,
    sending_account_id: ScalarText,
    destination: ScalarTexts,
    tags: LenientTags,
}

/// Reads the text that SES itself wrote.
///
/// # Errors
/// [`MalformedInput`], with the path of the field.
pub(crate) fn parse_ses_message(text: &str) -> Result<ParsedMessage, MalformedInput> {
    if text.trim().starts_with("Successfully validated SNS topic for Amazon SES") {
        return Ok(ParsedMessage::Ignored(IgnoredMessage::TopicValidated));
    }
    let raw: RawNotification = MalformedInput::parse_json(text)?;
    let (format, kind) = match (raw.notification_type.get(), raw.event_type.get()) {
        (Some("AmazonSnsSubscriptionSucceeded"), _) => {
            return Ok(ParsedMessage::Ignored(IgnoredMessage::TopicSubscribed));
        }
        (Some("Received"), _) => return receipt::parse_receipt(text, ""),
        (Some(kind), _) => (NotificationFormat::Identity, EventKind::parse(kind)),
        (None, Some(kind)) => (NotificationFormat::Event, EventKind::parse(kind)),
        (None, None) => {
            return Err(MalformedInput::new("eventType (or notificationType)", InputProblem::Missing));
        }
    };
    let mail = raw.mail.ok_or_else(|| MalformedInput::new("mail", InputProblem::Missing))?;
    let MessageId::Mail(message_id) = record::parse_message_id(&mail.message_id)? else {
        return Ok(ParsedMessage::Ignored(IgnoredMessage::ReceiptRuleTest));
    };
    let body = match kind {
        EventKind::Bounce => {
            EventBody::Bounce(read_required_body("bounce", raw.bounce, BounceEvent::from_fields)?)
        }
        EventKind::Complaint => {
            EventBody::Complaint(read_required_body("complaint", raw.complaint, ComplaintEvent::from_fields)?)
        }
        EventKind::Delivery => {
            EventBody::Delivery(read_required_body("delivery", raw.delivery, DeliveryEvent::from_fields)?)
        }
        EventKind::DeliveryDelay => {
            let delay =
                read_required_body("deliveryDelay", raw.delivery_delay, DeliveryDelayEvent::from_fields)?;
            EventBody::DeliveryDelay(delay, parse_without_mail_and_kind(text)?)
        }
        EventKind::Send => EventBody::Send(
            raw.send.and_then(JsonFields::from_json).map(UnknownFields::from_remaining).unwrap_or_default(),
            parse_without_mail_and_kind(text)?,
        ),
        EventKind::Reject => EventBody::Reject(
            RejectEvent::from_fields(raw.reject.unwrap_or_default()),
            parse_without_mail_and_kind(text)?,
        ),
        EventKind::Open => EventBody::Open(
            OpenEvent::from_fields(raw.open.unwrap_or_default()),
            parse_without_mail_and_kind(text)?,
        ),
        EventKind::Click => EventBody::Click(
            ClickEvent::from_fields(raw.click.unwrap_or_default()),
            parse_without_mail_and_kind(text)?,
        ),
        EventKind::RenderingFailure => EventBody::RenderingFailure(
            RenderingFailureEvent::from_fields(raw.failure.unwrap_or_default()),
            parse_without_mail_and_kind(text)?,
        ),
        EventKind::Subscription => EventBody::Subscription(
            SubscriptionEvent::from_fields(raw.subscription.unwrap_or_default()),
            parse_without_mail_and_kind(text)?,
        ),
        EventKind::Unknown(_) => {
            let whole = parse_without_mail_and_kind(text)?;
            EventBody::Unknown { timestamp: find_body_timestamp(&whole), content: whole }
        }
    };
    let mail = SentMail {
        message_id: sanitize_text(message_id, MAX_MESSAGE_ID_BYTES),
        timestamp: mail.timestamp,
        source_arn: mail.source_arn,
        sending_account_id: mail.sending_account_id,
        destination: mail
            .destination
            .0
            .into_iter()
            .map(|to| Recipient::from_address(Value::from(to).into()))
            .collect(),
        tags: mail.tags.0,
    };
    if body.is_bounce_or_complaint_of_nobody()
        && mail.destination.len() > 1
        && !mail.has_one_distinct_destination()
    {
        return Ok(ParsedMessage::Ignored(IgnoredMessage::WithoutRecipient(mail.message_id)));
    }
    Ok(ParsedMessage::Feedback(Box::new(Notification { format, kind, mail, body })))
}

/// Reads a body that must be there.
fn read_required_body<'a, T>(
    name: &str,
    fields: Option<JsonFields<'a>>,
    read_body: impl FnOnce(JsonFields<'a>) -> Result<T, MalformedInput>,
) -> Result<T, MalformedInput> {
    let fields = fields.ok_or_else(|| MalformedInput::new(name, InputProblem::Missing))?;
    read_body(fields).map_err(|error| error.prefix_field(name))
}

/// Every body that SES has today keeps its time under this name; one that it adds will too.
fn find_body_timestamp(content: &Value) -> ScalarText {
    let mut bodies = content.as_object().into_iter().flat_map(serde_json::Map::values);
    bodies.find_map(|body| body.get("timestamp")).cloned().map(ScalarText::from).unwrap_or_default()
}

/// All that a notification says besides the mail and its own kind, such as `{"open":{…}}`.
fn parse_without_mail_and_kind(text: &str) -> Result<Value, MalformedInput> {
    let mut whole: JsonFields<'_> = MalformedInput::parse_json(text)?;
    for name in ["mail", "eventType", "notificationType"] {
        whole.take(name);
    }
    Ok(Value::Object(
        whole.into_remaining().map(|(name, json)| (name, json::parse_value_or_text(json))).collect(),
    ))
}
