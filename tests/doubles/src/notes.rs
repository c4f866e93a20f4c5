//! Notes.

use std::collections::HashMap;

use mailroom_aws::deadline::Deadline;
use mailroom_aws::table::notes::NoteStore;
use mailroom_aws::table::{PutOutcome, TableError, Versioned};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{MemoryTable, lock};

/// The notes of one Region, kept as text so that a note that can't be read back is noticed.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    notes: HashMap<String, (String, u64)>,
    failing_prefix: Option<String>,
}

impl MemoryTable {
    /// A note as it was last written; `None` if there is no such note.
    pub fn note<T: DeserializeOwned>(&self, name: &str) -> Option<Versioned<T>> {
        lock(&self.inner).notes.read(name).unwrap()
    }

    /// Writes a note in the place of the one that is there.
    pub fn write_note(&self, name: &str, value: &impl Serialize) {
        let Notes { notes, .. } = &mut lock(&self.inner).notes;
        let version = notes.get(name).map_or(0, |(_, version)| *version) + 1;
        notes.insert(name.to_owned(), (serde_json::to_string(value).unwrap(), version));
    }

    /// From now on, notes whose names have this prefix are not written; `None`: all are.
    pub fn fail_notes(&self, prefix: Option<&str>) {
        lock(&self.inner).notes.failing_prefix = prefix.map(str::to_owned);
    }
}

impl Notes {
    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<Versioned<T>>, TableError> {
        let Some((text, version)) = self.notes.get(name) else { return Ok(None) };
        match serde_json::from_str(text) {
            Ok(value) => Ok(Some(Versioned { value, version: Some(*version) })),
            Err(_) => Err(TableError::InvalidItem(format!("note {name} can't be read"))),
        }
    }
}

impl NoteStore for MemoryTable {
    async fn get_note<T: DeserializeOwned>(
        &self,
        name: &str,
        _: Deadline,
    ) -> Result<Option<Versioned<T>>, TableError> {
        lock(&self.inner).notes.read(name)
    }

    async fn put_note<T: Serialize>(
        &self,
        name: &str,
        note: &mut Versioned<T>,
        _: Deadline,
    ) -> Result<PutOutcome<()>, TableError> {
        self.fuse.effect().await;
        let text = serde_json::to_string(&note.value).unwrap();
        let Notes { notes, failing_prefix } = &mut lock(&self.inner).notes;
        if failing_prefix.as_ref().is_some_and(|prefix| name.starts_with(prefix.as_str())) {
            return Err(TableError::DeadlineExceeded("injected failure".to_owned()));
        }
        if notes.get(name).map(|(_, version)| *version) != note.version {
            return Ok(PutOutcome::Conflict(()));
        }
        let version = note.version.unwrap_or_default() + 1;
        notes.insert(name.to_owned(), (text, version));
        note.version = Some(version);
        Ok(PutOutcome::Written)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn of_two_who_read_the_same_one_writes() {
        let table = MemoryTable::default();
        let deadline = Deadline::after(Duration::ZERO);
        let put = async |value: u32, version| {
            let mut note = Versioned { value, version };
            let outcome = table.put_note("a", &mut note, deadline).await.unwrap();
            note.version.filter(|_| outcome == PutOutcome::Written)
        };
        assert_eq!(table.get_note::<u32>("a", deadline).await, Ok(None));
        assert_eq!(put(1, None).await, Some(1));
        assert_eq!(put(2, None).await, None);
        assert_eq!(put(3, Some(1)).await, Some(2));
        assert_eq!(put(4, Some(1)).await, None);
        let held = Versioned { value: 3, version: Some(2) };
        assert_eq!(table.get_note::<u32>("a", deadline).await, Ok(Some(held)));
        assert_eq!(table.get_note::<u32>("b", deadline).await, Ok(None));
        let unreadable = TableError::InvalidItem("note a can't be read".to_owned());
        assert_eq!(table.get_note::<String>("a", deadline).await, Err(unreadable));
    }
}
