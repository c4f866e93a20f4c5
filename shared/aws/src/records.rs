//! The table of records.
//!
//! Timeline of a batch: chunks of up to 25 are sent, 16 at once, and each goes on by itself (pauses, items that DynamoDB left
//! unprocessed, chunks that it refused) until it is durable or the deadline has come. Records that are not durable by
//! then are reported, so that exactly their messages come back.
//!
//! An item in the SDK's types takes several times the memory of its record, so a chunk's items are made when it is sent, and
//! a chunk of large items has fewer than 25.

use std::collections::{HashMap, HashSet};
use std::iter::Peekable;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use futures_util::{StreamExt, stream};
use mailroom_core::record::Record;
use tokio::time::{Instant, timeout_at};

use crate::dynamo::{Backoff, may_pass, told};

/// The most items that BatchWriteItem takes in one call.
const MAX_BATCH: usize = 25;
/// The most bytes of a chunk's items, as [`memory`] counts them. An ordinary record is some 5 KB, so that 25 of them fit;
/// with [`MAX_CALLS_AT_ONCE`] of them, their requests and the retries' copies this is some 20 MB.
const MAX_CHUNK_BYTES: usize = 256 * 1024;
/// What an attribute takes besides its text: its value, and its share of the map that it is in.
const ATTRIBUTE_BYTES: usize = 96;
/// How many calls are under way at once: enough to hide latency, few enough for one invocation's share of the table.
const MAX_CALLS_AT_ONCE: usize = 16;
/// DynamoDB's answer to a call that can't be right. One odd item has the other 24 refused, too.
const INVALID_CODE: &str = "ValidationException";

/// Appends records.
pub trait RecordTable {
    /// Writes all records, whose keys must differ, and returns those that are not durable when it returns, by their place
    /// in `records`. Returns by `deadline`. Writing a record twice changes nothing.
    async fn append<R: Record>(&self, records: &[R], deadline: Instant) -> Vec<NotDurable>;
}

/// A record that may or may not have been written.
#[derive(Debug)]
pub struct NotDurable {
    /// The record's place in the slice that was given.
    pub index: usize,
    /// Why the record is not known to be durable.
    pub error: AppendError,
}

/// Why a record was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The calls were throttled, failed or were not answered until the deadline. A retry can help.
    #[error("no answer but errors until the deadline, the last: {0}")]
    Deadline(String),
    /// DynamoDB refused the call in a way that this invocation can't mend, such as for a missing permission. A retry can
    /// help once that is mended.
    #[error("refused: {0}")]
    Refused(String),
    /// The record can't be put as a DynamoDB item. No retry can help.
    #[error("not an item: {0}")]
    NotAnItem(String),
}

/// DynamoDB's table.
pub struct DynamoRecords {
    pub(crate) client: Client,
    pub(crate) table: String,
}

impl DynamoRecords {
    /// A table in the configuration's own Region.
    pub fn new(config: &aws_config::SdkConfig, table: impl Into<String>) -> Self {
        Self { client: Client::new(config), table: table.into() }
    }

    /// Writes one chunk, and returns what is not durable afterwards, and why.
    async fn append_chunk(&self, chunk: Chunk, deadline: Instant) -> Vec<NotDurable> {
        let Chunk { puts, mut not_durable } = chunk;
        // A chunk that DynamoDB refuses for one of its items is halved until that item is alone.
        let mut chunks = vec![puts];
        while let Some(chunk) = chunks.pop() {
            if chunk.is_empty() {
                continue;
            }
            match self.append_until(chunk, deadline).await {
                Ok(()) => {}
                Err((AppendError::Refused(why), mut puts)) if why == INVALID_CODE && puts.len() > 1 => {
                    chunks.push(puts.split_off(puts.len() / 2));
                    chunks.push(puts);
                }
                Err((error, puts)) => {
                    not_durable.extend(
                        puts.into_iter().map(|put| NotDurable { index: put.index, error: error.clone() }),
                    );
                }
            }
        }
        not_durable
    }

    /// Writes items until none is left unprocessed, with full jitter between attempts.
    async fn append_until(
        &self,
        mut puts: Vec<Put>,
        deadline: Instant,
    ) -> Result<(), (AppendError, Vec<Put>)> {
        // Once the time is up, even calls that are given up at once would take more than is left for the answer.
        if Instant::now() >= deadline {
            return Err((AppendError::Deadline("not sent".to_owned()), puts));
        }
        let mut backoff = Backoff::new();
        loop {
            let requests = puts.iter().map(|put| put.request.clone()).collect();
            let call = self.client.batch_write_item().request_items(&self.table, requests).send();
            let trouble = match timeout_at(deadline, call).await {
                Err(_) => "timed out".to_owned(),
                Ok(Ok(output)) => {
                    let unprocessed = output.unprocessed_items.unwrap_or_default().remove(&self.table);
                    puts = still_to_do(puts, unprocessed.unwrap_or_default());
                    if puts.is_empty() {
                        return Ok(());
                    }
                    "unprocessed items".to_owned()
                }
                Ok(Err(error)) => {
                    let told = told(&error);
                    if !may_pass(&error) {
                        return Err((AppendError::Refused(told), puts));
                    }
                    told
                }
            };
            if !backoff.pause(deadline).await {
                return Err((AppendError::Deadline(trouble), puts));
            }
        }
    }
}

impl RecordTable for DynamoRecords {
    async fn append<R: Record>(&self, records: &[R], deadline: Instant) -> Vec<NotDurable> {
        let mut not_durable = Vec::new();
        let mut done = stream::iter(chunks(records))
            .map(|chunk| self.append_chunk(chunk, deadline))
            .buffer_unordered(MAX_CALLS_AT_ONCE);
        while let Some(left) = done.next().await {
            not_durable.extend(left);
        }
        not_durable
    }
}

/// The records of one call.
struct Chunk {
    puts: Vec<Put>,
    /// The records among them that are no items.
    not_durable: Vec<NotDurable>,
}

/// Cuts records into chunks, and makes the items of each when it is asked for.
fn chunks<R: Record>(records: &[R]) -> impl Iterator<Item = Chunk> {
    let mut puts = records.iter().enumerate().map(|(index, record)| Put::new(index, record)).peekable();
    std::iter::from_fn(move || {
        puts.peek()?;
        Some(next_chunk(&mut puts))
    })
}

fn next_chunk(puts: &mut Peekable<impl Iterator<Item = Result<Put, NotDurable>>>) -> Chunk {
    let (mut chunk, mut bytes) = (Chunk { puts: Vec::new(), not_durable: Vec::new() }, 0);
    let fits = |chunk: &Chunk, bytes: usize, put: &Result<Put, NotDurable>| {
        let more = put.as_ref().map_or(0, |put| put.bytes);
        chunk.puts.is_empty() || (chunk.puts.len() < MAX_BATCH && bytes + more <= MAX_CHUNK_BYTES)
    };
    while let Some(put) = puts.next_if(|put| fits(&chunk, bytes, put)) {
        match put {
            Ok(put) => {
                bytes += put.bytes;
                chunk.puts.push(put);
            }
            Err(never) => chunk.not_durable.push(never),
        }
    }
    chunk
}

/// A record in the form that DynamoDB takes.
struct Put {
    index: usize,
    key: (String, String),
    request: WriteRequest,
    bytes: usize,
}

impl Put {
    fn new(index: usize, record: &impl Record) -> Result<Self, NotDurable> {
        let refused = |error: &dyn std::error::Error| NotDurable {
            index,
            error: AppendError::NotAnItem(error.to_string()),
        };
        let mut item: HashMap<String, AttributeValue> =
            serde_dynamo::to_item(record).map_err(|error| refused(&error))?;
        // What SES did not say becomes no attribute, since nulls are bytes that are paid for.
        item.retain(|_, value| !value.is_null());
        let bytes = item.iter().map(|(name, value)| name.len() + memory(value)).sum();
        let put = PutRequest::builder().set_item(Some(item)).build().map_err(|error| refused(&error))?;
        Ok(Self { index, key: key(record), request: WriteRequest::builder().put_request(put).build(), bytes })
    }
}

/// About how many bytes a value takes in memory.
fn memory(value: &AttributeValue) -> usize {
    let inner = match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.len(),
        AttributeValue::L(values) => values.iter().map(memory).sum(),
        AttributeValue::M(values) => values.iter().map(|(name, value)| name.len() + memory(value)).sum(),
        _ => 0,
    };
    ATTRIBUTE_BYTES + inner
}

fn key(record: &impl Record) -> (String, String) {
    let (pk, sk) = record.key();
    (pk.to_owned(), sk.to_owned())
}

/// The items that DynamoDB handed back unprocessed.
fn still_to_do(puts: Vec<Put>, unprocessed: Vec<WriteRequest>) -> Vec<Put> {
    let key_of = |request: WriteRequest| {
        let mut item = request.put_request?.item;
        let mut text = |name: &str| match item.remove(name)? {
            AttributeValue::S(text) => Some(text),
            _ => None,
        };
        Some((text("pk")?, text("sk")?))
    };
    let left: HashSet<_> = unprocessed.into_iter().filter_map(key_of).collect();
    puts.into_iter().filter(|put| left.contains(&put.key)).collect()
}

#[cfg(test)]
mod tests {
    use serde::ser::Error;
    use serde::{Serialize, Serializer};

    use super::*;

    #[derive(Serialize)]
    struct Text {
        pk: String,
        filler: String,
        never: Option<NoItem>,
    }

    /// What can't be an item.
    struct NoItem;

    impl Serialize for NoItem {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(S::Error::custom("no item"))
        }
    }

    impl Record for Text {
        fn key(&self) -> (&str, &str) {
            (&self.pk, "")
        }
    }

    fn text(n: usize, bytes: usize) -> Text {
        Text { pk: n.to_string(), filler: "x".repeat(bytes), never: None }
    }

    #[test]
    fn a_chunk_is_25_records_or_a_quarter_of_a_megabyte() {
        let sizes = |records: &[Text]| chunks(records).map(|chunk| chunk.puts.len()).collect::<Vec<_>>();
        let of = |count: usize, bytes| (0..count).map(|n| text(n, bytes)).collect::<Vec<_>>();
        assert_eq!(sizes(&of(0, 1)), [0; 0]);
        assert_eq!(sizes(&of(60, 1000)), [25, 25, 10]);
        assert_eq!(sizes(&of(5, 100 * 1024)), [2, 2, 1]);
        assert_eq!(sizes(&of(3, 300 * 1024)), [1, 1, 1]);
        let mut records = of(30, 10);
        records[3].never = Some(NoItem);
        records[29].never = Some(NoItem);
        let cut: Vec<_> = chunks(&records).collect();
        let places: Vec<_> = cut.iter().flat_map(|chunk| chunk.puts.iter().map(|put| put.index)).collect();
        assert_eq!(places, (0..30).filter(|n| ![3, 29].contains(n)).collect::<Vec<_>>());
        let lost: Vec<_> =
            cut.iter().flat_map(|chunk| chunk.not_durable.iter().map(|lost| lost.index)).collect();
        assert_eq!(lost, [3, 29]);
    }

    /// What is not being sent yet takes no memory.
    #[test]
    fn no_chunk_holds_room_for_others() {
        let records: Vec<_> = (0..1000).map(|n| text(n, 10)).collect();
        assert!(chunks(&records).all(|chunk| chunk.puts.capacity() < 2 * MAX_BATCH));
    }
}
