//! What goes to a dead-letter queue: a message as it came, and why it can never be processed.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::lambda_event::records;
use crate::malformed::MalformedInput;

/// A message that can never be processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The message's text: see [`extract_dead_letter_bodies`].
    pub body: String,
    /// Why it can never be processed.
    pub reason: DeadLetterReason,
}

/// Why a message can never be processed. Neither part holds anything of the message, so both may be logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct DeadLetterReason {
    /// The path of the field that is wrong, such as `bounce.bouncedRecipients[0].emailAddress`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl DeadLetterReason {
    /// A reason that is found in the field at a path.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    /// The reason as seen from inside the message that stood at `message_path` in its payload: the rest of the field's path.
    #[must_use]
    pub fn relative_to(mut self, message_path: &str) -> Self {
        if let Some(rest) = self.field.strip_prefix(message_path).filter(|_| !message_path.is_empty()) {
            let rest = rest.trim_start_matches('.');
            self.field = if rest.is_empty() { "body" } else { rest }.to_owned();
        }
        self
    }
}

impl From<&MalformedInput> for DeadLetterReason {
    fn from(malformed: &MalformedInput) -> Self {
        Self::new(malformed.field(), malformed.problem().to_string())
    }
}

/// The part of a record that a letter repeats, whatever else the record holds.
#[derive(Deserialize)]
struct SqsRecordBody {
    body: Option<String>,
}

/// The texts of the messages at these places of a payload, as they came, so that a queue can bring them again: the body of
/// a message from SQS, byte for byte; any other record as a payload of its own; and a payload without records whole. A place
/// that the payload does not have is left out.
pub fn extract_dead_letter_bodies(payload: &str, message_indexes: &[usize]) -> Vec<String> {
    let Ok(Some(records)) = records(payload) else {
        return message_indexes.iter().map(|_| payload.to_owned()).collect();
    };
    let text = |record: &RawValue| {
        let body = serde_json::from_str::<SqsRecordBody>(record.get()).ok().and_then(|record| record.body);
        body.unwrap_or_else(|| format!(r#"{{"Records":[{}]}}"#, record.get()))
    };
    message_indexes.iter().filter_map(|place| records.get(*place)).map(|record| text(record)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_what_came() {
        let batch = r#"{"Records":[{"eventSource":"aws:sqs","body":"{\"a\": \"\\ud83d\\ude00\u00e4\"}\n"},7,
            {"eventSource":"aws:ses","ses":{ "mail" : 1}}, {"body":null}]}"#;
        assert_eq!(
            extract_dead_letter_bodies(batch, &[0, 1, 2, 3]),
            [
                "{\"a\": \"\\ud83d\\ude00ä\"}\n",
                r#"{"Records":[7]}"#,
                r#"{"Records":[{"eventSource":"aws:ses","ses":{ "mail" : 1}}]}"#,
                r#"{"Records":[{"body":null}]}"#,
            ]
        );
        assert_eq!(extract_dead_letter_bodies(batch, &[4]), [""; 0]);
        assert_eq!(extract_dead_letter_bodies("Hello", &[0]), ["Hello"]);
    }

    #[test]
    fn a_reason_names_the_field_inside_the_message() {
        let reason =
            |field: &str, path| DeadLetterReason::new(field, "not JSON").relative_to(path).to_string();
        assert_eq!(reason("Records[3].body.Message.bounce", "Records[3].body"), "Message.bounce: not JSON");
        assert_eq!(reason("Records[3].body", "Records[3].body"), "body: not JSON");
        assert_eq!(reason("mail.timestamp", ""), "mail.timestamp: not JSON");
        assert_eq!(reason("TopicArn", "Records[3].body"), "TopicArn: not JSON");
    }
}
