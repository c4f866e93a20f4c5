//! What is remembered from one request to the next, in a note of the table.

use mailroom_aws::clock::Timer;
use mailroom_aws::notes::{NoteError, Noted, Notes};
use mailroom_core::setup::Remembered;
use serde::{Deserialize, Serialize};

use crate::calls::Calls;

const NOTE: &str = "setup";

/// How many requests are remembered. Lambda may bring one twice, so long as it keeps it: a few at most.
const MOST_ANSWERED: usize = 10;

/// The note, as it was read or written last.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) kept: Kept,
    version: Option<u64>,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kept {
    pub(crate) remembered: Remembered,
    pub(crate) answered: Vec<Answered>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answered {
    request: String,
    /// Why it has failed, if it has.
    pub(crate) failed: Option<String>,
}

impl Kept {
    /// What a request was answered. It is not carried out again: CloudFormation goes on as soon as it is answered, so things
    /// may be wanted otherwise by now.
    pub(crate) fn answered(&self, request: &str) -> Option<&Answered> {
        self.answered.iter().find(|answered| answered.request == request)
    }

    pub(crate) fn answer(&mut self, request: &str, failed: Option<&str>) {
        let answered = Answered { request: request.to_owned(), failed: failed.map(str::to_owned) };
        self.answered.push(answered);
        let old = self.answered.len().saturating_sub(MOST_ANSWERED);
        self.answered.drain(..old);
    }
}

impl Record {
    pub(crate) async fn read(notes: &impl Notes, calls: &Calls<'_, impl Timer>) -> Result<Self, NoteError> {
        let note = calls.table(async || notes.get(NOTE).await).await?;
        Ok(note.map_or_else(Self::default, |note| Self { kept: note.value, version: Some(note.version) }))
    }

    /// `false` if somebody else has written meanwhile; or this has, and the table has not answered.
    pub(crate) async fn keep(
        &mut self,
        notes: &impl Notes,
        calls: &Calls<'_, impl Timer>,
        kept: Kept,
    ) -> Result<bool, NoteError> {
        match calls.table(async || notes.put(NOTE, &kept, self.version).await).await? {
            Noted::Conflict => Ok(false),
            Noted::Done(version) => {
                *self = Self { kept, version: Some(version) };
                Ok(true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_few_requests_are_remembered() {
        let mut kept = Kept::default();
        for request in 0..=MOST_ANSWERED {
            kept.answer(&request.to_string(), (request % 2 == 1).then_some("why"));
        }
        assert_eq!(kept.answered("0"), None);
        assert_eq!(kept.answered("1").unwrap().failed.as_deref(), Some("why"));
        assert_eq!(kept.answered("10").unwrap().failed, None);
        assert_eq!(kept.answered.len(), MOST_ANSWERED);
    }
}
