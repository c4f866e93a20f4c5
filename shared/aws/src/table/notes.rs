//! Small things that a Region's functions keep between invocations, as items `REGION#<region>` / `NOTE#<name>`.
//!
//! A note is written on condition that its version is still the one that was read, so that of two instances of a function
//! one finds out that it is not alone:
//!
//! ```text
//! one      reads version 3                               writes 4, fine
//! another  reads version 3    goes on from there, too    writes 4: conflict, reads again or gives up
//! ```

use aws_sdk_dynamodb::types::AttributeValue;
use mailroom_core::suppression::list_pass::ListPass;
use mailroom_core::timestamp::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::item::{Item, get_string, string_attribute};
use super::{PutOutcome, RegionTable, TableError, Versioned};
use crate::deadline::Deadline;

/// The name of the note that exists once reconcile has been through this Region's list: from then on a BOUNCE may be put
/// there.
pub const FIRST_PASS_NOTE: &str = "first-pass";

/// The content of the note [`FIRST_PASS_NOTE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstPassNote {
    /// When the last page of the list had been read and taken in.
    pub ended_at: Timestamp,
}

/// The name of the note in which reconcile keeps how far it has told a peer.
pub fn peer_note_name(peer_region: &str) -> String {
    format!("peer-{peer_region}")
}

/// The content of the note [`peer_note_name`], as far as others than reconcile read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerNote {
    /// The peer has been told everything that changed before this time; `None` if it has never been told everything.
    #[serde(rename = "until")]
    pub pushed_until: Option<Timestamp>,
}

/// The name of the note in which reconcile keeps where its pass over the list stands, and what the last one found.
pub const PASS_NOTE: &str = "reconcile";

/// The content of the note [`PASS_NOTE`]. Where a pass stands is reconcile's own business: others read it as
/// `IgnoredAny`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassNote<O> {
    /// The pass that is in progress; `None` if there is none.
    #[serde(rename = "open")]
    pub open_pass: Option<O>,
    /// The last pass that has ended; `None` if none has.
    #[serde(rename = "last")]
    pub last_pass: Option<ListPass>,
}

impl<O> Default for PassNote<O> {
    fn default() -> Self {
        Self { open_pass: None, last_pass: None }
    }
}

/// Keeps notes.
pub trait NoteStore {
    /// A note as it was last written, by a consistent read; `None` if there is no such note.
    ///
    /// # Errors
    /// See [`TableError`].
    async fn get_note<T: DeserializeOwned>(
        &self,
        name: &str,
        deadline: Deadline,
    ) -> Result<Option<Versioned<T>>, TableError>;

    /// Writes a note if the table still holds its version, and gives it the next one. If the table already holds this
    /// content as the next version, that counts as written, not as a conflict: an earlier attempt's answer was lost.
    ///
    /// # Errors
    /// See [`TableError`]. It may have been written all the same: read it again.
    async fn put_note<T: Serialize>(
        &self,
        name: &str,
        note: &mut Versioned<T>,
        deadline: Deadline,
    ) -> Result<PutOutcome<()>, TableError>;
}

impl NoteStore for RegionTable {
    async fn get_note<T: DeserializeOwned>(
        &self,
        name: &str,
        deadline: Deadline,
    ) -> Result<Option<Versioned<T>>, TableError> {
        let item = self.get_item(&self.region_key(), &sort_key(name), deadline).await?;
        item.map(|item| parse_note(name, &item)).transpose()
    }

    async fn put_note<T: Serialize>(
        &self,
        name: &str,
        note: &mut Versioned<T>,
        deadline: Deadline,
    ) -> Result<PutOutcome<()>, TableError> {
        let next_version = note.version.unwrap_or_default() + 1;
        let text = serde_json::to_string(&note.value).map_err(|_| invalid_note(name))?;
        let item = [
            ("pk", string_attribute(&self.region_key())),
            ("sk", string_attribute(&sort_key(name))),
            ("version", AttributeValue::N(next_version.to_string())),
            ("note", AttributeValue::S(text)),
        ];
        let item: Item = item.map(|(name, value)| (name.to_owned(), value)).into();
        Ok(match self.put_version(&item, note.version, deadline).await? {
            PutOutcome::Written => {
                note.version = Some(next_version);
                PutOutcome::Written
            }
            PutOutcome::Conflict(_) => PutOutcome::Conflict(()),
        })
    }
}

fn sort_key(name: &str) -> String {
    format!("NOTE#{name}")
}

fn parse_note<T: DeserializeOwned>(name: &str, item: &Item) -> Result<Versioned<T>, TableError> {
    let value = get_string(item, "note").and_then(|text| serde_json::from_str(text).ok());
    let version = item.get("version").and_then(|value| value.as_n().ok()?.parse().ok());
    let note = value.zip(version).map(|(value, version)| Versioned { value, version: Some(version) });
    note.ok_or_else(|| invalid_note(name))
}

/// The error for a note that was written by a version of Mailroom that this one does not know, or is damaged.
fn invalid_note(name: &str) -> TableError {
    TableError::InvalidItem(format!("note {name} can't be read"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use doubles::stub::Stub;

    const THROTTLED: (u16, &str) =
        (400, r#"{"__type":"x#ProvisionedThroughputExceededException","message":"slow down"}"#);

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(30))
    }

    async fn put(stub: &Stub, value: u32, version: Option<u64>) -> Result<Option<u64>, TableError> {
        let mut note = Versioned { value, version };
        let outcome = RegionTable::new(&stub.config(), "table").put_note("a", &mut note, soon()).await?;
        Ok(note.version.filter(|_| outcome == PutOutcome::Written))
    }

    #[tokio::test]
    async fn a_throttled_note_is_written_all_the_same() {
        let stub = Stub::start([THROTTLED, THROTTLED, (200, "{}")]);
        assert_eq!(put(&stub, 1, Some(3)).await, Ok(Some(4)));
        assert_eq!(stub.bodies().len(), 3);
        let stub = Stub::start([THROTTLED, (200, "{}")]);
        assert_eq!(RegionTable::new(&stub.config(), "table").get_note::<u32>("a", soon()).await, Ok(None));
        assert_eq!(stub.bodies().len(), 2);
        let stub = Stub::start([(400, r#"{"__type":"x#AccessDeniedException"}"#)]);
        let denied = TableError::Refused("AccessDeniedException".to_owned());
        assert_eq!(put(&stub, 1, None).await, Err(denied));
    }

    #[tokio::test]
    async fn a_write_whose_answer_was_lost_is_no_conflict() {
        let ours = r#"{"__type":"x#ConditionalCheckFailedException","Item":{"pk":{"S":"REGION#us-east-1"},"sk":{"S":"NOTE#a"},"version":{"N":"4"},"note":{"S":"1"}}}"#;
        let stub = Stub::start([(500, "{}"), (400, ours), (400, ours)]);
        assert_eq!(put(&stub, 1, Some(3)).await, Ok(Some(4)));
        assert_eq!(put(&stub, 2, Some(3)).await, Ok(None), "somebody else's");
        stub.bodies();
    }
}
