//! Addresses' suppression states in the table, and the records that a decision looks back on.
//!
//! There are two sparse indexes, each of which projects ALL (a state is small, and a reader of a page needs the whole of
//! it):
//!
//! | index | partition key | sort key |
//! |---|---|---|
//! | `pending` | `pending` | `due_at` |
//! | `states` | `shard` | `changed_at` |
//!
//! An index lags behind the table, so a state from a page must be read again, consistently, before it is written.

use std::ops::RangeInclusive;

use mailroom_core::suppression::FeedbackSummary;
use mailroom_core::suppression::address_state::{self, AddressState, STATE_SORT_KEY};
use mailroom_core::suppression::delivery;
use mailroom_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::error;

use super::item::{Item, deserialize_item, get_string, serialize_item, string_attribute};
use super::{PutOutcome, RegionTable, TableError};
use crate::deadline::Deadline;
use crate::retry::retry_until_deadline;

/// Reads and writes states. Each method returns by `deadline`.
pub trait StateTable {
    /// The state of an address (match form), as the last write left it; `None` if there is none.
    ///
    /// # Errors
    /// See [`TableError`].
    async fn get_state(
        &self,
        match_form: &str,
        deadline: Deadline,
    ) -> Result<Option<AddressState>, TableError>;

    /// Writes a state, on condition that the table still holds the version that was read (`None`: no state). If the table
    /// already holds this very state, that counts as written, not as a conflict: an earlier attempt's answer was lost.
    ///
    /// # Errors
    /// See [`TableError`]. It may have been written nevertheless.
    async fn put_state(
        &self,
        state: &AddressState,
        expected_version: Option<u64>,
        deadline: Deadline,
    ) -> Result<PutOutcome<Option<Box<AddressState>>>, TableError>;

    /// What an address's feedback tells the policy: of the newest `max_records_read` records within `period`, those that the policy
    /// can use, newest first; and the [latest delivery](mailroom_core::suppression::delivery), if it is kept.
    ///
    /// # Errors
    /// See [`TableError`].
    async fn feedback_and_latest_delivery(
        &self,
        match_form: &str,
        period: &RangeInclusive<Timestamp>,
        max_records_read: usize,
        deadline: Deadline,
    ) -> Result<Vec<FeedbackSummary>, TableError>;

    /// The states that are pending in a [shard](address_state::all_shards) and due by `due_by`, those that have been due longest first.
    ///
    /// # Errors
    /// See [`TableError`].
    async fn pending_states(
        &self,
        shard: &str,
        due_by: Timestamp,
        after: Option<&StateCursor>,
        limit: usize,
        deadline: Deadline,
    ) -> Result<StatePage, TableError>;

    /// The states that have changed in a [shard](address_state::all_shards) since `since` (that moment included), in the order of
    /// change. What was written just now may still be missing, also from among what is returned, so a watermark must
    /// overlap.
    ///
    /// # Errors
    /// See [`TableError`].
    async fn changed_states(
        &self,
        shard: &str,
        since: Timestamp,
        after: Option<&StateCursor>,
        limit: usize,
        deadline: Deadline,
    ) -> Result<StatePage, TableError>;
}

/// What the table holds after an [`update_state`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateUpdate {
    /// The address's state; `None` if there is none.
    pub state: Option<AddressState>,
    /// Whether the update wrote it.
    pub was_written: bool,
}

/// How often a state is written by others before an update gives up.
const MAX_CONFLICTS: usize = 10;

/// Reads an address's state and writes what `next_state` makes of it, if anything. If somebody else was faster, `next_state` is
/// applied to what they wrote.
///
/// # Errors
/// See [`TableError`]. It may have been written nevertheless.
pub async fn update_state(
    table: &impl StateTable,
    match_form: &str,
    deadline: Deadline,
    next_state: impl FnMut(Option<&AddressState>) -> Option<AddressState>,
) -> Result<StateUpdate, TableError> {
    let known = table.get_state(match_form, deadline).await?;
    update_known_state(table, match_form, known, deadline, next_state).await
}

/// Does what [`update_state`] does, from a state that was read before.
///
/// # Errors
/// See [`TableError`]. It may have been written nevertheless.
pub async fn update_known_state(
    table: &impl StateTable,
    match_form: &str,
    mut known: Option<AddressState>,
    deadline: Deadline,
    mut next_state: impl FnMut(Option<&AddressState>) -> Option<AddressState>,
) -> Result<StateUpdate, TableError> {
    for _ in 0..MAX_CONFLICTS {
        let Some(next) = next_state(known.as_ref()) else {
            return Ok(StateUpdate { state: known, was_written: false });
        };
        known = match table.put_state(&next, known.as_ref().map(AddressState::version), deadline).await? {
            PutOutcome::Written => return Ok(StateUpdate { state: Some(next), was_written: true }),
            PutOutcome::Conflict(Some(held)) => Some(*held),
            PutOutcome::Conflict(None) => table.get_state(match_form, deadline).await?,
        };
    }
    Err(TableError::Contended)
}

/// A page of states from an index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatePage {
    /// The states, in the index's order.
    pub items: Vec<AddressState>,
    /// How many states besides could not be read. They are in the log.
    pub unreadable_count: usize,
    /// Where to go on; `None` after the last page. A page may be empty and not the last.
    pub next_cursor: Option<StateCursor>,
}

/// The position of a page's last state in its index, which may be kept in JSON between invocations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StateCursor {
    /// The state's time in the index.
    pub at: Timestamp,
    /// The state's partition key in the table. It holds the address, so it may not go into a log line.
    pub pk: String,
}

/// One of the two indexes.
#[derive(Debug, Clone, Copy)]
enum StateIndex {
    Pending,
    States,
}

impl StateIndex {
    fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::States => "states",
        }
    }

    fn partition_key(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::States => "shard",
        }
    }

    fn sort_key(self) -> &'static str {
        match self {
            Self::Pending => "due_at",
            Self::States => "changed_at",
        }
    }

    /// The attribute by whose times a page is bounded.
    fn key_condition(self) -> &'static str {
        match self {
            Self::Pending => "#shard = :shard AND #at <= :bound",
            Self::States => "#shard = :shard AND #at >= :bound",
        }
    }
}

impl RegionTable {
    async fn query_index(
        &self,
        index: StateIndex,
        shard: &str,
        bound: Timestamp,
        after: Option<&StateCursor>,
        limit: usize,
        deadline: Deadline,
    ) -> Result<StatePage, TableError> {
        let start = after.map(|cursor| {
            Item::from([
                ("pk".to_owned(), string_attribute(&cursor.pk)),
                ("sk".to_owned(), string_attribute(STATE_SORT_KEY)),
                (index.partition_key().to_owned(), string_attribute(shard)),
                (index.sort_key().to_owned(), string_attribute(&cursor.at)),
            ])
        });
        let query = || {
            let query = self.client.query().table_name(&self.name).index_name(index.name());
            query
                .key_condition_expression(index.key_condition())
                .expression_attribute_names("#shard", index.partition_key())
                .expression_attribute_names("#at", index.sort_key())
                .expression_attribute_values(":shard", string_attribute(shard))
                .expression_attribute_values(":bound", string_attribute(&bound))
                .set_exclusive_start_key(start.clone())
                .limit(i32::try_from(limit).unwrap_or(i32::MAX))
                .send()
        };
        let output = retry_until_deadline(deadline, query).await?;
        let next = output.last_evaluated_key.map(|key| parse_cursor(&key, index)).transpose()?;
        let mut page = StatePage { next_cursor: next, ..StatePage::default() };
        for found in output.items.unwrap_or_default() {
            match deserialize_item(found) {
                Ok(state) => page.items.push(state),
                Err(why) => {
                    page.unreadable_count += 1;
                    error!(index = index.name(), shard, "a state is left out: {why}");
                }
            }
        }
        Ok(page)
    }
}

fn parse_cursor(key: &Item, index: StateIndex) -> Result<StateCursor, TableError> {
    let at = get_string(key, index.sort_key()).and_then(Timestamp::parse);
    let cursor = at.zip(get_string(key, "pk")).map(|(at, pk)| StateCursor { at, pk: pk.to_owned() });
    cursor.ok_or_else(|| TableError::InvalidItem("key of a page's end".to_owned()))
}

impl StateTable for RegionTable {
    async fn get_state(
        &self,
        match_form: &str,
        deadline: Deadline,
    ) -> Result<Option<AddressState>, TableError> {
        let item = self.get_item(&address_state::partition_key(match_form), STATE_SORT_KEY, deadline).await?;
        item.map(deserialize_item).transpose()
    }

    async fn put_state(
        &self,
        state: &AddressState,
        expected_version: Option<u64>,
        deadline: Deadline,
    ) -> Result<PutOutcome<Option<Box<AddressState>>>, TableError> {
        Ok(match self.put_version(&serialize_item(state)?, expected_version, deadline).await? {
            PutOutcome::Written => PutOutcome::Written,
            // A state that can't be read is reported when the caller reads it again.
            PutOutcome::Conflict(held) => {
                PutOutcome::Conflict(held.and_then(|held| deserialize_item(held).ok()).map(Box::new))
            }
        })
    }

    async fn feedback_and_latest_delivery(
        &self,
        match_form: &str,
        period: &RangeInclusive<Timestamp>,
        max_records_read: usize,
        deadline: Deadline,
    ) -> Result<Vec<FeedbackSummary>, TableError> {
        let (mut told, mut left) = (Vec::new(), max_records_read);
        let mut start = None;
        let (from, to) = feedback_sort_keys(period);
        while left > 0 {
            let query = || {
                let query = self.client.query().table_name(&self.name).consistent_read(true);
                query
                    .key_condition_expression("#pk = :pk AND #sk BETWEEN :from AND :to")
                    // Opens and clicks, where they are stored, say nothing and would be most of what is transferred.
                    .filter_expression("attribute_exists(#decidable) OR #kind = :delivery")
                    .expression_attribute_names("#pk", "pk")
                    .expression_attribute_names("#sk", "sk")
                    .expression_attribute_names("#decidable", "decidable")
                    .expression_attribute_names("#kind", "kind")
                    .expression_attribute_values(
                        ":pk",
                        string_attribute(&address_state::partition_key(match_form)),
                    )
                    .expression_attribute_values(":from", string_attribute(&from))
                    .expression_attribute_values(":to", string_attribute(&to))
                    .expression_attribute_values(":delivery", string_attribute("delivery"))
                    .scan_index_forward(false)
                    .limit(i32::try_from(left).unwrap_or(i32::MAX))
                    .set_exclusive_start_key(start.clone())
                    .send()
            };
            let output = retry_until_deadline(deadline, query).await?;
            told.extend(
                output
                    .items
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|item| skip_unreadable(deserialize_item(item))),
            );
            start = output.last_evaluated_key;
            if start.is_none() {
                break;
            }
            left = left.saturating_sub(usize::try_from(output.scanned_count).unwrap_or(0).max(1));
        }
        // Read last, so that it is no older than the records.
        let delivered = self
            .get_item(&address_state::partition_key(match_form), delivery::DELIVERY_SORT_KEY, deadline)
            .await?;
        told.extend(delivered.and_then(|item| skip_unreadable(deserialize_item(item))));
        Ok(told)
    }

    async fn pending_states(
        &self,
        shard: &str,
        due_by: Timestamp,
        after: Option<&StateCursor>,
        limit: usize,
        deadline: Deadline,
    ) -> Result<StatePage, TableError> {
        self.query_index(StateIndex::Pending, shard, due_by, after, limit, deadline).await
    }

    async fn changed_states(
        &self,
        shard: &str,
        since: Timestamp,
        after: Option<&StateCursor>,
        limit: usize,
        deadline: Deadline,
    ) -> Result<StatePage, TableError> {
        self.query_index(StateIndex::States, shard, since, after, limit, deadline).await
    }
}

/// The sort keys between which the feedback of a time range lies: `$` comes right after the `#` that ends a key's time.
fn feedback_sort_keys(time: &RangeInclusive<Timestamp>) -> (String, String) {
    (format!("FEEDBACK#{}#", time.start()), format!("FEEDBACK#{}$", time.end()))
}

/// A record of the past that can't be read is left out: failing for it would keep the address from every decision.
fn skip_unreadable(told: Result<FeedbackSummary, TableError>) -> Option<FeedbackSummary> {
    told.inspect_err(|why| error!("a record is left out of an address's history: {why}")).ok()
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue;
    use mailroom_core::suppression::address_state::StateChange;
    use mailroom_core::suppression::policy::HISTORY_LIMIT;
    use mailroom_core::suppression::{Statement, StatementSource, SuppressionReason, SuppressionState};

    use super::*;
    use doubles::stub::Stub;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis).unwrap()
    }

    fn change(address: &str, millis: i64) -> StateChange {
        let said = Statement {
            at: at(millis),
            source: StatementSource::Bounce,
            region: String::new(),
            id: String::new(),
        };
        StateChange {
            address: address.to_owned(),
            spellings: [address].into_iter().collect(),
            state: SuppressionState::from_reason(SuppressionReason::Bounce, said),
        }
    }

    /// Reading an item back depends on the mapping, which is stricter about types than JSON is.
    #[test]
    fn an_item_of_dynamodb_is_read_back() {
        let first = AddressState::join_change(None, &change("a@example.com", 1), at(1)).unwrap();
        let state = first.record_attempt(
            1,
            mailroom_core::suppression::address_state::ApplyAttempt::Failed {
                cause: "x".to_owned(),
                retryable: true,
            },
            at(2),
        );
        let item: Item = serde_dynamo::to_item(&state).unwrap();
        assert_eq!(item["version"], AttributeValue::N("2".to_owned()));
        assert_eq!(item["pending"], AttributeValue::S(address_state::shard("a@example.com")));
        assert_eq!(item["due_at"].as_s().map(String::as_str), Ok("1970-01-01T00:01:00.002Z"));
        assert!(item.values().all(|value| !value.is_null()));
        assert_eq!(deserialize_item::<AddressState>(item).unwrap(), state);
    }

    /// Two pages of records of January 1970, as `history` finds them, each with the key to go on from.
    const PAGES: [&str; 2] = [
        r#"{"Items":[{"kind":{"S":"delivery"},"event_id":{"S":"d"},"occurred_at":{"S":"1970-01-03T00:00:00.000Z"},
            "recipient":{"S":"a@example.com"},"address":{"S":"a@example.com"}}],"Count":1,"ScannedCount":300,
            "LastEvaluatedKey":{"pk":{"S":"ADDR#a@example.com"},"sk":{"S":"FEEDBACK#1970-01-03"}}}"#,
        r#"{"Items":[{"odd":{"S":"record"}},{"kind":{"S":"bounce"},"event_id":{"S":"b"},"decidable":{"S":"transient"},"bounce_type":{"S":"Transient"},
            "occurred_at":{"S":"1970-01-02T00:00:00.000Z"},"recipient":{"S":"a@example.com"},
            "address":{"S":"a@example.com"}}],"Count":2,"ScannedCount":200,
            "LastEvaluatedKey":{"pk":{"S":"ADDR#a@example.com"},"sk":{"S":"FEEDBACK#1970-01-02"}}}"#,
    ];

    /// The item of the latest delivery, which `history` reads last.
    const LATEST_DELIVERY: &str = r#"{"Item":{"kind":{"S":"delivery"},"event_id":{"S":"latest"},
        "occurred_at":{"S":"1970-01-01T00:00:00.000Z"},"recipient":{"S":"a@example.com"},
        "address":{"S":"a@example.com"},"expires_at":{"N":"5356800"}}}"#;

    /// The requests that were made, and the events that `history` told.
    async fn history(pages: &[&'static str], limit: usize) -> (Vec<serde_json::Value>, Vec<String>) {
        let delivered = [(200, LATEST_DELIVERY)];
        let stub = Stub::start(pages.iter().map(|page| (200, *page)).chain(delivered));
        let table = RegionTable::new(&stub.config(), "table");
        let deadline = Deadline::after(std::time::Duration::from_secs(30));
        let told = table
            .feedback_and_latest_delivery("a@example.com", &(at(0)..=at(1)), limit, deadline)
            .await
            .unwrap();
        let asked = stub.bodies().iter().map(|body| serde_json::from_str(body).unwrap()).collect();
        (asked, told.into_iter().map(|told| told.event_id).collect())
    }

    /// DynamoDB's limit is that of a page, and counts what is looked at, including what the filter leaves out.
    #[tokio::test]
    async fn a_history_is_read_page_by_page_up_to_its_limit() {
        // The limit is reached, so the page after that is not asked for.
        let (asked, told) = history(&PAGES, HISTORY_LIMIT).await;
        assert_eq!(told, ["d", "b", "latest"]);
        assert_eq!(asked[2]["Key"]["sk"]["S"], "DELIVERED");
        assert_eq!((asked[0]["Limit"].as_u64(), asked[1]["Limit"].as_u64()), (Some(500), Some(200)));
        assert!(asked[0].get("ExclusiveStartKey").is_none());
        assert_eq!(asked[1]["ExclusiveStartKey"]["sk"]["S"], "FEEDBACK#1970-01-03");
        let bounds = &asked[1]["ExpressionAttributeValues"];
        assert_eq!(bounds[":from"]["S"], "FEEDBACK#1970-01-01T00:00:00.000Z#");
        assert_eq!(bounds[":to"]["S"], "FEEDBACK#1970-01-01T00:00:00.001Z$");

        let (asked, told) = history(&PAGES[..1], 300).await;
        assert_eq!((asked.len(), told), (2, vec!["d".to_owned(), "latest".to_owned()]));
        let (asked, told) = history(&[PAGES[0], r#"{"Items":[],"Count":0,"ScannedCount":0}"#], 9_999).await;
        assert_eq!((asked[1]["Limit"].as_u64(), told.len()), (Some(9_699), 2));
    }

    /// DynamoDB's answer to a condition that failed, with the item that is there.
    fn in_conflict_with(state: &AddressState) -> (u16, &'static str) {
        let item: serde_dynamo::Item = serde_dynamo::to_item(state).unwrap();
        let kind = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
        let body = serde_json::json!({"__type": kind, "message": "no", "Item": item});
        (400, body.to_string().leak())
    }

    #[tokio::test]
    async fn an_update_in_conflict_goes_on_from_what_the_table_holds() {
        let (theirs, ours) = (change("a@example.com", 1), change("a@example.com", 2));
        let held = AddressState::join_change(None, &theirs, at(1)).unwrap();
        let both = AddressState::join_change(Some(&held), &ours, at(2)).unwrap();
        let advance = |known: Option<&AddressState>| AddressState::join_change(known, &ours, at(2));
        let deadline = Deadline::after(std::time::Duration::from_secs(30));
        // The item is not read again, and an answer that was lost is no conflict.
        for last in [(200, "{}"), in_conflict_with(&both)] {
            let stub = Stub::start([(200, "{}"), in_conflict_with(&held), last]);
            let table = RegionTable::new(&stub.config(), "table");
            let updated = update_state(&table, "a@example.com", deadline, advance).await.unwrap();
            assert_eq!(updated, StateUpdate { state: Some(both.clone()), was_written: true });
            assert_eq!(stub.bodies().len(), 3);
        }
    }

    #[test]
    fn where_a_page_ends() {
        for index in [StateIndex::Pending, StateIndex::States] {
            let key = [("pk", "ADDR#a"), ("sk", STATE_SORT_KEY), (index.partition_key(), "03")];
            let key = key.into_iter().chain([(index.sort_key(), "1970-01-01T00:00:00.001Z")]);
            let key: Item = key.map(|(name, value)| (name.to_owned(), string_attribute(value))).collect();
            assert_eq!(parse_cursor(&key, index), Ok(StateCursor { at: at(1), pk: "ADDR#a".to_owned() }));
        }
        assert!(parse_cursor(&Item::new(), StateIndex::States).is_err());
    }
}
