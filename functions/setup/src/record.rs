//! What is remembered from one request to the next, in a note in the table: how things were before, and which requests
//! there were.

use mailroom_aws::clock::Timer;
use mailroom_aws::table::notes::NoteStore;
use mailroom_aws::table::{PutOutcome, TableError, Versioned};
use mailroom_core::setup::Remembered;
use serde::{Deserialize, Serialize};

use crate::calls::Calls;

const NOTE: &str = "setup";

/// The number of requests that are remembered. Lambda brings a request again for half an hour at most, and in that time
/// there are only a few.
const MOST_REQUESTS: usize = 10;

/// The note, as it was last read or written.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) kept: Kept,
    version: Option<u64>,
}

/// The content of the note.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kept {
    pub(crate) remembered: Remembered,
    /// The last requests, in the order in which they came.
    pub(crate) requests: Vec<Known>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    id: String,
    answer: Option<Answer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    /// Why the request has failed; `None` if it has not.
    failed: Option<String>,
}

/// How a request stands. Only the newest one is carried out, and only until it is answered: once CloudFormation has an
/// answer, or needs none any more, it goes on and wants things otherwise.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing<'a> {
    /// The request is seen for the first time.
    New,
    /// The request is the newest one, and is not answered yet.
    Newest,
    /// A newer request came before this one was answered: CloudFormation has cancelled it, or has waited in vain.
    Overtaken,
    /// The request was answered; as failed, if there is a reason.
    Answered(Option<&'a str>),
}

impl Kept {
    pub(crate) fn standing(&self, request: &str) -> Standing<'_> {
        match self.requests.iter().rev().find(|known| known.id == request) {
            None => Standing::New,
            Some(Known { answer: Some(answer), .. }) => Standing::Answered(answer.failed.as_deref()),
            Some(_) if self.requests.last().is_some_and(|last| last.id == request) => Standing::Newest,
            Some(_) => Standing::Overtaken,
        }
    }

    /// Whether another request was begun and not answered, so that some instance may still be at work on it.
    pub(crate) fn others_under_way(&self, request: &str) -> bool {
        self.requests.iter().any(|known| known.id != request && known.answer.is_none())
    }

    /// Notes a request as the newest.
    pub(crate) fn begin(&mut self, request: &str) {
        self.requests.push(Known { id: request.to_owned(), answer: None });
        let old = self.requests.len().saturating_sub(MOST_REQUESTS);
        self.requests.drain(..old);
    }

    pub(crate) fn answer(&mut self, request: &str, failed: Option<&str>) {
        if let Some(known) = self.requests.iter_mut().find(|known| known.id == request) {
            known.answer = Some(Answer { failed: failed.map(str::to_owned) });
        }
    }
}

impl Record {
    pub(crate) async fn read(
        table: &impl NoteStore,
        calls: &Calls<'_, impl Timer>,
    ) -> Result<Self, TableError> {
        let note = calls.table(async |deadline| table.get_note(NOTE, deadline).await).await?;
        let Versioned { value: kept, version } = note.unwrap_or_default();
        Ok(Self { kept, version })
    }

    /// Writes the note. Returns `false` if another instance has written it meanwhile, or if this one has and did not get
    /// the table's answer.
    pub(crate) async fn keep(
        &mut self,
        table: &impl NoteStore,
        calls: &Calls<'_, impl Timer>,
        kept: Kept,
    ) -> Result<bool, TableError> {
        let put = async |deadline| {
            let mut note = Versioned { value: kept.clone(), version: self.version };
            let outcome = table.put_note(NOTE, &mut note, deadline).await?;
            Ok((outcome, note))
        };
        let (outcome, Versioned { value: kept, version }) = calls.table(put).await?;
        let is_written = outcome == PutOutcome::Written;
        if is_written {
            *self = Self { kept, version };
        }
        Ok(is_written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_carried_out_until_it_is_answered() {
        let mut kept = Kept::default();
        assert_eq!(kept.standing("a"), Standing::New);
        kept.begin("a");
        assert_eq!((kept.standing("a"), kept.others_under_way("a")), (Standing::Newest, false));
        kept.begin("b");
        assert_eq!((kept.standing("a"), kept.standing("b")), (Standing::Overtaken, Standing::Newest));
        assert!(kept.others_under_way("b"));
        kept.answer("b", Some("why"));
        assert_eq!(
            (kept.standing("a"), kept.standing("b")),
            (Standing::Overtaken, Standing::Answered(Some("why")))
        );
        kept.answer("a", None);
        assert_eq!((kept.standing("a"), kept.others_under_way("c")), (Standing::Answered(None), false));
    }

    #[test]
    fn the_last_few_requests_are_remembered() {
        let mut kept = Kept::default();
        for request in 0..=MOST_REQUESTS {
            kept.begin(&request.to_string());
        }
        assert_eq!(kept.requests.len(), MOST_REQUESTS);
        assert_eq!((kept.standing("0"), kept.standing("1")), (Standing::New, Standing::Overtaken));
    }
}
