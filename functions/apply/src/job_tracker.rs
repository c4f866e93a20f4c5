//! What a run knows of the Region's import job.

use std::time::Duration;

use mailroom_aws::deadline::Deadline;
use mailroom_aws::table::notes::NoteStore;
use mailroom_aws::table::{PutOutcome, TableError, Versioned};
use mailroom_core::suppression::import_job::JobNote;
use mailroom_core::timestamp::Timestamp;

use crate::error::RunEnd;

/// The name of the note.
const NOTE_NAME: &str = "import-job";
/// The time between two looks at a job that runs.
const POLL_INTERVAL: Duration = Duration::from_secs(10);

/// The note on import jobs, as it was last read or written.
#[derive(Debug)]
pub(crate) struct JobTracker {
    pub(crate) note: JobNote,
    version: Option<u64>,
    /// When SES last said how far the job is, or made it; `None` if not in this run.
    pub(crate) watched_at: Option<Timestamp>,
    /// Whether SES was asked in this run how far the overdue job is.
    pub(crate) is_overdue_watched: bool,
}

impl JobTracker {
    pub(crate) async fn read(notes: &impl NoteStore, deadline: Deadline) -> Result<Self, TableError> {
        let Versioned { value: note, version } =
            notes.get_note(NOTE_NAME, deadline).await?.unwrap_or_default();
        Ok(Self { note, version, watched_at: None, is_overdue_watched: false })
    }

    /// Changes the note, unless somebody else has written it since.
    pub(crate) async fn update(
        &mut self,
        notes: &impl NoteStore,
        deadline: Deadline,
        change: impl FnOnce(&mut JobNote),
    ) -> Result<(), RunEnd> {
        let mut next = Versioned { value: self.note.clone(), version: self.version };
        change(&mut next.value);
        match notes.put_note(NOTE_NAME, &mut next, deadline).await? {
            PutOutcome::Written => {
                self.note = next.value;
                self.version = next.version;
                Ok(())
            }
            PutOutcome::Conflict(()) => Err(RunEnd::Later("another instance has noted an import job")),
        }
    }

    /// The time until SES is asked again how far the job is.
    pub(crate) fn next_watch_in(&self, now: Timestamp) -> Duration {
        self.watched_at.map_or(Duration::ZERO, |at| at.plus(POLL_INTERVAL).since(now))
    }
}
