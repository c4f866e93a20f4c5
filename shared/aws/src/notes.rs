//! Small things that a Region's functions keep for themselves between invocations: `REGION#<region>` / `NOTE#<name>`.
//!
//! A note is written on condition that its version is still the one that was read, so that of two instances of a function
//! one finds out that it is not alone:
//!
//! ```text
//! one      reads version 3                               writes 4, fine
//! another  reads version 3    goes on from there, too    writes 4: conflict, reads again or gives up
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::AttributeValue;
use mailroom_core::timestamp::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::fuse::Fuse;

/// The note that is there once reconcile has been through this Region's list: from then on a BOUNCE may be put there.
pub const FIRST_PASS: &str = "first-pass";

/// What [`FIRST_PASS`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstPass {
    /// When the last page of the list had been read and taken in.
    pub ended_at: Timestamp,
}

/// The name of the note in which reconcile keeps how far it has told a peer.
pub fn peer_note(region: &str) -> String {
    format!("peer-{region}")
}

/// What [`peer_note`] says, as far as others than reconcile read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerNote {
    /// The peer has been told all that changed before then; `None` if it has not been told all even once.
    pub until: Option<Timestamp>,
}

/// Keeps notes.
pub trait Notes {
    /// A note as it was last written. The read is consistent.
    ///
    /// # Errors
    /// [`NoteError`]
    #[expect(async_fn_in_trait, reason = "called through generics by functions that run on one thread")]
    async fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<Note<T>>, NoteError>;

    /// Writes a note if its version is still `read` (`None`: if there is no such note).
    ///
    /// # Errors
    /// [`NoteError`]. It may have been written all the same: read it again.
    #[expect(async_fn_in_trait, reason = "called through generics by functions that run on one thread")]
    async fn put<T: Serialize>(&self, name: &str, value: &T, read: Option<u64>) -> Result<Noted, NoteError>;
}

/// What was noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note<T> {
    /// What.
    pub value: T,
    /// For the condition of the next write.
    pub version: u64,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// It is durable, with this version.
    Done(u64),
    /// Somebody else has written since the note was read.
    Conflict,
}

/// Why a note was not read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// Throttled, failed or unanswered. A retry can help.
    #[error("the table does not answer: {0}")]
    Unavailable(String),
    /// Such as a missing permission. A retry can help once it is mended.
    #[error("refused: {0}")]
    Refused(String),
    /// Written by a version of Mailroom that this one does not know, or damaged. No retry can help.
    #[error("note {0} can't be read")]
    Unreadable(String),
}

/// DynamoDB's table. Nothing is retried here: whoever keeps a note is woken again soon.
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
        let get = self.client.get_item().table_name(&self.table).consistent_read(true);
        let answer = get
            .set_key(Some(self.key(name).into_iter().collect()))
            .send()
            .await
            .map_err(|error| told(&error))?;
        let Some(item) = answer.item else { return Ok(None) };
        let number = |value: &AttributeValue| value.as_n().ok()?.parse().ok();
        let version = item.get("version").and_then(number);
        let text = item.get("note").and_then(|value| value.as_s().ok());
        read(name, version, text.map(String::as_str)).map(Some)
    }

    async fn put<T: Serialize>(&self, name: &str, value: &T, read: Option<u64>) -> Result<Noted, NoteError> {
        let version = read.unwrap_or_default() + 1;
        let mut put = self.client.put_item().table_name(&self.table);
        for (name, value) in self.key(name) {
            put = put.item(name, value);
        }
        put = put
            .item("version", AttributeValue::N(version.to_string()))
            .item("note", AttributeValue::S(write(name, value)?));
        put = match read {
            None => put.condition_expression("attribute_not_exists(pk)"),
            Some(read) => put
                .condition_expression("#version = :read")
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":read", AttributeValue::N(read.to_string())),
        };
        match put.send().await {
            Ok(_) => Ok(Noted::Done(version)),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(Noted::Conflict),
            Err(error) => Err(told(&error)),
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

fn told<E: ProvideErrorMetadata>(error: &SdkError<E>) -> NoteError {
    let SdkError::ServiceError(service) = error else {
        return NoteError::Unavailable(error.to_string());
    };
    let code = error.code().unwrap_or("no code").to_owned();
    let throttled = ["Throttl", "ThroughputExceeded", "LimitExceeded", "TooManyRequests", "Unavailable"];
    if service.raw().status().is_server_error() || throttled.iter().any(|word| code.contains(word)) {
        NoteError::Unavailable(code)
    } else {
        NoteError::Refused(code)
    }
}

/// Notes in memory, as text, so that whatever can't be read back shows. Clones are one table.
#[derive(Debug, Clone, Default)]
pub struct MemoryNotes {
    notes: Arc<Mutex<HashMap<String, (String, u64)>>>,
    fuse: Fuse,
}

impl MemoryNotes {
    /// The same notes, by way of a function that may die.
    #[must_use]
    pub fn with_fuse(&self, fuse: &Fuse) -> Self {
        Self { notes: Arc::clone(&self.notes), fuse: fuse.clone() }
    }
}

impl Notes for MemoryNotes {
    async fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<Note<T>>, NoteError> {
        let notes = self.notes.lock().map_err(|_| NoteError::Unavailable("poisoned".to_owned()))?;
        notes.get(name).map(|(text, version)| read(name, Some(*version), Some(text))).transpose()
    }

    async fn put<T: Serialize>(&self, name: &str, value: &T, read: Option<u64>) -> Result<Noted, NoteError> {
        self.fuse.effect().await;
        let text = write(name, value)?;
        let mut notes = self.notes.lock().map_err(|_| NoteError::Unavailable("poisoned".to_owned()))?;
        if notes.get(name).map(|(_, version)| *version) != read {
            return Ok(Noted::Conflict);
        }
        let version = read.unwrap_or_default() + 1;
        notes.insert(name.to_owned(), (text, version));
        Ok(Noted::Done(version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_two_who_read_the_same_one_writes() {
        let notes = MemoryNotes::default();
        assert_eq!(notes.get::<u32>("a").await, Ok(None));
        assert_eq!(notes.put("a", &1, None).await, Ok(Noted::Done(1)));
        assert_eq!(notes.put("a", &2, None).await, Ok(Noted::Conflict));
        assert_eq!(notes.put("a", &3, Some(1)).await, Ok(Noted::Done(2)));
        assert_eq!(notes.put("a", &4, Some(1)).await, Ok(Noted::Conflict));
        assert_eq!(notes.get::<u32>("a").await, Ok(Some(Note { value: 3, version: 2 })));
        assert_eq!(notes.get::<u32>("b").await, Ok(None));
        assert_eq!(notes.get::<String>("a").await, Err(NoteError::Unreadable("a".to_owned())));
    }
}
