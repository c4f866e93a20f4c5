//! What a message must become, by the domain's own code. The demo and the tests compare the table with it.

use mailroom_core::envelope;
use mailroom_core::feedback::{FeedbackRecord, Retention, normalize};
use mailroom_core::notification::ParsedMessage;
use mailroom_core::ownership::StackScope;
use serde_json::json;

use crate::clients::ACCOUNT;
use crate::local::Regional;

/// The settings of a stack that decide what a message becomes.
#[derive(Debug, Clone)]
pub struct Settings {
    ours: StackScope,
    retention: Retention,
    kinds_not_stored: Vec<String>,
}

impl Settings {
    /// The settings of a stack that was deployed with the template's defaults for retention and kinds.
    pub fn of(region: &Regional) -> Self {
        Self {
            ours: StackScope {
                account: ACCOUNT.to_owned(),
                region: region.name().to_owned(),
                topic_arn: Some(region.outputs().get("FeedbackTopicArn").to_owned()),
            },
            retention: Retention::default(),
            kinds_not_stored: ["send", "delivery", "open", "click"].map(str::to_owned).into(),
        }
    }

    /// The same settings, but with these kinds left out.
    #[must_use]
    pub fn kinds_not_stored(self, kinds: &[&str]) -> Self {
        Self { kinds_not_stored: kinds.iter().map(|kind| (*kind).to_owned()).collect(), ..self }
    }
}

/// What becomes of one message.
#[derive(Debug, Default)]
pub struct Expected {
    /// The records that must be in the table.
    pub records: Vec<FeedbackRecord>,
    /// The kinds of those events that are not stored, one for each record that is not made.
    pub not_stored: Vec<String>,
    /// Why the message is acknowledged without a trace; `None` if it is not.
    pub ignored: Option<String>,
    /// Why the message ends in the dead-letter queue; `None` if it does not. Its readable recipients are recorded all the
    /// same.
    pub dead_letter: Option<String>,
}

impl Expected {
    /// What must become of a message that SES publishes to the stack's topic.
    pub fn of(message: &str, settings: &Settings) -> Self {
        let envelope = json!({
            "Type": "Notification",
            "TopicArn": settings.ours.topic_arn,
            "Message": message,
        });
        let mut expected = Self::default();
        let payload = match envelope::open_payload(&envelope.to_string()) {
            Ok(payload) => payload,
            Err(error) => return Self { dead_letter: Some(error.to_string()), ..expected },
        };
        for message in payload.messages {
            let notification = match message.content {
                Ok(ParsedMessage::Feedback(notification)) => notification,
                Ok(ParsedMessage::Ignored(notice)) => {
                    expected.ignored = Some(notice.to_string());
                    continue;
                }
                Ok(ParsedMessage::Received(_)) => {
                    expected.dead_letter = Some("a mail that was received".to_owned());
                    continue;
                }
                Err(error) => {
                    expected.dead_letter = Some(error.to_string());
                    continue;
                }
            };
            if let Err(foreign) = settings.ours.check_notification(&message.origin, &notification) {
                expected.dead_letter = Some(foreign.to_string());
                continue;
            }
            // Acknowledged by its kind alone: whoever it is of is not read.
            let kind = notification.kind().as_str();
            if settings.kinds_not_stored.iter().any(|left_out| left_out == kind) {
                expected.not_stored.push(kind.to_owned());
                continue;
            }
            let home = Some(settings.ours.region.as_str());
            match normalize(&notification, &message.origin, home, settings.retention) {
                Ok(normalized) => {
                    expected.dead_letter = normalized.malformed_recipients.first().map(ToString::to_string);
                    expected.records.extend(normalized.records);
                }
                Err(error) => expected.dead_letter = Some(error.to_string()),
            }
        }
        expected
    }
}
