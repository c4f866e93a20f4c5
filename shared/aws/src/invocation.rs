//! One invocation, from the payload to the response: which messages wait for which record, and how failed ones are
//! reported.

use std::collections::HashMap;

use mailroom_core::envelope::{self, Message, Payload, Source};
use mailroom_core::malformed::Problem;
use mailroom_core::record::Record;
use serde::Serialize;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::records::{AppendError, RecordTable};

/// The messages of a payload, and the records that they become.
#[derive(Debug)]
pub struct Invocation<R> {
    messages: Vec<Message>,
    ledger: Ledger,
    /// The records, each key once: DynamoDB refuses a call that names a key twice.
    records: Vec<R>,
    /// For each record, the messages that need it.
    needed_by: Vec<Vec<usize>>,
    by_key: HashMap<(String, String), usize>,
}

/// Which messages of a payload have failed, and how that is reported.
#[derive(Debug)]
pub struct Ledger {
    source: Source,
    ids: Vec<Option<String>>,
    failed: Vec<bool>,
}

/// Why the invocation fails as a whole: Lambda then repeats a direct event, and a batch comes back whole.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvocationError {
    /// The payload has no shape that Mailroom knows. No retry can help.
    #[error("payload: {field}: {problem}")]
    Payload {
        /// The path of the field in the payload.
        field: String,
        /// What is wrong with the field. Nothing is quoted, since the runtime logs this.
        problem: Problem,
    },
    /// Messages have failed that have no id to report, such as a direct event's. Doing the others again changes nothing,
    /// so a retry is safe; it helps unless the messages are malformed.
    #[error("{failed} of {messages} messages failed; see the log")]
    Messages {
        /// How many messages have failed.
        failed: usize,
        /// How many messages the payload has.
        messages: usize,
    },
}

/// How many records are durable, and how many are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// How many records are durable.
    pub written: usize,
    /// How many records are not durable. Their messages have failed.
    pub not_written: usize,
}

/// What Lambda's queue poller is told (AWS: "Implementing partial batch responses"). For other callers it is empty.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// The messages that are to come back; all others are deleted from the queue.
    pub batch_item_failures: Vec<BatchItemFailure>,
}

/// A message that is to come back.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    /// SQS's id of the message.
    pub item_identifier: String,
}

impl<R: Record> Invocation<R> {
    /// Opens a payload of any shape.
    ///
    /// # Errors
    /// [`InvocationError::Payload`]
    pub fn open(payload: &str) -> Result<Self, InvocationError> {
        let Payload { source, messages } = envelope::open(payload).map_err(|error| {
            InvocationError::Payload { field: error.field().to_owned(), problem: error.problem() }
        })?;
        let ledger = Ledger::new(source, messages.iter().map(|message| message.id.clone()));
        Ok(Self { messages, ledger, records: Vec::new(), needed_by: Vec::new(), by_key: HashMap::new() })
    }

    /// The messages, in the payload's order.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Adds the records that the message at this place in the payload becomes.
    pub fn add(&mut self, message: usize, records: impl IntoIterator<Item = R>) {
        for record in records {
            let next = self.records.len();
            let (pk, sk) = record.key();
            let index = *self.by_key.entry((pk.to_owned(), sk.to_owned())).or_insert(next);
            if index == next {
                self.records.push(record);
                self.needed_by.push(Vec::new());
            }
            self.needed_by[index].push(message);
        }
    }

    /// Marks the message at this place as failed, so that it comes back.
    pub fn fail(&mut self, message: usize) {
        self.ledger.fail(message);
    }

    /// How many messages have failed so far.
    pub fn failed(&self) -> usize {
        self.ledger.failed()
    }

    /// Appends all records. The messages of those that are not durable by the deadline have failed.
    pub async fn settle(&mut self, table: &impl RecordTable, deadline: Instant) -> Settled {
        let not_durable = table.append(&self.records, deadline).await;
        for lost in &not_durable {
            for message in &self.needed_by[lost.index] {
                self.ledger.fail(*message);
            }
        }
        let not_written = not_durable.len();
        match not_durable.first().map(|lost| &lost.error) {
            None => {}
            Some(never @ AppendError::NotAnItem(_)) => error!(records = not_written, "not written: {never}"),
            Some(why) => warn!(records = not_written, "not written, their messages come back: {why}"),
        }
        Settled { written: self.records.len() - not_written, not_written }
    }

    /// See [`Ledger::respond`].
    ///
    /// # Errors
    /// [`InvocationError::Messages`]
    pub fn respond(self) -> Result<Response, InvocationError> {
        self.ledger.respond()
    }
}

impl Ledger {
    /// A ledger of messages by their ids, in the payload's order, none of which has failed yet.
    pub fn new(source: Source, ids: impl Iterator<Item = Option<String>>) -> Self {
        let ids: Vec<_> = ids.collect();
        Self { source, failed: vec![false; ids.len()], ids }
    }

    /// Marks the message at this place as failed, so that it comes back.
    pub fn fail(&mut self, message: usize) {
        self.failed[message] = true;
    }

    /// How many messages have failed so far.
    pub fn failed(&self) -> usize {
        self.failed.iter().filter(|failed| **failed).count()
    }

    /// Names exactly the failed messages if the source has ids for them; otherwise the invocation succeeds or fails as a
    /// whole.
    ///
    /// # Errors
    /// [`InvocationError::Messages`]
    pub fn respond(self) -> Result<Response, InvocationError> {
        let whole = InvocationError::Messages { failed: self.failed(), messages: self.ids.len() };
        let mut failed =
            self.ids.into_iter().zip(self.failed).filter_map(|(id, failed)| failed.then_some(id));
        match self.source {
            Source::Direct if failed.next().is_none() => Ok(Response::default()),
            Source::Direct => Err(whole),
            Source::Sqs => {
                let failures: Option<_> =
                    failed.map(|id| id.map(|item_identifier| BatchItemFailure { item_identifier })).collect();
                Ok(Response { batch_item_failures: failures.ok_or(whole)? })
            }
        }
    }
}
