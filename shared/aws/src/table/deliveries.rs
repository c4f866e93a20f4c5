//! The latest delivery to each address, by which soft bounces are counted: one small item per address.

use futures_util::{StreamExt, stream};
use mailroom_core::suppression::delivery::LatestDelivery;

use super::item::{serialize_item, string_attribute};
use super::records::{AppendFailure, MAX_CONCURRENT_CALLS};
use super::{RegionTable, TableError, is_condition_failed};
use crate::deadline::Deadline;
use crate::retry::retry_until_deadline;

/// Keeps the latest delivery of each address.
pub trait DeliveryTable {
    /// Writes each delivery unless the table holds a later one of its address. Returns those that are not durable when it
    /// returns, by their place in `deliveries`. Returns by `deadline`. Writing one twice changes nothing.
    async fn put_if_latest(&self, deliveries: &[LatestDelivery], deadline: Deadline) -> Vec<AppendFailure>;
}

impl RegionTable {
    async fn put_one_if_latest(
        &self,
        delivery: &LatestDelivery,
        deadline: Deadline,
    ) -> Result<(), TableError> {
        // Once the time is up, even calls that are given up at once would take more than is left for the answer.
        if deadline.has_passed() {
            return Err(TableError::DeadlineExceeded("not sent".to_owned()));
        }
        let item = serialize_item(delivery)?;
        let put = || {
            let put = self.client.put_item().table_name(&self.name).set_item(Some(item.clone()));
            // Times are of one width, so they are ordered as texts.
            put.condition_expression("attribute_not_exists(#at) OR #at < :at")
                .expression_attribute_names("#at", "occurred_at")
                .expression_attribute_values(":at", string_attribute(&delivery.occurred_at))
                .send()
        };
        match retry_until_deadline(deadline, put).await {
            Ok(_) => Ok(()),
            Err(failure) if is_condition_failed(&failure) => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    }
}

impl DeliveryTable for RegionTable {
    async fn put_if_latest(&self, deliveries: &[LatestDelivery], deadline: Deadline) -> Vec<AppendFailure> {
        let kept: Vec<_> = stream::iter(deliveries.iter().enumerate())
            .map(|(index, delivery)| async move { (index, self.put_one_if_latest(delivery, deadline).await) })
            .buffer_unordered(MAX_CONCURRENT_CALLS)
            .collect()
            .await;
        let lost = |(index, kept): (usize, Result<(), TableError>)| {
            kept.err().map(|error| AppendFailure { index, error })
        };
        kept.into_iter().filter_map(lost).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mailroom_core::timestamp::Timestamp;
    use serde_json::Value;

    use super::*;
    use doubles::stub::Stub;

    fn delivery(address: &str, millis: i64) -> LatestDelivery {
        let at = Timestamp::from_millis(millis).unwrap();
        LatestDelivery::new(address, address, "event", at)
    }

    #[tokio::test]
    async fn an_earlier_delivery_never_overwrites_a_later_one() {
        let refused =
            r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"no"}"#;
        let stub = Stub::start([(200, "{}"), (400, refused)]);
        let table = RegionTable::new(&stub.config(), "table");
        let deadline = Deadline::after(Duration::from_secs(30));
        for millis in [2, 1] {
            let not_durable = table.put_if_latest(&[delivery("a@example.com", millis)], deadline).await;
            assert!(not_durable.is_empty(), "{not_durable:?}");
        }
        let asked: Vec<Value> =
            stub.bodies().iter().map(|body| serde_json::from_str(body).unwrap()).collect();
        assert_eq!(asked[0]["ConditionExpression"], "attribute_not_exists(#at) OR #at < :at");
        assert_eq!(asked[0]["ExpressionAttributeValues"][":at"]["S"], "1970-01-01T00:00:00.002Z");
        assert_eq!(asked[0]["Item"]["sk"]["S"], "DELIVERED");
        assert!(asked[0]["Item"].get("message_id").is_none(), "it must not be in an index");
    }

    #[tokio::test]
    async fn what_is_not_durable_is_named() {
        let denied = r#"{"__type":"com.amazonaws.dynamodb.v20120810#AccessDeniedException","message":"no"}"#;
        let stub = Stub::start([(400, denied)]);
        let table = RegionTable::new(&stub.config(), "table");
        let deadline = Deadline::after(Duration::from_secs(30));
        let not_durable = table.put_if_latest(&[delivery("a@example.com", 1)], deadline).await;
        let errors: Vec<_> = not_durable.iter().map(|lost| (lost.index, lost.error.to_string())).collect();
        assert_eq!(errors, [(0, "refused: AccessDeniedException".to_owned())]);
    }
}
