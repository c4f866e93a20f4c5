//! The table of records.
//!
//! Timeline of a batch: chunks of up to 25 are sent, 16 at once, and each goes on by itself (pauses, items that DynamoDB left
//! unprocessed, chunks that it refused) until it is durable or the deadline has come. Records that are not durable by
//! then are reported, so that exactly their messages come back.
//!
//! An item in the SDK's types takes several times the memory of its record, so a chunk's items are made when it is sent, and
//! a chunk of large items has fewer than 25.

use std::collections::HashSet;
use std::iter::Peekable;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use futures_util::{StreamExt, stream};
use mailroom_core::record::TableItem;

use super::item::{Item, serialize_item};
use super::{RegionTable, TableError};
use crate::deadline::Deadline;
use crate::retry::{Backoff, error_code_or_text, is_transient};

/// The most items that BatchWriteItem takes in one call.
const MAX_BATCH_ITEMS: usize = 25;
/// The most bytes of a chunk's items, as [`estimate_memory`] counts them. An ordinary record is some 5 KB, so that 25 of them fit;
/// with [`MAX_CONCURRENT_CALLS`] of them, their requests and the retries' copies this is some 20 MB.
const MAX_CHUNK_BYTES: usize = 256 * 1024;
/// What an attribute takes besides its text: its value, and its share of the map that it is in.
const ATTRIBUTE_OVERHEAD_BYTES: usize = 96;
/// How many calls are under way at once: enough to hide latency, few enough for one invocation's share of the table.
pub(super) const MAX_CONCURRENT_CALLS: usize = 16;
/// DynamoDB's answer to a call that can't be right. One odd item has the other 24 refused, too.
const VALIDATION_ERROR_CODE: &str = "ValidationException";

/// Appends records.
pub trait RecordTable {
    /// Writes all records, whose keys must differ, and returns those that are not durable when it returns, by their place
    /// in `records`. Returns by `deadline`. Writing a record twice changes nothing.
    async fn append<R: TableItem>(&self, records: &[R], deadline: Deadline) -> Vec<AppendFailure>;
}

/// A record that may or may not have been written.
#[derive(Debug)]
pub struct AppendFailure {
    /// The record's place in the slice that was given.
    pub index: usize,
    /// Why the record is not known to be durable.
    pub error: TableError,
}

impl RegionTable {
    /// Writes one chunk, and returns what is not durable afterwards, and why.
    async fn append_chunk(&self, chunk: WriteChunk, deadline: Deadline) -> Vec<AppendFailure> {
        let WriteChunk { puts, mut failures } = chunk;
        // A chunk that DynamoDB refuses for one of its items is halved until that item is alone.
        let mut chunks = vec![puts];
        while let Some(chunk) = chunks.pop() {
            if chunk.is_empty() {
                continue;
            }
            match self.append_with_retries(chunk, deadline).await {
                Ok(()) => {}
                Err((TableError::Refused(why), mut puts))
                    if why == VALIDATION_ERROR_CODE && puts.len() > 1 =>
                {
                    chunks.push(puts.split_off(puts.len() / 2));
                    chunks.push(puts);
                }
                Err((error, puts)) => {
                    failures.extend(
                        puts.into_iter().map(|put| AppendFailure { index: put.index, error: error.clone() }),
                    );
                }
            }
        }
        failures
    }

    /// Writes items until none is left unprocessed, with full jitter between attempts.
    async fn append_with_retries(
        &self,
        mut puts: Vec<RecordPut>,
        deadline: Deadline,
    ) -> Result<(), (TableError, Vec<RecordPut>)> {
        // Once the time is up, even calls that are given up at once would take more than is left for the answer.
        if deadline.has_passed() {
            return Err((TableError::DeadlineExceeded("not sent".to_owned()), puts));
        }
        let mut backoff = Backoff::new();
        loop {
            let requests = puts.iter().map(|put| put.request.clone()).collect();
            let call = self.client.batch_write_item().request_items(&self.name, requests).send();
            let last_error = match deadline.limit(call).await {
                None => "timed out".to_owned(),
                Some(Ok(output)) => {
                    let unprocessed = output.unprocessed_items.unwrap_or_default().remove(&self.name);
                    puts = retain_unprocessed(puts, unprocessed.unwrap_or_default());
                    if puts.is_empty() {
                        return Ok(());
                    }
                    "unprocessed items".to_owned()
                }
                Some(Err(error)) => {
                    let code = error_code_or_text(&error);
                    if !is_transient(&error) {
                        return Err((TableError::Refused(code), puts));
                    }
                    code
                }
            };
            if !backoff.sleep(deadline).await {
                return Err((TableError::DeadlineExceeded(last_error), puts));
            }
        }
    }
}

impl RecordTable for RegionTable {
    async fn append<R: TableItem>(&self, records: &[R], deadline: Deadline) -> Vec<AppendFailure> {
        let mut failures = Vec::new();
        let mut done = stream::iter(split_into_chunks(records))
            .map(|chunk| self.append_chunk(chunk, deadline))
            .buffer_unordered(MAX_CONCURRENT_CALLS);
        while let Some(left) = done.next().await {
            failures.extend(left);
        }
        failures
    }
}

/// The records of one call.
struct WriteChunk {
    puts: Vec<RecordPut>,
    /// The records among them that are no items.
    failures: Vec<AppendFailure>,
}

/// Cuts records into chunks, and makes the items of each when it is asked for.
fn split_into_chunks<R: TableItem>(records: &[R]) -> impl Iterator<Item = WriteChunk> {
    let mut puts = records.iter().enumerate().map(|(index, record)| RecordPut::new(index, record)).peekable();
    std::iter::from_fn(move || {
        puts.peek()?;
        Some(take_next_chunk(&mut puts))
    })
}

fn take_next_chunk(
    puts: &mut Peekable<impl Iterator<Item = Result<RecordPut, AppendFailure>>>,
) -> WriteChunk {
    let (mut chunk, mut bytes) = (WriteChunk { puts: Vec::new(), failures: Vec::new() }, 0);
    let fits = |chunk: &WriteChunk, bytes: usize, put: &Result<RecordPut, AppendFailure>| {
        let more = put.as_ref().map_or(0, |put| put.bytes);
        chunk.puts.is_empty() || (chunk.puts.len() < MAX_BATCH_ITEMS && bytes + more <= MAX_CHUNK_BYTES)
    };
    while let Some(put) = puts.next_if(|put| fits(&chunk, bytes, put)) {
        match put {
            Ok(put) => {
                bytes += put.bytes;
                chunk.puts.push(put);
            }
            Err(never) => chunk.failures.push(never),
        }
    }
    chunk
}

/// A record in the form that DynamoDB takes.
struct RecordPut {
    index: usize,
    key: (String, String),
    request: WriteRequest,
    bytes: usize,
}

impl RecordPut {
    fn new(index: usize, record: &impl TableItem) -> Result<Self, AppendFailure> {
        let item: Item = serialize_item(record).map_err(|error| AppendFailure { index, error })?;
        let bytes = item.iter().map(|(name, value)| name.len() + estimate_memory(value)).sum();
        let put = PutRequest::builder()
            .set_item(Some(item))
            .build()
            .map_err(|error| AppendFailure { index, error: TableError::InvalidItem(error.to_string()) })?;
        Ok(Self {
            index,
            key: owned_key(record),
            request: WriteRequest::builder().put_request(put).build(),
            bytes,
        })
    }
}

/// About how many bytes a value takes in memory.
fn estimate_memory(value: &AttributeValue) -> usize {
    let inner = match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.len(),
        AttributeValue::L(values) => values.iter().map(estimate_memory).sum(),
        AttributeValue::M(values) => {
            values.iter().map(|(name, value)| name.len() + estimate_memory(value)).sum()
        }
        _ => 0,
    };
    ATTRIBUTE_OVERHEAD_BYTES + inner
}

fn owned_key(record: &impl TableItem) -> (String, String) {
    let (pk, sk) = record.key();
    (pk.to_owned(), sk.to_owned())
}

/// The items that DynamoDB handed back unprocessed.
fn retain_unprocessed(puts: Vec<RecordPut>, unprocessed: Vec<WriteRequest>) -> Vec<RecordPut> {
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

    impl TableItem for Text {
        fn key(&self) -> (&str, &str) {
            (&self.pk, "")
        }
    }

    fn text(n: usize, bytes: usize) -> Text {
        Text { pk: n.to_string(), filler: "x".repeat(bytes), never: None }
    }

    #[test]
    fn a_chunk_is_25_records_or_a_quarter_of_a_megabyte() {
        let sizes =
            |records: &[Text]| split_into_chunks(records).map(|chunk| chunk.puts.len()).collect::<Vec<_>>();
        let of = |count: usize, bytes| (0..count).map(|n| text(n, bytes)).collect::<Vec<_>>();
        assert_eq!(sizes(&of(0, 1)), [0; 0]);
        assert_eq!(sizes(&of(60, 1000)), [25, 25, 10]);
        assert_eq!(sizes(&of(5, 100 * 1024)), [2, 2, 1]);
        assert_eq!(sizes(&of(3, 300 * 1024)), [1, 1, 1]);
        let mut records = of(30, 10);
        records[3].never = Some(NoItem);
        records[29].never = Some(NoItem);
        let cut: Vec<_> = split_into_chunks(&records).collect();
        let places: Vec<_> = cut.iter().flat_map(|chunk| chunk.puts.iter().map(|put| put.index)).collect();
        assert_eq!(places, (0..30).filter(|n| ![3, 29].contains(n)).collect::<Vec<_>>());
        let lost: Vec<_> =
            cut.iter().flat_map(|chunk| chunk.failures.iter().map(|lost| lost.index)).collect();
        assert_eq!(lost, [3, 29]);
    }

    /// What is not being sent yet takes no memory.
    #[test]
    fn no_chunk_holds_room_for_others() {
        let records: Vec<_> = (0..1000).map(|n| text(n, 10)).collect();
        assert!(split_into_chunks(&records).all(|chunk| chunk.puts.capacity() < 2 * MAX_BATCH_ITEMS));
    }
}
