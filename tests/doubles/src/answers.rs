//! Answers to CloudFormation.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use mailroom_aws::custom_resource::{CustomResourceResponder, ResponderError};

use crate::{Fuse, lock};

/// The answers that CloudFormation was given.
#[derive(Debug, Clone, Default)]
pub struct MemoryAnswers {
    inner: Arc<Mutex<Inner>>,
    fuse: Fuse,
}

#[derive(Debug, Default)]
struct Inner {
    delivered: Vec<(String, String)>,
    faults: VecDeque<ResponderError>,
}

impl MemoryAnswers {
    /// The same answers, for a function that may die.
    #[must_use]
    pub fn with_fuse(&self, fuse: &Fuse) -> Self {
        Self { inner: Arc::clone(&self.inner), fuse: fuse.clone() }
    }

    /// Has the next deliveries fail, one with each of these errors.
    pub fn fault(&self, faults: impl IntoIterator<Item = ResponderError>) {
        lock(&self.inner).faults.extend(faults);
    }

    /// The answers that were delivered since the last call, each with its URL.
    pub fn take(&self) -> Vec<(String, String)> {
        std::mem::take(&mut lock(&self.inner).delivered)
    }
}

impl CustomResourceResponder for MemoryAnswers {
    async fn put_response(&self, response_url: &str, response_body: &str) -> Result<(), ResponderError> {
        self.fuse.effect().await;
        let mut inner = lock(&self.inner);
        if let Some(fault) = inner.faults.pop_front() {
            return Err(fault);
        }
        inner.delivered.push((response_url.to_owned(), response_body.to_owned()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_are_taken_once() {
        let answers = MemoryAnswers::default();
        answers.fault([ResponderError::Refused(403)]);
        assert_eq!(answers.put_response("u", "a").await, Err(ResponderError::Refused(403)));
        assert_eq!(answers.put_response("u", "b").await, Ok(()));
        assert_eq!(answers.take(), [("u".to_owned(), "b".to_owned())]);
        assert_eq!(answers.take(), []);
    }
}
