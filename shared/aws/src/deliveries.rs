//! The latest delivery to each address, by which soft bounces are counted: one small item per address.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{StreamExt, stream};
use mailroom_core::suppression::delivery::LatestDelivery;
use tokio::time::Instant;

use crate::dynamo::{Failure, retried, told};
use crate::records::{AppendError, DynamoRecords, NotDurable};

/// The number of calls that are under way at once: enough to hide latency, few enough for one invocation's share of the
/// table.
const MAX_CALLS_AT_ONCE: usize = 16;
/// DynamoDB's answer if the condition does not hold.
const CONDITION_FAILED: &str = "ConditionalCheckFailedException";

/// Keeps the latest delivery of each address.
pub trait LatestDeliveries {
    /// Writes each delivery unless the table holds a later one of its address. Returns those that are not durable when it
    /// returns, by their place in `deliveries`. Returns by `deadline`. Writing one twice changes nothing.
    async fn keep_latest(&self, deliveries: &[LatestDelivery], deadline: Instant) -> Vec<NotDurable>;
}

impl DynamoRecords {
    async fn keep_one(&self, delivery: &LatestDelivery, deadline: Instant) -> Result<(), AppendError> {
        // Once the time is up, even calls that are given up at once would take more than is left for the answer.
        if Instant::now() >= deadline {
            return Err(AppendError::Deadline("not sent".to_owned()));
        }
        let item: HashMap<String, AttributeValue> =
            serde_dynamo::to_item(delivery).map_err(|error| AppendError::NotAnItem(error.to_string()))?;
        let put = || {
            let put = self.client.put_item().table_name(&self.table).set_item(Some(item.clone()));
            // Times are of one width, so they are ordered as texts.
            put.condition_expression("attribute_not_exists(#at) OR #at < :at")
                .expression_attribute_names("#at", "occurred_at")
                .expression_attribute_values(":at", AttributeValue::S(delivery.occurred_at.to_string()))
                .send()
        };
        match retried(deadline, put).await {
            Ok(_) => Ok(()),
            Err(Failure::Refused(error)) if error.code() == Some(CONDITION_FAILED) => Ok(()),
            Err(Failure::Refused(error)) => Err(AppendError::Refused(told(&error))),
            Err(Failure::Deadline(trouble)) => Err(AppendError::Deadline(trouble)),
        }
    }
}

impl LatestDeliveries for DynamoRecords {
    async fn keep_latest(&self, deliveries: &[LatestDelivery], deadline: Instant) -> Vec<NotDurable> {
        let kept: Vec<_> = stream::iter(deliveries.iter().enumerate())
            .map(|(index, delivery)| async move { (index, self.keep_one(delivery, deadline).await) })
            .buffer_unordered(MAX_CALLS_AT_ONCE)
            .collect()
            .await;
        let lost = |(index, kept): (usize, Result<(), AppendError>)| {
            kept.err().map(|error| NotDurable { index, error })
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
        let table = DynamoRecords::new(&stub.config(), "table");
        let deadline = Instant::now() + Duration::from_secs(30);
        for millis in [2, 1] {
            let not_durable = table.keep_latest(&[delivery("a@example.com", millis)], deadline).await;
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
        let table = DynamoRecords::new(&stub.config(), "table");
        let deadline = Instant::now() + Duration::from_secs(30);
        let not_durable = table.keep_latest(&[delivery("a@example.com", 1)], deadline).await;
        let errors: Vec<_> = not_durable.iter().map(|lost| (lost.index, lost.error.to_string())).collect();
        assert_eq!(errors, [(0, "refused: AccessDeniedException".to_owned())]);
    }
}
