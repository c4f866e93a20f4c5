//! Writes an operator's decisions as records, but for those that would change nothing. Each states the latest time in the
//! address's state, which is read just before: it overrules all of that.

use std::collections::HashSet;

use futures_util::{StreamExt, stream};
use mailroom_aws::clock::Clock;
use mailroom_aws::table::TableError;
use mailroom_aws::table::records::RecordTable;
use mailroom_aws::table::states::StateTable;
use mailroom_core::suppression::SuppressionState;
use mailroom_core::suppression::address_state::{AddressState, LastKnownEntry};
use mailroom_core::suppression::operator::{OperatorAction, OperatorDecision};
use mailroom_core::suppression::reason::SuppressionReason;

use crate::address_list::ListedAddress;
use crate::aws;

/// Addresses that are read and written at a time: what the table's adapter has under way at once.
pub(super) const CHUNK_SIZE: usize = 400;
/// States that are read at once.
const MAX_PARALLEL_READS: usize = 32;

/// What is decided.
pub(super) struct DecisionDetails<'a> {
    /// The addresses are suppressed, each for its own reason, or released.
    pub(super) action: OperatorAction,
    pub(super) operator: &'a str,
    pub(super) justification: &'a str,
}

/// How many addresses there were. Spellings of one address are counted apart only in `done`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct DecisionTally {
    /// So many were otherwise before.
    pub(super) newly_decided: usize,
    /// So many were as decided before.
    pub(super) already_in_effect: usize,
    /// So many of the list are done with, whether or not anything was to be written.
    pub(super) processed: usize,
}

/// What came of writing decisions.
#[derive(Debug)]
pub(super) struct DecisionRun {
    pub(super) tally: DecisionTally,
    /// What stopped it, in words; `None` if all of the list is done with.
    pub(super) stop_reason: Option<String>,
}

/// Writes the decisions, as many at a time as go at once.
pub(super) async fn append_decision_records(
    states: &impl StateTable,
    records: &impl RecordTable,
    clock: &impl Clock,
    details: &DecisionDetails<'_>,
    addresses: &[ListedAddress],
    mut on_chunk_processed: impl FnMut(u64),
) -> DecisionRun {
    let mut tally = DecisionTally::default();
    let mut counted = HashSet::new();
    for chunk in addresses.chunks(CHUNK_SIZE) {
        let deadline = aws::call_deadline();
        let read = stream::iter(chunk).map(|entry| states.get_state(entry.address.match_form(), deadline));
        let read: Vec<_> = read.buffered(MAX_PARALLEL_READS).collect().await;
        // Taken per chunk and after its states were read: a decision overrules whatever happened before it.
        let now = clock.now();
        let nothing = SuppressionState::default();
        let (mut decisions, mut were_so) = (Vec::new(), Vec::new());
        for (ListedAddress { address, reason }, state) in chunk.iter().zip(read) {
            let suppress = reason.filter(|_| details.action == OperatorAction::Suppress);
            let state = match state {
                Ok(state) => state,
                // A newer version may have written it: the decision is good for that one too, by its time.
                Err(TableError::InvalidItem(_)) => None,
                Err(error) => {
                    let stop_reason = Some(aws::explain_table_error(&error, aws::READ_ACTIONS));
                    return DecisionRun { tally, stop_reason };
                }
            };
            let so = is_already_in_effect(state.as_ref(), suppress);
            were_so.push(so);
            if !so || suppress.is_none() {
                let known = state.as_ref().map_or(&nothing, AddressState::state);
                let decision = OperatorDecision::new(
                    address,
                    suppress,
                    details.operator,
                    details.justification,
                    now,
                    known,
                    "",
                );
                decisions.push(decision);
            }
        }
        let lost = records.append(&decisions, aws::call_deadline()).await;
        let lost_of: HashSet<_> = lost.iter().map(|lost| decisions[lost.index].recipient.as_str()).collect();
        for (ListedAddress { address, .. }, so) in chunk.iter().zip(were_so) {
            if lost_of.contains(address.spelling()) {
                continue;
            }
            tally.processed += 1;
            if counted.insert(address.match_form()) {
                *(if so { &mut tally.already_in_effect } else { &mut tally.newly_decided }) += 1;
            }
        }
        if let Some(first) = lost.first() {
            let stop_reason = Some(aws::explain_table_error(&first.error, "dynamodb:BatchWriteItem"));
            return DecisionRun { tally, stop_reason };
        }
        on_chunk_processed(chunk.len() as u64);
    }
    DecisionRun { tally, stop_reason: None }
}

/// Whether an address is as was decided. A suppression must also have got to the list, or be on its way there: where it was
/// given up, or taken off by hand, saying so again is what makes it go there.
fn is_already_in_effect(state: Option<&AddressState>, wanted_reason: Option<SuppressionReason>) -> bool {
    let Some(wanted) = wanted_reason else {
        return state.is_none_or(|state| state.effective_reason().is_none());
    };
    state.is_some_and(|state| {
        let on_list = matches!(state.last_known_entry(), Some(LastKnownEntry { reason, removal_accepted: false, .. }) if reason == state.effective_reason());
        state.effective_reason() >= Some(wanted) && (state.is_pending() || on_list)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what failed by panicking")]
mod tests {
    use std::time::Duration;

    use doubles::{MemoryClock, MemoryTable};
    use mailroom_core::address::Address;
    use mailroom_core::suppression::address_state::{ApplyAttempt, StateChange};
    use mailroom_core::suppression::{Statement, StatementSource};
    use mailroom_core::timestamp::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::address_list;

    const BOUNCE: Option<SuppressionReason> = Some(SuppressionReason::Bounce);
    const COMPLAINT: Option<SuppressionReason> = Some(SuppressionReason::Complaint);

    fn now() -> Timestamp {
        Timestamp::parse("2026-03-01T12:00:00Z").unwrap()
    }

    fn addresses(texts: &[&str]) -> Vec<Address> {
        texts.iter().map(|text| address_list::parse_non_simulator_address(text).unwrap()).collect()
    }

    async fn run(
        states: &MemoryTable,
        records: &impl RecordTable,
        suppress: Option<SuppressionReason>,
        addresses: &[Address],
    ) -> (DecisionTally, Option<String>, u64) {
        let entries: Vec<_> = addresses
            .iter()
            .map(|address| ListedAddress { address: address.clone(), reason: suppress })
            .collect();
        run_entries(states, records, suppress, &entries).await
    }

    async fn run_entries(
        states: &MemoryTable,
        records: &impl RecordTable,
        suppress: Option<SuppressionReason>,
        entries: &[ListedAddress],
    ) -> (DecisionTally, Option<String>, u64) {
        let action = if suppress.is_some() { OperatorAction::Suppress } else { OperatorAction::Release };
        let what = DecisionDetails { action, operator: "ops", justification: "ticket 7" };
        let mut seen = 0;
        let clock = MemoryClock::at(now());
        let DecisionRun { tally, stop_reason } =
            append_decision_records(states, records, &clock, &what, entries, |done| seen += done).await;
        (tally, stop_reason, seen)
    }

    /// Takes all decisions in, as decide does, and has `apply` write the list.
    async fn settle(states: &MemoryTable, written: bool) {
        for record in states.records() {
            let decision: OperatorDecision = serde_json::from_value(record).unwrap();
            let known = states.get_state(&decision.address, aws::call_deadline()).await.unwrap();
            let change = decision.to_state_change("us-east-1");
            let Some(next) = AddressState::join_change(known.as_ref(), &change, now()) else { continue };
            states.put_state(&next, known.map(|known| known.version()), aws::call_deadline()).await.unwrap();
            if written {
                let attempt = ApplyAttempt::Written { reason: next.effective_reason(), enabled: true };
                let done = next.record_attempt(next.version(), attempt, now());
                states.put_state(&done, Some(next.version()), aws::call_deadline()).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_decision_is_a_record_and_making_it_again_is_none() {
        let states = MemoryTable::default();
        let two = addresses(&["Jane@Example.com", "joe@example.com"]);
        let (tally, stopped, seen) = run(&states, &states, COMPLAINT, &two).await;
        assert_eq!(
            (tally, stopped, seen),
            (DecisionTally { newly_decided: 2, already_in_effect: 0, processed: 2 }, None, 2)
        );
        let records = states.records();
        assert_eq!(records.len(), 2);
        let jane = &records[0];
        for (field, value) in [
            ("pk", "ADDR#jane@example.com"),
            ("kind", "operator"),
            ("action", "suppress"),
            ("reason", "complaint"),
            ("recipient", "Jane@Example.com"),
            ("who", "ops"),
            ("why", "ticket 7"),
            ("decided_at", "2026-03-01T12:00:00.000Z"),
        ] {
            assert_eq!(jane[field], value, "{field}");
        }
        for written in [false, true] {
            settle(&states, written).await;
            // A complaint is the graver of the two.
            for reason in [COMPLAINT, BOUNCE] {
                let (tally, ..) = run(&states, &states, reason, &two).await;
                assert_eq!(tally, DecisionTally { newly_decided: 0, already_in_effect: 2, processed: 2 });
                assert_eq!(states.records().len(), 2);
            }
        }
    }

    /// The complaint is dated after the decisions, as if the operator's clock were behind.
    #[tokio::test]
    async fn a_decision_overrules_what_was_read_before_it() {
        let states = MemoryTable::default();
        let jane = addresses(&["jane@example.com"]);
        let ahead = now().plus(Duration::from_mins(4));
        let said = Statement {
            at: ahead,
            source: StatementSource::Complaint,
            region: "eu-west-1".to_owned(),
            id: "0100".to_owned(),
        };
        let complaint = StateChange {
            address: "jane@example.com".to_owned(),
            spellings: ["jane@example.com"].into_iter().collect(),
            state: SuppressionState::from_reason(SuppressionReason::Complaint, said),
        };
        let complained = AddressState::join_change(None, &complaint, now()).unwrap();
        states.put_state(&complained, None, aws::call_deadline()).await.unwrap();
        let later = ahead.plus(Duration::from_millis(1));
        for (suppress, overrules) in [(None, ahead), (BOUNCE, ahead), (None, later)] {
            let records = MemoryTable::default();
            run(&states, &records, suppress, &jane).await;
            let decision: OperatorDecision = serde_json::from_value(records.records().remove(0)).unwrap();
            assert_eq!((decision.decided_at, decision.overrules), (now(), Some(overrules)));
            let known = states.states().remove(0);
            let next = AddressState::join_change(Some(&known), &decision.to_state_change("us-east-1"), now())
                .unwrap();
            assert_eq!(next.effective_reason(), suppress);
            states.put_state(&next, Some(known.version()), aws::call_deadline()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_graver_reason_and_a_lost_entry_are_new() {
        let states = MemoryTable::default();
        let jane = addresses(&["jane@example.com"]);
        run(&states, &states, BOUNCE, &jane).await;
        settle(&states, true).await;
        assert_eq!(run(&states, &MemoryTable::default(), COMPLAINT, &jane).await.0.newly_decided, 1);
        let state = states.states().remove(0);
        states
            .put_state(&state.record_accepted_removal(now()), Some(state.version()), aws::call_deadline())
            .await
            .unwrap();
        assert_eq!(run(&states, &MemoryTable::default(), BOUNCE, &jane).await.0.newly_decided, 1);
        let refused = states.states().remove(0);
        let refused = refused.record_attempt(refused.version(), ApplyAttempt::RefusedSandbox, now());
        states.put_state(&refused, Some(refused.version() - 1), aws::call_deadline()).await.unwrap();
        assert_eq!(run(&states, &MemoryTable::default(), BOUNCE, &jane).await.0.newly_decided, 1);
    }

    #[tokio::test]
    async fn a_release_is_always_written_in_every_spelling_and_counted_once() {
        let states = MemoryTable::default();
        run(&states, &states, BOUNCE, &addresses(&["jane@example.com"])).await;
        settle(&states, true).await;
        let records = MemoryTable::default();
        let three = addresses(&["jane@example.com", "Jane@Example.com", "joe@example.com"]);
        let (tally, stopped, _) = run(&states, &records, None, &three).await;
        assert_eq!(
            (tally, stopped),
            (DecisionTally { newly_decided: 1, already_in_effect: 1, processed: 3 }, None)
        );
        assert_eq!(records.records().len(), 3);
        assert!(records.records().iter().all(|record| record["action"] == "release"));
    }

    #[tokio::test]
    async fn each_address_has_its_own_reason_which_a_release_ignores() {
        let states = MemoryTable::default();
        let entries: Vec<_> = addresses(&["jane@example.com", "joe@example.com"])
            .into_iter()
            .zip([BOUNCE, COMPLAINT])
            .map(|(address, reason)| ListedAddress { address, reason })
            .collect();
        for (suppress, written) in
            [(BOUNCE, [json!("bounce"), json!("complaint")]), (None, [json!(null), json!(null)])]
        {
            let records = MemoryTable::default();
            run_entries(&states, &records, suppress, &entries).await;
            let reasons: Vec<_> = records.records().iter().map(|record| record["reason"].clone()).collect();
            assert_eq!(reasons, written);
        }
    }

    #[tokio::test]
    async fn a_long_list_goes_in_pieces_and_trouble_stops_it_where_it_is() {
        let many: Vec<_> = (0..1000).map(|n| format!("a{n}@example.com")).collect();
        let many = addresses(&many.iter().map(String::as_str).collect::<Vec<_>>());
        let states = MemoryTable::default();
        let records = MemoryTable::default();
        let (tally, stopped, seen) = run(&states, &records, BOUNCE, &many).await;
        assert_eq!((tally.newly_decided, stopped, seen, records.records().len()), (1000, None, 1000, 1000));

        let records = MemoryTable::default();
        records.fail_keys(&["ADDR#a450@example.com"]);
        let (tally, stopped, seen) = run(&states, &records, BOUNCE, &many).await;
        assert_eq!(
            (tally, seen),
            (DecisionTally { newly_decided: 799, already_in_effect: 0, processed: 799 }, 400)
        );
        assert_eq!(
            stopped.as_deref(),
            Some("no answer but errors until the deadline, the last: injected failure")
        );
        assert_eq!(records.records().len(), 799);

        let records = MemoryTable::default();
        states.fail(1);
        let (tally, stopped, _) = run(&states, &records, BOUNCE, &many).await;
        assert_eq!((tally.processed, stopped.is_some(), records.records().len()), (0, true, 0));
    }
}
