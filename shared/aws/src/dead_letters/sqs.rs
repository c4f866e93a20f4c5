//! A dead-letter queue in SQS.

use std::borrow::Cow;
use std::fmt::Write as _;

use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::types::MessageAttributeValue;
use mailroom_core::dead_letter::{DeadLetter, DeadLetterReason};
use mailroom_core::text::sanitize_text;

use super::{DeadLetterError, DeadLetterQueue};
use crate::deadline::Deadline;
use crate::retry::{CallFailure, error_code_or_text, retry_until_deadline};

/// The most bytes of a message with its attributes (SQS's quotas: 1 MiB).
const MAX_MESSAGE_BYTES: usize = 1_048_576;
/// The most characters of an attribute's value, which for a person is a line or two.
const MAX_ATTRIBUTE_CHARS: usize = 256;
/// The names of the attributes.
const FIELD_ATTRIBUTE: &str = "Field";
const REASON_ATTRIBUTE: &str = "Reason";
/// The type of both.
const STRING_DATA_TYPE: &str = "String";

/// A queue in the function's own Region, by its URL.
pub struct SqsDeadLetterQueue {
    client: Client,
    url: String,
}

impl SqsDeadLetterQueue {
    /// The queue with this URL.
    pub fn new(config: &SdkConfig, url: impl Into<String>) -> Self {
        Self { client: Client::new(config), url: url.into() }
    }
}

impl DeadLetterQueue for SqsDeadLetterQueue {
    async fn send_letter(&self, letter: &DeadLetter, deadline: Deadline) -> Result<(), DeadLetterError> {
        // Once the time is up, even calls that are given up at once would take more than is left for the answer.
        if deadline.has_passed() {
            return Err(DeadLetterError::Unavailable("not sent".to_owned()));
        }
        let body = escape_refused_characters(&letter.body);
        let attributes = reason_attributes_if_they_fit(&letter.reason, body.len())
            .map_err(|error| DeadLetterError::Refused(error.to_string()))?;
        let call = async || {
            let mut call = self.client.send_message().queue_url(&self.url).message_body(body.as_ref());
            for (name, value) in &attributes {
                call = call.message_attributes(*name, value.clone());
            }
            call.send().await
        };
        match retry_until_deadline(deadline, call).await {
            Ok(_) => Ok(()),
            Err(CallFailure::DeadlineExceeded(last_error)) => Err(DeadLetterError::Unavailable(last_error)),
            Err(CallFailure::Refused(error)) => Err(DeadLetterError::Refused(error_code_or_text(&error))),
        }
    }
}

/// The reason as attributes, or none if they would make the message too large: the log has the reason as well.
fn reason_attributes_if_they_fit(
    reason: &DeadLetterReason,
    body_bytes: usize,
) -> Result<Vec<(&'static str, MessageAttributeValue)>, BuildError> {
    let values = [
        (FIELD_ATTRIBUTE, sanitize_text(&reason.field, MAX_ATTRIBUTE_CHARS)),
        (REASON_ATTRIBUTE, sanitize_text(&reason.problem, MAX_ATTRIBUTE_CHARS)),
    ];
    let size: usize =
        values.iter().map(|(name, value)| name.len() + STRING_DATA_TYPE.len() + value.len()).sum();
    if body_bytes + size > MAX_MESSAGE_BYTES {
        return Ok(Vec::new());
    }
    let attribute = |(name, value)| {
        let value =
            MessageAttributeValue::builder().data_type(STRING_DATA_TYPE).string_value(value).build()?;
        Ok((name, value))
    };
    values.into_iter().map(attribute).collect()
}

/// The body with the characters escaped that SQS refuses. A body that came from SQS has none. In the JSON of a direct
/// invocation they can only stand in a string, where the escape means the same.
fn escape_refused_characters(body: &str) -> Cow<'_, str> {
    let refused = |c: char| !matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    if !body.contains(refused) {
        return body.into();
    }
    let mut escaped = String::with_capacity(body.len() + 16);
    for c in body.chars() {
        if refused(c) {
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped.into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use doubles::stub::Stub;

    fn letter(body: &str) -> DeadLetter {
        DeadLetter {
            body: body.to_owned(),
            reason: DeadLetterReason::new("Message.mail", "of the wrong type"),
        }
    }

    async fn send(stub: &Stub, letter: &DeadLetter) -> Result<(), DeadLetterError> {
        let queue =
            SqsDeadLetterQueue::new(&stub.config(), "https://sqs.us-east-1.amazonaws.com/123456789012/dead");
        queue.send_letter(letter, Deadline::after(Duration::from_secs(5))).await
    }

    const SENT: (u16, &str) = (200, r#"{"MessageId":"1","MD5OfMessageBody":"x"}"#);

    #[tokio::test]
    async fn the_body_is_unchanged_and_the_reason_beside_it() {
        let stub = Stub::start([(500, "{}"), SENT]);
        let body = "{\"Type\" : \"Notification\"}\r\n\u{7f}ä😀";
        assert_eq!(send(&stub, &letter(body)).await, Ok(()));
        let sent: serde_json::Value = serde_json::from_str(&stub.bodies()[1]).unwrap();
        assert_eq!(sent["MessageBody"], body);
        let attribute = |value| serde_json::json!({"DataType": "String", "StringValue": value});
        assert_eq!(
            sent["MessageAttributes"],
            serde_json::json!({"Field": attribute("Message.mail"), "Reason": attribute("of the wrong type")})
        );
    }

    #[tokio::test]
    async fn a_refusal_is_told_apart_from_an_outage() {
        let stub = Stub::start([(400, r#"{"__type":"com.amazonaws.sqs#AccessDenied"}"#)]);
        assert_eq!(send(&stub, &letter("x")).await, Err(DeadLetterError::Refused("AccessDenied".to_owned())));
        let queue =
            SqsDeadLetterQueue::new(&doubles::stub::config("http://127.0.0.1:1"), "http://127.0.0.1:1/dead");
        let failed = queue.send_letter(&letter("x"), Deadline::after(Duration::ZERO)).await;
        assert!(matches!(failed, Err(DeadLetterError::Unavailable(_))), "{failed:?}");
    }

    #[test]
    fn what_would_be_too_large_with_the_reason_goes_without_it() {
        let reason = DeadLetterReason::new("f", "r");
        // Names, types and values: 5 + 6 + 1 and 6 + 6 + 1 bytes.
        assert_eq!(reason_attributes_if_they_fit(&reason, MAX_MESSAGE_BYTES - 25).unwrap().len(), 2);
        assert_eq!(reason_attributes_if_they_fit(&reason, MAX_MESSAGE_BYTES - 24).unwrap().len(), 0);
        let long = DeadLetterReason::new("ä".repeat(10_000), "r");
        assert_eq!(
            reason_attributes_if_they_fit(&long, 0).unwrap()[0].1.string_value().unwrap().chars().count(),
            MAX_ATTRIBUTE_CHARS
        );
    }

    #[test]
    fn characters_that_sqs_refuses_are_escaped() {
        assert!(matches!(escape_refused_characters("{\"a\":\"\u{7f}ä\u{fffd}😀\"}\r\n\t"), Cow::Borrowed(_)));
        let escaped = escape_refused_characters("{\"a\":\"\u{ffff}x\u{fffe}\"}");
        assert_eq!(escaped, r#"{"a":"\uffffx\ufffe"}"#);
        let read = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(read(&escaped), read("{\"a\":\"\u{ffff}x\u{fffe}\"}"));
    }
}
