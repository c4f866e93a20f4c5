//! The import job: there is one at a time, and its intent is written first.
//!
//! If SES is asked twice it makes two jobs, and a running job writes what was right when it was made. So:
//!
//! ```text
//! intent (a key) ─▶ addresses marked with it ─▶ object under it ─▶ CreateImportJob ─▶ its id noted ─▶ ... ─▶ it has ended:
//!                                                                                  marks taken off, then the intent
//! crash:           given up (not asked for yet):  ◀──────────┘   looked for among SES's jobs by that key; if there is none
//!                  marks come off as stray ones                  after a minute, given up
//! ```
//!
//! A job that was given up is planned anew, and never made from the old object: that says what was right when its addresses
//! were marked, and since then somebody may have complained or been released.
//!
//! A job that has not ended within an hour is overdue, even if SES does not answer how far it is. It no longer holds its
//! addresses, which then go one by one. It may still run: until SES says that it has ended, or until it is forgotten after
//! a week, no other job is made. If the state of an address has changed since it went into the job, its entry is written
//! again every hour, the last time after the job has ended.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use mailroom_aws::objects::ObjectStore;
use mailroom_aws::suppression_list::{ImportJob, ListError, SuppressionList};
use mailroom_aws::table::PutOutcome;
use mailroom_aws::table::states::StateTable;
use mailroom_core::inbound::ObjectLocation;
use mailroom_core::suppression::dispatch::DueAddress;
use mailroom_core::suppression::import::{self, JobStatus};
use mailroom_core::suppression::import_job::{CompletedJob, JobIntent, JobNote};
use tracing::{error, info, warn};

use crate::error::RunEnd;
use crate::list_caller::{Idempotency, ListCallError};
use crate::ports::Ports;
use crate::run::{ApplyRun, MAX_PARALLEL_WRITES};

/// The time that is needed to mark the addresses of a job and to make the job.
const TIME_TO_START: Duration = Duration::from_secs(20);
/// The part of that time that is kept to make the job, after which no more addresses are marked.
const TIME_TO_CREATE: Duration = Duration::from_secs(10);
/// By how much SES's clock may be behind ours.
const MAX_SES_CLOCK_SKEW: Duration = Duration::from_mins(5);

/// What came of making a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobStart {
    /// SES was asked for the job. It may have refused: then there is no job, and none will be made for a while.
    Requested,
    /// All of what was due has changed since, so that SES was asked for nothing.
    NothingLeft,
}

impl<P: Ports> ApplyRun<'_, P> {
    async fn update_note(&mut self, change: impl FnOnce(&mut JobNote)) -> Result<(), RunEnd> {
        self.import_jobs.update(&self.function.table, self.deadline, change).await
    }

    async fn update_intent(&mut self, change: impl FnOnce(&mut JobIntent)) -> Result<(), RunEnd> {
        self.update_note(|note| note.intent.as_mut().map_or((), change)).await
    }

    fn object_location(&self, object_key: &str) -> ObjectLocation {
        ObjectLocation { bucket: self.function.settings.bucket.clone(), key: object_key.to_owned() }
    }

    fn object_url(&self, object_key: &str) -> String {
        format!("s3://{}/{object_key}", self.function.settings.bucket)
    }

    /// Makes a job of what is due: of one kind, and as much as SES takes.
    pub(crate) async fn start_job(&mut self, mut due: Vec<DueAddress>) -> Result<JobStart, RunEnd> {
        if self.list_caller.call_time_left() < TIME_TO_START {
            return Err(RunEnd::Later("an import job is not begun so late"));
        }
        let plan = |due: &Vec<DueAddress>| {
            import::plan_import(due.iter().map(|due| (due.state.address(), &due.to_do)))
        };
        let Some(planned) = plan(&due) else { return Ok(JobStart::NothingLeft) };
        let now = self.now();
        let key = planned.object_key(now);
        let intent = JobIntent::new(key.clone(), planned.action, now);
        self.update_note(|note| note.intent = Some(intent)).await?;
        let addresses: HashSet<_> = planned.addresses.into_iter().collect();
        due.retain(|due| addresses.contains(due.state.address()));
        let marked = self.mark_addresses(&due, &key).await?;
        due.retain(|due| marked.contains(due.state.address()));
        let Some(planned) = plan(&due) else {
            self.update_note(|note| note.intent = None).await?;
            return Ok(JobStart::NothingLeft);
        };
        self.function
            .objects
            .put_in_own_region(&self.object_location(&key), planned.body.into_bytes())
            .await?;
        info!(kind = planned.action.as_ses(), addresses = planned.addresses.len(), key, "import job");
        self.request_or_give_up_job().await?;
        Ok(JobStart::Requested)
    }

    /// Marks addresses as held by the job. One whose state somebody has written meanwhile is left out, since it may need
    /// something else now.
    async fn mark_addresses(&self, due: &[DueAddress], key: &str) -> Result<HashSet<String>, RunEnd> {
        let mark = |index: usize| async move {
            let Some(DueAddress { state, .. }) =
                due.get(index).filter(|_| self.list_caller.call_time_left() > TIME_TO_CREATE)
            else {
                return Ok(None);
            };
            let put = self
                .function
                .table
                .put_state(&state.assign_to_job(key), Some(state.version()), self.deadline)
                .await?;
            Ok::<_, RunEnd>((put == PutOutcome::Written).then(|| state.address().to_owned()))
        };
        let mut writes = stream::iter(0..due.len()).map(mark).buffer_unordered(MAX_PARALLEL_WRITES);
        let mut marked = HashSet::new();
        while let Some(written) = writes.next().await {
            marked.extend(written?);
        }
        Ok(marked)
    }

    /// Has SES make the job from the object that was written.
    async fn request_or_give_up_job(&mut self) -> Result<(), RunEnd> {
        let now = self.now();
        self.update_intent(|intent| intent.requested_at = Some(now)).await?;
        let Some(intent) = self.import_jobs.note.intent.clone() else { return Ok(()) };
        let (kind, url) = (intent.kind(), self.object_url(&intent.key));
        match self
            .list_caller
            .call_with_retries(Idempotency::NotIdempotent, async |list| {
                list.create_import_job(kind, &url).await
            })
            .await
        {
            Ok(id) => {
                self.counts.jobs_started += 1;
                self.import_jobs.watched_at = Some(self.now());
                self.update_intent(|intent| intent.id = Some(id)).await
            }
            Err(ListCallError::List(error @ (ListError::Refused(_) | ListError::Denied(_)))) => {
                self.give_up_and_suspend_jobs(&intent, &error.redacted_text()).await
            }
            // No job was made. Its addresses are due again at once, and planned anew.
            Err(ListCallError::Postponed(why)) => {
                self.update_note(|note| note.intent = None).await?;
                Err(RunEnd::Later(why))
            }
            // Either no job was made, or it will be found by its key.
            Err(error) => Err(error.into()),
        }
    }

    /// Looks whether the job has ended, and if so records that; declares it overdue if it has not ended in time. It does not
    /// ask SES more often than is worth a call.
    pub(crate) async fn poll_jobs_and_note_overdue(&mut self) -> Result<(), RunEnd> {
        self.poll_overdue_job().await?;
        let Some(intent) = self.import_jobs.note.intent.clone() else { return Ok(()) };
        if !self.import_jobs.next_watch_in(self.now()).is_zero() {
            return Ok(());
        }
        let watched = self.poll_current_job(intent).await;
        let is_late =
            self.import_jobs.note.intent.as_ref().is_some_and(|intent| intent.is_overdue(self.now()));
        if !is_late || matches!(watched, Err(RunEnd::Failed(_))) {
            return watched;
        }
        if let Err(end) = watched {
            warn!("it is not known how far the import job is: {end}");
        }
        self.update_note(|note| note.overdue = note.intent.take()).await?;
        let key = self.import_jobs.note.overdue.as_ref().map(|intent| intent.key.as_str());
        error!(key, "an import job has not ended within an hour: its addresses go one by one");
        self.counts.jobs_overdue = 1;
        Ok(())
    }

    /// Looks, once in a run, whether the overdue job has ended, and if so records what it has done.
    async fn poll_overdue_job(&mut self) -> Result<(), RunEnd> {
        let Some(overdue) =
            self.import_jobs.note.overdue.clone().filter(|_| !self.import_jobs.is_overdue_watched)
        else {
            return Ok(());
        };
        self.import_jobs.is_overdue_watched = true;
        self.counts.jobs_overdue = 1;
        if overdue.is_expired(self.now()) {
            warn!(key = overdue.key, "an overdue import job has not ended within a week and is forgotten");
            return self.update_note(|note| note.overdue = None).await;
        }
        let Some(id) = overdue.id.clone() else { return Ok(()) };
        match self
            .list_caller
            .call_with_retries(Idempotency::NotIdempotent, async |list| list.import_job(&id).await)
            .await
        {
            Ok(job) if job.status == JobStatus::Completed => self.record_completed(&overdue, &job).await,
            Ok(ImportJob { status: JobStatus::Failed, .. })
            | Err(ListCallError::List(ListError::NotFound)) => {
                info!(key = overdue.key, "an overdue import job has failed");
                self.update_note(|note| note.overdue = None).await
            }
            Ok(job) => {
                self.count_unknown_status(&job.status);
                Ok(())
            }
            Err(ListCallError::List(error)) => {
                warn!("it is not known how far the overdue import job is: {}", error.redacted_text());
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn count_unknown_status(&mut self, status: &JobStatus) {
        if let JobStatus::Unknown(status) = status {
            warn!(status, "an import job has a status that is not known");
            self.counts.job_statuses_unknown += 1;
        }
    }

    /// Looks how far this job is.
    async fn poll_current_job(&mut self, mut intent: JobIntent) -> Result<(), RunEnd> {
        if intent.id.is_none() {
            intent.id = self.find_job_id(&intent).await?;
            if let Some(id) = intent.id.clone() {
                self.update_intent(|intent| intent.id = Some(id)).await?;
            }
        }
        let Some(id) = intent.id.clone() else {
            let may_appear = intent.may_appear(self.now());
            self.import_jobs.watched_at = Some(self.now());
            if !may_appear {
                info!(key = intent.key, "an import job was not made, and is given up");
                self.update_note(|note| note.intent = None).await?;
            }
            return Ok(());
        };
        let job = match self
            .list_caller
            .call_with_retries(Idempotency::Idempotent, async |list| list.import_job(&id).await)
            .await
        {
            Ok(job) => job,
            Err(ListCallError::List(error @ ListError::NotFound)) => {
                return self.give_up_and_suspend_jobs(&intent, &error.redacted_text()).await;
            }
            Err(error) => return Err(error.into()),
        };
        self.import_jobs.watched_at = Some(self.now());
        match &job.status {
            JobStatus::Running => Ok(()),
            JobStatus::Unknown(_) => {
                self.count_unknown_status(&job.status);
                Ok(())
            }
            JobStatus::Failed => {
                self.counts.jobs_ended += 1;
                self.give_up_and_suspend_jobs(&intent, job.error.as_deref().unwrap_or("it failed")).await
            }
            JobStatus::Completed => {
                self.counts.jobs_ended += 1;
                self.record_completed(&intent, &job).await
            }
        }
    }

    /// Gives a job up, since nothing of it can be relied on. Its marks are stray then and come off, and its addresses are
    /// as pending as before: that is not their fault, so that they need not wait longer with each job.
    async fn give_up_and_suspend_jobs(&mut self, intent: &JobIntent, why: &str) -> Result<(), RunEnd> {
        warn!(key = intent.key, "an import job has failed, and for a while there are none: {why}");
        self.counts.jobs_failed += 1;
        let now = self.now();
        self.update_note(|note| {
            note.intent = None;
            note.suspend(now);
        })
        .await
    }

    /// Looks for the job by its key, for which SES must be asked for each of its jobs.
    async fn find_job_id(&mut self, intent: &JobIntent) -> Result<Option<String>, RunEnd> {
        if intent.requested_at.is_none() {
            return Ok(None);
        }
        let url = self.object_url(&intent.key);
        let mut next: Option<String> = None;
        loop {
            let page = self
                .list_caller
                .call_with_retries(Idempotency::Idempotent, async |list| {
                    list.import_jobs(next.as_deref()).await
                })
                .await?;
            let since = intent.planned_at.minus(MAX_SES_CLOCK_SKEW);
            let fits = page.items.into_iter().filter(|job| {
                job.action.is_none_or(|kind| kind == intent.kind())
                    && job.created_at.is_none_or(|created_at| created_at >= since)
            });
            for job in fits {
                match self
                    .list_caller
                    .call_with_retries(Idempotency::Idempotent, async |list| list.import_job(&job.id).await)
                    .await
                {
                    Ok(ImportJob { object_url: Some(found), .. }) if found == url => return Ok(Some(job.id)),
                    Ok(_) | Err(ListCallError::List(ListError::NotFound)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            next = page.next_token;
            if next.is_none() {
                return Ok(None);
            }
        }
    }

    /// Records what a job has done, overdue or not, which takes its marks off, and then takes the intent off.
    async fn record_completed(&mut self, intent: &JobIntent, job: &ImportJob) -> Result<(), RunEnd> {
        let records = match &job.failed_records_url {
            Some(url) => self.function.list.download_failed_records(url).await,
            None => Ok(String::new()),
        };
        if let Err(error) = &records {
            warn!("the failed records of an import job can't be read: {}", error.redacted_text());
        }
        let completed =
            CompletedJob::new(intent, job.failed_count, records.ok().as_deref(), job.error.as_deref());
        let enabled = self.account_status().await?.enabled_reasons.clone();
        let mut held = Vec::new();
        self.for_each_due(|state| {
            if state.job_with_key(&intent.key).is_some() {
                held.push(state);
            }
            true
        })
        .await?;
        let failed = held.iter().filter(|state| completed.needs_retry(state.address())).count();
        let addresses = held.len();
        self.update_all(held, |state, now| completed.record(state, &enabled, now)).await?;
        info!(addresses, failed, key = intent.key, "import job has ended");
        self.counts.failed += failed;
        self.counts.jobs_failed += usize::from(completed.is_put_outcome_unknown());
        let now = self.now();
        self.update_note(|note| {
            note.remove(&intent.key);
            if completed.is_put_outcome_unknown() {
                note.suspend(now);
            }
        })
        .await
    }
}
