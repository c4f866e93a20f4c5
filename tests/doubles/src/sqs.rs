//! Batches of SQS.

use mailroom_aws::invocation::SqsBatchResponse;
use serde_json::{Value, json};

/// The batch with which an event source mapping wakes a function: ids and bodies of messages.
pub fn sqs_event(messages: impl IntoIterator<Item = (impl ToString, impl AsRef<str>)>) -> Value {
    let record = |(id, body): (_, _)| json!({"eventSource": "aws:sqs", "messageId": ToString::to_string(&id), "body": AsRef::<str>::as_ref(&body)});
    json!({"Records": messages.into_iter().map(record).collect::<Vec<_>>()})
}

/// The ids of the messages that come back.
pub fn failed_ids(response: SqsBatchResponse) -> Vec<String> {
    response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect()
}
