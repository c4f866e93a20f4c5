//! Finds the records that call for a decision, wherever they lie in the table, to make up for those that the stream has
//! lost.
//!
//! No index lists them by time, and none should: it would write every bounce twice so that what is lost once a year is
//! found cheaply. The table is scanned instead, seldom; a page costs what it reads, decidable or not.

use mailroom_core::suppression::FeedbackSummary;
use mailroom_core::suppression::operator::OperatorDecision;
use mailroom_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::error;

use super::item::{Item, deserialize_item, get_string, string_attribute};
use super::{RegionTable, TableError};
use crate::deadline::Deadline;
use crate::retry::retry_until_deadline;

/// Scans the table.
pub trait RecordScan {
    /// A page of the records that have happened since `occurred_since`, in no order. A page may be empty and not the last.
    ///
    /// # Errors
    /// See [`TableError`].
    async fn decidable_records(
        &self,
        occurred_since: Timestamp,
        after: Option<&RecordKey>,
        deadline: Deadline,
    ) -> Result<RecordPage, TableError>;
}

/// One page of records that call for a decision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordPage {
    /// The records of what SES said.
    pub feedback_summaries: Vec<FeedbackSummary>,
    /// The records of what operators decided.
    pub decisions: Vec<OperatorDecision>,
    /// How many records besides could not be read. They are in the log.
    pub unreadable_count: usize,
    /// The key to go on from; `None` after the last page.
    pub next_key: Option<RecordKey>,
}

/// The key of the last record of a page, which may be kept in JSON between invocations. It holds an address, so it may
/// not go into a log line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecordKey {
    /// The record's partition key.
    pub pk: String,
    /// The record's sort key.
    pub sk: String,
}

impl RecordPage {
    /// Adds the record that an item is, or counts it as unreadable.
    fn add_record(&mut self, item: Item) {
        let unreadable = if get_string(&item, "sk").is_some_and(|sk| sk.starts_with("OPERATOR#")) {
            deserialize_item(item).map(|decision| self.decisions.push(decision)).err()
        } else {
            deserialize_item(item).map(|fact| self.feedback_summaries.push(fact)).err()
        };
        if let Some(why) = unreadable {
            self.unreadable_count += 1;
            error!("a record is left out: {why}");
        }
    }
}

impl RecordScan for RegionTable {
    async fn decidable_records(
        &self,
        occurred_since: Timestamp,
        after: Option<&RecordKey>,
        deadline: Deadline,
    ) -> Result<RecordPage, TableError> {
        let start = after.map(|key| {
            let [pk, sk] = [&key.pk, &key.sk].map(string_attribute);
            Item::from([("pk".to_owned(), pk), ("sk".to_owned(), sk)])
        });
        let scan = || {
            let scan = self.client.scan().table_name(&self.name);
            scan.filter_expression(
                "attribute_exists(#decidable) AND (#occurred >= :since OR #decided >= :since)",
            )
            .expression_attribute_names("#decidable", "decidable")
            .expression_attribute_names("#occurred", "occurred_at")
            .expression_attribute_names("#decided", "decided_at")
            .expression_attribute_values(":since", string_attribute(&occurred_since))
            .set_exclusive_start_key(start.clone())
            .send()
        };
        let output = retry_until_deadline(deadline, scan).await?;
        let mut page = RecordPage::default();
        for item in output.items.unwrap_or_default() {
            page.add_record(item);
        }
        let key = |key: Item| {
            Some(RecordKey { pk: get_string(&key, "pk")?.to_owned(), sk: get_string(&key, "sk")?.to_owned() })
        };
        page.next_key = output.last_evaluated_key.and_then(key);
        Ok(page)
    }
}
