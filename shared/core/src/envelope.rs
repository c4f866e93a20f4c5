//! Opens every payload in which SES's words arrive: tells the forms apart by content and unwraps them down to SES's own
//! text.
//!
//! | payload | by |
//! |---|---|
//! | `{"Records":[{"eventSource":"aws:sqs","body":…}]}` | an event source mapping; the body is any of the rows below |
//! | `{"Records":[{"eventSource":"aws:ses","ses":{…}}]}` | a receipt rule's Lambda action |
//! | `{"Records":[{"EventSource":"aws:sns","Sns":{…}}]}` | an SNS subscription of the function itself |
//! | `{"Type":"Notification","Message":…,"TopicArn":…}` | SNS's envelope, as in a queue without raw delivery |
//! | `{"detail-type":…,"source":"aws.ses","detail":{…}}` | EventBridge |
//! | `{"Records":[…]}` in the body of a message from SQS | a direct invocation that has failed: see `Records` above |
//! | `{"eventType":…}`, `{"notificationType":…}`, plain text | SES itself (raw delivery, or by hand) |
//!
//! The types of `aws_lambda_events` are not used here: its SNS message insists on a signature and a certificate, and one
//! record that it refuses costs the whole batch.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::arn::Arn;
use crate::inbound::receipt;
use crate::json::{self, Fields};
use crate::malformed::{Malformed, Problem};
use crate::notification::{self, Notice, Reading};
use crate::origin::Origin;
use crate::text::{MAX_SES_TEXT_CHARS, Text, visible};
use crate::timestamp::Timestamp;

/// An opened payload: who invoked the function, and with which messages.
#[derive(Debug)]
pub struct Payload {
    /// Who invoked the function, which decides how failures are reported: one by one to a queue, as a whole to everybody
    /// else.
    pub source: Source,
    /// The messages, in the payload's order. One that could not be opened does not keep the others from being here.
    pub messages: Vec<Message>,
}

/// Who invoked the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// SQS, with records that each have an id.
    Sqs,
    /// Anybody else.
    Direct,
}

/// One message of a payload.
#[derive(Debug)]
pub struct Message {
    /// The message's id: SQS's `messageId`, by which a failure is reported, or SNS's `MessageId` where there is no queue;
    /// `None` if it has neither.
    pub id: Option<String>,
    /// Where in the payload the message stood, such as `Records[3].body`; empty if it is the payload itself.
    pub path: String,
    /// What the envelopes say about where the message came from.
    pub origin: Origin,
    /// What SES said in the message, or why that can't be read.
    pub reading: Result<Reading, Malformed>,
}

impl Message {
    /// SES's id of the mail that the message is about, for a log line.
    pub fn ses_message_id(&self) -> Option<&str> {
        match self.reading.as_ref().ok()? {
            Reading::Feedback(notification) => Some(notification.message_id()),
            Reading::Received(receipt) => Some(receipt.message_id()),
            Reading::Ignored(Notice::NoRecipient(message_id)) => Some(message_id),
            Reading::Ignored(_) => None,
        }
    }
}

/// Opens a payload of any of the shapes above.
///
/// # Errors
/// If the payload as a whole can't be read. A message in it that can't has its error in [`Message::reading`].
pub fn open(payload: &str) -> Result<Payload, Malformed> {
    let sealed = SealedPayload::read(payload)?;
    let (sources, messages): (Vec<_>, Vec<_>) = (0..sealed.len()).map(|place| sealed.open(place)).unzip();
    let source = if sources.contains(&Source::Sqs) { Source::Sqs } else { Source::Direct };
    Ok(Payload { source, messages })
}

/// A payload of which the messages are opened one at a time, since opened messages take many times the memory of their text.
#[derive(Debug)]
pub struct SealedPayload<'a> {
    text: Cow<'a, str>,
    /// Where the records stand in the text; `None` if the payload is a message itself.
    records: Option<Vec<Range<usize>>>,
}

impl<'a> SealedPayload<'a> {
    /// Finds the messages of a payload of any of the shapes above.
    ///
    /// # Errors
    /// If the payload as a whole can't be read.
    pub fn read(payload: &'a str) -> Result<Self, Malformed> {
        let payload = payload.trim_start_matches('\u{feff}').trim();
        let repaired = || json::repaired(payload).map(Cow::Owned);
        let not_json = |error: &Malformed| error.problem() == Problem::NotJson;
        let mut text = Cow::Borrowed(payload);
        let mut records = find_records(&text);
        if records.as_ref().is_err_and(not_json)
            && let Some(repaired) = repaired()
        {
            records = find_records(&repaired);
            text = repaired;
        }
        match records {
            Ok(Some(records)) => Ok(Self { text, records: Some(records) }),
            Err(error) if !not_json(&error) => Err(error),
            // SES's plain-text notices are no JSON, so what does not parse goes on to be read as SES's own.
            Ok(None) | Err(_) => Ok(Self { text: Cow::Borrowed(payload), records: None }),
        }
    }

    /// How many messages the payload has.
    pub fn len(&self) -> usize {
        self.records.as_ref().map_or(1, Vec::len)
    }

    /// Whether the payload has no messages.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Opens the message at this place, which must be less than [`Self::len`], and says who sent its record.
    pub fn open(&self, place: usize) -> (Source, Message) {
        if let Some(records) = &self.records {
            Record::read(&self.text[records[place].clone()], place, unwrap_body)
        } else {
            let (origin, reading) = unwrap(&self.text);
            (Source::Direct, Message { id: None, path: String::new(), origin, reading })
        }
    }
}

/// Where the records of an event with `Records` stand in its text; `None` if it has none.
fn find_records(payload: &str) -> Result<Option<Vec<Range<usize>>>, Malformed> {
    let batch = serde_json::from_str::<Batch>(payload);
    let records = match batch {
        Ok(batch) => batch.records,
        Err(error) if error.is_data() => None,
        Err(_) => return Err(Malformed::new("", Problem::NotJson)),
    };
    let Some(records) = records else { return Ok(None) };
    let records: Vec<&RawValue> = Malformed::parse(records.get()).map_err(|error| error.within("Records"))?;
    let range = |record: &&RawValue| {
        let start = record.get().as_ptr().addr() - payload.as_ptr().addr();
        start..start + record.get().len()
    };
    Ok(Some(records.iter().map(range).collect()))
}

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow, rename = "Records")]
    records: Option<&'a RawValue>,
}

/// One element of `Records`. Lambda spells SQS's fields in camel case and SNS's in Pascal case.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(default, rename = "eventSource", alias = "EventSource")]
    source: Text,
    #[serde(default, rename = "messageId")]
    message_id: Text,
    #[serde(default, rename = "eventSourceARN")]
    queue_arn: Text,
    #[serde(default)]
    body: Value,
    #[serde(borrow, rename = "Sns")]
    sns: Option<&'a RawValue>,
    #[serde(borrow)]
    ses: Option<&'a RawValue>,
}

impl Record<'_> {
    /// Reads a record at its place in the payload. `open_body` opens the body of a message from a queue.
    fn read(json: &str, index: usize, open_body: fn(&str) -> Opened) -> (Source, Message) {
        let at = |field: &str| format!("Records[{index}]{field}");
        json::read(json, |json| Malformed::parse::<Record>(json).map(|record| record.open(at, open_body)))
            .unwrap_or_else(|error| {
                let reading = Err(error.within(&at("")));
                let message = Message { id: None, path: at(""), origin: Origin::default(), reading };
                (Source::Direct, message)
            })
    }

    fn open(self, at: impl Fn(&str) -> String, open_body: fn(&str) -> Opened) -> (Source, Message) {
        let (source, path, (mut origin, reading)) = match (self.source.get(), self.sns) {
            (Some("aws:sns"), Some(sns)) => (Source::Direct, at(".Sns"), unwrap(sns.get())),
            (Some("aws:ses"), _) => match self.ses {
                Some(ses) => {
                    let receipt = json::read(ses.get(), |ses| receipt::read(ses, "ses").map(Reading::from));
                    (Source::Direct, at(""), (Origin::default(), receipt))
                }
                None => (Source::Direct, at(""), refused("ses", Problem::Missing)),
            },
            (Some("aws:sqs"), _) => match json::required_text(self.body, "") {
                Ok(body) => (Source::Sqs, at(".body"), open_body(&body)),
                Err(error) => (Source::Sqs, at(".body"), (Origin::default(), Err(error))),
            },
            (Some(_), _) => (Source::Direct, at(""), refused("eventSource", Problem::UnknownSource)),
            (None, _) => (Source::Direct, at(""), refused("eventSource", Problem::Missing)),
        };
        origin.region = origin.region.or_else(|| region_of(self.queue_arn.get()));
        let id = self.message_id.get().map(str::to_owned);
        let reading = reading.map_err(|error| error.within(&path));
        (source, Message { id, path, origin, reading })
    }
}

/// What the envelopes say, and what SES said in them.
type Opened = (Origin, Result<Reading, Malformed>);

fn refused(field: &str, problem: Problem) -> Opened {
    (Origin::default(), Err(Malformed::new(field, problem)))
}

fn region_of(arn: Option<&str>) -> Option<String> {
    Arn::parse(arn?)?.region().map(str::to_owned)
}

/// The fields by which the envelopes of SNS and EventBridge are recognized, and those that are read from them.
#[derive(Deserialize)]
struct Envelope<'a> {
    // The fields of SNS's envelope.
    #[serde(default, rename = "Type")]
    sns_type: Text,
    #[serde(default, rename = "TopicArn")]
    topic_arn: Text,
    #[serde(default, rename = "Message")]
    message: Value,
    #[serde(default, rename = "Timestamp")]
    published_at: Text,
    // The fields of EventBridge's envelope.
    #[serde(default, rename = "detail-type")]
    detail_type: Text,
    #[serde(default)]
    source: Text,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    #[serde(default)]
    account: Text,
    #[serde(default)]
    region: Text,
    #[serde(default)]
    time: Text,
    // The event of a direct invocation.
    #[serde(borrow, rename = "Records")]
    records: Option<&'a RawValue>,
}

/// What a text turns out to be.
enum Content {
    /// SES's own words.
    Ses,
    /// An envelope: the field that holds its content, and the content.
    Envelope(&'static str, String),
    /// A message without any content that matters.
    Notice(Notice),
    /// The event of a direct invocation: its records.
    Event(String),
}

impl Envelope<'_> {
    /// Takes the envelope off. What it says of where the message came from goes into `origin`.
    fn open(self, origin: &mut Origin) -> Result<Content, Malformed> {
        let event = self.detail_type.get().zip(self.detail);
        match (self.sns_type.get(), event) {
            (Some("SubscriptionConfirmation"), _) => Ok(Content::Notice(Notice::SubscriptionConfirmation)),
            (Some("UnsubscribeConfirmation"), _) => Ok(Content::Notice(Notice::UnsubscribeConfirmation)),
            (sns_type, None) if sns_type == Some("Notification") || self.topic_arn.get().is_some() => {
                origin.topic_arn = self.topic_arn.get().map(str::to_owned);
                origin.region = origin.region.take().or_else(|| region_of(self.topic_arn.get()));
                origin.time = self.published_at.get().and_then(Timestamp::parse).or(origin.time);
                Ok(Content::Envelope("Message", json::required_text(self.message, "Message")?))
            }
            (_, Some((detail_type, detail))) => {
                origin.region = self.region.get().map(str::to_owned).or(origin.region.take());
                origin.account = self.account.get().map(str::to_owned);
                origin.time = self.time.get().and_then(Timestamp::parse).or(origin.time);
                match self.source.get() {
                    Some("aws.ses") if is_service_event(detail_type, detail) => {
                        Ok(Content::Notice(Notice::ServiceEvent(visible(detail_type, MAX_SES_TEXT_CHARS))))
                    }
                    Some("aws.ses") | None => Ok(Content::Envelope("detail", detail.get().to_owned())),
                    Some(other) => Err(Malformed::new("source", Problem::UnknownSource).quoting(other)),
                }
            }
            (_, None) if self.source.get() == Some("aws.ses") && self.detail_type.get().is_some() => {
                let detail_type = self.detail_type.get().unwrap_or_default();
                Ok(Content::Notice(Notice::ServiceEvent(visible(detail_type, MAX_SES_TEXT_CHARS))))
            }
            (_, None) => Ok(match self.records {
                Some(records) => Content::Event(records.get().to_owned()),
                None => Content::Ses,
            }),
        }
    }
}

/// The types of the EventBridge events that a configuration set's event destination sends: those of mail that was sent.
const SENDING_EVENTS: &[&str] = &[
    "Email Bounced",
    "Email Clicked",
    "Email Complaint Received",
    "Email Delivered",
    "Email Delivery Delayed",
    "Email Opened",
    "Email Rejected",
    "Email Rendering Failed",
    "Email Sent",
    "Email Subscribed",
];

/// Whether an EventBridge event of SES is about something else than a mail: the Virtual Deliverability Manager's advisor,
/// the sending status of a tenant, an API call that `CloudTrail` saw, or what SES adds next. All that is said of mail has the
/// object `mail`, and an event that is of mail by its type but lacks it is damaged.
///
/// Sources: "Amazon Simple Email Service events" in the Amazon EventBridge Events Reference; "Monitoring Amazon SES events
/// using Amazon EventBridge" in the Amazon SES Developer Guide, read 2026-11.
fn is_service_event(detail_type: &str, detail: &RawValue) -> bool {
    // A mail that was received, or that is only on its way through, has no destinations of ours.
    let is_sent_mail = || {
        let mail = Fields::of(detail).and_then(|fields| fields.get("mail").and_then(Fields::of));
        mail.is_some_and(|mail| mail.get("destination").is_some())
    };
    !SENDING_EVENTS.contains(&detail_type) && !is_sent_mail()
}

/// The most envelopes that are opened. SNS in a queue is one, EventBridge by way of SNS two; more is a mistake, or
/// malice.
const MAX_ENVELOPES: usize = 4;

/// Takes off one envelope after the other, outermost first, down to what SES said.
fn unwrap(text: &str) -> Opened {
    unwrap_layers(text, false)
}

/// The same for the body of a message in a queue, which may also be the event of a direct invocation: Lambda puts it there
/// when the invocation has failed, and a dead letter that is sent through again holds it.
fn unwrap_body(text: &str) -> Opened {
    unwrap_layers(text, true)
}

/// Reads the event of a direct invocation by SES or SNS, which has exactly one record.
fn read_event(records: &str) -> Opened {
    match Malformed::parse::<Vec<&RawValue>>(records).as_deref() {
        Ok([record]) => {
            let (_, Message { origin, reading, .. }) = Record::read(record.get(), 0, unwrap);
            (origin, reading)
        }
        Ok([]) => refused("Records", Problem::Missing),
        Ok(_) => refused("Records", Problem::SeveralEvents),
        Err(error) => (Origin::default(), Err(error.clone().within("Records"))),
    }
}

fn unwrap_layers(text: &str, in_queue: bool) -> Opened {
    let mut origin = Origin::default();
    let mut path = Vec::new();
    // A byte order mark is what an editor leaves in a message that was sent by hand.
    let mut text = text.trim_start_matches('\u{feff}').to_owned();
    let reading = loop {
        if path.len() > MAX_ENVELOPES {
            break Err(Malformed::new("", Problem::TooDeep));
        }
        match json::read(&text, |text| content(text, &mut origin)) {
            Ok(Content::Envelope(field, inner)) => {
                path.push(field);
                text = inner;
            }
            Ok(Content::Notice(notice)) => break Ok(Reading::Ignored(notice)),
            Ok(Content::Event(records)) if in_queue && path.is_empty() => return read_event(&records),
            Ok(Content::Event(_) | Content::Ses) => break json::read(&text, notification::read),
            Err(error) if error.problem() == Problem::NotJson => break notification::read(&text),
            Err(error) => break Err(error),
        }
    };
    (origin, reading.map_err(|error| error.within(&path.join("."))))
}

fn content(text: &str, origin: &mut Origin) -> Result<Content, Malformed> {
    match serde_json::from_str::<Envelope>(text) {
        Ok(envelope) => envelope.open(origin),
        // What is JSON, but not an object with such fields, is SES's to explain.
        Err(error) if error.is_data() => Ok(Content::Ses),
        Err(_) => Err(Malformed::new("", Problem::NotJson)),
    }
}
