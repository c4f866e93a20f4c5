//! The sample events, unwrapped, and changed so that they name a stack of the local AWS.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::clients::ACCOUNT;

/// The Region that the samples name. (The account and the topic follow.)
const SAMPLE_REGION: &str = "us-east-1";
const SAMPLE_ACCOUNT: &str = "123456789012";
const SAMPLE_TOPIC: &str = "local-feedback";

/// A hard bounce of one recipient, not from a sample, as a configuration set's event destination publishes it. `time` is
/// written as SES writes it.
pub fn hard_bounce(region: &str, id: &str, address: &str, time: &str) -> String {
    json!({
        "eventType": "Bounce",
        "bounce": {
            "feedbackId": format!("feedback-{id}"),
            "bounceType": "Permanent",
            "bounceSubType": "General",
            "bouncedRecipients": [{
                "emailAddress": address, "action": "failed", "status": "5.1.1",
                "diagnosticCode": "smtp; 550 5.1.1 user unknown",
            }],
            "timestamp": time,
        },
        "mail": {
            "timestamp": time,
            "messageId": format!("message-{id}"),
            "destination": [address],
            "sourceArn": format!("arn:aws:ses:{region}:{ACCOUNT}:identity/example.com"),
            "sendingAccountId": ACCOUNT,
        },
    })
    .to_string()
}

/// Why samples could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// A folder or a file cannot be read.
    #[error("could not read {}: {source}", .path.display())]
    Read {
        /// The path of the folder or file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file is not JSON.
    #[error("{} is not JSON: {source}", .path.display())]
    NotJson {
        /// The path of the file.
        path: PathBuf,
        /// Where and why the parser gave up.
        source: serde_json::Error,
    },
}

/// A sample event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The name of its file, without `.json`.
    pub name: String,
    /// The event as Lambda would hand it to the function.
    pub event: Value,
    /// The messages of SES in it, each as it would be published to the topic.
    pub messages: Vec<String>,
}

impl Sample {
    /// Reads all samples in a folder, in the order of their names.
    pub fn load_all(folder: &Path) -> Result<Vec<Self>, SampleError> {
        let unreadable = |source| SampleError::Read { path: folder.to_path_buf(), source };
        let mut samples = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                samples.push(Self::load(&path)?);
            }
        }
        samples.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(samples)
    }

    /// Reads one sample.
    pub fn load(path: &Path) -> Result<Self, SampleError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SampleError::Read { path: path.to_path_buf(), source })?;
        let event: Value = serde_json::from_str(&text)
            .map_err(|source| SampleError::NotJson { path: path.to_path_buf(), source })?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let messages = messages_of(&event);
        Ok(Self { name, event, messages })
    }

    /// The messages as they would be published to the topic of a stack.
    pub fn messages_for(&self, region: &str, stack: &str) -> Vec<String> {
        self.messages.iter().map(|message| adapt(message, region, stack)).collect()
    }

    /// The whole event as the function of a stack would get it.
    pub fn event_for(&self, region: &str, stack: &str) -> Value {
        let adapted = adapt(&self.event.to_string(), region, stack);
        serde_json::from_str(&adapted).expect("names and numbers in place of others leave JSON as it is")
    }
}

/// Unwraps an event. The text of a message stays as it is, even if it is not JSON.
fn messages_of(event: &Value) -> Vec<String> {
    let Some(records) = event["Records"].as_array() else {
        // If EventBridge's event goes by SNS, as a rule's target, its envelope is part of the message.
        return vec![event.to_string()];
    };
    let records = records.iter().filter_map(|record| {
        if let Some(message) = record["Sns"]["Message"].as_str() {
            return Some(message.to_owned());
        }
        record["body"].as_str().map(message_of_body)
    });
    records.collect()
}

/// The message in SNS's envelope. What SNS says for itself (`SubscriptionConfirmation`) can only be told by its envelope,
/// so the envelope is what goes through the topic then.
fn message_of_body(body: &str) -> String {
    let envelope: Value = serde_json::from_str(body).unwrap_or_default();
    match (envelope["Type"].as_str(), envelope["Message"].as_str()) {
        (Some("Notification"), Some(message)) => message.to_owned(),
        _ => body.to_owned(),
    }
}

/// Swaps the sample's Region and the stack's, so that a message from another Region still comes from another one.
fn adapt(text: &str, region: &str, stack: &str) -> String {
    /// A text that is in no sample.
    const MARK: &str = "\u{1}";
    text.replace(SAMPLE_REGION, MARK)
        .replace(region, SAMPLE_REGION)
        .replace(MARK, region)
        .replace(SAMPLE_ACCOUNT, ACCOUNT)
        .replace(SAMPLE_TOPIC, &format!("{stack}-feedback"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_wrapping_comes_off() {
        let ses = r#"{"eventType":"Bounce"}"#;
        let envelope = json!({ "Type": "Notification", "Message": ses, "TopicArn": "arn" }).to_string();
        let queue = json!({ "Records": [{ "body": envelope }, { "body": ses }, { "body": "<html>" }] });
        assert_eq!(messages_of(&queue), [ses, ses, "<html>"]);
        let topic = json!({ "Records": [{ "Sns": { "Message": "plain text" } }] });
        assert_eq!(messages_of(&topic), ["plain text"]);
        let bus = json!({ "detail-type": "Email Bounced", "detail": { "eventType": "Bounce" } });
        assert_eq!(messages_of(&bus), [bus.to_string()]);
        assert_eq!(messages_of(&json!({ "eventType": "Bounce" })), [ses]);
    }

    #[test]
    fn what_sns_says_for_itself_keeps_its_envelope() {
        let body = json!({ "Type": "SubscriptionConfirmation", "Message": "You have chosen" }).to_string();
        assert_eq!(messages_of(&json!({ "Records": [{ "body": body }] })), [body]);
    }

    #[test]
    fn regions_change_places() {
        let text = "arn:aws:sns:us-east-1:123456789012:local-feedback eu-west-1";
        assert_eq!(
            adapt(text, "eu-west-1", "demo"),
            "arn:aws:sns:eu-west-1:000000000000:demo-feedback us-east-1"
        );
        assert_eq!(
            adapt(text, "us-east-1", "demo"),
            "arn:aws:sns:us-east-1:000000000000:demo-feedback eu-west-1"
        );
    }

    #[test]
    fn the_samples_of_the_workspace_can_be_read() {
        let samples = Sample::load_all(&crate::paths::samples("feedback")).expect("they are there");
        assert!(samples.len() > 50, "{}", samples.len());
        for sample in samples {
            // No topic carries a message that is no text.
            let record = &sample.event["Records"][0];
            let no_text = record["Sns"]["Message"].is_object() || record["body"].is_object();
            assert_eq!(sample.messages.is_empty(), no_text, "{}", sample.name);
            for message in sample.messages_for("eu-west-1", "demo") {
                assert!(!message.contains(SAMPLE_ACCOUNT), "{}", sample.name);
            }
        }
    }
}
