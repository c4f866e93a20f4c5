//! The dead-letter queue of a function, to which it sends what can never be processed.
//!
//! SQS moves a message there by itself once it has been received too often. A function need not wait for that: it knows
//! which messages no retry can help.

#[cfg(feature = "dead-letters")]
mod sqs;

use std::sync::{Arc, Mutex};

use futures_util::{StreamExt, stream};
use mailroom_core::dead_letter::DeadLetter;
use tokio::time::Instant;

#[cfg(feature = "dead-letters")]
pub use sqs::SqsDeadLetters;

/// The number of letters that are sent at a time.
const MAX_CALLS_AT_ONCE: usize = 8;

/// Takes dead letters.
pub trait DeadLetters {
    /// Sends a message to the dead-letter queue, its body unchanged. Returns by `deadline`. Once it has been sent, the
    /// message may be acknowledged.
    ///
    /// # Errors
    /// See [`DeadLetterError`]. The letter may have been sent nevertheless.
    async fn send_letter(&self, letter: &DeadLetter, deadline: Instant) -> Result<(), DeadLetterError>;
}

/// Why a dead letter was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeadLetterError {
    /// SQS did not answer, throttled the call, or failed. A retry can help.
    #[error("SQS does not answer: {0}")]
    Unavailable(String),
    /// SQS refused the call in a way that only a person can fix, such as for a missing permission.
    #[error("refused: {0}")]
    Refused(String),
}

/// Sends several letters, and returns for each of them, in their order, whether it was sent.
pub(crate) async fn send_all(
    queue: &impl DeadLetters,
    letters: &[DeadLetter],
    deadline: Instant,
) -> Vec<Result<(), DeadLetterError>> {
    stream::iter(letters)
        .map(|letter| queue.send_letter(letter, deadline))
        .buffered(MAX_CALLS_AT_ONCE)
        .collect()
        .await
}

/// A dead-letter queue in memory. Clones are the same queue.
#[derive(Debug, Clone, Default)]
pub struct MemoryDeadLetters(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    letters: Vec<DeadLetter>,
    failing: Option<DeadLetterError>,
}

impl MemoryDeadLetters {
    /// A queue that refuses every letter, for tests in which there must be none.
    pub fn refusing() -> Self {
        let queue = Self::default();
        queue.fail(Some(DeadLetterError::Refused("no letter is expected".to_owned())));
        queue
    }

    /// The letters that were sent, the first one first.
    pub fn letters(&self) -> Vec<DeadLetter> {
        self.0.lock().map(|inner| inner.letters.clone()).unwrap_or_default()
    }

    /// From now on sending fails with this error; `None`: it works again.
    pub fn fail(&self, error: Option<DeadLetterError>) {
        if let Ok(mut inner) = self.0.lock() {
            inner.failing = error;
        }
    }
}

impl DeadLetters for MemoryDeadLetters {
    async fn send_letter(&self, letter: &DeadLetter, _: Instant) -> Result<(), DeadLetterError> {
        let mut inner = self.0.lock().map_err(|_| DeadLetterError::Unavailable("poisoned".to_owned()))?;
        if let Some(error) = &inner.failing {
            return Err(error.clone());
        }
        inner.letters.push(letter.clone());
        Ok(())
    }
}
