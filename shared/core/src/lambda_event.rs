//! The events of Lambda that come in `Records`, each of which is read by itself: one that its type refuses costs no other.

use aws_lambda_events::sqs::SqsMessage;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json;
use crate::malformed::{InputProblem, MalformedInput};
use crate::text::ScalarText;

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "Records")]
    records: Option<&'a RawValue>,
}

/// The JSON of each element of `Records`; `None` if the payload is JSON without that field.
///
/// # Errors
/// If the payload is not JSON, or `Records` is not a list.
pub fn records(payload: &str) -> Result<Option<Vec<&RawValue>>, MalformedInput> {
    let event: Event = match serde_json::from_str(payload) {
        Ok(event) => event,
        Err(error) if error.is_data() => return Ok(None),
        Err(_) => return Err(MalformedInput::new("", InputProblem::NotJson)),
    };
    let list = event.records.map(|records| MalformedInput::parse_json(records.get()));
    list.transpose().map_err(|error| error.prefix_field("Records"))
}

/// What even a record says that its type refuses. Lambda spells the names of SNS's fields in Pascal case.
#[derive(Default, Deserialize)]
struct RecordHead {
    #[serde(default, rename = "eventSource", alias = "EventSource")]
    source: ScalarText,
    #[serde(default, rename = "messageId")]
    message_id: ScalarText,
}

impl RecordHead {
    fn read(record: &str) -> Self {
        json::parse_or_parse_repaired(record, |record| MalformedInput::parse_json(record)).unwrap_or_default()
    }
}

/// A message from a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueMessage {
    /// SQS's id of the message, by which a failure is reported; `None` if the record has none.
    pub id: Option<String>,
    /// The ARN of the queue.
    pub queue_arn: Option<String>,
    /// The message's text, or why it can't be read: the field is named as seen from the record.
    pub body: Result<String, MalformedInput>,
    source: Option<String>,
}

impl QueueMessage {
    /// The message that somebody hands over without a queue.
    pub fn direct(body: &str) -> Self {
        Self { id: None, queue_arn: None, body: Ok(body.to_owned()), source: None }
    }

    /// Reads one element of `Records`, which may be any JSON.
    pub fn read(record: &str) -> Self {
        match json::parse_or_parse_repaired(record, |record| MalformedInput::parse_json::<SqsMessage>(record))
        {
            Ok(SqsMessage {
                message_id: id,
                event_source_arn: queue_arn,
                event_source: source,
                body,
                ..
            }) => {
                let body = body.filter(|body| !body.trim().is_empty());
                Self {
                    id,
                    queue_arn,
                    body: body.ok_or_else(|| MalformedInput::new("body", InputProblem::Missing)),
                    source,
                }
            }
            Err(error) => {
                let RecordHead { source, message_id } = RecordHead::read(record);
                Self { id: message_id.into(), queue_arn: None, body: Err(error), source: source.into() }
            }
        }
    }
}

/// An element of `Records`, told apart by its event source.
pub(crate) enum LambdaRecord {
    Queue(QueueMessage),
    Sns,
    Ses,
    /// From another source, or from none.
    Other(Option<String>),
}

impl LambdaRecord {
    /// Tells apart one element of `Records`. SQS's type is tried first: it has no field that must be there, so it reads the
    /// others as well, and looking for the source beforehand costs SQS's records 15 % more instructions.
    pub(crate) fn identify_by_source(record: &str) -> Self {
        let message = QueueMessage::read(record);
        let source = message.source.clone().or_else(|| RecordHead::read(record).source.into());
        match source.as_deref() {
            Some("aws:sqs") => Self::Queue(message),
            Some("aws:sns") => Self::Sns,
            Some("aws:ses") => Self::Ses,
            _ => Self::Other(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_stay_json() {
        let texts = |payload| {
            records(payload).map(|list| list.map(|list| list.iter().map(|json| json.get()).collect()))
        };
        assert_eq!(
            texts(r#"{"Records":[{"a": 1},7,"\ud83d"]}"#),
            Ok(Some(vec![r#"{"a": 1}"#, "7", r#""\ud83d""#]))
        );
        for payload in ["{}", "7", "[]", r#"{"Records":null}"#] {
            assert_eq!(texts(payload), Ok(None), "{payload}");
        }
        for (payload, error) in
            [("Hello", "payload: not JSON"), (r#"{"Records":7}"#, "Records: of the wrong type")]
        {
            assert!(records(payload).unwrap_err().to_string().starts_with(error), "{payload}");
        }
    }

    #[test]
    fn a_message_that_is_refused_keeps_its_id() {
        for (record, id, error) in [
            (r#"{"messageId":"1"}"#, Some("1"), "body: missing or empty"),
            (r#"{"messageId":"1","body":" "}"#, Some("1"), "body: missing or empty"),
            (r#"{"messageId":"1","body":{}}"#, Some("1"), "body: of the wrong type"),
            (
                r#"{"messageId":"1","body":"a","attributes":{"SentTimestamp":7}}"#,
                Some("1"),
                "attributes.SentTimestamp: of the wrong type",
            ),
            (r#"{"messageId":7,"body":"a"}"#, Some("7"), "messageId: of the wrong type"),
            (r#"{"body":7}"#, None, "body: of the wrong type"),
            ("7", None, "payload: of the wrong type"),
        ] {
            let message = QueueMessage::read(record);
            assert_eq!(message.id.as_deref(), id, "{record}");
            assert!(message.body.unwrap_err().to_string().starts_with(error), "{record}");
        }
    }
}
