//! What goes to a dead-letter queue: a message as it came, and why it can never be processed.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::lambda_event::records;
use crate::malformed::Malformed;

/// A message that can never be processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The message's text: see [`texts`].
    pub body: String,
    /// Why it can never be processed.
    pub reason: Reason,
}

/// Why a message can never be processed. Neither part holds anything of the message, so both may be logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Reason {
    /// The path of the field that is wrong, such as `bounce.bouncedRecipients[0].emailAddress`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Reason {
    /// A reason that is found in the field at a path.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    /// The reason as seen from inside the message that stood at `path` in its payload: the rest of the field's path.
    #[must_use]
    pub fn inside(mut self, path: &str) -> Self {
        if let Some(rest) = self.field.strip_prefix(path).filter(|_| !path.is_empty()) {
            let rest = rest.trim_start_matches('.');
            self.field = if rest.is_empty() { "body" } else { rest }.to_owned();
        }
        self
    }
}

impl From<&Malformed> for Reason {
    fn from(malformed: &Malformed) -> Self {
        Self::new(malformed.field(), malformed.problem().to_string())
    }
}

/// The part of a record that a letter repeats, whatever else the record holds.
#[derive(Deserialize)]
struct Body {
    body: Option<String>,
}

/// The texts of the messages at these places of a payload, as they came, so that a queue can bring them again: the body of
/// a message from SQS, byte for byte; any other record as a payload of its own; and a payload without records whole. A place
/// that the payload does not have is left out.
pub fn texts(payload: &str, places: &[usize]) -> Vec<String> {
    let Ok(Some(records)) = records(payload) else {
        return places.iter().map(|_| payload.to_owned()).collect();
    };
    let text = |record: &RawValue| {
        let body = serde_json::from_str::<Body>(record.get()).ok().and_then(|record| record.body);
        body.unwrap_or_else(|| format!(r#"{{"Records":[{}]}}"#, record.get()))
    };
    places.iter().filter_map(|place| records.get(*place)).map(|record| text(record)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_what_came() {
        let batch = r#"{"Records":[{"eventSource":"aws:sqs","body":"{\"a\": \"\\ud83d\\ude00\u00e4\"}\n"},7,
            {"eventSource":"aws:ses","ses":{ "mail" : 1}}, {"body":null}]}"#;
        assert_eq!(
            texts(batch, &[0, 1, 2, 3]),
            [
                "{\"a\": \"\\ud83d\\ude00ä\"}\n",
                r#"{"Records":[7]}"#,
                r#"{"Records":[{"eventSource":"aws:ses","ses":{ "mail" : 1}}]}"#,
                r#"{"Records":[{"body":null}]}"#,
            ]
        );
        assert_eq!(texts(batch, &[4]), [""; 0]);
        assert_eq!(texts("Hello", &[0]), ["Hello"]);
    }

    #[test]
    fn a_reason_names_the_field_inside_the_message() {
        let reason = |field: &str, path| Reason::new(field, "not JSON").inside(path).to_string();
        assert_eq!(reason("Records[3].body.Message.bounce", "Records[3].body"), "Message.bounce: not JSON");
        assert_eq!(reason("Records[3].body", "Records[3].body"), "body: not JSON");
        assert_eq!(reason("mail.timestamp", ""), "mail.timestamp: not JSON");
        assert_eq!(reason("TopicArn", "Records[3].body"), "TopicArn: not JSON");
    }
}
