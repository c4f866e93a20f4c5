//! Updates of states.

use std::time::Duration;

use doubles::{MemoryTable, change};
use mailroom_aws::deadline::Deadline;
use mailroom_aws::table::states::{StateUpdate, update_state};
use mailroom_core::suppression::{
    AddressState, Statement, StatementSource, SuppressionReason, SuppressionState,
};
use mailroom_core::timestamp::Timestamp;

#[tokio::test]
async fn an_update_in_conflict_with_nobody_knows_what_reads_again() {
    let table = MemoryTable::default();
    let at = Timestamp::from_millis(1).unwrap();
    let said = Statement { at, source: StatementSource::Bounce, region: String::new(), id: String::new() };
    let change = change("a@example.com", SuppressionState::from_reason(SuppressionReason::Bounce, said));
    let advance = |known: Option<&AddressState>| AddressState::join_change(known, &change, at);
    let deadline = Deadline::after(Duration::from_secs(30));
    table.conflict(2);
    let first = update_state(&table, "a@example.com", deadline, advance).await.unwrap();
    assert_eq!((first.state.as_ref(), first.was_written), (table.states().first(), true));
    let again = update_state(&table, "a@example.com", deadline, advance).await.unwrap();
    assert_eq!(again, StateUpdate { was_written: false, ..first });
    assert_eq!(update_state(&table, "b@example.com", deadline, |_| None).await.unwrap().state, None);
}
