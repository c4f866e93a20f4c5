//! What SES says, as types: identity notifications (`notificationType`) and event publishing (`eventType`), tolerantly.
//!
//! Sources: "Amazon SNS notification contents for Amazon SES" and "Contents of event data that Amazon SES publishes to
//! Amazon SNS" in the Amazon SES Developer Guide. Unknown kinds and values are kept as they came; an odd value in a field
//! that nothing depends on is taken as absent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arn::Arn;
use crate::inbound::receipt::{self, Receipt};
use crate::malformed::{Malformed, Problem};
use crate::text::{Tags, Text, Texts, visible};

/// What a message that could be read says.
#[derive(Debug)]
pub enum Reading {
    /// Something happened to a mail that was sent.
    Feedback(Box<Notification>),
    /// A mail was received.
    Received(Box<Receipt>),
    /// There is nothing to record: the message is to be acknowledged, and nothing done.
    Ignored(Notice),
}

/// A message that becomes no record. Mailroom never fetches a `SubscribeURL`: the template makes the subscriptions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Notice {
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
    ReceiptSetup,
    /// An EventBridge event of SES that is not about a mail, by its `detail-type` (capped, and safe to log).
    #[error("SES service event: {0}")]
    ServiceEvent(String),
}

impl Notice {
    /// The `detail-type` of an EventBridge event that is not about a mail.
    pub fn detail_type(&self) -> Option<&str> {
        match self {
            Self::ServiceEvent(detail_type) => Some(detail_type),
            _ => None,
        }
    }
}

/// Which of SES's two vocabularies told an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Identity notifications (`notificationType`), by an identity's bounce, complaint or delivery topic.
    Identity,
    /// Event publishing (`eventType`), by a configuration set's event destination over SNS or EventBridge.
    Event,
}

impl Format {
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
pub enum Kind {
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

impl Kind {
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
            _ => Self::Unknown(visible(text, 64)),
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

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One event of one mail, as SES told it.
#[derive(Debug)]
pub struct Notification {
    pub(crate) format: Format,
    pub(crate) kind: Kind,
    pub(crate) mail: Mail,
    pub(crate) body: Body,
}

impl Notification {
    /// What happened to the mail.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// SES's id of the mail (`mail.messageId`).
    pub fn message_id(&self) -> &str {
        &self.mail.message_id
    }

    /// The recipients that the body names, else the mail's.
    pub(crate) fn recipients(&self) -> &[Recipient] {
        let named = match &self.body {
            Body::Bounce(bounce) => &bounce.bounced_recipients,
            Body::Complaint(complaint) => &complaint.complained_recipients,
            Body::Delivery(delivery) => &delivery.recipients,
            Body::DeliveryDelay(delay, _) => &delay.delayed_recipients,
            _ => return &self.mail.destination,
        };
        named.as_deref().unwrap_or_default()
    }

    /// The identity that the mail was sent from.
    pub(crate) fn source_arn(&self) -> Option<Arn<'_>> {
        Arn::parse(self.mail.source_arn.get()?)
    }
}

/// The object `mail`, which is the same in every kind.
#[derive(Debug)]
pub(crate) struct Mail {
    pub(crate) message_id: String,
    pub(crate) timestamp: Text,
    pub(crate) source_arn: Text,
    pub(crate) sending_account_id: Text,
    pub(crate) destination: Vec<Recipient>,
    pub(crate) tags: BTreeMap<String, Vec<String>>,
}

/// The object that says what happened. The kinds that only event publishing knows are also kept whole, since their event
/// id is made from their content.
#[derive(Debug)]
pub(crate) enum Body {
    Bounce(Bounce),
    Complaint(Complaint),
    Delivery(Delivery),
    DeliveryDelay(DeliveryDelay, Value),
    Send(Value),
    Reject(Reject, Value),
    Open(Open, Value),
    Click(Click, Value),
    RenderingFailure(RenderingFailure, Value),
    Subscription(Subscription, Value),
    Unknown { timestamp: Text, whole: Value },
}

impl Body {
    /// When it happened, if the body says so; `send` never does.
    pub(crate) fn timestamp(&self) -> Option<&Text> {
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
            Self::Send(_) => return None,
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_field_names, reason = "SES's own names")]
pub(crate) struct Bounce {
    pub(crate) bounce_type: Text,
    pub(crate) bounce_sub_type: Text,
    pub(crate) bounced_recipients: Option<Vec<Recipient>>,
    pub(crate) timestamp: Text,
    pub(crate) feedback_id: Text,
    pub(crate) remote_mta_ip: Text,
    #[serde(rename = "reportingMTA")]
    pub(crate) reporting_mta: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_field_names, reason = "SES's own names")]
pub(crate) struct Complaint {
    pub(crate) complained_recipients: Option<Vec<Recipient>>,
    pub(crate) timestamp: Text,
    pub(crate) feedback_id: Text,
    pub(crate) complaint_sub_type: Text,
    pub(crate) complaint_feedback_type: Text,
    pub(crate) user_agent: Text,
    pub(crate) arrival_date: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Delivery {
    pub(crate) recipients: Option<Vec<Recipient>>,
    pub(crate) timestamp: Text,
    pub(crate) processing_time_millis: Text,
    pub(crate) smtp_response: Text,
    #[serde(rename = "reportingMTA")]
    pub(crate) reporting_mta: Text,
    pub(crate) remote_mta_ip: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DeliveryDelay {
    pub(crate) delay_type: Text,
    pub(crate) delayed_recipients: Option<Vec<Recipient>>,
    pub(crate) timestamp: Text,
    pub(crate) expiration_time: Text,
    #[serde(rename = "reportingMTA")]
    pub(crate) reporting_mta: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Reject {
    pub(crate) timestamp: Text,
    pub(crate) reason: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Open {
    pub(crate) timestamp: Text,
    pub(crate) user_agent: Text,
    pub(crate) ip_address: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Click {
    pub(crate) timestamp: Text,
    pub(crate) user_agent: Text,
    pub(crate) ip_address: Text,
    pub(crate) link: Text,
    pub(crate) link_tags: Tags,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RenderingFailure {
    pub(crate) timestamp: Text,
    pub(crate) error_message: Text,
    pub(crate) template_name: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Subscription {
    pub(crate) timestamp: Text,
    pub(crate) contact_list: Text,
    pub(crate) source: Text,
    pub(crate) new_topic_preferences: Preferences,
    pub(crate) old_topic_preferences: Preferences,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Preferences {
    pub(crate) unsubscribe_all: Text,
    pub(crate) topic_subscription_status: Option<Vec<TopicStatus>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TopicStatus {
    pub(crate) topic_name: Text,
    pub(crate) subscription_status: Text,
}

/// A recipient in a body: an object in bounces, complaints and delays, a bare address in deliveries.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Value")]
pub(crate) struct Recipient {
    pub(crate) email_address: Text,
    pub(crate) action: Text,
    pub(crate) status: Text,
    pub(crate) diagnostic_code: Text,
}

impl Recipient {
    fn bare(address: impl Into<Value>) -> Self {
        Self { email_address: address.into().into(), ..Self::default() }
    }
}

impl From<Value> for Recipient {
    fn from(value: Value) -> Self {
        let Value::Object(mut fields) = value else { return Self::bare(value) };
        let mut take = |name| fields.remove(name).map(Text::from).unwrap_or_default();
        Self {
            email_address: take("emailAddress"),
            action: take("action"),
            status: take("status"),
            diagnostic_code: take("diagnosticCode"),
        }
    }
}

/// The outermost object, in either vocabulary.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    notification_type: Text,
    #[serde(default)]
    event_type: Text,
    mail: Option<RawMail>,
    bounce: Option<Bounce>,
    complaint: Option<Complaint>,
    delivery: Option<Delivery>,
    delivery_delay: Option<DeliveryDelay>,
    reject: Option<Reject>,
    open: Option<Open>,
    click: Option<Click>,
    /// The body of `Rendering Failure`, whose name differs from its kind's.
    failure: Option<RenderingFailure>,
    subscription: Option<Subscription>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawMail {
    message_id: Text,
    timestamp: Text,
    source_arn: Text,
    sending_account_id: Text,
    destination: Texts,
    tags: Tags,
}

/// The most bytes of a message id. SES's ids are some 60 characters; a key of the `message` index may have 2,048 bytes.
const MAX_MESSAGE_ID_BYTES: usize = 255;

/// SES's id of the mail (`mail.messageId`); `None` if SES is only trying out a receipt rule.
///
/// # Errors
/// If there is none, or one that no key could hold.
pub(crate) fn message_id(told: &Text) -> Result<Option<&str>, Malformed> {
    let id = told.get().ok_or_else(|| Malformed::new("mail.messageId", Problem::Missing))?;
    if id.len() > MAX_MESSAGE_ID_BYTES {
        return Err(Malformed::new("mail.messageId", Problem::TooLong).quoting(id));
    }
    Ok((id != "AMAZON_SES_SETUP_NOTIFICATION").then_some(id))
}

/// Reads the text that SES itself wrote.
///
/// # Errors
/// [`Malformed`], with the path of the field.
pub(crate) fn read(text: &str) -> Result<Reading, Malformed> {
    if text.trim().starts_with("Successfully validated SNS topic for Amazon SES") {
        return Ok(Reading::Ignored(Notice::TopicValidated));
    }
    let raw: Raw = Malformed::parse(text)?;
    let (format, kind) = match (raw.notification_type.get(), raw.event_type.get()) {
        (Some("AmazonSnsSubscriptionSucceeded"), _) => return Ok(Reading::Ignored(Notice::TopicSubscribed)),
        (Some("Received"), _) => return receipt::read(text, ""),
        (Some(kind), _) => (Format::Identity, Kind::parse(kind)),
        (None, Some(kind)) => (Format::Event, Kind::parse(kind)),
        (None, None) => return Err(Malformed::new("eventType (or notificationType)", Problem::Missing)),
    };
    let mail = raw.mail.ok_or_else(|| Malformed::new("mail", Problem::Missing))?;
    let Some(message_id) = message_id(&mail.message_id)? else {
        return Ok(Reading::Ignored(Notice::ReceiptSetup));
    };
    let whole = || said(text);
    let body = match kind {
        Kind::Bounce => Body::Bounce(raw.bounce.ok_or_else(|| Malformed::new("bounce", Problem::Missing))?),
        Kind::Complaint => {
            Body::Complaint(raw.complaint.ok_or_else(|| Malformed::new("complaint", Problem::Missing))?)
        }
        Kind::Delivery => {
            Body::Delivery(raw.delivery.ok_or_else(|| Malformed::new("delivery", Problem::Missing))?)
        }
        Kind::DeliveryDelay => {
            let delay =
                raw.delivery_delay.ok_or_else(|| Malformed::new("deliveryDelay", Problem::Missing))?;
            Body::DeliveryDelay(delay, whole()?)
        }
        Kind::Send => Body::Send(whole()?),
        Kind::Reject => Body::Reject(raw.reject.unwrap_or_default(), whole()?),
        Kind::Open => Body::Open(raw.open.unwrap_or_default(), whole()?),
        Kind::Click => Body::Click(raw.click.unwrap_or_default(), whole()?),
        Kind::RenderingFailure => Body::RenderingFailure(raw.failure.unwrap_or_default(), whole()?),
        Kind::Subscription => Body::Subscription(raw.subscription.unwrap_or_default(), whole()?),
        Kind::Unknown(_) => {
            let whole = whole()?;
            Body::Unknown { timestamp: timestamp_within(&whole), whole }
        }
    };
    let mail = Mail {
        message_id: visible(message_id, MAX_MESSAGE_ID_BYTES),
        timestamp: mail.timestamp,
        source_arn: mail.source_arn,
        sending_account_id: mail.sending_account_id,
        destination: mail.destination.0.into_iter().map(Recipient::bare).collect(),
        tags: mail.tags.0,
    };
    Ok(Reading::Feedback(Box::new(Notification { format, kind, mail, body })))
}

/// Every body that SES has today keeps its time under this name; one that it adds will too.
fn timestamp_within(whole: &Value) -> Text {
    let mut bodies = whole.as_object().into_iter().flat_map(serde_json::Map::values);
    bodies.find_map(|body| body.get("timestamp")).cloned().map(Text::from).unwrap_or_default()
}

/// All that a notification says besides the mail and its own kind, such as `{"open":{…}}`.
fn said(text: &str) -> Result<Value, Malformed> {
    let mut whole: serde_json::Map<String, Value> = Malformed::parse(text)?;
    for name in ["mail", "eventType", "notificationType"] {
        whole.remove(name);
    }
    Ok(Value::Object(whole))
}
