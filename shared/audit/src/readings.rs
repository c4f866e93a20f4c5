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
pub trait AnswerStore {
    /// Why a reading could not be kept.
    type Error;

    /// Stores a reading under a name.
    ///
    /// # Errors
    /// If it could not be stored.
    async fn store(&self, name: &str, answer_json: &str) -> Result<(), Self::Error>;
}

/// Keeps nothing, since there is no next invocation.
#[derive(Debug)]
pub struct NoStore;

impl AnswerStore for NoStore {
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

impl<A: AuditTable> AnswerStore for TableStore<'_, A> {
    type Error = TableError;

    async fn store(&self, name: &str, answer_json: &str) -> Result<(), TableError> {
        self.table.put_answer(self.pass, name, answer_json, self.deadline).await
    }
}

/// The readings of one pass.
pub struct SavedAnswers<S> {
    json_by_name: RefCell<BTreeMap<String, String>>,
    store: S,
    /// The number of this invocation's calls that were not answered.
    unanswered_calls: Cell<usize>,
}

impl<S: AnswerStore> SavedAnswers<S> {
    /// Readings, with those that earlier invocations have kept: JSON by name.
    pub fn new(json_by_name: BTreeMap<String, String>, store: S) -> Self {
        Self { json_by_name: RefCell::new(json_by_name), store, unanswered_calls: Cell::new(0) }
    }

    /// Takes out a reading that was kept; `None` if there is none, or if this version can't read it.
    pub fn take_answer<T: DeserializeOwned>(&self, name: &str) -> Option<ApiAnswer<T>> {
        let text = self.json_by_name.borrow_mut().remove(name)?;
        serde_json::from_str(&text).ok()
    }

    /// Keeps a reading under a name.
    ///
    /// # Errors
    /// If the store could not keep it.
    pub async fn save_answer<T: Serialize>(&self, name: &str, answer: &ApiAnswer<T>) -> Result<(), S::Error> {
        match serde_json::to_string(answer) {
            Ok(text) => self.store.store(name, &text).await,
            // The next invocation then makes the call again, which is better than no audit at all.
            Err(error) => {
                warn!(%error, "a reading is not kept");
                Ok(())
            }
        }
    }

    /// The number of this invocation's calls that were not answered.
    pub fn unanswered_calls(&self) -> usize {
        self.unanswered_calls.get()
    }

    /// Counts a call that was not answered.
    pub fn count_unanswered(&self) {
        self.unanswered_calls.set(self.unanswered_calls.get() + 1);
    }
}
