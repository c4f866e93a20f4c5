//! Small things that a Region's functions keep between invocations, as items `REGION#<region>` / `NOTE#<name>`.
//!
//! A note is written on condition that its version is still the one that was read, so that of two instances of a function
//! one finds out that it is not alone:
//!
//! ```text
//! one      reads version 3                               writes 4, fine
//! another  reads version 3    goes on from there, too    writes 4: conflict, reads again or gives up
//! ```

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use mailroom_core::suppression::list_pass::ListPass;
use mailroom_core::timestamp::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::dynamo::{Failure, retried, told};

/// How long a call of DynamoDB is retried. All notes of a Region are in one partition, which takes 1,000 write units a
/// second; those of reconcile's filter are 342 units each, and it may write 16 of them in a row.
const RETRY_FOR: Duration = Duration::from_secs(8);

/// The name of the note that exists once reconcile has been through this Region's list: from then on a BOUNCE may be put
/// there.
pub const FIRST_PASS: &str = "first-pass";

/// The content of the note [`FIRST_PASS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstPass {
    /// When the last page of the list had been read and taken in.
    pub ended_at: Timestamp,
}

/// The name of the note in which reconcile keeps how far it has told a peer.
pub fn peer_note(region: &str) -> String {
    format!("peer-{region}")
}

/// The content of the note [`peer_note`], as far as others than reconcile read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerNote {
    /// The peer has been told everything that changed before this time; `None` if it has never been told everything.
    pub until: Option<Timestamp>,
}

/// The name of the note in which reconcile keeps where its pass over the list stands, and what the last one found.
pub const LIST_PASSES: &str = "reconcile";

/// The content of the note [`LIST_PASSES`]. Where a pass stands is reconcile's own business: others read it as
/// `IgnoredAny`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPasses<O> {
    /// The pass that is in progress; `None` if there is none.
    pub open: Option<O>,
    /// The last pass that has ended; `None` if none has.
    pub last: Option<ListPass>,
}

impl<O> Default for ListPasses<O> {
    fn default() -> Self {
        Self { open: None, last: None }
    }
}

/// Keeps notes.
pub trait Notes {
    /// A note as it was last written, by a consistent read; `None` if there is no such note.
    ///
    /// # Errors
    /// [`NoteError`]
    async fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<Note<T>>, NoteError>;

    /// Writes a note if its version is still `read` (`None`: if there is no such note). If the note already has this
    /// content and the version that it would get, that counts as written, not as a conflict: an earlier attempt's answer
    /// was lost.
    ///
    /// # Errors
    /// [`NoteError`]. It may have been written all the same: read it again.
    async fn put<T: Serialize>(&self, name: &str, value: &T, read: Option<u64>) -> Result<Noted, NoteError>;
}

/// A note as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note<T> {
    /// The note's content.
    pub value: T,
    /// The note's version, which is the condition of the next write.
    pub version: u64,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// The note is durable, with this version.
    Done(u64),
    /// Somebody else has written since the note was read.
    Conflict,
}

/// Why a note was not read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// The call was throttled, failed or was not answered. A retry can help.
    #[error("the table does not answer: {0}")]
    Unavailable(String),
    /// DynamoDB refused the call, such as for a missing permission. A retry can help once that is mended.
    #[error("refused: {0}")]
    Refused(String),
    /// The note was written by a version of Mailroom that this one does not know, or is damaged. No retry can help.
    #[error("note {0} can't be read")]
    Unreadable(String),
}

/// DynamoDB's table. A call is retried for a few seconds while its errors are transient.
pub struct DynamoNotes {
    client: Client,
    table: String,
    region: String,
}

impl DynamoNotes {
    /// A table in the configuration's own Region.
    pub fn new(config: &aws_config::SdkConfig, table: impl Into<String>) -> Self {
        let region = config.region().map(ToString::to_string).unwrap_or_default();
        Self { client: Client::new(config), table: table.into(), region }
    }

    fn key(&self, name: &str) -> [(String, AttributeValue); 2] {
        let text = |text: String| AttributeValue::S(text);
        [
            ("pk".to_owned(), text(format!("REGION#{}", self.region))),
            ("sk".to_owned(), text(format!("NOTE#{name}"))),
        ]
    }
}

impl Notes for DynamoNotes {
    async fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<Note<T>>, NoteError> {
        let get = || {
            let get = self.client.get_item().table_name(&self.table).consistent_read(true);
            get.set_key(Some(self.key(name).into_iter().collect())).send()
        };
        let answer = retried(Instant::now() + RETRY_FOR, get).await?;
        let Some(item) = answer.item else { return Ok(None) };
        let number = |value: &AttributeValue| value.as_n().ok()?.parse().ok();
        let version = item.get("version").and_then(number);
        let text = item.get("note").and_then(|value| value.as_s().ok());
        read(name, version, text.map(String::as_str)).map(Some)
    }

    async fn put<T: Serialize>(&self, name: &str, value: &T, read: Option<u64>) -> Result<Noted, NoteError> {
        let version = read.unwrap_or_default() + 1;
        let mut item: HashMap<_, _> = self.key(name).into_iter().collect();
        item.insert("version".to_owned(), AttributeValue::N(version.to_string()));
        item.insert("note".to_owned(), AttributeValue::S(write(name, value)?));
        let put = || {
            let put = self.client.put_item().table_name(&self.table).set_item(Some(item.clone()));
            let put =
                put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            match read {
                None => put.condition_expression("attribute_not_exists(pk)"),
                Some(read) => put
                    .condition_expression("#version = :read")
                    .expression_attribute_names("#version", "version")
                    .expression_attribute_values(":read", AttributeValue::N(read.to_string())),
            }
            .send()
        };
        match retried(Instant::now() + RETRY_FOR, put).await {
            Ok(_) => Ok(Noted::Done(version)),
            Err(Failure::Refused(error)) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                    let ours = failed.item() == Some(&item);
                    Ok(if ours { Noted::Done(version) } else { Noted::Conflict })
                }
                _ => Err(NoteError::Refused(told(&error))),
            },
            Err(failure) => Err(failure.into()),
        }
    }
}

impl<E: ProvideErrorMetadata> From<Failure<E>> for NoteError {
    fn from(failure: Failure<E>) -> Self {
        match failure {
            Failure::Deadline(trouble) => Self::Unavailable(trouble),
            Failure::Refused(error) => Self::Refused(told(&error)),
        }
    }
}

fn write(name: &str, value: &impl Serialize) -> Result<String, NoteError> {
    serde_json::to_string(value).map_err(|_| NoteError::Unreadable(name.to_owned()))
}

fn read<T: DeserializeOwned>(
    name: &str,
    version: Option<u64>,
    text: Option<&str>,
) -> Result<Note<T>, NoteError> {
    let value = text.and_then(|text| serde_json::from_str(text).ok());
    value
        .zip(version)
        .map(|(value, version)| Note { value, version })
        .ok_or_else(|| NoteError::Unreadable(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use doubles::stub::Stub;

    const THROTTLED: (u16, &str) =
        (400, r#"{"__type":"x#ProvisionedThroughputExceededException","message":"slow down"}"#);

    fn notes(stub: &Stub) -> DynamoNotes {
        DynamoNotes::new(&stub.config(), "table")
    }

    #[tokio::test]
    async fn a_throttled_note_is_written_all_the_same() {
        let stub = Stub::start([THROTTLED, THROTTLED, (200, "{}")]);
        assert_eq!(notes(&stub).put("a", &1, Some(3)).await, Ok(Noted::Done(4)));
        assert_eq!(stub.bodies().len(), 3);
        let stub = Stub::start([THROTTLED, (200, "{}")]);
        assert_eq!(notes(&stub).get::<u32>("a").await, Ok(None));
        assert_eq!(stub.bodies().len(), 2);
        let stub = Stub::start([(400, r#"{"__type":"x#AccessDeniedException"}"#)]);
        assert_eq!(
            notes(&stub).put("a", &1, None).await,
            Err(NoteError::Refused("AccessDeniedException".to_owned()))
        );
    }

    #[tokio::test]
    async fn a_write_whose_answer_was_lost_is_no_conflict() {
        let ours = r#"{"__type":"x#ConditionalCheckFailedException","Item":{"pk":{"S":"REGION#us-east-1"},"sk":{"S":"NOTE#a"},"version":{"N":"4"},"note":{"S":"1"}}}"#;
        let stub = Stub::start([(500, "{}"), (400, ours), (400, ours)]);
        let notes = notes(&stub);
        assert_eq!(notes.put("a", &1, Some(3)).await, Ok(Noted::Done(4)));
        assert_eq!(notes.put("a", &2, Some(3)).await, Ok(Noted::Conflict), "somebody else's");
        stub.bodies();
    }
}
