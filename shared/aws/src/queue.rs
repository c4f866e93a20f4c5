//! Reads a queue whose messages are Mailroom's own: bodies without an envelope.

use mailroom_core::envelope::Source;
use mailroom_core::malformed::Problem;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::invocation::{InvocationError, Ledger};

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// SQS's id of the message; `None` if it was handed over directly, or can't be read.
    pub id: Option<String>,
    /// The message's text; `None` if the record has none.
    pub body: Option<String>,
}

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow, rename = "Records")]
    records: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    message_id: Option<String>,
    body: Option<String>,
}

/// Opens an event source mapping's payload. Any other JSON object is one message, as an operator may hand it over. One
/// odd record does not keep the others from being read.
///
/// # Errors
/// [`InvocationError::Payload`]
pub fn open(payload: &str) -> Result<(Vec<Message>, Ledger), InvocationError> {
    let batch: Batch<'_> = serde_json::from_str(payload).map_err(|error| {
        let problem = if error.is_data() { Problem::WrongType } else { Problem::NotJson };
        InvocationError::Payload { field: "payload".to_owned(), problem }
    })?;
    let (source, messages) = match batch.records {
        None => (Source::Direct, vec![Message { id: None, body: Some(payload.to_owned()) }]),
        Some(records) => {
            let message = |record: &RawValue| {
                let Record { message_id: id, body } = serde_json::from_str(record.get()).unwrap_or_default();
                Message { id, body }
            };
            (Source::Sqs, records.into_iter().map(message).collect::<Vec<_>>())
        }
    };
    let ledger = Ledger::new(source, messages.iter().map(|message| message.id.clone()));
    Ok((messages, ledger))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_record_costs_only_itself() {
        let payload = r#"{"Records":[{"messageId":"1","body":"a","more":1},7,{"messageId":"3"}]}"#;
        let (messages, mut ledger) = open(payload).unwrap();
        let message = |id: Option<&str>, body: Option<&str>| Message {
            id: id.map(Into::into),
            body: body.map(Into::into),
        };
        assert_eq!(messages, [message(Some("1"), Some("a")), message(None, None), message(Some("3"), None)]);
        ledger.fail(2);
        assert_eq!(ledger.respond().unwrap().batch_item_failures[0].item_identifier, "3");
        let (_, mut ledger) = open(payload).unwrap();
        ledger.fail(1);
        // The message has no id by which its failure could be reported.
        assert_eq!(ledger.respond().unwrap_err().to_string(), "1 of 3 messages failed; see the log");
    }

    #[test]
    fn a_message_handed_over_directly() {
        let (messages, mut ledger) = open(r#"{"version":1}"#).unwrap();
        assert_eq!(messages, [Message { id: None, body: Some(r#"{"version":1}"#.to_owned()) }]);
        ledger.fail(0);
        assert!(ledger.respond().is_err());
        assert_eq!(open("Hello").unwrap_err().to_string(), "payload: payload: not JSON");
        assert_eq!(open(r#"{"Records":1}"#).unwrap_err().to_string(), "payload: payload: of the wrong type");
    }
}
