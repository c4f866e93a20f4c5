//! Reads what the table's stream brings.
//!
//! The types are ours, since those of `aws_lambda_events` read the old image as well: see docs/design.md. A batch of a stream
//! succeeds or fails as a whole, but a function that can't read one record can still do the others first.

use mailroom_core::lambda_event::records;
use mailroom_core::malformed::{InputProblem, MalformedInput};
use mailroom_core::timestamp::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_dynamo::{AttributeValue, Item};
use serde_json::value::RawValue;

use crate::invocation::InvocationError;
use crate::table::TableError;
use crate::table::item::deserialize_item;

/// An item that was written to the table.
#[derive(Debug)]
pub struct StreamItem {
    /// The number by which the record can be found in the stream again.
    pub sequence_number: Option<String>,
    /// When the item was written, according to DynamoDB, to the second.
    pub created_at: Option<Timestamp>,
    image: Item,
}

impl StreamItem {
    /// The item's sort key.
    pub fn sort_key(&self) -> &str {
        match self.image.get("sk") {
            Some(AttributeValue::S(sk)) => sk,
            _ => "",
        }
    }

    /// The item as it was written.
    ///
    /// # Errors
    /// [`TableError::InvalidItem`]
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, TableError> {
        deserialize_item(self.image.clone())
    }
}

/// A record of the stream that could not be read.
#[derive(Debug)]
pub struct UnreadableStreamRecord {
    /// The record's place in the batch.
    pub index: usize,
    /// Why the record could not be read. Nothing is quoted.
    pub problem: &'static str,
}

#[derive(Deserialize)]
struct RawStreamRecord<'a> {
    #[serde(borrow)]
    dynamodb: RawStreamChange<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawStreamChange<'a> {
    /// The time in seconds; some write it as 1.7695E9.
    approximate_creation_date_time: Option<f64>,
    sequence_number: Option<String>,
    #[serde(borrow)]
    new_image: Option<&'a RawValue>,
}

/// Opens a batch, in the stream's order. Removals are left out.
///
/// # Errors
/// [`InvocationError::Payload`]
pub fn parse_stream_event(
    payload: &str,
) -> Result<Vec<Result<StreamItem, UnreadableStreamRecord>>, InvocationError> {
    let records = records(payload)?.ok_or_else(|| MalformedInput::new("Records", InputProblem::Missing))?;
    Ok(records
        .into_iter()
        .enumerate()
        .filter_map(|(index, record)| parse_stream_record(index, record))
        .collect())
}

fn parse_stream_record(
    index: usize,
    record: &RawValue,
) -> Option<Result<StreamItem, UnreadableStreamRecord>> {
    let Ok(RawStreamRecord { dynamodb: change }) = serde_json::from_str(record.get()) else {
        return Some(Err(UnreadableStreamRecord { index, problem: "not a record of a table's stream" }));
    };
    let Ok(image) = serde_json::from_str(change.new_image?.get()) else {
        return Some(Err(UnreadableStreamRecord { index, problem: "not an item" }));
    };
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and what is out of range is no time")]
    let created_at = change
        .approximate_creation_date_time
        .and_then(|seconds| Timestamp::from_millis((seconds * 1000.0) as i64));
    Some(Ok(StreamItem { sequence_number: change.sequence_number, created_at, image }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_batch_and_its_odd_records() {
        let payload = r#"{"Records":[
            {"eventName":"INSERT","dynamodb":{"ApproximateCreationDateTime":1.769525978E9,"SequenceNumber":"7",
             "NewImage":{"sk":{"S":"FEEDBACK#1"},"n":{"N":"3"}},"Keys":{}}},
            {"eventName":"REMOVE","dynamodb":{"Keys":{},"OldImage":{}}},
            {"eventName":"INSERT","dynamodb":{"NewImage":{"sk":{"X":""}}}},
            7,
            {"eventName":"INSERT","dynamodb":{"NewImage":{}}}]}"#;
        let records = parse_stream_event(payload).unwrap();
        let [Ok(first), Err(second), Err(third), Ok(fourth)] = &records[..] else { panic!("{records:?}") };
        assert_eq!(first.created_at.unwrap().to_string(), "2026-01-27T14:59:38.000Z");
        assert_eq!((first.sort_key(), first.sequence_number.as_deref()), ("FEEDBACK#1", Some("7")));
        assert_eq!(first.parse::<Value>().unwrap(), json!({"sk": "FEEDBACK#1", "n": 3}));
        assert_eq!((second.index, second.problem), (2, "not an item"));
        assert_eq!((third.index, third.problem), (3, "not a record of a table's stream"));
        assert_eq!((fourth.sort_key(), fourth.created_at), ("", None));
        for payload in ["", "{}", r#"{"Records":{}}"#] {
            assert!(matches!(parse_stream_event(payload), Err(InvocationError::Payload { .. })), "{payload}");
        }
    }
}
