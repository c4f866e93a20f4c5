//! What the tests over sample events share.
#![allow(dead_code, reason = "each test uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;

use mailroom_core::envelope::{self, Payload, PayloadMessage};
use mailroom_core::feedback;
use mailroom_core::inbound::{self, InboundSettings, MailInspection, MailStructure, ObjectLocation, Receipt};
use mailroom_core::malformed::MalformedInput;
use mailroom_core::notification::ParsedMessage;
use mailroom_core::ownership::StackScope;
use mailroom_core::record::{Retention, TableItem};

/// The stack of the samples in this folder.
fn ours(topic: Option<&str>) -> StackScope {
    StackScope {
        account: "123456789012".to_owned(),
        region: "us-east-1".to_owned(),
        topic_arn: topic.map(|topic| format!("arn:aws:sns:us-east-1:123456789012:{topic}")),
    }
}

/// A line for each record and for each message that becomes none.
pub(crate) fn told(payload: &Payload) -> String {
    let mut lines = Vec::new();
    for message in &payload.messages {
        match &message.content {
            Err(error) => lines.push(format!("malformed: {error}")),
            Ok(ParsedMessage::Ignored(notice)) => lines.push(format!("ignored: {notice}")),
            Ok(ParsedMessage::Feedback(notification)) => {
                if let Err(foreign) =
                    ours(Some("local-feedback")).check_notification(&message.origin, notification)
                {
                    lines.push(format!("foreign: {foreign}"));
                }
                let normalized =
                    feedback::normalize(notification, &message.origin, None, Retention::default());
                lines.extend(records(normalized.map(|n| (n.records, n.malformed_recipients)), message));
            }
            Ok(ParsedMessage::Received(receipt)) => {
                if let Err(foreign) = ours(None).check_receipt(&message.origin, receipt) {
                    lines.push(format!("foreign: {foreign}"));
                }
                let unknown = receipt.fields_with_unknown_values();
                if !unknown.is_empty() {
                    lines.push(format!("unknown: {}", unknown.join(", ")));
                }
                lines.extend(records(
                    received(receipt, message).map(|n| (n.records, n.malformed_recipients)),
                    message,
                ));
            }
        }
    }
    lines.join("\n")
}

fn records<R: TableItem>(
    normalized: Result<(Vec<R>, Vec<MalformedInput>), MalformedInput>,
    message: &PayloadMessage,
) -> Vec<String> {
    match normalized {
        Err(error) => vec![format!("malformed: {}", error.prefix_field(&message.path))],
        Ok((records, malformed)) => {
            let records = records.iter().map(|record| serde_json::to_string_pretty(record).unwrap());
            records.chain(malformed.iter().map(|error| format!("malformed: {error}"))).collect()
        }
    }
}

/// As `mailroom normalize` does it: without S3.
pub(crate) fn received(
    receipt: &Receipt,
    message: &PayloadMessage,
) -> Result<inbound::NormalizedReceipt, MalformedInput> {
    let found = MailInspection {
        location: ObjectLocation::from_receipt(receipt, None),
        object: None,
        structure: receipt.content()?.map(|content| MailStructure::parse(&content, true)),
    };
    inbound::normalize_valid_recipients(receipt, &message.origin, &found, InboundSettings::default())
}

/// Holds every sample of a folder against its snapshot, and finds snapshots without a sample. All differences are printed,
/// not the first.
pub(crate) fn check_snapshots(test: &str, folder: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots");
    let mut unreferenced: BTreeSet<String> = std::fs::read_dir(path)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(&format!("{test}@")))
        .collect();
    let mut different = Vec::new();
    for (name, payload) in files(folder) {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(path);
        settings.set_snapshot_suffix(&name);
        settings.set_input_file(format!("{folder}/{name}"));
        settings.set_omit_expression(true);
        settings.set_prepend_module_to_snapshot(false);
        let records = told(&envelope::open_payload(&payload).unwrap());
        let check = || settings.bind(|| insta::assert_snapshot!(test, records));
        if std::panic::catch_unwind(AssertUnwindSafe(check)).is_err() {
            different.push(name.clone());
        }
        unreferenced.remove(&format!("{test}@{name}.snap"));
    }
    assert!(different.is_empty(), "not as in their snapshots: {different:#?}");
    assert!(unreferenced.is_empty(), "snapshots without a sample: {unreferenced:#?}");
}

/// The JSON files of a folder, by name, with their texts.
fn files(folder: &str) -> BTreeMap<String, String> {
    let paths = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// The event with which SNS invokes a function, with all that SNS always writes.
pub(crate) fn sns_event(message: &str) -> serde_json::Value {
    serde_json::json!({"Records": [{
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": "arn:aws:sns:us-east-1:123456789012:t:3a1b",
        "Sns": {
            "Type": "Notification",
            "MessageId": "0d0cda4b-9c8c-5a44-8b7c-b8a1d2f4e7aa",
            "TopicArn": "arn:aws:sns:us-east-1:123456789012:t",
            "Message": message,
            "Timestamp": "2026-01-01T00:00:02.000Z",
            "SignatureVersion": "1",
            "Signature": "EXAMPLE",
            "SigningCertUrl": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem",
            "UnsubscribeUrl": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
        },
    }]})
}

/// A sample event's text.
pub(crate) fn sample(folder: &str, name: &str) -> String {
    std::fs::read_to_string(format!("{folder}/{name}.json")).unwrap()
}

/// All samples of a folder: of queues' events the bodies, else the event.
pub(crate) fn bodies(folder: &str) -> Vec<String> {
    let mut bodies = Vec::new();
    for text in files(folder).into_values() {
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        let queued = event["Records"].as_array().into_iter().flatten().filter_map(|r| r["body"].as_str());
        let queued: Vec<_> = queued.map(str::to_owned).collect();
        bodies.extend(if queued.is_empty() { vec![text] } else { queued });
    }
    bodies
}

/// Records as JSON, by partition and sort key.
pub(crate) type Table = BTreeMap<(String, String), String>;

/// The keys under which two of the payloads make different records. `table` makes the records of some payloads, by key.
pub(crate) fn contradictions(payloads: &[String], table: fn(&[String]) -> Table) -> Vec<(String, String)> {
    let mut records = BTreeMap::new();
    let mut contradictions = Vec::new();
    for payload in payloads {
        for (key, record) in table(std::slice::from_ref(payload)) {
            let first = records.entry(key.clone()).or_insert_with(|| record.clone());
            if *first != record {
                contradictions.push(key);
            }
        }
    }
    contradictions
}
