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
use crate::json::{self, JsonFields};
use crate::lambda_event::{self, LambdaRecord, QueueMessage};
use crate::malformed::{InputProblem, MalformedInput};
use crate::notification::{self, IgnoredMessage, ParsedMessage};
use crate::origin::MessageOrigin;
use crate::text::{MAX_SES_TEXT_CHARS, ScalarText, sanitize_text};
use crate::timestamp::Timestamp;

/// An opened payload: who invoked the function, and with which messages.
#[derive(Debug)]
pub struct Payload {
    /// Who invoked the function, which decides how failures are reported: one by one to a queue, as a whole to everybody
    /// else.
    pub source: InvocationSource,
    /// The messages, in the payload's order. One that could not be opened does not keep the others from being here.
    pub messages: Vec<PayloadMessage>,
}

/// Who invoked the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvocationSource {
    /// SQS, with records that each have an id.
    Sqs,
    /// Anybody else.
    Direct,
}

/// One message of a payload.
#[derive(Debug)]
pub struct PayloadMessage {
    /// SQS's id of the message, by which a failure is reported; `None` if it has none.
    pub id: Option<String>,
    /// Where in the payload the message stood, such as `Records[3].body`; empty if it is the payload itself.
    pub path: String,
    /// What the envelopes say about where the message came from.
    pub origin: MessageOrigin,
    /// What SES said in the message, or why that can't be read.
    pub content: Result<ParsedMessage, MalformedInput>,
}

impl PayloadMessage {
    /// SES's id of the mail that the message is about, for a log line.
    pub fn ses_message_id(&self) -> Option<&str> {
        match self.content.as_ref().ok()? {
            ParsedMessage::Feedback(notification) => Some(notification.message_id()),
            ParsedMessage::Received(receipt) => Some(receipt.message_id()),
            ParsedMessage::Ignored(IgnoredMessage::WithoutRecipient(message_id)) => Some(message_id),
            ParsedMessage::Ignored(_) => None,
        }
    }
}

/// Opens a payload of any of the shapes above.
///
/// # Errors
/// If the payload as a whole can't be read. A message in it that can't has its error in [`PayloadMessage::content`].
pub fn open_payload(payload: &str) -> Result<Payload, MalformedInput> {
    let sealed = LazyPayload::locate_messages(payload)?;
    let (sources, messages): (Vec<_>, Vec<_>) =
        (0..sealed.len()).map(|place| sealed.open_message(place)).unzip();
    let source = if sources.contains(&InvocationSource::Sqs) {
        InvocationSource::Sqs
    } else {
        InvocationSource::Direct
    };
    Ok(Payload { source, messages })
}

/// A payload of which the messages are opened one at a time, since opened messages take many times the memory of their text.
#[derive(Debug)]
pub struct LazyPayload<'a> {
    text: Cow<'a, str>,
    /// Where the records stand in the text; `None` if the payload is a message itself.
    records: Option<Vec<Range<usize>>>,
}

impl<'a> LazyPayload<'a> {
    /// Finds the messages of a payload of any of the shapes above.
    ///
    /// # Errors
    /// If the payload as a whole can't be read.
    pub fn locate_messages(payload: &'a str) -> Result<Self, MalformedInput> {
        let payload = payload.trim_start_matches('\u{feff}').trim();
        let repaired = || json::repair_json_strings(payload).map(Cow::Owned);
        let not_json = |error: &MalformedInput| error.problem() == InputProblem::NotJson;
        let mut text = Cow::Borrowed(payload);
        let mut records = find_record_ranges(&text);
        if records.as_ref().is_err_and(not_json)
            && let Some(repaired) = repaired()
        {
            records = find_record_ranges(&repaired);
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
    pub fn open_message(&self, index: usize) -> (InvocationSource, PayloadMessage) {
        if let Some(records) = &self.records {
            open_record(&self.text[records[index].clone()], index, open_body)
        } else {
            let (origin, reading) = open_text(&self.text);
            (
                InvocationSource::Direct,
                PayloadMessage { id: None, path: String::new(), origin, content: reading },
            )
        }
    }
}

/// Where the records of an event with `Records` stand in its text; `None` if it has none.
fn find_record_ranges(payload: &str) -> Result<Option<Vec<Range<usize>>>, MalformedInput> {
    let range = |record: &&RawValue| {
        let start = record.get().as_ptr().addr() - payload.as_ptr().addr();
        start..start + record.get().len()
    };
    Ok(lambda_event::records(payload)?.map(|records| records.iter().map(range).collect()))
}

/// Opens a record by its place in the payload. `open_body` opens the body of a message from a queue.
fn open_record(
    record: &str,
    index: usize,
    open_body: fn(&str) -> UnwrappedMessage,
) -> (InvocationSource, PayloadMessage) {
    let path = format!("Records[{index}]");
    let opened = |source, id, part: &str, (origin, reading): UnwrappedMessage| {
        let reading = reading.map_err(|error| error.prefix_field(&path));
        (source, PayloadMessage { id, path: format!("{path}{part}"), origin, content: reading })
    };
    match LambdaRecord::identify_by_source(record) {
        LambdaRecord::Queue(QueueMessage { id, queue_arn, body, .. }) => {
            let (mut origin, reading) =
                body.map_or_else(unreadable, |body| prefix_error_field("body", open_body(&body)));
            origin.region = origin.region.or_else(|| arn_region(queue_arn.as_deref()));
            opened(InvocationSource::Sqs, id, ".body", (origin, reading))
        }
        LambdaRecord::Sns => opened(InvocationSource::Direct, None, ".Sns", open_sns_record(record)),
        LambdaRecord::Ses => opened(InvocationSource::Direct, None, "", open_ses_record(record)),
        LambdaRecord::Other(source) => {
            let problem = if source.is_some() { InputProblem::UnknownSource } else { InputProblem::Missing };
            opened(InvocationSource::Direct, None, "", malformed_message("eventSource", problem))
        }
    }
}

/// Opens a record of an SNS subscription of the function itself.
fn open_sns_record(record: &str) -> UnwrappedMessage {
    let sns =
        match json::parse_or_parse_repaired(record, |record| MalformedInput::parse_json::<SnsRecord>(record))
        {
            Ok(record) => record.sns,
            Err(error) => return unreadable(error),
        };
    let origin = MessageOrigin {
        region: arn_region(Some(&sns.topic_arn)),
        topic_arn: Some(sns.topic_arn),
        account: None,
        time: Timestamp::from_millis(sns.timestamp.timestamp_millis()),
    };
    prefix_error_field("Sns", open_layers(&sns.message, origin, vec!["Message"], false))
}

#[derive(Deserialize)]
struct SesRecord<'a> {
    #[serde(borrow)]
    ses: Option<&'a RawValue>,
}

/// Opens a record of a receipt rule's Lambda action.
fn open_ses_record(record: &str) -> UnwrappedMessage {
    let read = |record: &str| match MalformedInput::parse_json::<SesRecord>(record)?.ses {
        Some(ses) => json::parse_or_parse_repaired(ses.get(), |ses| receipt::parse_receipt(ses, "ses")),
        None => Err(MalformedInput::new("ses", InputProblem::Missing)),
    };
    (MessageOrigin::default(), json::parse_or_parse_repaired(record, read))
}

/// What the envelopes say, and what SES said in them.
type UnwrappedMessage = (MessageOrigin, Result<ParsedMessage, MalformedInput>);

fn malformed_message(field: &str, problem: InputProblem) -> UnwrappedMessage {
    unreadable(MalformedInput::new(field, problem))
}

fn unreadable(error: MalformedInput) -> UnwrappedMessage {
    (MessageOrigin::default(), Err(error))
}

/// Puts the path of the enclosing value before the field of an error.
fn prefix_error_field(path: &str, (origin, reading): UnwrappedMessage) -> UnwrappedMessage {
    (origin, reading.map_err(|error| error.prefix_field(path)))
}

fn arn_region(arn: Option<&str>) -> Option<String> {
    Arn::parse(arn?)?.region().map(str::to_owned)
}

/// The fields by which the envelopes are recognized, and those of SNS's.
#[derive(Deserialize)]
struct RawEnvelope<'a> {
    // The fields of SNS's envelope.
    #[serde(default, rename = "Type")]
    sns_type: ScalarText,
    #[serde(default, rename = "TopicArn")]
    topic_arn: ScalarText,
    #[serde(default, rename = "Message")]
    message: Value,
    #[serde(default, rename = "Timestamp")]
    published_at: ScalarText,
    // The signs of EventBridge's envelope.
    #[serde(rename = "detail-type")]
    detail_type: Option<IgnoredAny>,
    #[serde(default)]
    source: ScalarText,
    detail: Option<IgnoredAny>,
    // The event of a direct invocation.
    #[serde(borrow, rename = "Records")]
    records: Option<&'a RawValue>,
}

/// What a text turns out to be.
enum OuterLayer {
    /// SES's own words.
    SesMessage,
    /// An envelope: the field that holds its content, and the content.
    Envelope(&'static str, String),
    /// A message without any content that matters.
    Ignored(IgnoredMessage),
    /// The event of a direct invocation: its records.
    DirectEvent(String),
}

impl RawEnvelope<'_> {
    /// Takes the envelope off `text`, whose fields these are. What it says of where the message came from goes into `origin`.
    fn unwrap_layer(self, text: &str, origin: &mut MessageOrigin) -> Result<OuterLayer, MalformedInput> {
        let has_event_source = self.source.get() == Some("aws.ses");
        let is_event = self.detail_type.is_some() && (self.detail.is_some() || has_event_source);
        match self.sns_type.get() {
            Some("SubscriptionConfirmation") => {
                Ok(OuterLayer::Ignored(IgnoredMessage::SubscriptionConfirmation))
            }
            Some("UnsubscribeConfirmation") => {
                Ok(OuterLayer::Ignored(IgnoredMessage::UnsubscribeConfirmation))
            }
            _ if is_event => unwrap_eventbridge_event(MalformedInput::parse_json(text)?, origin),
            sns_type if sns_type == Some("Notification") || self.topic_arn.get().is_some() => {
                origin.topic_arn = self.topic_arn.get().map(str::to_owned);
                origin.region = origin.region.take().or_else(|| arn_region(self.topic_arn.get()));
                origin.time = self.published_at.get().and_then(Timestamp::parse).or(origin.time);
                Ok(OuterLayer::Envelope("Message", json::required_text(self.message, "Message")?))
            }
            _ => Ok(match self.records {
                Some(records) => OuterLayer::DirectEvent(records.get().to_owned()),
                None => OuterLayer::SesMessage,
            }),
        }
    }
}

/// Takes EventBridge's envelope off. An event without detail is not about a mail.
fn unwrap_eventbridge_event(
    event: EventBridgeEvent<Option<Box<RawValue>>>,
    origin: &mut MessageOrigin,
) -> Result<OuterLayer, MalformedInput> {
    origin.region = event.region.or(origin.region.take());
    origin.account = event.account;
    origin.time = event.time.and_then(|time| Timestamp::from_millis(time.timestamp_millis())).or(origin.time);
    if event.source != "aws.ses" {
        return Err(MalformedInput::new("source", InputProblem::UnknownSource).with_excerpt(&event.source));
    }
    match event.detail {
        Some(detail) if !is_unrelated_to_mail(&event.detail_type, &detail) => {
            Ok(OuterLayer::Envelope("detail", Box::<str>::from(detail).into()))
        }
        _ => Ok(OuterLayer::Ignored(IgnoredMessage::ServiceEvent(sanitize_text(
            &event.detail_type,
            MAX_SES_TEXT_CHARS,
        )))),
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
fn is_unrelated_to_mail(detail_type: &str, detail: &RawValue) -> bool {
    // A mail that was received, or that is only on its way through, has no destinations of ours.
    let is_sent_mail = || {
        let mail = JsonFields::from_json(detail)
            .and_then(|fields| fields.get("mail").and_then(JsonFields::from_json));
        mail.is_some_and(|mail| mail.get("destination").is_some())
    };
    !SENDING_EVENTS.contains(&detail_type) && !is_sent_mail()
}

/// The most envelopes that are opened. SNS in a queue is one, EventBridge by way of SNS two; more is a mistake, or
/// malice.
const MAX_ENVELOPES: usize = 4;

/// Opens a payload that is a message itself.
fn open_text(text: &str) -> UnwrappedMessage {
    open_layers(text, MessageOrigin::default(), Vec::new(), false)
}

/// Opens the body of a message in a queue, which may also be the event of a direct invocation: Lambda puts it there when the
/// invocation has failed, and a dead letter that is sent through again holds it.
fn open_body(text: &str) -> UnwrappedMessage {
    open_layers(text, MessageOrigin::default(), Vec::new(), true)
}

/// Opens the event of a direct invocation by SES or SNS, which has exactly one record.
fn open_queued_event(records: &str) -> UnwrappedMessage {
    match MalformedInput::parse_json::<Vec<&RawValue>>(records).as_deref() {
        Ok([record]) => {
            let (_, PayloadMessage { origin, content: reading, .. }) =
                open_record(record.get(), 0, open_text);
            (origin, reading)
        }
        Ok([]) => malformed_message("Records", InputProblem::Missing),
        Ok(_) => malformed_message("Records", InputProblem::SeveralEvents),
        Err(error) => unreadable(error.clone().prefix_field("Records")),
    }
}

/// Takes off one envelope after the other, outermost first, down to what SES said. `origin` and `path` are what is known from
/// an envelope that is off already.
fn open_layers(
    text: &str,
    mut origin: MessageOrigin,
    mut path: Vec<&'static str>,
    in_queue: bool,
) -> UnwrappedMessage {
    // A byte order mark is what an editor leaves in a message that was sent by hand.
    let mut text = text.trim_start_matches('\u{feff}').to_owned();
    let reading = loop {
        if path.len() > MAX_ENVELOPES {
            break Err(MalformedInput::new("", InputProblem::TooManyEnvelopes));
        }
        match json::parse_or_parse_repaired(&text, |text| unwrap_outer_layer(text, &mut origin)) {
            Ok(OuterLayer::Envelope(field, inner)) => {
                path.push(field);
                text = inner;
            }
            Ok(OuterLayer::Ignored(notice)) => break Ok(ParsedMessage::Ignored(notice)),
            Ok(OuterLayer::DirectEvent(records)) if in_queue && path.is_empty() => {
                return open_queued_event(&records);
            }
            Ok(OuterLayer::DirectEvent(_) | OuterLayer::SesMessage) => {
                break json::parse_or_parse_repaired(&text, notification::parse_ses_message);
            }
            Err(error) if error.problem() == InputProblem::NotJson => {
                break notification::parse_ses_message(&text);
            }
            Err(error) => break Err(error),
        }
    };
    (origin, reading.map_err(|error| error.prefix_field(&path.join("."))))
}

fn unwrap_outer_layer(text: &str, origin: &mut MessageOrigin) -> Result<OuterLayer, MalformedInput> {
    match serde_json::from_str::<RawEnvelope>(text) {
        Ok(envelope) => envelope.unwrap_layer(text, origin),
        // What is JSON, but not an object with such fields, is SES's to explain.
        Err(error) if error.is_data() => Ok(OuterLayer::SesMessage),
        Err(_) => Err(MalformedInput::new("", InputProblem::NotJson)),
    }
}
