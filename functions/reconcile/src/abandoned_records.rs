//! What decide has given up. Lambda puts into a queue where in the table's stream those records were; this keeps that they are to
//! be looked back on, which the next wake does.

use mailroom_aws::clock::Clock;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::invocation::InvocationError;
use mailroom_aws::sqs_event;
use mailroom_aws::table::notes::NoteStore;
use mailroom_aws::table::{PutOutcome, TableError, Versioned};
use mailroom_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::warn;

/// The name of the note.
pub(crate) const NOTE_NAME: &str = "given-up";
/// How often the note is read again after somebody else has written it meanwhile.
const MAX_TRIES: usize = 5;

/// That decide has given up records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AbandonedRecordsNote {
    /// When this was noted last.
    pub(crate) noted_at: Timestamp,
    /// When the latest of the records came into the stream.
    #[serde(rename = "until")]
    pub(crate) latest_arrival_at: Timestamp,
}

/// Why it was not noted. The messages come back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AbandonedRecordsError {
    /// The payload is no batch of a queue.
    #[error(transparent)]
    Payload(#[from] InvocationError),
    /// The note can't be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// What Lambda puts into the queue (Lambda Developer Guide, "Retain discarded records for a DynamoDB event source"): no
/// records, only where they were.
#[derive(Deserialize)]
struct AbandonedBatchMessage {
    #[serde(rename = "DDBStreamBatchInfo")]
    batch: StreamBatchInfo,
}

#[derive(Deserialize)]
struct StreamBatchInfo {
    #[serde(rename = "approximateArrivalOfLastRecord")]
    last_arrived_at: Timestamp,
}

/// Notes the messages of a batch, and returns how many there are. A message that can't be read says no less that something
/// was given up, at any time until now.
pub(crate) async fn note_abandoned_batches(
    payload: &str,
    notes: &impl NoteStore,
    clock: &impl Clock,
    deadline: Deadline,
) -> Result<usize, AbandonedRecordsError> {
    let (messages, _) = sqs_event::parse_sqs_or_direct_event(payload)?;
    let now = clock.now();
    let arrived_at = |body: &str| {
        serde_json::from_str::<AbandonedBatchMessage>(body).ok().map(|failure| failure.batch.last_arrived_at)
    };
    let until = messages.iter().map(|message| {
        message.body.as_deref().ok().and_then(arrived_at).unwrap_or_else(|| {
            warn!(message = message.id, "does not say what was given up");
            now
        })
    });
    let Some(until) = until.max() else { return Ok(0) };
    for _ in 0..MAX_TRIES {
        let known = notes.get_note::<AbandonedRecordsNote>(NOTE_NAME, deadline).await?;
        let version = known.as_ref().and_then(|known| known.version);
        let until = known.map_or(until, |known| known.value.latest_arrival_at.max(until));
        let mut note =
            Versioned { value: AbandonedRecordsNote { noted_at: now, latest_arrival_at: until }, version };
        if notes.put_note(NOTE_NAME, &mut note, deadline).await? == PutOutcome::Written {
            return Ok(messages.len());
        }
    }
    Err(TableError::Contended.into())
}
