//! The handler with its ports in memory: what is joined, and exactly which messages come back.
#![allow(clippy::unwrap_used, reason = "a test says what failed by panicking")]

use std::time::Duration;

use doubles::{MemoryClock, MemoryDeadLetters, MemoryMetrics, MemoryTable, failed_ids, sqs_event};
use mailroom_aws::clock::Clock;
use mailroom_aws::dead_letters::DeadLetterError;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::invocation::{InvocationError, SqsBatchResponse};
use mailroom_core::suppression::SuppressionReason;
use mailroom_core::timestamp::Timestamp;
use merge::handler::MergeFunction;
use serde_json::{Value, json};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events/merge");

type Function = MergeFunction<MemoryTable, MemoryDeadLetters, MemoryClock, MemoryMetrics>;

fn function() -> Function {
    MergeFunction {
        table: MemoryTable::default(),
        dead_letters: MemoryDeadLetters::default(),
        clock: MemoryClock::at(Timestamp::parse("2026-02-01T00:00:00Z").unwrap()),
        metrics: MemoryMetrics::default(),
    }
}

/// What a peer says of an address, `ahead` seconds from now.
fn said(function: &Function, what: &str, address: &str, ahead: u64) -> Value {
    let at = function.clock.now().plus(Duration::from_secs(ahead));
    let said = json!({"at": at, "source": "bounce", "region": "us-west-2", "id": "0100"});
    json!({"address": address, "spellings": [address], what: said})
}

fn message(states: &[Value]) -> String {
    json!({"version": 1, "origin": "us-west-2", "states": states}).to_string()
}

async fn handle(function: &Function, payload: &str) -> Result<SqsBatchResponse, InvocationError> {
    function.handle(payload, Deadline::after(Duration::from_secs(5))).await
}

/// The places of the messages that come back.
async fn merge(function: &Function, bodies: &[String]) -> Vec<String> {
    failed_ids(handle(function, &sqs_event(bodies.iter().enumerate()).to_string()).await.unwrap())
}

fn in_force(function: &Function) -> Vec<(String, Option<SuppressionReason>, bool, u64)> {
    let states = function.table.states().into_iter();
    states
        .map(|state| {
            (state.address().to_owned(), state.effective_reason(), state.is_pending(), state.version())
        })
        .collect()
}

#[tokio::test]
async fn several_addresses_of_a_message_are_joined_and_again_nothing_changes() {
    let function = function();
    let bounced = said(&function, "bounced", "a@example.com", 0);
    let released = said(&function, "released", "b@example.com", 0);
    let messages = [message(&[bounced, released])];
    for _ in 0..2 {
        assert_eq!(merge(&function, &messages).await, [""; 0]);
        assert_eq!(
            in_force(&function),
            [
                ("a@example.com".to_owned(), Some(SuppressionReason::Bounce), true, 1),
                ("b@example.com".to_owned(), None, true, 1),
            ]
        );
        function.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(function.metrics.get("StatesAdvanced"), 2);
    assert_eq!(function.metrics.get("StatesReceived"), 4);
}

#[tokio::test]
async fn an_address_is_written_once_however_many_messages_name_it() {
    let function = function();
    let complained = message(&[said(&function, "complained", "a@example.com", 2)]);
    let bounced = message(&[said(&function, "bounced", "a@example.com", 1)]);
    assert_eq!(merge(&function, &[complained, bounced.clone(), bounced]).await, [""; 0]);
    assert_eq!(function.table.stream(0).len(), 1);
    assert_eq!(function.table.states()[0].effective_reason(), Some(SuppressionReason::Complaint));
}

#[tokio::test]
async fn poison_is_a_dead_letter_and_what_may_pass_comes_back_and_their_neighbours_are_joined() {
    let function = function();
    let messages = [
        message(&[said(&function, "bounced", "a@example.com", 300)]),
        message(&[
            said(&function, "bounced", "b@example.com", 301),
            said(&function, "bounced", "c@example.com", 0),
        ]),
        "Hello".to_owned(),
        json!({"version": 2, "origin": "us-west-2", "states": []}).to_string(),
        message(&[json!({"address": "d"}), said(&function, "bounced", "e@example.com", 0)]),
        message(&[]),
    ];
    // From the future, and from a newer version: both may be joined later.
    assert_eq!(merge(&function, &messages).await, ["1", "3"]);
    let letters = function.dead_letters.letters();
    let letters: Vec<_> = letters.iter().map(|letter| (&letter.body, letter.reason.to_string())).collect();
    assert_eq!(
        letters,
        [
            (&messages[2], "payload: not JSON".to_owned()),
            (&messages[4], "states[0].spellings: not spellings of one address".to_owned())
        ]
    );
    let joined: Vec<_> = in_force(&function).into_iter().map(|(address, ..)| address).collect();
    assert_eq!(joined, ["a@example.com", "c@example.com", "e@example.com"]);
    assert_eq!(["MessagesPoisoned", "MessagesReturned"].map(|name| function.metrics.get(name)), [2, 2]);
    // The one that lies in the future: what can't be read says nothing of clocks.
    assert_eq!(function.metrics.get("StatesRefused"), 1);
    // The clocks agree by the time it comes back.
    function.clock.advance(Duration::from_secs(1));
    assert_eq!(merge(&function, &messages[1..2]).await, [""; 0]);
    assert_eq!(function.table.states().len(), 4);
}

#[tokio::test]
async fn exactly_the_messages_come_back_of_which_something_is_not_joined() {
    let function = function();
    let state = |address| said(&function, "bounced", address, 0);
    let messages = [
        message(&[state("a@example.com"), state("b@example.com")]),
        message(&[state("b@example.com")]),
        message(&[state("c@example.com"), state("a@example.com")]),
    ];
    // Addresses are read in their order.
    function.table.fail(1);
    assert_eq!(merge(&function, &messages).await, ["0", "2"]);
    assert_eq!(function.metrics.get("AddressesFailed"), 1);
    assert_eq!(merge(&function, &messages).await, [""; 0]);
    assert!(in_force(&function).iter().all(|(.., version)| *version == 1));
}

#[tokio::test]
async fn a_conflict_is_read_again_until_the_deadline() {
    let function = function();
    let messages = [message(&[said(&function, "bounced", "a@example.com", 0)])];
    function.table.conflict(3);
    assert_eq!(merge(&function, &messages).await, [""; 0]);
    let later = json!({"Records": [{"messageId": "m",
        "body": message(&[said(&function, "released", "a@example.com", 1)])}]});
    function.table.conflict(usize::MAX);
    let response = function.handle(&later.to_string(), Deadline::after(Duration::ZERO)).await.unwrap();
    assert_eq!(response.batch_item_failures.len(), 1);
}

#[tokio::test]
async fn a_message_handed_over_directly() {
    let function = function();
    let good = message(&[said(&function, "bounced", "a@example.com", 0)]);
    assert_eq!(handle(&function, &good).await.unwrap(), SqsBatchResponse::default());
    assert_eq!(handle(&function, r#"{"states":[]}"#).await.unwrap(), SqsBatchResponse::default());
    assert_eq!(function.dead_letters.letters()[0].body, r#"{"states":[]}"#);
    function.dead_letters.fail(Some(DeadLetterError::Refused("AccessDenied".to_owned())));
    assert!(handle(&function, r#"{"states":[]}"#).await.is_err());
    assert_eq!(function.table.states().len(), 1);
}

#[tokio::test]
async fn the_samples() {
    let sample = |name: &str| std::fs::read_to_string(format!("{SAMPLES}/{name}.json")).unwrap();
    for (name, failures, letters, states) in [
        ("two-addresses", 0, 0, 2),
        ("release", 0, 0, 1),
        ("good-and-bad", 1, 2, 2),
        ("from-the-future", 1, 0, 1),
        ("direct", 0, 0, 1),
    ] {
        let function = function();
        let response = handle(&function, &sample(name)).await.unwrap();
        assert_eq!(response.batch_item_failures.len(), failures, "{name}");
        assert_eq!(function.dead_letters.letters().len(), letters, "{name}");
        assert_eq!(function.table.states().len(), states, "{name}");
    }
}
