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
//! | `{"eventType":…}`, `{"notificationType":…}`, plain text | SES itself (raw delivery, or by hand) |
//!
//! The types of `aws_lambda_events` are not used here: its SNS message insists on a signature and a certificate, and one
//! record that it refuses costs the whole batch.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::arn::Arn;
use crate::inbound::receipt;
use crate::malformed::{Malformed, Problem};
use crate::notification::{self, Reading};
use crate::text::Text;
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
            Reading::Ignored(_) => None,
        }
    }
}

/// What the envelopes around a message say. All of it may be absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The ARN of the SNS topic.
    pub topic_arn: Option<String>,
    /// The Region of EventBridge's event, of the topic or of the queue.
    pub region: Option<String>,
    /// The account of EventBridge's event.
    pub account: Option<String>,
    /// When SNS or EventBridge took the message: used as the time of an event that has none of its own.
    pub time: Option<Timestamp>,
}

/// Opens a payload of any of the shapes above.
///
/// # Errors
/// If the payload as a whole can't be read. A message in it that can't has its error in [`Message::reading`].
pub fn open(payload: &str) -> Result<Payload, Malformed> {
    let payload = payload.trim_start_matches('\u{feff}').trim();
    // SES's plain-text notices are no JSON, so what does not parse goes on to be read as SES's own.
    let records = serde_json::from_str::<Batch>(payload).ok().and_then(|batch| batch.records);
    let Some(records) = records else {
        let (origin, reading) = unwrap(payload);
        return Ok(Payload {
            source: Source::Direct,
            messages: vec![Message { id: None, path: String::new(), origin, reading }],
        });
    };
    let records: Vec<&RawValue> = Malformed::parse(records.get()).map_err(|error| error.within("Records"))?;
    let messages: Vec<_> =
        records.iter().enumerate().map(|(index, record)| Record::read(record, index)).collect();
    let from_queue = messages.iter().any(|(source, _)| *source == Source::Sqs);
    Ok(Payload {
        source: if from_queue { Source::Sqs } else { Source::Direct },
        messages: messages.into_iter().map(|(_, message)| message).collect(),
    })
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
    body: Text,
    #[serde(borrow, rename = "Sns")]
    sns: Option<&'a RawValue>,
    #[serde(borrow)]
    ses: Option<&'a RawValue>,
}

impl Record<'_> {
    fn read(json: &RawValue, index: usize) -> (Source, Message) {
        let at = |field: &str| format!("Records[{index}]{field}");
        let record = match Malformed::parse::<Record>(json.get()) {
            Ok(record) => record,
            Err(error) => {
                let reading = Err(error.within(&at("")));
                let message = Message { id: None, path: at(""), origin: Origin::default(), reading };
                return (Source::Direct, message);
            }
        };
        let (source, path, (mut origin, reading)) = match (record.source.get(), record.sns) {
            (Some("aws:sns"), Some(sns)) => (Source::Direct, at(".Sns"), unwrap(sns.get())),
            (Some("aws:ses"), _) => match record.ses {
                Some(ses) => (Source::Direct, at(""), (Origin::default(), receipt::read(ses.get(), "ses"))),
                None => (Source::Direct, at(""), refused("ses", Problem::Missing)),
            },
            (Some("aws:sqs"), _) => match record.body.get() {
                Some(body) => (Source::Sqs, at(".body"), unwrap(body)),
                None => (Source::Sqs, at(".body"), refused("", Problem::Missing)),
            },
            (Some(_), _) => (Source::Direct, at(""), refused("eventSource", Problem::UnknownSource)),
            (None, _) => (Source::Direct, at(""), refused("eventSource", Problem::Missing)),
        };
        origin.region = origin.region.or_else(|| region_of(record.queue_arn.get()));
        let id = record.message_id.get().map(str::to_owned);
        let reading = reading.map_err(|error| error.within(&path));
        (source, Message { id, path, origin, reading })
    }
}

fn refused(field: &str, problem: Problem) -> (Origin, Result<Reading, Malformed>) {
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
    message: Text,
    #[serde(default, rename = "Timestamp")]
    published_at: Text,
    // The fields of EventBridge's envelope.
    #[serde(default, rename = "detail-type")]
    detail_type: Text,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    #[serde(default)]
    account: Text,
    #[serde(default)]
    region: Text,
    #[serde(default)]
    time: Text,
}

/// The most envelopes that are opened. SNS in a queue is one, EventBridge by way of SNS two; more is a mistake, or
/// malice.
const MAX_ENVELOPES: usize = 4;

/// Takes off one envelope after the other, outermost first, down to what SES said.
fn unwrap(text: &str) -> (Origin, Result<Reading, Malformed>) {
    let mut origin = Origin::default();
    let mut path = Vec::new();
    let mut text = text.to_owned();
    let reading = loop {
        if path.len() > MAX_ENVELOPES {
            break Err(Malformed::new("", Problem::TooDeep));
        }
        let Ok(envelope) = serde_json::from_str::<Envelope>(&text) else { break notification::read(&text) };
        let detail = envelope.detail.filter(|_| envelope.detail_type.get().is_some());
        let (field, inner) = match (envelope.sns_type.get(), detail) {
            (Some("SubscriptionConfirmation"), _) => {
                break Ok(Reading::Ignored(notification::Notice::SubscriptionConfirmation));
            }
            (Some("UnsubscribeConfirmation"), _) => {
                break Ok(Reading::Ignored(notification::Notice::UnsubscribeConfirmation));
            }
            (sns_type, None) if sns_type == Some("Notification") || envelope.topic_arn.get().is_some() => {
                origin.topic_arn = envelope.topic_arn.get().map(str::to_owned);
                origin.region = origin.region.or_else(|| region_of(envelope.topic_arn.get()));
                origin.time = envelope.published_at.get().and_then(Timestamp::parse).or(origin.time);
                let Some(message) = envelope.message.get() else {
                    break Err(Malformed::new("Message", Problem::Missing));
                };
                ("Message", message.to_owned())
            }
            (_, Some(detail)) => {
                origin.region = envelope.region.get().map(str::to_owned).or(origin.region);
                origin.account = envelope.account.get().map(str::to_owned);
                origin.time = envelope.time.get().and_then(Timestamp::parse).or(origin.time);
                ("detail", detail.get().to_owned())
            }
            (_, None) => break notification::read(&text),
        };
        path.push(field);
        text = inner;
    };
    (origin, reading.map_err(|error| error.within(&path.join("."))))
}
