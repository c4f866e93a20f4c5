//! A Region's import job from its intent to its end: there is one at a time, and its intent is written first.
//!
//! A job that has not ended within an hour is overdue. It no longer holds its addresses, but may still run: until SES says that
//! it has ended, or until it is forgotten, no other job is made.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::address_state::{AddressState, ImportResult};
use super::import::{ImportAction, ImportJobOutcome, JobStatus, requires_import_job_to_delete};
use super::reason::SuppressionReason;
use crate::timestamp::Timestamp;

/// The time since SES was asked for a job after which the job is overdue. SES documents no time that a job may take, so this
/// is how long a release may wait: the alarm on the oldest pending address has the same limit. A job that takes longer is
/// not wasted, since what it has done counts once it has ended.
const MAX_AGE: Duration = Duration::from_hours(1);
/// The time since SES was asked for a job after which an overdue job is no longer waited for: by then the bucket's lifecycle
/// rule has deleted its object.
const MAX_OVERDUE_AGE: Duration = Duration::from_hours(7 * 24);
/// How long it may take until a job that SES was asked for, without an answer, is among SES's jobs.
const MAX_APPEARANCE_DELAY: Duration = Duration::from_mins(1);
/// How long no jobs are made after one that failed, so that whatever is wrong with jobs does not keep the list wrong.
const SUSPENSION: Duration = Duration::from_mins(10);

/// What is kept of import jobs between invocations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobNote {
    /// The job that has not ended, or may have been made; `None` if there is none.
    #[serde(default)]
    pub intent: Option<JobIntent>,
    /// The job that did not end in time; `None` if there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub overdue: Option<JobIntent>,
    /// Until when no jobs are made, since one has failed.
    #[serde(default, rename = "singly_until")]
    suspended_until: Option<Timestamp>,
}

/// A job that is to be made, or was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobIntent {
    /// The key of the job's object.
    pub key: String,
    /// Whether the job deletes. Otherwise it puts.
    deletes: bool,
    /// When the job was planned.
    pub planned_at: Timestamp,
    /// When SES was last asked to make the job; `None` if it was not.
    #[serde(default, rename = "tried_at")]
    pub requested_at: Option<Timestamp>,
    /// The job's id; `None` until SES has answered.
    #[serde(default)]
    pub id: Option<String>,
}

impl JobIntent {
    /// A job that SES was not asked for yet.
    pub fn new(key: String, kind: ImportAction, planned_at: Timestamp) -> Self {
        Self { key, deletes: kind == ImportAction::Delete, planned_at, requested_at: None, id: None }
    }

    /// What the job does with its entries.
    pub fn kind(&self) -> ImportAction {
        if self.deletes { ImportAction::Delete } else { ImportAction::Put }
    }

    fn time_since_request(&self, now: Timestamp) -> Duration {
        now.since(self.requested_at.unwrap_or(self.planned_at))
    }

    /// Whether the job should have ended by now.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.time_since_request(now) >= MAX_AGE
    }

    /// Whether the job is no longer waited for, even as an overdue one.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.time_since_request(now) >= MAX_OVERDUE_AGE
    }

    /// Whether a job that is not among SES's jobs may still appear there.
    pub fn may_appear(&self, now: Timestamp) -> bool {
        self.requested_at.is_some_and(|at| now.since(at) < MAX_APPEARANCE_DELAY)
    }
}

impl JobNote {
    /// Whether a job has not ended, or may have been made.
    pub fn is_in_flight(&self) -> bool {
        self.intent.is_some()
    }

    /// Whether no jobs are made for now.
    pub fn is_suspended(&self, now: Timestamp) -> bool {
        self.overdue.is_some() || self.suspended_until > Some(now)
    }

    /// Makes no jobs for a while, since one has failed.
    pub fn suspend(&mut self, now: Timestamp) {
        self.suspended_until = Some(now.plus(SUSPENSION));
    }

    /// Forgets the job with this key, in flight or overdue.
    pub fn remove(&mut self, key: &str) {
        for job in [&mut self.intent, &mut self.overdue] {
            job.take_if(|job| job.key == key);
        }
    }

    fn is_key_in_flight(&self, key: &str) -> bool {
        self.intent.as_ref().is_some_and(|intent| intent.key == key)
    }

    fn is_key_overdue(&self, key: &str) -> bool {
        self.overdue.as_ref().is_some_and(|intent| intent.key == key)
    }

    /// Whether a state is marked as held by a job that does not hold it (any more), or has an overdue job that has ended.
    pub fn contradicts_job_of(&self, state: &AddressState) -> bool {
        state.assigned_job().is_some_and(|job| !self.is_key_in_flight(&job.key))
            || state.overdue_job().is_some_and(|job| !self.is_key_overdue(&job.key))
    }

    /// Corrects a stray mark; `None` if the state has none (any more). The address is as pending as before.
    pub fn correct_assigned_job(&self, state: &AddressState, now: Timestamp) -> Option<AddressState> {
        if !self.contradicts_job_of(state) {
            return None;
        }
        match (state.assigned_job(), state.overdue_job()) {
            (Some(job), _) if self.is_key_overdue(&job.key) => state.mark_job_overdue(&job.key, now),
            (Some(job), _) if !self.is_key_in_flight(&job.key) => {
                state.record_import_result(&job.key, ImportResult::Unknown, now)
            }
            (_, Some(overdue)) => state.record_import_result(&overdue.key, ImportResult::Unknown, now),
            (_, None) => None,
        }
    }
}

/// What a job that SES has completed did.
#[derive(Debug)]
pub struct CompletedJob<'a> {
    intent: &'a JobIntent,
    unfinished: ImportJobOutcome,
    cause: String,
}

impl<'a> CompletedJob<'a> {
    /// A completed job, of which SES says that so many records `failed`. `failed_records` is what lies at its
    /// `FailedRecordsS3Url`, `None` if that can't be read; `error` is SES's own message.
    pub fn new(
        intent: &'a JobIntent,
        failed: usize,
        failed_records: Option<&str>,
        error: Option<&str>,
    ) -> Self {
        let unfinished = ImportJobOutcome::from_job_result(&JobStatus::Completed, failed, failed_records);
        let cause = "failed in an import job";
        let cause = error.map_or_else(|| cause.to_owned(), |error| format!("{cause}: {error}"));
        Self { intent, unfinished, cause }
    }

    /// Whether an address must be tried again. One that only a job can delete, and that a job came to, need not: it was not
    /// on the list, or else reconcile finds it.
    pub fn needs_retry(&self, match_form: &str) -> bool {
        self.unfinished.may_have_failed_for(match_form)
            && !(self.intent.deletes && requires_import_job_to_delete(match_form))
    }

    /// Whether jobs are of no use for now: nobody knows what this one has done.
    pub fn is_put_outcome_unknown(&self) -> bool {
        self.unfinished == ImportJobOutcome::Unknown && !self.intent.deletes
    }

    /// Records what the job made of an address; `None` if it does not hold it (any more). `enabled` holds the reasons that
    /// are enabled in the Region.
    pub fn record(
        &self,
        state: &AddressState,
        enabled: &BTreeSet<SuppressionReason>,
        now: Timestamp,
    ) -> Option<AddressState> {
        let reason = state.job_with_key(&self.intent.key)?.reason;
        let record = if self.needs_retry(state.address()) {
            ImportResult::Failed { cause: self.cause.clone() }
        } else {
            ImportResult::Written { enabled: reason.is_none_or(|reason| enabled.contains(&reason)) }
        };
        state.record_import_result(&self.intent.key, record, now)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{StateChange, Statement, StatementSource, SuppressionState};
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_780_000_000_000).unwrap().plus(Duration::from_secs(seconds))
    }

    fn note(intent: Option<&str>, overdue: Option<&str>) -> JobNote {
        let job = |key: &str| JobIntent::new(key.to_owned(), ImportAction::Put, at(0));
        JobNote { intent: intent.map(job), overdue: overdue.map(job), suspended_until: None }
    }

    /// A bounced address, marked with this job, and with one that is overdue.
    fn state(job: Option<&str>, overdue: Option<&str>) -> AddressState {
        let said = Statement {
            at: at(0),
            source: StatementSource::Bounce,
            region: "eu-west-1".to_owned(),
            id: String::new(),
        };
        let change = StateChange {
            address: "a@example.com".to_owned(),
            spellings: ["a@example.com"].into_iter().collect(),
            state: SuppressionState::from_reason(SuppressionReason::Bounce, said),
        };
        let state = AddressState::join_change(None, &change, at(0)).unwrap();
        let state = overdue
            .map_or(state.clone(), |key| state.assign_to_job(key).mark_job_overdue(key, at(0)).unwrap());
        job.map_or(state.clone(), |key| state.assign_to_job(key))
    }

    /// The marks of a state: the keys of its job and of its overdue job.
    fn marks(state: &AddressState) -> (Option<&str>, Option<&str>) {
        (state.assigned_job().map(|job| job.key.as_str()), state.overdue_job().map(|job| job.key.as_str()))
    }

    #[test]
    fn stray_marks_are_corrected() {
        let cases = [
            // The note, the marks, and what they become; `None`: they are right.
            ((None, None), (None, None), None),
            ((Some("k"), None), (Some("k"), None), None),
            ((Some("k"), Some("o")), (Some("k"), Some("o")), None),
            ((None, None), (Some("k"), None), Some((None, None))),
            ((Some("x"), None), (Some("k"), None), Some((None, None))),
            ((None, Some("k")), (Some("k"), None), Some((None, Some("k")))),
            ((None, None), (None, Some("o")), Some((None, None))),
            ((Some("k"), None), (Some("k"), Some("o")), Some((Some("k"), None))),
        ];
        for ((intent, overdue), (job, overdue_job), expected) in cases {
            let (note, state) = (note(intent, overdue), state(job, overdue_job));
            let corrected = note.correct_assigned_job(&state, at(1));
            assert_eq!(corrected.as_ref().map(marks), expected, "{note:?} {:?}", marks(&state));
            assert_eq!(note.contradicts_job_of(&state), expected.is_some());
        }
    }

    #[test]
    fn a_job_is_late_after_an_hour_and_expires_after_a_week() {
        let asked = JobIntent {
            requested_at: Some(at(10)),
            ..JobIntent::new("k".to_owned(), ImportAction::Put, at(0))
        };
        let limits = |now| (asked.may_appear(at(now)), asked.is_overdue(at(now)), asked.is_expired(at(now)));
        assert_eq!(
            [69, 70, 3_610, 604_810].map(limits),
            [(true, false, false), (false, false, false), (false, true, false), (false, true, true),]
        );
        let unasked = JobIntent { requested_at: None, ..asked };
        assert!(
            !unasked.may_appear(at(1)) && !unasked.is_overdue(at(3_599)) && unasked.is_overdue(at(3_600))
        );
    }

    #[test]
    fn no_jobs_after_one_that_failed_or_is_overdue() {
        let mut kept = note(Some("k"), None);
        assert!(kept.is_in_flight() && !kept.is_suspended(at(0)));
        kept.suspend(at(0));
        assert!(kept.is_suspended(at(599)) && !kept.is_suspended(at(600)));
        kept.remove("x");
        assert!(kept.is_in_flight());
        kept.remove("k");
        assert!(!kept.is_in_flight() && !note(None, Some("o")).is_in_flight());
        assert!(note(None, Some("o")).is_suspended(at(0)));
    }

    #[test]
    fn the_note_is_kept_as_it_always_was() {
        let stored = r#"{"intent":{"key":"k","deletes":true,"planned_at":"2026-05-28T20:26:40.000Z","tried_at":"2026-05-28T20:26:41.000Z","id":"i"},"singly_until":"2026-05-28T20:36:40.000Z"}"#;
        let note: JobNote = serde_json::from_str(stored).unwrap();
        assert_eq!(serde_json::to_string(&note).unwrap(), stored);
        assert_eq!(note.intent.as_ref().map(JobIntent::kind), Some(ImportAction::Delete));
        assert!(note.is_suspended(at(0)));
        assert_eq!(serde_json::from_str::<JobNote>("{}").unwrap(), JobNote::default());
    }

    #[test]
    fn what_a_completed_job_did() {
        let put = JobIntent::new("k".to_owned(), ImportAction::Put, at(0));
        let delete = JobIntent::new("k".to_owned(), ImportAction::Delete, at(0));
        let enabled = BTreeSet::from([SuppressionReason::Bounce]);
        for (intent, failed, records, address, has_failed, is_put_outcome_unknown) in [
            (&put, 0, None, "a@example.com", false, false),
            (&put, 1, Some(r#"{"emailAddress":"a@example.com"}"#), "a@example.com", true, false),
            (&put, 1, Some(r#"{"emailAddress":"a@example.com"}"#), "b@example.com", false, false),
            (&put, 1, None, "b@example.com", true, true),
            (&delete, 1, None, "b@example.com", true, false),
            // Only a job deletes it, so no call would fare better.
            (&delete, 1, None, "a/b@example.com", false, false),
        ] {
            let job = CompletedJob::new(intent, failed, records, None);
            assert_eq!(
                (job.needs_retry(address), job.is_put_outcome_unknown()),
                (has_failed, is_put_outcome_unknown),
                "{job:?}"
            );
        }
        let state = state(Some("k"), None);
        let cause = |job: CompletedJob<'_>| {
            let recorded = job.record(&state, &enabled, at(1)).unwrap();
            (recorded.is_pending(), recorded.current_apply_outcome().unwrap().cause.clone())
        };
        assert_eq!(cause(CompletedJob::new(&put, 0, None, None)), (false, None));
        let failed = Some("failed in an import job: no access".to_owned());
        assert_eq!(cause(CompletedJob::new(&put, 1, None, Some("no access"))), (true, failed));
        let other = JobIntent::new("x".to_owned(), ImportAction::Put, at(0));
        assert_eq!(CompletedJob::new(&other, 0, None, None).record(&state, &enabled, at(1)), None);
    }
}
