//! One invocation, from the payload to the response: which messages wait for which record, and how failed ones are
//! reported.
//!
//! The messages and records of a payload of 6 MB can take more memory than the function has. So messages are opened one at
//! a time, and records are appended as soon as [`Invocation::is_buffer_full`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

pub use aws_lambda_events::sqs::SqsBatchResponse;
use mailroom_core::dead_letter::{self, DeadLetter, DeadLetterReason};
use mailroom_core::envelope::{InvocationSource, LazyPayload, PayloadMessage};
use mailroom_core::malformed::{InputProblem, MalformedInput};
use mailroom_core::record::TableItem;
use sha2::{Digest, Sha256};
use tracing::{error, warn};

use crate::dead_letters::{DeadLetterQueue, send_letters};
use crate::deadline::Deadline;
use crate::table::TableError;
use crate::table::records::RecordTable;

/// How much of an invocation's time is kept back for dead letters: the table takes the rest when it is in trouble.
const DEAD_LETTER_MARGIN: Duration = Duration::from_secs(2);

/// The number of records that are held before they have to be appended: enough to keep all calls to the table busy.
const MAX_BUFFERED_RECORDS: usize = 400;

/// The messages of a payload, and the records that they become.
#[derive(Debug)]
pub struct Invocation<'a, R> {
    payload: LazyPayload<'a>,
    outcomes: MessageOutcomes,
    /// The records that are not appended yet, each key once: DynamoDB refuses a call that names a key twice.
    buffered_records: Vec<R>,
    /// For each held record, the messages that need it.
    message_indexes: Vec<Vec<usize>>,
    /// The place of each held record by its key.
    by_key: HashMap<(String, String), usize>,
    /// The hashes of the keys that were appended: what is in a payload twice is written once.
    durable_keys: HashSet<KeyHash>,
    append_counts: AppendCounts,
}

/// Half of SHA-256. Whoever could make two keys collide could keep a record from being written.
type KeyHash = [u8; 16];

fn hash_key((pk, sk): (&str, &str)) -> KeyHash {
    let mut hash = Sha256::new();
    // A length, or a part of one key could pass for a part of the other.
    hash.update((pk.len() as u64).to_be_bytes());
    hash.update(pk);
    hash.update(sk);
    let mut half = KeyHash::default();
    for (byte, hashed) in half.iter_mut().zip(hash.finalize()) {
        *byte = hashed;
    }
    half
}

/// Which messages of a payload have failed, and how that is reported.
#[derive(Debug)]
pub struct MessageOutcomes {
    source: InvocationSource,
    ids: Vec<Option<String>>,
    is_failed: Vec<bool>,
    /// The messages that can never be processed, by their places, and the first reason that was found for each.
    poison_reasons: BTreeMap<usize, DeadLetterReason>,
}

/// Why the invocation fails as a whole: Lambda then repeats a direct event, and a batch comes back whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvocationError {
    /// The payload has no shape that Mailroom knows. No retry can help.
    #[error("payload: {field}: {problem}")]
    Payload {
        /// The path of the field in the payload.
        field: String,
        /// What is wrong with the field. Nothing is quoted, since the runtime logs this.
        problem: InputProblem,
    },
    /// Messages have failed that have no id to report, such as a direct event's. Doing the others again changes nothing,
    /// so a retry is safe, and it can help.
    #[error("{failed} of {messages} messages failed; see the log")]
    Messages {
        /// How many messages have failed.
        failed: usize,
        /// How many messages the payload has.
        messages: usize,
    },
}

impl From<MalformedInput> for InvocationError {
    fn from(error: MalformedInput) -> Self {
        Self::Payload { field: error.field().to_owned(), problem: error.problem() }
    }
}

/// How many records are durable, and how many are not. A record that several messages became may be counted several times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AppendCounts {
    /// How many records are durable.
    pub records_written: usize,
    /// How many records are not durable. Their messages have failed, or can never be processed.
    pub records_not_written: usize,
}

/// How many messages can never be processed, and how many of them are dead letters now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoisonMessageCounts {
    /// How many messages can never be processed.
    pub poison_messages: usize,
    /// How many of them were sent to the dead-letter queue. The others come back.
    pub dead_letters_sent: usize,
}

/// A message and its place in the payload.
#[derive(Debug)]
pub struct IndexedMessage {
    /// The message's place, by which [`Invocation`] is told what becomes of it.
    pub index: usize,
    /// The message, opened.
    pub message: PayloadMessage,
}

impl<'a, R: TableItem> Invocation<'a, R> {
    /// Opens a payload of any shape.
    ///
    /// # Errors
    /// [`InvocationError::Payload`]
    pub fn open(payload: &'a str) -> Result<Self, InvocationError> {
        Ok(Self {
            payload: LazyPayload::locate_messages(payload)?,
            outcomes: MessageOutcomes::new(InvocationSource::Direct, std::iter::empty()),
            buffered_records: Vec::new(),
            message_indexes: Vec::new(),
            by_key: HashMap::new(),
            durable_keys: HashSet::new(),
            append_counts: AppendCounts::default(),
        })
    }

    /// Opens the next message, in the payload's order; `None` after the last one.
    pub fn open_next_message(&mut self) -> Option<IndexedMessage> {
        let index = self.outcomes.len();
        (index < self.payload.len()).then(|| {
            let (source, message) = self.payload.open_message(index);
            self.outcomes.add_message(source, message.id.clone());
            IndexedMessage { index, message }
        })
    }

    /// How many messages the payload has.
    pub fn message_count(&self) -> usize {
        self.payload.len()
    }

    /// Adds a record that the message at this place in the payload becomes.
    pub fn buffer_record(&mut self, message_index: usize, record: R) {
        let (pk, sk) = record.key();
        if self.durable_keys.contains(&hash_key((pk, sk))) {
            return;
        }
        let next = self.buffered_records.len();
        let index = *self.by_key.entry((pk.to_owned(), sk.to_owned())).or_insert(next);
        if index == next {
            self.buffered_records.push(record);
            self.message_indexes.push(Vec::new());
        }
        self.message_indexes[index].push(message_index);
    }

    /// Whether so many records are held that they have to be appended now.
    pub fn is_buffer_full(&self) -> bool {
        self.buffered_records.len() >= MAX_BUFFERED_RECORDS
    }

    /// Appends the records that are held. The messages of those that are not durable by the deadline have failed; the
    /// messages of those that are no items can never be processed.
    pub async fn append_buffered_records(&mut self, table: &impl RecordTable, deadline: Deadline) {
        let not_durable =
            table.append(&self.buffered_records, self.outcomes.deadline_before_dead_letters(deadline)).await;
        for lost in &not_durable {
            for message in &self.message_indexes[lost.index] {
                match &lost.error {
                    TableError::InvalidItem(why) => {
                        self.outcomes.mark_poison(*message, DeadLetterReason::new("record", why.as_str()));
                    }
                    _ => self.outcomes.mark_failed(*message),
                }
            }
        }
        let lost: HashSet<_> = not_durable.iter().map(|lost| lost.index).collect();
        let durable = self.buffered_records.iter().enumerate().filter(|(index, _)| !lost.contains(index));
        self.durable_keys.extend(durable.map(|(_, record)| hash_key(record.key())));
        let not_written = not_durable.len();
        match not_durable.first().map(|lost| &lost.error) {
            None => {}
            Some(never @ TableError::InvalidItem(_)) => error!(records = not_written, "not written: {never}"),
            Some(why) => warn!(records = not_written, "not written, their messages come back: {why}"),
        }
        self.append_counts.records_written += self.buffered_records.len() - not_written;
        self.append_counts.records_not_written += not_written;
        self.buffered_records.clear();
        self.message_indexes.clear();
        self.by_key.clear();
    }

    /// Marks the message at this place as failed, so that it comes back.
    pub fn mark_failed(&mut self, message_index: usize) {
        self.outcomes.mark_failed(message_index);
    }

    /// Marks the message at this place as one that can never be processed.
    pub fn mark_poison(&mut self, message_index: usize, reason: DeadLetterReason) {
        self.outcomes.mark_poison(message_index, reason);
    }

    /// How many messages have failed so far.
    pub fn failed_count(&self) -> usize {
        self.outcomes.failed_count()
    }

    /// See [`MessageOutcomes::send_dead_letters`]. What has records of its own waits until these are durable: call [`Self::append_buffered_records`] first.
    pub async fn send_dead_letters(
        &mut self,
        payload: &str,
        queue: &impl DeadLetterQueue,
        deadline: Deadline,
    ) -> PoisonMessageCounts {
        self.outcomes.send_dead_letters(payload, queue, deadline).await
    }

    /// What became of the records that were appended.
    pub fn append_counts(&self) -> AppendCounts {
        self.append_counts
    }

    /// See [`MessageOutcomes::into_response`].
    ///
    /// # Errors
    /// [`InvocationError::Messages`]
    pub fn into_response(self) -> Result<SqsBatchResponse, InvocationError> {
        self.outcomes.into_response()
    }
}

impl MessageOutcomes {
    /// A ledger of messages by their ids, in the payload's order, none of which has failed yet.
    pub fn new(source: InvocationSource, ids: impl Iterator<Item = Option<String>>) -> Self {
        let ids: Vec<_> = ids.collect();
        Self { source, is_failed: vec![false; ids.len()], ids, poison_reasons: BTreeMap::new() }
    }

    /// How many messages the ledger has.
    fn len(&self) -> usize {
        self.ids.len()
    }

    /// Enters the next message. A payload with one message from SQS is SQS's.
    fn add_message(&mut self, invocation_source: InvocationSource, id: Option<String>) {
        if invocation_source == InvocationSource::Sqs {
            self.source = invocation_source;
        }
        self.ids.push(id);
        self.is_failed.push(false);
    }

    /// Marks the message at this place as failed, so that it comes back.
    pub fn mark_failed(&mut self, message_index: usize) {
        self.is_failed[message_index] = true;
    }

    /// Marks the message at this place as one that can never be processed. It has not failed: see [`Self::send_dead_letters`].
    pub fn mark_poison(&mut self, message_index: usize, reason: DeadLetterReason) {
        self.poison_reasons.entry(message_index).or_insert(reason);
    }

    /// When everything else must be done: earlier than `deadline` if there is something to bury.
    pub fn deadline_before_dead_letters(&self, deadline: Deadline) -> Deadline {
        if self.poison_reasons.is_empty() { deadline } else { deadline.earlier_by(DEAD_LETTER_MARGIN) }
    }

    /// Sends to the dead-letter queue what can never be processed of the payload, so that it is acknowledged. A message that
    /// has failed as well comes back first, or it would be sent with every try; and so does one that could not be sent.
    pub async fn send_dead_letters(
        &mut self,
        payload: &str,
        queue: &impl DeadLetterQueue,
        deadline: Deadline,
    ) -> PoisonMessageCounts {
        let poisoned = self.poison_reasons.len();
        let poison = std::mem::take(&mut self.poison_reasons);
        let poison: Vec<_> = poison.into_iter().filter(|(message, _)| !self.is_failed[*message]).collect();
        let places: Vec<_> = poison.iter().map(|(message, _)| *message).collect();
        let bodies = dead_letter::extract_dead_letter_bodies(payload, &places);
        let letters: Vec<_> =
            bodies.into_iter().zip(poison).map(|(body, (_, reason))| DeadLetter { body, reason }).collect();
        let sent = send_letters(queue, &letters, deadline).await;
        let errors =
            places.iter().zip(&sent).filter_map(|(message, sent)| Some((message, sent.as_ref().err()?)));
        let (mut not_sent, mut last) = (0, None);
        for (message, error) in errors {
            self.is_failed[*message] = true;
            not_sent += 1;
            last = Some(error);
        }
        if let Some(why) = last {
            warn!(messages = not_sent, "no dead letters, the messages come back: {why}");
        }
        PoisonMessageCounts { poison_messages: poisoned, dead_letters_sent: sent.len() - not_sent }
    }

    /// How many messages have failed so far.
    pub fn failed_count(&self) -> usize {
        self.is_failed.iter().filter(|failed| **failed).count()
    }

    /// Names exactly the failed messages if the source has ids for them; otherwise the invocation succeeds or fails as a
    /// whole.
    ///
    /// # Errors
    /// [`InvocationError::Messages`]
    pub fn into_response(self) -> Result<SqsBatchResponse, InvocationError> {
        let whole = InvocationError::Messages { failed: self.failed_count(), messages: self.ids.len() };
        let mut failed =
            self.ids.into_iter().zip(self.is_failed).filter_map(|(id, failed)| failed.then_some(id));
        match self.source {
            InvocationSource::Direct if failed.next().is_none() => Ok(SqsBatchResponse::default()),
            InvocationSource::Direct => Err(whole),
            InvocationSource::Sqs => {
                let ids: Option<Vec<_>> = failed.collect();
                let mut response = SqsBatchResponse::default();
                response.set_failures(ids.ok_or(whole)?);
                Ok(response)
            }
        }
    }
}
