//! Finds the records that call for a decision, wherever they lie in the table, to make up for those that the stream has
//! lost.
//!
//! No index lists them by time, and none should: it would write every bounce twice so that what is lost once a year is
//! found cheaply. The table is scanned instead, seldom; a page costs what it reads, decidable or not.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use mailroom_core::suppression::FeedbackFact;
use mailroom_core::suppression::operator::OperatorDecision;
use mailroom_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::error;

use crate::dynamo::{read_item, retried};
use crate::states::{DynamoStates, TableError};

/// Scans the table.
pub trait DecidableRecords {
    /// A page of the records that have happened since `since`, in no order. A page may be empty and not the last.
    ///
    /// # Errors
    /// See [`TableError`].
    async fn decidable(
        &self,
        since: Timestamp,
        after: Option<&RecordKey>,
        deadline: Instant,
    ) -> Result<RecordPage, TableError>;
}

/// One page of records that call for a decision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordPage {
    /// The records of what SES said.
    pub told: Vec<FeedbackFact>,
    /// The records of what operators decided.
    pub decisions: Vec<OperatorDecision>,
    /// How many records besides could not be read. They are in the log.
    pub unreadable: usize,
    /// The key to go on from; `None` after the last page.
    pub next: Option<RecordKey>,
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
    fn take(
        &mut self,
        sk: &str,
        told: Result<FeedbackFact, TableError>,
        decision: impl FnOnce() -> Result<OperatorDecision, TableError>,
    ) {
        let unreadable = if sk.starts_with("OPERATOR#") {
            decision().map(|decision| self.decisions.push(decision)).err()
        } else {
            told.map(|told| self.told.push(told)).err()
        };
        if let Some(why) = unreadable {
            self.unreadable += 1;
            error!("a record is left out: {why}");
        }
    }
}

type Item = HashMap<String, AttributeValue>;

fn text(item: &Item, name: &str) -> Option<String> {
    item.get(name)?.as_s().ok().cloned()
}

impl DecidableRecords for DynamoStates {
    async fn decidable(
        &self,
        since: Timestamp,
        after: Option<&RecordKey>,
        deadline: Instant,
    ) -> Result<RecordPage, TableError> {
        let start = after.map(|key| {
            let [pk, sk] = [&key.pk, &key.sk].map(|text| AttributeValue::S(text.clone()));
            HashMap::from([("pk".to_owned(), pk), ("sk".to_owned(), sk)])
        });
        let scan = || {
            let scan = self.client.scan().table_name(&self.table);
            scan.filter_expression(
                "attribute_exists(#decidable) AND (#occurred >= :since OR #decided >= :since)",
            )
            .expression_attribute_names("#decidable", "decidable")
            .expression_attribute_names("#occurred", "occurred_at")
            .expression_attribute_names("#decided", "decided_at")
            .expression_attribute_values(":since", AttributeValue::S(since.to_string()))
            .set_exclusive_start_key(start.clone())
            .send()
        };
        let output = retried(deadline, scan).await?;
        let mut page = RecordPage::default();
        for item in output.items.unwrap_or_default() {
            let sk = text(&item, "sk").unwrap_or_default();
            page.take(&sk, read_item(item.clone()), || read_item(item));
        }
        let key = |key: Item| Some(RecordKey { pk: text(&key, "pk")?, sk: text(&key, "sk")? });
        page.next = output.last_evaluated_key.and_then(key);
        Ok(page)
    }
}
