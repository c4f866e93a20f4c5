//! What peers of 405ee81 send.

use std::collections::BTreeMap;
use std::time::Duration;

use doubles::{MemoryClock, MemoryDeadLetters, MemoryMetrics, MemoryTable, sqs_event};
use golden::{GoldenFile, items};
use mailroom_core::suppression::address_state::AddressState;
use mailroom_core::suppression::{SuppressionReason, SuppressionState};
use mailroom_core::timestamp::Timestamp;
use merge::handler::MergeFunction;
use serde_json::Value;

use crate::shape::{self, MESSAGE};
use crate::world::{read, run, within};

pub(crate) fn check(file: &mut GoldenFile) {
    let (bounce, complaint) = (Some(SuppressionReason::Bounce), Some(SuppressionReason::Complaint));
    let decided = [
        ("j\u{fc}rgen@example.com", bounce),
        ("released@example.com", None),
        ("single@example.com", bounce),
        ("suppressed@example.com", bounce),
        ("unwanted@example.com", complaint),
    ];
    for (name, address) in [
        ("decide-bounce-beyond-ascii", 0),
        ("decide-release", 1),
        ("decide-bounce", 2),
        ("decide-suppress-bounce", 3),
        ("decide-suppress-complaint", 4),
    ] {
        assert_eq!(effective(&merged(&file.take(name))), [decided[address]], "{name}");
    }
    assert_eq!(effective(&merged(&file.take("decide-batch"))), decided);

    let states = merged(&file.take("reconcile"));
    let said = |state: &AddressState| (state.address().to_owned(), state.state().clone());
    let expected: BTreeMap<String, SuppressionState> =
        GoldenFile::read("states").take_rest().values().map(|item| said(&read(item))).collect();
    assert_eq!(states.iter().map(said).collect::<BTreeMap<_, _>>(), expected);
    assert!(states.iter().all(AddressState::is_pending));
}

fn effective(states: &[AddressState]) -> Vec<(&str, Option<SuppressionReason>)> {
    states.iter().map(|state| (state.address(), state.effective_reason())).collect()
}

/// The states that merge makes of messages. None of them comes back or becomes a dead letter.
fn merged(messages: &Value) -> Vec<AddressState> {
    let function = MergeFunction {
        table: MemoryTable::default(),
        dead_letters: MemoryDeadLetters::default(),
        clock: MemoryClock::at(Timestamp::parse("2026-03-01T13:00:00Z").unwrap()),
        metrics: MemoryMetrics::default(),
    };
    let messages: Vec<&str> = items(messages).iter().map(|message| message.as_str().unwrap()).collect();
    for message in &messages {
        shape::assert_fits(&serde_json::from_str(message).unwrap(), MESSAGE, "a message");
    }
    let payload = sqs_event(messages.iter().enumerate()).to_string();
    let response = run(function.handle(&payload, within(Duration::from_secs(5)))).unwrap();
    assert!(response.batch_item_failures.is_empty());
    assert_eq!(function.metrics.get("DeadLettersSent"), 0);
    function.table.states()
}
