//! A function's dead-letter queue.

use std::sync::{Arc, Mutex};

use mailroom_aws::dead_letters::{DeadLetterError, DeadLetterQueue};
use mailroom_aws::deadline::Deadline;
use mailroom_core::dead_letter::DeadLetter;

use crate::lock;

/// A dead-letter queue.
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
        lock(&self.0).letters.clone()
    }

    /// From now on sending fails with this error; `None`: it works again.
    pub fn fail(&self, error: Option<DeadLetterError>) {
        lock(&self.0).failing = error;
    }
}

impl DeadLetterQueue for MemoryDeadLetters {
    async fn send_letter(&self, letter: &DeadLetter, _: Deadline) -> Result<(), DeadLetterError> {
        let mut inner = lock(&self.0);
        if let Some(error) = &inner.failing {
            return Err(error.clone());
        }
        inner.letters.push(letter.clone());
        Ok(())
    }
}
