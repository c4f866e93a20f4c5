//! The table's stream.

use mailroom_core::timestamp::Timestamp;
use serde_json::{Value, json};

/// A change of the table, as its stream tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemChange {
    /// The item before the change; `None` if there was none.
    pub old: Option<Value>,
    /// The item after the change.
    pub new: Value,
}

/// The batch with which the stream wakes a function, each change with the time that DynamoDB would give it.
pub fn stream_event<'a>(
    changes: impl IntoIterator<Item = (&'a ItemChange, Timestamp)>,
    region: &str,
) -> Value {
    let record = |(index, (change, created_at)): (usize, (&ItemChange, Timestamp))| {
        let mut dynamodb = json!({
            "ApproximateCreationDateTime": created_at.seconds(),
            "Keys": {"pk": {"S": change.new["pk"]}, "sk": {"S": change.new["sk"]}},
            "SequenceNumber": format!("{:021}", index + 1),
            "NewImage": image(&change.new),
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        });
        if let Some(old) = &change.old {
            dynamodb["OldImage"] = image(old);
        }
        json!({
            "eventID": format!("{index:032x}"),
            "eventName": if change.old.is_some() { "MODIFY" } else { "INSERT" },
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": region,
            "dynamodb": dynamodb,
        })
    };
    json!({"Records": changes.into_iter().enumerate().map(record).collect::<Vec<_>>()})
}

fn image(item: &Value) -> Value {
    let item: serde_dynamo::Item = serde_dynamo::to_item(item).unwrap();
    serde_json::to_value(item).unwrap()
}

#[cfg(test)]
mod tests {
    use mailroom_aws::stream;

    use super::*;

    #[test]
    fn an_event_is_read_back() {
        let new = json!({"pk": "ADDR#a", "sk": "SUPPRESSION", "version": 2, "none": null, "list": ["a", {"b": true}]});
        let change = ItemChange { old: Some(json!({"version": 1})), new: new.clone() };
        let at = Timestamp::from_millis(1_769_525_978_237).unwrap();
        let event = stream_event([(&change, at)], "us-east-1").to_string();
        let records = stream::parse_stream_event(&event).unwrap();
        let [Ok(written)] = &records[..] else { panic!("{records:?}") };
        assert_eq!(written.parse::<Value>().unwrap(), new);
        assert_eq!(written.created_at.unwrap().millis(), 1_769_525_978_000);
    }
}
