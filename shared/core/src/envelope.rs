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
//! What Lambda and EventBridge write is read by the types of `aws_lambda_events`, each record by itself. SNS's envelope in a
//! queue is not: their type insists on a signature and a certificate, which whoever forwards a message may leave out.

use std::borrow::Cow;
use std::ops::Range;

use aws_lambda_events::eventbridge::EventBridgeEvent;
use aws_lambda_events::sns::SnsRecord;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::arn::Arn;
use crate::inbound::receipt;
use crate::json::{self, Fields};
use crate::lambda_event::{self, QueueMessage, Record};
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
    /// SQS's id of the message, by which a failure is reported; `None` if it has none.
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
            open_record(&self.text[records[place].clone()], place, open_body)
        } else {
            let (origin, reading) = open_text(&self.text);
            (Source::Direct, Message { id: None, path: String::new(), origin, reading })
        }
    }
}

/// Where the records of an event with `Records` stand in its text; `None` if it has none.
fn find_records(payload: &str) -> Result<Option<Vec<Range<usize>>>, Malformed> {
    let range = |record: &&RawValue| {
        let start = record.get().as_ptr().addr() - payload.as_ptr().addr();
        start..start + record.get().len()
    };
    Ok(lambda_event::records(payload)?.map(|records| records.iter().map(range).collect()))
}

/// Opens a record by its place in the payload. `open_body` opens the body of a message from a queue.
fn open_record(record: &str, index: usize, open_body: fn(&str) -> Opened) -> (Source, Message) {
    let path = format!("Records[{index}]");
    let opened = |source, id, part: &str, (origin, reading): Opened| {
        let reading = reading.map_err(|error| error.within(&path));
        (source, Message { id, path: format!("{path}{part}"), origin, reading })
    };
    match Record::read(record) {
        Record::Queue(QueueMessage { id, queue_arn, body, .. }) => {
            let (mut origin, reading) = body.map_or_else(unreadable, |body| within("body", open_body(&body)));
            origin.region = origin.region.or_else(|| region_of(queue_arn.as_deref()));
            opened(Source::Sqs, id, ".body", (origin, reading))
        }
        Record::Sns => opened(Source::Direct, None, ".Sns", open_sns_record(record)),
        Record::Ses => opened(Source::Direct, None, "", open_ses_record(record)),
        Record::Other(source) => {
            let problem = if source.is_some() { Problem::UnknownSource } else { Problem::Missing };
            opened(Source::Direct, None, "", refused("eventSource", problem))
        }
    }
}

/// Opens a record of an SNS subscription of the function itself.
fn open_sns_record(record: &str) -> Opened {
    let sns = match json::read(record, |record| Malformed::parse::<SnsRecord>(record)) {
        Ok(record) => record.sns,
        Err(error) => return unreadable(error),
    };
    let origin = Origin {
        region: region_of(Some(&sns.topic_arn)),
        topic_arn: Some(sns.topic_arn),
        account: None,
        time: Timestamp::from_millis(sns.timestamp.timestamp_millis()),
    };
    within("Sns", open_layers(&sns.message, origin, vec!["Message"], false))
}

#[derive(Deserialize)]
struct SesRecord<'a> {
    #[serde(borrow)]
    ses: Option<&'a RawValue>,
}

/// Opens a record of a receipt rule's Lambda action.
fn open_ses_record(record: &str) -> Opened {
    let read = |record: &str| match Malformed::parse::<SesRecord>(record)?.ses {
        Some(ses) => json::read(ses.get(), |ses| receipt::read(ses, "ses").map(Reading::from)),
        None => Err(Malformed::new("ses", Problem::Missing)),
    };
    (Origin::default(), json::read(record, read))
}

/// What the envelopes say, and what SES said in them.
type Opened = (Origin, Result<Reading, Malformed>);

fn refused(field: &str, problem: Problem) -> Opened {
    unreadable(Malformed::new(field, problem))
}

fn unreadable(error: Malformed) -> Opened {
    (Origin::default(), Err(error))
}

/// Puts the path of the enclosing value before the field of an error.
fn within(path: &str, (origin, reading): Opened) -> Opened {
    (origin, reading.map_err(|error| error.within(path)))
}

fn region_of(arn: Option<&str>) -> Option<String> {
    Arn::parse(arn?)?.region().map(str::to_owned)
}

/// The fields by which the envelopes are recognized, and those of SNS's.
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
    // The signs of EventBridge's envelope.
    #[serde(rename = "detail-type")]
    detail_type: Option<IgnoredAny>,
    #[serde(default)]
    source: Text,
    detail: Option<IgnoredAny>,
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
    /// Takes the envelope off `text`, whose fields these are. What it says of where the message came from goes into `origin`.
    fn open(self, text: &str, origin: &mut Origin) -> Result<Content, Malformed> {
        let has_event_source = self.source.get() == Some("aws.ses");
        let is_event = self.detail_type.is_some() && (self.detail.is_some() || has_event_source);
        match self.sns_type.get() {
            Some("SubscriptionConfirmation") => Ok(Content::Notice(Notice::SubscriptionConfirmation)),
            Some("UnsubscribeConfirmation") => Ok(Content::Notice(Notice::UnsubscribeConfirmation)),
            _ if is_event => open_event(Malformed::parse(text)?, origin),
            sns_type if sns_type == Some("Notification") || self.topic_arn.get().is_some() => {
                origin.topic_arn = self.topic_arn.get().map(str::to_owned);
                origin.region = origin.region.take().or_else(|| region_of(self.topic_arn.get()));
                origin.time = self.published_at.get().and_then(Timestamp::parse).or(origin.time);
                Ok(Content::Envelope("Message", json::required_text(self.message, "Message")?))
            }
            _ => Ok(match self.records {
                Some(records) => Content::Event(records.get().to_owned()),
                None => Content::Ses,
            }),
        }
    }
}

/// Takes EventBridge's envelope off. An event without detail is not about a mail.
fn open_event(
    event: EventBridgeEvent<Option<Box<RawValue>>>,
    origin: &mut Origin,
) -> Result<Content, Malformed> {
    origin.region = event.region.or(origin.region.take());
    origin.account = event.account;
    origin.time = event.time.and_then(|time| Timestamp::from_millis(time.timestamp_millis())).or(origin.time);
    if event.source != "aws.ses" {
        return Err(Malformed::new("source", Problem::UnknownSource).quoting(&event.source));
    }
    match event.detail {
        Some(detail) if !is_service_event(&event.detail_type, &detail) => {
            Ok(Content::Envelope("detail", Box::<str>::from(detail).into()))
        }
        _ => Ok(Content::Notice(Notice::ServiceEvent(visible(&event.detail_type, MAX_SES_TEXT_CHARS)))),
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

/// Opens a payload that is a message itself.
fn open_text(text: &str) -> Opened {
    open_layers(text, Origin::default(), Vec::new(), false)
}

/// Opens the body of a message in a queue, which may also be the event of a direct invocation: Lambda puts it there when the
/// invocation has failed, and a dead letter that is sent through again holds it.
fn open_body(text: &str) -> Opened {
    open_layers(text, Origin::default(), Vec::new(), true)
}

/// Opens the event of a direct invocation by SES or SNS, which has exactly one record.
fn open_queued_event(records: &str) -> Opened {
    match Malformed::parse::<Vec<&RawValue>>(records).as_deref() {
        Ok([record]) => {
            let (_, Message { origin, reading, .. }) = open_record(record.get(), 0, open_text);
            (origin, reading)
        }
        Ok([]) => refused("Records", Problem::Missing),
        Ok(_) => refused("Records", Problem::SeveralEvents),
        Err(error) => unreadable(error.clone().within("Records")),
    }
}

/// Takes off one envelope after the other, outermost first, down to what SES said. `origin` and `path` are what is known from
/// an envelope that is off already.
fn open_layers(text: &str, mut origin: Origin, mut path: Vec<&'static str>, in_queue: bool) -> Opened {
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
            Ok(Content::Event(records)) if in_queue && path.is_empty() => return open_queued_event(&records),
            Ok(Content::Event(_) | Content::Ses) => break json::read(&text, notification::read),
            Err(error) if error.problem() == Problem::NotJson => break notification::read(&text),
            Err(error) => break Err(error),
        }
    };
    (origin, reading.map_err(|error| error.within(&path.join("."))))
}

fn content(text: &str, origin: &mut Origin) -> Result<Content, Malformed> {
    match serde_json::from_str::<Envelope>(text) {
        Ok(envelope) => envelope.open(text, origin),
        // What is JSON, but not an object with such fields, is SES's to explain.
        Err(error) if error.is_data() => Ok(Content::Ses),
        Err(_) => Err(Malformed::new("", Problem::NotJson)),
    }
}
