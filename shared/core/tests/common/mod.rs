//! What the tests over sample events share.
#![allow(dead_code, reason = "each test uses its part")]

use mailroom_core::envelope::{Message, Payload};
use mailroom_core::feedback;
use mailroom_core::inbound::{self, Found, Location, Receipt, Rules, Structure};
use mailroom_core::malformed::Malformed;
use mailroom_core::notification::Reading;
use mailroom_core::ours::Ours;
use mailroom_core::record::{Record, Retention};

/// The stack of the samples in this folder.
fn ours(topic: Option<&str>) -> Ours {
    Ours {
        account: "123456789012".to_owned(),
        region: "us-east-1".to_owned(),
        topic_arn: topic.map(|topic| format!("arn:aws:sns:us-east-1:123456789012:{topic}")),
    }
}

/// A line for each record and for each message that becomes none.
pub(crate) fn told(payload: &Payload) -> String {
    let mut lines = Vec::new();
    for message in &payload.messages {
        match &message.reading {
            Err(error) => lines.push(format!("malformed: {error}")),
            Ok(Reading::Ignored(notice)) => lines.push(format!("ignored: {notice}")),
            Ok(Reading::Feedback(notification)) => {
                if let Err(foreign) = ours(Some("local-feedback")).check(&message.origin, notification) {
                    lines.push(format!("foreign: {foreign}"));
                }
                let normalized =
                    feedback::normalize(notification, &message.origin, None, Retention::default());
                lines.extend(records(normalized.map(|n| (n.records, n.malformed)), message));
            }
            Ok(Reading::Received(receipt)) => {
                if let Err(foreign) = ours(None).check_received(&message.origin, receipt) {
                    lines.push(format!("foreign: {foreign}"));
                }
                let unknown = receipt.unknown_values();
                if !unknown.is_empty() {
                    lines.push(format!("unknown: {}", unknown.join(", ")));
                }
                lines.extend(records(received(receipt, message).map(|n| (n.records, n.malformed)), message));
            }
        }
    }
    lines.join("\n")
}

fn records<R: Record>(
    normalized: Result<(Vec<R>, Vec<Malformed>), Malformed>,
    message: &Message,
) -> Vec<String> {
    match normalized {
        Err(error) => vec![format!("malformed: {}", error.within(&message.path))],
        Ok((records, malformed)) => {
            let records = records.iter().map(|record| serde_json::to_string_pretty(record).unwrap());
            records.chain(malformed.iter().map(|error| format!("malformed: {error}"))).collect()
        }
    }
}

/// As `mailroom normalize` does it: without S3.
pub(crate) fn received(receipt: &Receipt, message: &Message) -> Result<inbound::Normalized, Malformed> {
    let found = Found {
        location: Location::of(receipt, None),
        object: None,
        structure: receipt.content()?.map(|content| Structure::read(&content, true)),
    };
    inbound::normalize(receipt, &message.origin, &found, Rules::default())
}

/// A sample event's text.
pub(crate) fn sample(folder: &str, name: &str) -> String {
    std::fs::read_to_string(format!("{folder}/{name}.json")).unwrap()
}

/// All samples of a folder: of queues' events the bodies, else the event.
pub(crate) fn bodies(folder: &str) -> Vec<String> {
    let mut bodies = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = std::fs::read_to_string(path).unwrap();
            let event: serde_json::Value = serde_json::from_str(&text).unwrap();
            let queued = event["Records"].as_array().into_iter().flatten().filter_map(|r| r["body"].as_str());
            let queued: Vec<_> = queued.map(str::to_owned).collect();
            bodies.extend(if queued.is_empty() { vec![text] } else { queued });
        }
    }
    bodies
}
