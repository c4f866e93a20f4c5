//! What is mutated: the sample events, whole and at every level of their wrapping.

use std::fs;

use mailroom_core::envelope;
use mailroom_core::notification::ParsedMessage;
use serde_json::{Map, Value};

const EVENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events");

/// Who reads a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// What Lambda hands to `feedback` or `inbound`.
    Payload,
    /// What stands in a queue's message, or in an envelope in it.
    Body,
    /// A mail that was received: bytes.
    Mail,
    /// A message of a peer.
    PeerMessage,
    /// One of the states in it.
    PeerState,
    /// An item of the table, as `decide` and `apply` get it from the stream.
    Item,
    /// An address: of a recipient, or a line of an operator's list.
    Address,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Payload,
        Self::Body,
        Self::Mail,
        Self::PeerMessage,
        Self::PeerState,
        Self::Item,
        Self::Address,
    ];
}

pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) bytes: Vec<u8>,
}

/// All samples, each text once, in the order of their names.
pub(crate) fn load() -> Vec<Sample> {
    let mut samples = Vec::new();
    for folder in ["feedback", "inbound", "merge", "decide", "apply"] {
        let mut files: Vec<_> =
            fs::read_dir(format!("{EVENTS}/{folder}")).unwrap().map(|file| file.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        files.sort();
        for path in files {
            let text = fs::read_to_string(&path).unwrap();
            let name = format!("{folder}/{}", path.file_stem().unwrap().to_string_lossy());
            let mut add = |kind, text: &str| {
                samples.push(Sample { name: name.clone(), kind, bytes: text.as_bytes().to_vec() });
            };
            match folder {
                "merge" => peer_messages(&text, &mut add),
                "decide" | "apply" => items(&text, &mut add),
                _ => {
                    events(&text, &mut add);
                    samples.extend(mails(&name, &text));
                }
            }
        }
    }
    let mut seen = std::collections::HashSet::new();
    samples.retain(|sample| seen.insert((sample.kind, sample.bytes.clone())));
    samples
}

fn bodies(text: &str) -> Vec<String> {
    let event: Value = serde_json::from_str(text).unwrap();
    let records = event["Records"].as_array().cloned().unwrap_or_default();
    records.iter().filter_map(|record| record["body"].as_str().map(str::to_owned)).collect()
}

fn events(text: &str, add: &mut impl FnMut(Kind, &str)) {
    add(Kind::Payload, text);
    for body in bodies(text) {
        add(Kind::Body, &body);
        let envelope: Value = serde_json::from_str(&body).unwrap_or_default();
        let Some(message) = envelope["Message"].as_str() else { continue };
        add(Kind::Body, message);
        let said: Value = serde_json::from_str(message).unwrap_or_default();
        let destinations = said["mail"]["destination"].as_array().cloned().unwrap_or_default();
        let recipients = said["bounce"]["bouncedRecipients"].as_array().cloned().unwrap_or_default();
        let addresses = recipients.iter().map(|recipient| &recipient["emailAddress"]).chain(&destinations);
        for address in addresses.filter_map(Value::as_str) {
            add(Kind::Address, address);
        }
    }
}

fn mails(name: &str, text: &str) -> Vec<Sample> {
    let messages = envelope::open_payload(text).map(|payload| payload.messages).unwrap_or_default();
    let mail = |message: envelope::PayloadMessage| {
        let Ok(ParsedMessage::Received(receipt)) = message.content else { return None };
        let bytes = receipt.content().ok()??.into_owned();
        Some(Sample { name: name.to_owned(), kind: Kind::Mail, bytes })
    };
    messages.into_iter().filter_map(mail).collect()
}

fn peer_messages(text: &str, add: &mut impl FnMut(Kind, &str)) {
    for body in bodies(text).into_iter().chain([text.to_owned()]) {
        add(Kind::PeerMessage, &body);
        let message: Value = serde_json::from_str(&body).unwrap_or_default();
        for state in message["states"].as_array().into_iter().flatten() {
            add(Kind::PeerState, &state.to_string());
        }
    }
}

fn items(text: &str, add: &mut impl FnMut(Kind, &str)) {
    let event: Value = serde_json::from_str(text).unwrap();
    for record in event["Records"].as_array().into_iter().flatten() {
        for image in ["NewImage", "OldImage"] {
            if let Some(image) = record["dynamodb"][image].as_object() {
                add(Kind::Item, &Value::Object(plain(image)).to_string());
            }
        }
    }
}

/// DynamoDB's JSON without its types.
fn plain(image: &Map<String, Value>) -> Map<String, Value> {
    let value = |value: &Value| match value.as_object().and_then(|typed| typed.iter().next()) {
        Some((kind, Value::Object(map))) if kind == "M" => Value::Object(plain(map)),
        Some((kind, Value::String(number))) if kind == "N" => {
            serde_json::from_str(number).unwrap_or_default()
        }
        Some((_, value)) => value.clone(),
        None => value.clone(),
    };
    image.iter().map(|(name, typed)| (name.clone(), value(typed))).collect()
}
