//! What is remembered from one request to the next, in a note in the table: how things were before, and which requests
//! there were.

use mailroom_aws::clock::Timer;
use mailroom_aws::table::notes::NoteStore;
use mailroom_aws::table::{PutOutcome, TableError, Versioned};
use mailroom_core::setup::RememberedSettings;
use serde::{Deserialize, Serialize};

use crate::setup_caller::SetupCaller;

const NOTE_NAME: &str = "setup";

/// The number of requests that are remembered. Lambda brings a request again for half an hour at most, and in that time
/// there are only a few.
const MAX_NOTED_REQUESTS: usize = 10;

/// The note, as it was last read or written.
#[derive(Debug, Default)]
pub(crate) struct VersionedSetupNote {
    pub(crate) note: SetupNote,
    version: Option<u64>,
}

/// The content of the note.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SetupNote {
    pub(crate) remembered: RememberedSettings,
    /// The last requests, in the order in which they came.
    pub(crate) requests: Vec<NotedRequest>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NotedRequest {
    id: String,
    #[serde(rename = "answer")]
    outcome: Option<RequestOutcome>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RequestOutcome {
    /// Why the request has failed; `None` if it has not.
    #[serde(rename = "failed")]
    failure: Option<String>,
}

/// How a request stands. Only the newest one is carried out, and only until it is answered: once CloudFormation has an
/// answer, or needs none any more, it goes on and wants things otherwise.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RequestStanding<'a> {
    /// The request is seen for the first time.
    New,
    /// The request is the newest one, and is not answered yet.
    Newest,
    /// A newer request came before this one was answered: CloudFormation has cancelled it, or has waited in vain.
    Superseded,
    /// The request was answered; as failed, if there is a reason.
    Answered(Option<&'a str>),
}

impl SetupNote {
    pub(crate) fn request_standing(&self, request_id: &str) -> RequestStanding<'_> {
        match self.requests.iter().rev().find(|known| known.id == request_id) {
            None => RequestStanding::New,
            Some(NotedRequest { outcome: Some(answer), .. }) => {
                RequestStanding::Answered(answer.failure.as_deref())
            }
            Some(_) if self.requests.last().is_some_and(|last| last.id == request_id) => {
                RequestStanding::Newest
            }
            Some(_) => RequestStanding::Superseded,
        }
    }

    /// Whether another request was begun and not answered, so that some instance may still be at work on it.
    pub(crate) fn has_other_open_request(&self, request_id: &str) -> bool {
        self.requests.iter().any(|known| known.id != request_id && known.outcome.is_none())
    }

    /// Notes a request as the newest.
    pub(crate) fn add_request(&mut self, request_id: &str) {
        self.requests.push(NotedRequest { id: request_id.to_owned(), outcome: None });
        let old = self.requests.len().saturating_sub(MAX_NOTED_REQUESTS);
        self.requests.drain(..old);
    }

    pub(crate) fn record_outcome(&mut self, request_id: &str, failure: Option<&str>) {
        if let Some(known) = self.requests.iter_mut().find(|known| known.id == request_id) {
            known.outcome = Some(RequestOutcome { failure: failure.map(str::to_owned) });
        }
    }
}

impl VersionedSetupNote {
    pub(crate) async fn read(
        table: &impl NoteStore,
        caller: &SetupCaller<'_, impl Timer>,
    ) -> Result<Self, TableError> {
        let note = caller.call_table(async |deadline| table.get_note(NOTE_NAME, deadline).await).await?;
        let Versioned { value: kept, version } = note.unwrap_or_default();
        Ok(Self { note: kept, version })
    }

    /// Writes the note. Returns `false` if another instance has written it meanwhile, or if this one has and did not get
    /// the table's answer.
    pub(crate) async fn save(
        &mut self,
        table: &impl NoteStore,
        caller: &SetupCaller<'_, impl Timer>,
        note: SetupNote,
    ) -> Result<bool, TableError> {
        let put = async |deadline| {
            let mut note = Versioned { value: note.clone(), version: self.version };
            let outcome = table.put_note(NOTE_NAME, &mut note, deadline).await?;
            Ok((outcome, note))
        };
        let (outcome, Versioned { value: kept, version }) = caller.call_table(put).await?;
        let is_written = outcome == PutOutcome::Written;
        if is_written {
            *self = Self { note: kept, version };
        }
        Ok(is_written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_carried_out_until_it_is_answered() {
        let mut kept = SetupNote::default();
        assert_eq!(kept.request_standing("a"), RequestStanding::New);
        kept.add_request("a");
        assert_eq!(
            (kept.request_standing("a"), kept.has_other_open_request("a")),
            (RequestStanding::Newest, false)
        );
        kept.add_request("b");
        assert_eq!(
            (kept.request_standing("a"), kept.request_standing("b")),
            (RequestStanding::Superseded, RequestStanding::Newest)
        );
        assert!(kept.has_other_open_request("b"));
        kept.record_outcome("b", Some("why"));
        assert_eq!(
            (kept.request_standing("a"), kept.request_standing("b")),
            (RequestStanding::Superseded, RequestStanding::Answered(Some("why")))
        );
        kept.record_outcome("a", None);
        assert_eq!(
            (kept.request_standing("a"), kept.has_other_open_request("c")),
            (RequestStanding::Answered(None), false)
        );
    }

    #[test]
    fn the_last_few_requests_are_remembered() {
        let mut kept = SetupNote::default();
        for request in 0..=MAX_NOTED_REQUESTS {
            kept.add_request(&request.to_string());
        }
        assert_eq!(kept.requests.len(), MAX_NOTED_REQUESTS);
        assert_eq!(
            (kept.request_standing("0"), kept.request_standing("1")),
            (RequestStanding::New, RequestStanding::Superseded)
        );
    }
}
