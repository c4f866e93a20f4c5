//! That what today's functions store and send is what 405ee81 can read.

use std::time::Duration;

use golden::{GoldenFile, plain};
use mailroom_core::address::Address;
use mailroom_core::suppression::address_state::{ApplyAttempt, ImportResult};
use mailroom_core::suppression::operator::OperatorDecision;
use mailroom_core::suppression::peer_message::{self, PeerState};
use mailroom_core::suppression::spellings::Spellings;
use mailroom_core::suppression::{
    AddressState, StateChange, Statement, StatementSource, SuppressionReason, SuppressionState,
};
use mailroom_core::timestamp::Timestamp;
use serde_json::Value;

use crate::shape::{self, DECISION, LEASE, MESSAGE, STATE};
use crate::world::{
    self, Region, note_content, read, restore_region, run, run_apply_until, run_reconcile_until,
};

/// SQS took no more when 405ee81 was written.
const MAX_MESSAGE_BYTES: usize = 256 * 1024;

pub(crate) fn check_leases(file: &mut GoldenFile) {
    for (name, item) in file.take_rest() {
        shape::assert_fits(&plain(&item), LEASE, "a lease");
        assert_eq!(item["pk"]["S"], "REGION#us-east-1");
        assert_eq!(item["sk"]["S"], format!("LEASE#{name}"));
        assert_eq!(item.as_object().unwrap().len(), 4);
    }
}

pub(crate) fn assert_note_fits(item: &Value) {
    let (name, content, version) = world::note(item);
    assert!(version > 0, "{name}");
    let shape = shape::of_note(&name).unwrap_or_else(|| panic!("405ee81 has no note {name}"));
    shape::assert_fits(&content, shape, &name);
}

pub(crate) fn now() -> Timestamp {
    Timestamp::parse("2026-03-02T12:00:00.001Z").unwrap()
}

/// What today's methods make of each state of 405ee81.
pub(crate) fn successors(state: &AddressState) -> Vec<AddressState> {
    let statement =
        |source| Statement { at: now(), source, region: "eu-west-1".to_owned(), id: "0100019d".to_owned() };
    let change = |statement: SuppressionState| StateChange {
        address: state.address().to_owned(),
        spellings: Spellings::from_iter([state.address()]),
        state: statement,
    };
    let changes = [
        SuppressionState::from_reason(SuppressionReason::Bounce, statement(StatementSource::Transient)),
        SuppressionState::from_reason(SuppressionReason::Complaint, statement(StatementSource::Complaint)),
        SuppressionState::from_release(statement(StatementSource::Operator)),
    ];
    let advanced = changes.map(|said| AddressState::join_change(Some(state), &change(said), now()));
    let mut states: Vec<_> = advanced.into_iter().flatten().collect();
    states.push(state.assign_to_job("import/put/1.json"));
    states.push(state.record_accepted_removal(now()));
    states.extend(state.mark_newly_pending([state.address()], Some(state.address()), now()));
    states.extend(state.record_listed_entry(Some(SuppressionReason::Complaint), now(), [state.address()]));
    let overdue =
        state.assign_to_job("import/put/2.json").mark_job_overdue("import/put/2.json", now()).unwrap();
    let ended = ImportResult::Failed { cause: "failed in an import job".to_owned() };
    states.extend(overdue.record_import_result("import/put/2.json", ended, now()));
    states.push(overdue);
    let attempts = [
        ApplyAttempt::Written { reason: None, enabled: true },
        ApplyAttempt::Written { reason: Some(SuppressionReason::Bounce), enabled: false },
        ApplyAttempt::TrustedSes { reason: SuppressionReason::Complaint, enabled: true },
        ApplyAttempt::RefusedSandbox,
        ApplyAttempt::Failed { cause: "BadRequestException".to_owned(), retryable: false },
    ];
    states.extend(attempts.map(|attempt| state.record_attempt(state.version(), attempt, now())));
    states
}

#[test]
fn states_and_messages_of_today_are_what_405ee81_reads() {
    let mut states = Vec::new();
    for item in GoldenFile::read("states").take_rest().values() {
        shape::assert_fits(&plain(item), STATE, "a state of 405ee81");
        states.extend(successors(&read(item)));
    }
    for state in &states {
        shape::assert_fits(&serde_json::to_value(state).unwrap(), STATE, "a state of today");
    }
    let messages: Vec<_> =
        peer_message::pack_states("us-east-1", states.iter().cycle().take(5000).map(PeerState::from))
            .collect();
    assert!(messages.len() > 1);
    for text in messages {
        assert!(text.len() <= MAX_MESSAGE_BYTES);
        let message: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(message["version"], 1);
        shape::assert_fits(&message, MESSAGE, "a message of today");
        for state in message["states"].as_array().unwrap() {
            assert!(
                ["bounced", "complained", "released"].iter().any(|kind| state[kind].is_object()),
                "{state}"
            );
            // 405ee81 takes only spellings of the address, and none that has anything around it.
            let address = state["address"].as_str().unwrap();
            for spelling in state["spellings"].as_array().unwrap() {
                let spelling = Address::parse(spelling.as_str().unwrap()).unwrap();
                assert_eq!(spelling.match_form(), address);
            }
        }
    }
}

#[test]
fn decisions_of_today_are_what_405ee81_reads() {
    let address = Address::parse("Jane@Example.com").unwrap();
    let statement =
        Statement { at: now(), source: StatementSource::Bounce, region: String::new(), id: String::new() };
    for known in
        [SuppressionState::default(), SuppressionState::from_reason(SuppressionReason::Bounce, statement)]
    {
        for suppress in [None, Some(SuppressionReason::Bounce), Some(SuppressionReason::Complaint)] {
            let decision = OperatorDecision::new(&address, suppress, "ops", "ticket 7", now(), &known, "");
            shape::assert_fits(&serde_json::to_value(decision).unwrap(), DECISION, "a decision of today");
        }
    }
}

/// Notes are written at every step of a pass, of telling the peers and of import jobs.
#[test]
fn notes_of_today_are_what_405ee81_reads() {
    let passes = GoldenFile::read("passes").take("ended");
    let storm = GoldenFile::read("import-jobs").take("planned");
    run(async {
        let mut seen = std::collections::BTreeSet::new();
        for effects in 1..60 {
            let region = restore_region(&passes).await;
            region.clock.advance(Duration::from_hours(7));
            run_reconcile_until(&region, effects).await;
            seen.extend(assert_notes_fit(&region));
            let region = restore_region(&storm).await;
            region.clock.advance(Duration::from_mins(2));
            run_apply_until(&region, effects).await;
            seen.extend(assert_notes_fit(&region));
        }
        let written =
            ["first-pass", "import-job", "peer-eu-west-1", "reconcile", "reconcile-seen-0", "records"];
        assert!(seen.iter().map(String::as_str).eq(written), "{seen:?}");
    });
}

fn assert_notes_fit(region: &Region) -> Vec<String> {
    let mut names = Vec::new();
    for (name, shape) in shape::NOTES {
        let content = note_content(region, name);
        if !content.is_null() {
            shape::assert_fits(&content, shape, name);
            names.push(name.to_owned());
        }
    }
    names
}
