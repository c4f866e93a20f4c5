//! Notes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use mailroom_aws::notes::{Note, NoteError, Noted, Notes};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Fuse, lock};

/// The notes of one Region, kept as text so that a note that can't be read back is noticed.
#[derive(Debug, Clone, Default)]
pub struct MemoryNotes {
    inner: Arc<Mutex<Inner>>,
    fuse: Fuse,
}

#[derive(Debug, Default)]
struct Inner {
    notes: HashMap<String, (String, u64)>,
    failing: Option<String>,
}

impl MemoryNotes {
    /// The same notes, for a function that may die.
    #[must_use]
    pub fn with_fuse(&self, fuse: &Fuse) -> Self {
        Self { inner: Arc::clone(&self.inner), fuse: fuse.clone() }
    }

    /// From now on, notes whose names have this prefix are not written; `None`: all are.
    pub fn fail(&self, prefix: Option<&str>) {
        lock(&self.inner).failing = prefix.map(str::to_owned);
    }
}

impl Notes for MemoryNotes {
    async fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<Note<T>>, NoteError> {
        let inner = lock(&self.inner);
        let Some((text, version)) = inner.notes.get(name) else { return Ok(None) };
        match serde_json::from_str(text) {
            Ok(value) => Ok(Some(Note { value, version: *version })),
            Err(_) => Err(NoteError::Unreadable(name.to_owned())),
        }
    }

    async fn put<T: Serialize>(&self, name: &str, value: &T, read: Option<u64>) -> Result<Noted, NoteError> {
        self.fuse.effect().await;
        let text = serde_json::to_string(value).unwrap();
        let mut inner = lock(&self.inner);
        if inner.failing.as_ref().is_some_and(|prefix| name.starts_with(prefix.as_str())) {
            return Err(NoteError::Unavailable("injected failure".to_owned()));
        }
        if inner.notes.get(name).map(|(_, version)| *version) != read {
            return Ok(Noted::Conflict);
        }
        let version = read.unwrap_or_default() + 1;
        inner.notes.insert(name.to_owned(), (text, version));
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
