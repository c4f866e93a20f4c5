//! Reads a queue whose messages are Mailroom's own: bodies without an envelope.

use mailroom_core::envelope::InvocationSource;
use mailroom_core::lambda_event::{QueueMessage, records};

use crate::invocation::{InvocationError, MessageOutcomes};

/// Opens an event source mapping's payload. Any other JSON is one message, as an operator may hand it over. One odd record
/// does not keep the others from being read.
///
/// # Errors
/// [`InvocationError::Payload`]
pub fn parse_sqs_or_direct_event(
    payload: &str,
) -> Result<(Vec<QueueMessage>, MessageOutcomes), InvocationError> {
    let (source, messages) = match records(payload)? {
        Some(records) => {
            (InvocationSource::Sqs, records.iter().map(|record| QueueMessage::read(record.get())).collect())
        }
        None => (InvocationSource::Direct, vec![QueueMessage::direct(payload)]),
    };
    let ledger = MessageOutcomes::new(source, messages.iter().map(|message| message.id.clone()));
    Ok((messages, ledger))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_record_costs_only_itself() {
        let payload = r#"{"Records":[{"messageId":"1","body":"a","more":1},7,{"messageId":"3"},{"messageId":"4","body":{}}]}"#;
        let (messages, mut ledger) = parse_sqs_or_direct_event(payload).unwrap();
        let read = messages.iter().map(|message| (message.id.as_deref(), message.body.as_deref().ok()));
        assert_eq!(
            read.collect::<Vec<_>>(),
            [(Some("1"), Some("a")), (None, None), (Some("3"), None), (Some("4"), None)]
        );
        ledger.mark_failed(2);
        ledger.mark_failed(3);
        let failures = ledger.into_response().unwrap().batch_item_failures;
        let ids: Vec<_> = failures.iter().map(|failure| failure.item_identifier.as_str()).collect();
        assert_eq!(ids, ["3", "4"]);
        let (_, mut ledger) = parse_sqs_or_direct_event(payload).unwrap();
        ledger.mark_failed(1);
        // The message has no id by which its failure could be reported.
        assert_eq!(ledger.into_response().unwrap_err().to_string(), "1 of 4 messages failed; see the log");
    }

    #[test]
    fn a_message_handed_over_directly() {
        let (messages, mut ledger) = parse_sqs_or_direct_event(r#"{"version":1}"#).unwrap();
        assert_eq!(messages.len(), 1);
        assert_eq!((&messages[0].id, messages[0].body.as_deref()), (&None, Ok(r#"{"version":1}"#)));
        ledger.mark_failed(0);
        assert!(ledger.into_response().is_err());
        assert_eq!(parse_sqs_or_direct_event("Hello").unwrap_err().to_string(), "payload: payload: not JSON");
        assert_eq!(
            parse_sqs_or_direct_event(r#"{"Records":1}"#).unwrap_err().to_string(),
            "payload: Records: of the wrong type"
        );
    }
}
