//! What the table remembers of an address, for an operator to read.

use std::cmp::Reverse;

use mailroom_core::suppression::address_state::partition_key;
use serde_json::Value;

use super::item::{deserialize_item, string_attribute};
use super::{RegionTable, TableError};
use crate::deadline::Deadline;
use crate::retry::retry_until_deadline;

/// How the sort keys of the records that are read begin, up to the time.
const SORT_KEY_PREFIXES: [&str; 2] = ["FEEDBACK#", "OPERATOR#"];

/// Reads records as they are stored, including what a newer version put there.
pub trait RecordHistory {
    /// The newest feedback on an address (match form) and operators' decisions on it, newest first, at most `limit`.
    /// Returns by `deadline`.
    ///
    /// # Errors
    /// See [`TableError`].
    async fn newest_records(
        &self,
        match_form: &str,
        limit: usize,
        deadline: Deadline,
    ) -> Result<Vec<Value>, TableError>;
}

impl RecordHistory for RegionTable {
    async fn newest_records(
        &self,
        match_form: &str,
        limit: usize,
        deadline: Deadline,
    ) -> Result<Vec<Value>, TableError> {
        let mut found = Vec::new();
        for prefix in SORT_KEY_PREFIXES {
            let (mut start, mut left) = (None, limit);
            while left > 0 {
                let query = || {
                    let query = self.client.query().table_name(&self.name).consistent_read(true);
                    query
                        .key_condition_expression("#pk = :pk AND begins_with(#sk, :prefix)")
                        .expression_attribute_names("#pk", "pk")
                        .expression_attribute_names("#sk", "sk")
                        .expression_attribute_values(":pk", string_attribute(&partition_key(match_form)))
                        .expression_attribute_values(":prefix", string_attribute(prefix))
                        .scan_index_forward(false)
                        .limit(i32::try_from(left).unwrap_or(i32::MAX))
                        .set_exclusive_start_key(start.clone())
                        .send()
                };
                let output = retry_until_deadline(deadline, query).await?;
                let items = output.items.unwrap_or_default();
                left = left.saturating_sub(items.len());
                for item in items {
                    found.push(deserialize_item(item)?);
                }
                start = output.last_evaluated_key;
                if start.is_none() {
                    break;
                }
            }
        }
        Ok(sort_newest_first(found, limit))
    }
}

/// The time in a record's sort key; `None` if it is not a record of these kinds.
fn record_time(record: &Value) -> Option<&str> {
    let sk = record.get("sk")?.as_str()?;
    let rest = SORT_KEY_PREFIXES.iter().find_map(|prefix| sk.strip_prefix(prefix))?;
    rest.split('#').next()
}

fn sort_newest_first(mut records: Vec<Value>, limit: usize) -> Vec<Value> {
    records.sort_by_cached_key(|record| Reverse(record_time(record).unwrap_or_default().to_owned()));
    records.truncate(limit);
    records
}
