//! The dead-letter queue of a function, to which it sends what can never be processed.
//!
//! SQS moves a message there by itself once it has been received too often. A function need not wait for that: it knows
//! which messages no retry can help.

#[cfg(feature = "dead-letters")]
pub mod sqs;

use futures_util::{StreamExt, stream};
use mailroom_core::dead_letter::DeadLetter;

use crate::deadline::Deadline;

/// The number of letters that are sent at a time.
const MAX_CONCURRENT_CALLS: usize = 8;

/// Takes dead letters.
pub trait DeadLetterQueue {
    /// Sends a message to the dead-letter queue, its body unchanged. Returns by `deadline`. Once it has been sent, the
    /// message may be acknowledged.
    ///
    /// # Errors
    /// See [`DeadLetterError`]. The letter may have been sent nevertheless.
    async fn send_letter(&self, letter: &DeadLetter, deadline: Deadline) -> Result<(), DeadLetterError>;
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
pub(crate) async fn send_letters(
    queue: &impl DeadLetterQueue,
    letters: &[DeadLetter],
    deadline: Deadline,
) -> Vec<Result<(), DeadLetterError>> {
    stream::iter(letters)
        .map(|letter| queue.send_letter(letter, deadline))
        .buffered(MAX_CONCURRENT_CALLS)
        .collect()
        .await
}
