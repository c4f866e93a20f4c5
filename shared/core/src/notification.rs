//! What SES says, as types: identity notifications (`notificationType`) and event publishing (`eventType`), tolerantly.
//!
//! Sources: "Amazon SNS notification contents for Amazon SES" and "Contents of event data that Amazon SES publishes to
//! Amazon SNS" in the Amazon SES Developer Guide. Unknown kinds and values are kept as they came; an odd value in a field
//! that nothing depends on is taken as absent.

mod body;
mod extra;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::address::Address;
use crate::arn::Arn;
use crate::inbound::receipt::{self, Receipt};
use crate::json::{self, Fields};
use crate::malformed::{Malformed, Problem};
use crate::record::{self, MAX_MESSAGE_ID_BYTES};
use crate::text::{Tags, Text, Texts, visible};

pub(crate) use body::{
    Bounce, Click, Complaint, Delivery, DeliveryDelay, Open, Preferences, Recipient, Reject,
    RenderingFailure, Subscription,
};
use extra::Extra;

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

impl From<Option<Box<Receipt>>> for Reading {
    /// SES writes no receipt when it tries out a rule.
    fn from(receipt: Option<Box<Receipt>>) -> Self {
        receipt.map_or(Self::Ignored(Notice::ReceiptSetup), Self::Received)
    }
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
    /// A bounce or complaint that names no recipient, of a mail to several destinations: it could be of any of them. Holds
    /// SES's id of the mail.
    #[error("a bounce or complaint that names none of the mail's recipients")]
    NoRecipient(String),
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
        self.body.lacks_recipient() && self.mail.has_one_destination()
    }

    /// What is not known of the event and of one of its recipients, as a JSON object; `None` if everything is known.
    pub(crate) fn extra(&self, recipient: &Recipient) -> Option<String> {
        let (_, list) = self.body.names();
        extra::to_json(self.body.extra()?, list, &recipient.extra)
    }

    /// The fields of the event's own object that are not in SES's documentation, such as `open.isAutomated` and
    /// `bounce.bouncedRecipients.newField`. A name that SES would not give to a field is replaced by `?`, since it could
    /// be anything.
    pub fn unknown_fields(&self) -> BTreeSet<String> {
        let (object, list) = self.body.names();
        let own = self
            .body
            .extra()
            .into_iter()
            .flat_map(Extra::names)
            .map(|name| format!("{object}.{}", plain(name)));
        let recipients = self.body.recipients().unwrap_or_default().iter();
        let theirs = recipients.flat_map(|recipient| recipient.extra.names());
        own.chain(theirs.map(|name| format!("{object}.{list}.{}", plain(name)))).collect()
    }

    /// The identity that the mail was sent from.
    pub(crate) fn source_arn(&self) -> Option<Arn<'_>> {
        Arn::parse(self.mail.source_arn.get()?)
    }
}

/// The name of a field if it looks like one of SES's.
fn plain(name: &str) -> &str {
    let is_plain = (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_plain { name } else { "?" }
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

impl Mail {
    /// Whether the mail went to one address, however often and in whichever spellings it is named.
    fn has_one_destination(&self) -> bool {
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
pub(crate) enum Body {
    Bounce(Bounce),
    Complaint(Complaint),
    Delivery(Delivery),
    DeliveryDelay(DeliveryDelay, Value),
    Send(Extra, Value),
    Reject(Reject, Value),
    Open(Open, Value),
    Click(Click, Value),
    RenderingFailure(RenderingFailure, Value),
    Subscription(Subscription, Value),
    Unknown { timestamp: Text, whole: Value },
}

impl Body {
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
    fn lacks_recipient(&self) -> bool {
        matches!(self, Self::Bounce(_) | Self::Complaint(_)) && self.recipients().is_some_and(<[_]>::is_empty)
    }

    /// What the body says that is not known; `None` if it is of a kind that is kept whole.
    fn extra(&self) -> Option<&Extra> {
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
    fn names(&self) -> (&'static str, &'static str) {
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
            Self::Send(..) => return None,
        })
    }
}

/// The outermost object, in either vocabulary.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw<'a> {
    #[serde(default)]
    notification_type: Text,
    #[serde(default)]
    event_type: Text,
    mail: Option<RawMail>,
    #[serde(borrow)]
    bounce: Option<Fields<'a>>,
    #[serde(borrow)]
    complaint: Option<Fields<'a>>,
    #[serde(borrow)]
    delivery: Option<Fields<'a>>,
    #[serde(borrow)]
    delivery_delay: Option<Fields<'a>>,
    /// An empty object, which nothing depends on.
    #[serde(borrow)]
    send: Option<&'a RawValue>,
    #[serde(borrow)]
    reject: Option<Fields<'a>>,
    #[serde(borrow)]
    open: Option<Fields<'a>>,
    #[serde(borrow)]
    click: Option<Fields<'a>>,
    /// The body of `Rendering Failure`, whose name differs from its kind's.
    #[serde(borrow)]
    failure: Option<Fields<'a>>,
    #[serde(borrow)]
    subscription: Option<Fields<'a>>,
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
        (Some("Received"), _) => return receipt::read(text, "").map(Reading::from),
        (Some(kind), _) => (Format::Identity, Kind::parse(kind)),
        (None, Some(kind)) => (Format::Event, Kind::parse(kind)),
        (None, None) => return Err(Malformed::new("eventType (or notificationType)", Problem::Missing)),
    };
    let mail = raw.mail.ok_or_else(|| Malformed::new("mail", Problem::Missing))?;
    let Some(message_id) = record::check_message_id(&mail.message_id)? else {
        return Ok(Reading::Ignored(Notice::ReceiptSetup));
    };
    let body = match kind {
        Kind::Bounce => Body::Bounce(required("bounce", raw.bounce, Bounce::read)?),
        Kind::Complaint => Body::Complaint(required("complaint", raw.complaint, Complaint::read)?),
        Kind::Delivery => Body::Delivery(required("delivery", raw.delivery, Delivery::read)?),
        Kind::DeliveryDelay => {
            let delay = required("deliveryDelay", raw.delivery_delay, DeliveryDelay::read)?;
            Body::DeliveryDelay(delay, said(text)?)
        }
        Kind::Send => {
            Body::Send(raw.send.and_then(Fields::of).map(Extra::of).unwrap_or_default(), said(text)?)
        }
        Kind::Reject => Body::Reject(Reject::read(raw.reject.unwrap_or_default()), said(text)?),
        Kind::Open => Body::Open(Open::read(raw.open.unwrap_or_default()), said(text)?),
        Kind::Click => Body::Click(Click::read(raw.click.unwrap_or_default()), said(text)?),
        Kind::RenderingFailure => {
            Body::RenderingFailure(RenderingFailure::read(raw.failure.unwrap_or_default()), said(text)?)
        }
        Kind::Subscription => {
            Body::Subscription(Subscription::read(raw.subscription.unwrap_or_default()), said(text)?)
        }
        Kind::Unknown(_) => {
            let whole = said(text)?;
            Body::Unknown { timestamp: timestamp_within(&whole), whole }
        }
    };
    let mail = Mail {
        message_id: visible(message_id, MAX_MESSAGE_ID_BYTES),
        timestamp: mail.timestamp,
        source_arn: mail.source_arn,
        sending_account_id: mail.sending_account_id,
        destination: mail
            .destination
            .0
            .into_iter()
            .map(|to| Recipient::bare(Value::from(to).into()))
            .collect(),
        tags: mail.tags.0,
    };
    if body.lacks_recipient() && mail.destination.len() > 1 && !mail.has_one_destination() {
        return Ok(Reading::Ignored(Notice::NoRecipient(mail.message_id)));
    }
    Ok(Reading::Feedback(Box::new(Notification { format, kind, mail, body })))
}

/// Reads a body that must be there.
fn required<'a, T>(
    name: &str,
    fields: Option<Fields<'a>>,
    read: impl FnOnce(Fields<'a>) -> Result<T, Malformed>,
) -> Result<T, Malformed> {
    let fields = fields.ok_or_else(|| Malformed::new(name, Problem::Missing))?;
    read(fields).map_err(|error| error.within(name))
}

/// Every body that SES has today keeps its time under this name; one that it adds will too.
fn timestamp_within(whole: &Value) -> Text {
    let mut bodies = whole.as_object().into_iter().flat_map(serde_json::Map::values);
    bodies.find_map(|body| body.get("timestamp")).cloned().map(Text::from).unwrap_or_default()
}

/// All that a notification says besides the mail and its own kind, such as `{"open":{…}}`.
fn said(text: &str) -> Result<Value, Malformed> {
    let mut whole: Fields<'_> = Malformed::parse(text)?;
    for name in ["mail", "eventType", "notificationType"] {
        whole.take(name);
    }
    Ok(Value::Object(whole.into_rest().map(|(name, json)| (name, json::value(json))).collect()))
}
