//! The answers that a pass has read: each call is made once, however many invocations the pass takes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;

use mailroom_aws::audit::table::AuditTable;
use mailroom_aws::states::TableError;
use mailroom_core::audit::facts::Asked;
use mailroom_core::timestamp::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tracing::warn;

/// Where readings are kept for the next invocation.
pub(crate) trait Keep {
    /// Why a reading could not be kept.
    type Error;

    /// Keeps a reading under a name.
    async fn keep(&self, name: &str, reading: &str) -> Result<(), Self::Error>;
}

/// Keeps nothing, since there is no next invocation.
#[derive(Debug)]
pub(crate) struct Nowhere;

impl Keep for Nowhere {
    type Error = Infallible;

    async fn keep(&self, _: &str, _: &str) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Keeps readings in the table.
#[derive(Debug)]
pub(crate) struct InTable<'a, A> {
    pub(crate) table: &'a A,
    pub(crate) pass: Timestamp,
    pub(crate) deadline: Instant,
}

impl<A: AuditTable> Keep for InTable<'_, A> {
    type Error = TableError;

    async fn keep(&self, name: &str, reading: &str) -> Result<(), TableError> {
        self.table.keep(self.pass, name, reading, self.deadline).await
    }
}

/// The readings of one pass.
pub(crate) struct Readings<K> {
    kept: RefCell<BTreeMap<String, String>>,
    keep: K,
    /// The number of this invocation's calls that were not answered.
    unanswered: Cell<usize>,
}

impl<K: Keep> Readings<K> {
    pub(crate) fn new(kept: BTreeMap<String, String>, keep: K) -> Self {
        Self { kept: RefCell::new(kept), keep, unanswered: Cell::new(0) }
    }

    /// Takes out a reading that was kept; `None` if there is none, or if this version can't read it.
    pub(crate) fn take<T: DeserializeOwned>(&self, name: &str) -> Option<Asked<T>> {
        let text = self.kept.borrow_mut().remove(name)?;
        serde_json::from_str(&text).ok()
    }

    pub(crate) async fn keep<T: Serialize>(&self, name: &str, reading: &Asked<T>) -> Result<(), K::Error> {
        match serde_json::to_string(reading) {
            Ok(text) => self.keep.keep(name, &text).await,
            // The next invocation then makes the call again, which is better than no audit at all.
            Err(error) => {
                warn!(%error, "a reading is not kept");
                Ok(())
            }
        }
    }

    pub(crate) fn unanswered(&self) -> usize {
        self.unanswered.get()
    }

    pub(crate) fn missed(&self) {
        self.unanswered.set(self.unanswered.get() + 1);
    }
}
