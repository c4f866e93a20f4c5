//! The answers that a pass has read: each call is made once, however many invocations the pass takes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;

use mailroom_aws::deadline::Deadline;
use mailroom_aws::table::TableError;
use mailroom_core::timestamp::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::warn;

use crate::aws::table::AuditTable;
use crate::facts::ApiAnswer;

/// Where readings are kept for the next invocation.
pub trait ReadingStore {
    /// Why a reading could not be kept.
    type Error;

    /// Stores a reading under a name.
    ///
    /// # Errors
    /// If it could not be stored.
    async fn store(&self, name: &str, reading: &str) -> Result<(), Self::Error>;
}

/// Keeps nothing, since there is no next invocation.
#[derive(Debug)]
pub struct NoStore;

impl ReadingStore for NoStore {
    type Error = Infallible;

    async fn store(&self, _: &str, _: &str) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Keeps readings in the table.
#[derive(Debug)]
pub struct TableStore<'a, A> {
    /// The table.
    pub table: &'a A,
    /// When the pass began.
    pub pass: Timestamp,
    /// When the table must have answered.
    pub deadline: Deadline,
}

impl<A: AuditTable> ReadingStore for TableStore<'_, A> {
    type Error = TableError;

    async fn store(&self, name: &str, reading: &str) -> Result<(), TableError> {
        self.table.put_reading(self.pass, name, reading, self.deadline).await
    }
}

/// The readings of one pass.
pub struct Readings<S> {
    kept: RefCell<BTreeMap<String, String>>,
    store: S,
    /// The number of this invocation's calls that were not answered.
    unanswered: Cell<usize>,
}

impl<S: ReadingStore> Readings<S> {
    /// Readings, with those that earlier invocations have kept: JSON by name.
    pub fn new(kept: BTreeMap<String, String>, store: S) -> Self {
        Self { kept: RefCell::new(kept), store, unanswered: Cell::new(0) }
    }

    /// Takes out a reading that was kept; `None` if there is none, or if this version can't read it.
    pub fn take<T: DeserializeOwned>(&self, name: &str) -> Option<ApiAnswer<T>> {
        let text = self.kept.borrow_mut().remove(name)?;
        serde_json::from_str(&text).ok()
    }

    /// Keeps a reading under a name.
    ///
    /// # Errors
    /// If the store could not keep it.
    pub async fn keep<T: Serialize>(&self, name: &str, reading: &ApiAnswer<T>) -> Result<(), S::Error> {
        match serde_json::to_string(reading) {
            Ok(text) => self.store.store(name, &text).await,
            // The next invocation then makes the call again, which is better than no audit at all.
            Err(error) => {
                warn!(%error, "a reading is not kept");
                Ok(())
            }
        }
    }

    /// The number of this invocation's calls that were not answered.
    pub fn unanswered(&self) -> usize {
        self.unanswered.get()
    }

    /// Counts a call that was not answered.
    pub fn count_unanswered(&self) {
        self.unanswered.set(self.unanswered.get() + 1);
    }
}
