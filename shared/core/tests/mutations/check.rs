//! What must hold of any input.

use std::panic::{AssertUnwindSafe, catch_unwind};

use mailroom_core::address::Address;
use mailroom_core::envelope::{self, Payload};
use mailroom_core::inbound::MailStructure;
use mailroom_core::suppression::FeedbackSummary;
use mailroom_core::suppression::address_state::AddressState;
use mailroom_core::suppression::operator::OperatorDecision;
use mailroom_core::suppression::peer_message;
use mailroom_core::suppression::spellings::Spellings;
use mailroom_core::timestamp::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::common::told;
use crate::corpus::Kind;

/// Good messages, between which anything else may stand.
const BOUNCE: &str = r#"{"eventType":"Bounce","bounce":{"bounceType":"Permanent","bounceSubType":"General",
    "bouncedRecipients":[{"emailAddress":"ann@example.com"}],"timestamp":"2026-01-01T00:00:01Z","feedbackId":"f"},
    "mail":{"messageId":"m","timestamp":"2026-01-01T00:00:00Z","destination":["ann@example.com"]}}"#;
const OPEN: &str = r#"{"eventType":"Open","open":{"timestamp":"2026-01-01T00:00:02Z","ipAddress":"192.0.2.1"},
    "mail":{"messageId":"n","timestamp":"2026-01-01T00:00:00Z","destination":["bob@example.com"]}}"#;
const FIRST_STATE: &str = r#"{"address":"ann@example.com","spellings":["Ann@example.com"],
    "bounced":{"at":"2026-01-01T00:00:00Z","source":"bounce","region":"us-east-1","id":"1"}}"#;
const LAST_STATE: &str = r#"{"address":"bob@example.com","spellings":[],
    "released":{"at":"2026-01-01T00:00:00Z","source":"operator","region":"us-east-1","id":"2"}}"#;

/// Checks inputs, and knows what becomes of the neighbours when nothing is between them.
pub(crate) struct Checker {
    first: String,
    last: String,
}

impl Checker {
    pub(crate) fn new() -> Self {
        let [first, last] = [batch(&[record("first", BOUNCE)]), batch(&[record("last", OPEN)])]
            .map(|batch| told(&envelope::open_payload(&batch).unwrap()));
        assert!(first.contains("ann@example.com") && last.contains("bob@example.com"), "{first} {last}");
        Self { first, last }
    }

    /// Whether all that must hold of this input does.
    pub(crate) fn check(&self, kind: Kind, input: &[u8]) -> Result<(), String> {
        caught(|| self.holds(kind, input)).and_then(|held| held)
    }

    /// A part of an input that fails, which fails as well.
    pub(crate) fn shrink(&self, kind: Kind, input: Vec<u8>) -> Vec<u8> {
        shrink_while(input, |part| self.check(kind, part).is_err())
    }

    fn holds(&self, kind: Kind, input: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(input);
        match kind {
            Kind::Payload | Kind::Body => {
                if let Ok(payload) = envelope::open_payload(&text) {
                    told(&payload);
                }
                self.between_neighbours(&record("odd", &text), false)?;
                let is_object = text.starts_with('{') && serde_json::from_str::<&RawValue>(&text).is_ok();
                if is_object { self.between_neighbours(&text, true) } else { Ok(()) }
            }
            Kind::Mail => {
                MailStructure::parse(input, true);
                MailStructure::parse(input, false);
                let content = Value::from(text.as_ref());
                self.between_neighbours(&record("odd", &received(&content)), false)
            }
            Kind::PeerMessage => {
                drop(peer_message::parse_peer_message(&text));
                Ok(())
            }
            Kind::PeerState => {
                if serde_json::from_str::<&RawValue>(&text).is_err() {
                    return Ok(());
                }
                let message = format!(
                    r#"{{"version":1,"origin":"us-east-1","states":[{FIRST_STATE},{text},{LAST_STATE}]}}"#
                );
                let incoming =
                    peer_message::parse_peer_message(&message).map_err(|error| error.to_string())?;
                let ends = [incoming.states.first(), incoming.states.last()];
                let addresses = ends.map(|state| state.map(|state| state.address.as_str()));
                let kept = addresses == [Some("ann@example.com"), Some("bob@example.com")];
                kept.then_some(()).ok_or_else(|| format!("a peer's good states are lost: {incoming:?}"))
            }
            Kind::Item => {
                drop(serde_json::from_str::<FeedbackSummary>(&text));
                drop(serde_json::from_str::<AddressState>(&text));
                drop(serde_json::from_str::<OperatorDecision>(&text));
                Ok(())
            }
            Kind::Address => {
                drop(Address::parse(&text));
                Timestamp::parse(&text);
                Spellings::from_iter([text.as_ref()]);
                Ok(())
            }
        }
    }

    /// Whether the messages before and after a record become what they become without it. A record that is mutated itself
    /// may lose its own id.
    pub(crate) fn between_neighbours(&self, odd: &str, is_mutated: bool) -> Result<(), String> {
        let payload =
            envelope::open_payload(&batch(&[record("first", BOUNCE), odd.to_owned(), record("last", OPEN)]))
                .map_err(|error| format!("the batch is lost: {error}"))?;
        let source = payload.source;
        let ids: Vec<_> = payload.messages.iter().map(|message| message.id.clone()).collect();
        let mut became: Vec<_> = payload
            .messages
            .into_iter()
            .map(|message| told(&Payload { source, messages: vec![message] }))
            .collect();
        let (Some(last), Some(first)) = (became.pop(), became.first()) else {
            return Err("messages are lost".to_owned());
        };
        if *first != self.first || last != self.last || ids.len() != 3 {
            return Err(format!("the neighbours become {first} and {last}"));
        }
        let named = |index: usize, id: &str| ids[index].as_deref() == Some(id);
        if !named(0, "first") || !named(2, "last") || !(is_mutated || named(1, "odd")) {
            return Err(format!("the messages' ids are {ids:?}"));
        }
        Ok(())
    }
}

/// A record of a queue.
pub(crate) fn record(id: &str, body: &str) -> String {
    let body = Value::from(body);
    format!(r#"{{"eventSource":"aws:sqs","messageId":"{id}","body":{body}}}"#)
}

fn batch(records: &[String]) -> String {
    format!(r#"{{"Records":[{}]}}"#, records.join(","))
}

/// The notification of an SNS action that brings this content.
pub(crate) fn received(content: &Value) -> String {
    format!(
        r#"{{"notificationType":"Received","mail":{{"messageId":"m","timestamp":"2026-01-01T00:00:00Z","source":"a@example.com"}},
           "receipt":{{"recipients":["box@example.com"],"action":{{"type":"SNS","encoding":"UTF8"}}}},"content":{content}}}"#
    )
}

/// The result, or the message of a panic.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        format!("panic: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or_default())
    })
}

/// Leaves out what can be left out while it still fails: halves, quarters, down to bytes.
pub(crate) fn shrink_while(mut input: Vec<u8>, fails: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    /// Enough to make a case readable, and an end to what is slow.
    const MAX_TRIALS: usize = 2000;
    let mut trials = 0;
    let mut length = input.len() / 2;
    while length > 0 {
        let mut at = 0;
        while at < input.len() && trials < MAX_TRIALS {
            trials += 1;
            let mut part = input.clone();
            part.drain(at..(at + length).min(input.len()));
            if fails(&part) {
                input = part;
            } else {
                at += length;
            }
        }
        length /= 2;
    }
    input
}
