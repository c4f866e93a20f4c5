//! From messages to records and back: which messages wait for which record, and how the failed ones are told.

use std::collections::HashMap;

use mailroom_core::envelope::{Message, Source};
use mailroom_core::record::Record;
use serde::Serialize;

/// The records of all messages of an invocation, each key once: DynamoDB refuses a call that names one twice.
#[derive(Debug)]
pub struct Batch<R> {
    records: Vec<R>,
    /// For each record the messages that need it.
    messages: Vec<Vec<usize>>,
    by_key: HashMap<(String, String), usize>,
}

impl<R> Default for Batch<R> {
    fn default() -> Self {
        Self { records: Vec::new(), messages: Vec::new(), by_key: HashMap::new() }
    }
}

impl<R: Record> Batch<R> {
    /// Adds a record of the message at this place in the payload.
    pub fn add(&mut self, record: R, message: usize) {
        let next = self.records.len();
        let (pk, sk) = record.key();
        let index = *self.by_key.entry((pk.to_owned(), sk.to_owned())).or_insert(next);
        if index == next {
            self.records.push(record);
            self.messages.push(Vec::new());
        }
        self.messages[index].push(message);
    }

    /// All records, no two with one key.
    pub fn records(&self) -> &[R] {
        &self.records
    }

    /// The messages that are not done until the record at this place is durable.
    pub fn messages_of(&self, record: usize) -> &[usize] {
        &self.messages[record]
    }
}

/// What Lambda's queue poller wants to know (AWS: "Implementing partial batch responses"). To other callers it is empty.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// The messages that are to come back; all others are deleted from the queue.
    pub batch_item_failures: Vec<BatchItemFailure>,
}

/// One of them.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    /// SQS's message id.
    pub item_identifier: String,
}

/// The invocation fails as a whole: a direct event has no way to name the messages that failed. Doing the others again
/// changes nothing, so a retry is safe; it helps unless they are malformed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{failed} of {messages} messages failed; see the log")]
pub struct Failed {
    /// How many are not done.
    pub failed: usize,
    /// Of how many.
    pub messages: usize,
}

/// Names exactly the failed messages, if the source has names for them; else all or nothing.
///
/// # Errors
/// If any failed and can't be named.
pub fn respond(source: Source, messages: &[Message], failed: &[bool]) -> Result<Response, Failed> {
    let failed: Vec<_> =
        messages.iter().zip(failed).filter(|(_, failed)| **failed).map(|(message, _)| message).collect();
    let whole = Failed { failed: failed.len(), messages: messages.len() };
    match source {
        Source::Direct if failed.is_empty() => Ok(Response::default()),
        Source::Direct => Err(whole),
        Source::Sqs => {
            let failure =
                |message: &&Message| Some(BatchItemFailure { item_identifier: message.id.clone()? });
            let failures: Option<_> = failed.iter().map(failure).collect();
            Ok(Response { batch_item_failures: failures.ok_or(whole)? })
        }
    }
}
