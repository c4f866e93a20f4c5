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
//! A job that has not ended within `MAX_AGE` is overdue, even if SES does not answer how far it is. It no longer holds its
//! addresses, which then go one by one. It may still run: until SES says that it has ended, or until it is
//! forgotten (`FORGET_AFTER`), no other job is made. If the state of an address has changed since it went into the job, its
//! entry is written again every hour, the last time after the job has ended.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use mailroom_aws::clock::Timer;
use mailroom_aws::lease::Lease;
use mailroom_aws::metrics::Metrics;
use mailroom_aws::notes::{NoteError, Noted, Notes};
use mailroom_aws::objects::ObjectStore;
use mailroom_aws::states::{Put, StateTable};
use mailroom_aws::suppression_list::{ImportJob, ListError, SuppressionList};
use mailroom_core::inbound::Location;
use mailroom_core::suppression::AddressState;
use mailroom_core::suppression::import::{self, JobKind, JobStatus, Unfinished};
use mailroom_core::suppression::item::JobRecord;
use mailroom_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};

use crate::calls::{CallError, Twice};
use crate::drain::Work;
use crate::handler::{End, PARALLEL, Run};

/// The name of the note.
pub const NOTE: &str = "import-job";
/// The time that is needed to mark the addresses of a job and to make the job.
const TO_START: Duration = Duration::from_secs(20);
/// The part of that time that is kept to make the job, after which no more addresses are marked.
const TO_CREATE: Duration = Duration::from_secs(10);
/// How long it may take until a job that SES was asked for, without an answer, is among SES's jobs.
const TO_APPEAR: Duration = Duration::from_mins(1);
/// By how much SES's clock may be behind ours.
const SKEW: Duration = Duration::from_mins(5);
/// The time between two looks at a job that runs.
const POLL: Duration = Duration::from_secs(10);
/// How long no jobs are made after one that failed, so that whatever is wrong with jobs does not keep the list wrong.
const SINGLY: Duration = Duration::from_mins(10);

/// The time since SES was asked for a job after which the job is overdue. SES documents no time that a job may take, so this
/// is how long a release may wait: the alarm on the oldest pending address has the same limit. A job that takes longer is
/// not wasted, since what it has done counts once it has ended.
const MAX_AGE: Duration = Duration::from_hours(1);
/// The time since SES was asked for a job after which an overdue job is no longer waited for: by then the bucket's lifecycle
/// rule has deleted its object.
const FORGET_AFTER: Duration = Duration::from_hours(7 * 24);

/// The content of the note.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct JobNote {
    #[serde(default)]
    intent: Option<Intent>,
    /// The job that did not end in time; `None` if there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    overdue: Option<Intent>,
    #[serde(default)]
    singly_until: Option<Timestamp>,
}

/// A job that is to be made, or was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Intent {
    /// The key of the job's object.
    key: String,
    /// Whether the job deletes. Otherwise it puts.
    deletes: bool,
    planned_at: Timestamp,
    /// When SES was last asked to make the job; `None` if it was not.
    #[serde(default)]
    tried_at: Option<Timestamp>,
    /// The job's id; `None` until SES has answered.
    #[serde(default)]
    id: Option<String>,
}

impl Intent {
    fn kind(&self) -> JobKind {
        if self.deletes { JobKind::Delete } else { JobKind::Put }
    }

    /// The time since SES was asked for the job.
    fn age(&self, now: Timestamp) -> Duration {
        now.since(self.tried_at.unwrap_or(self.planned_at))
    }
}

/// What a job that has come to its end has left undone.
struct Ended {
    unfinished: Unfinished,
    /// Whether the job was one that deletes.
    deleted: bool,
}

impl Ended {
    /// Whether an address must be tried again. One that only a job can delete, and that a job came to, need not: it was not
    /// on the list, or else reconcile finds it.
    fn failed_at(&self, address: &str) -> bool {
        self.unfinished.contains(address) && !(self.deleted && import::only_a_job_deletes(address))
    }
}

/// The note, as it was last read or written.
#[derive(Debug)]
pub(crate) struct Jobs {
    noted: JobNote,
    version: Option<u64>,
    /// When SES last told how far the job is, or made it; `None` if not in this run.
    watched_at: Option<Timestamp>,
    /// Whether SES was asked in this run how far the overdue job is.
    overdue_watched: bool,
}

impl Jobs {
    pub(crate) async fn read(notes: &impl Notes) -> Result<Self, NoteError> {
        let note = notes.get(NOTE).await?;
        let version = note.as_ref().map(|note| note.version);
        Ok(Self {
            noted: note.map(|note| note.value).unwrap_or_default(),
            version,
            watched_at: None,
            overdue_watched: false,
        })
    }

    /// Whether a job has not ended, or may have been made.
    pub(crate) fn in_flight(&self) -> bool {
        self.noted.intent.is_some()
    }

    /// Whether it is too early to ask SES again how far the job is.
    fn was_watched(&self, now: Timestamp) -> bool {
        self.watched_at.is_some_and(|at| now.since(at) < POLL)
    }

    /// The time until SES is asked again how far the job is.
    pub(crate) fn next_watch_in(&self, now: Timestamp) -> Duration {
        self.watched_at.map_or(Duration::ZERO, |at| at.plus(POLL).since(now))
    }

    /// Whether the job in flight is the one with this key.
    pub(crate) fn holds(&self, key: &str) -> bool {
        self.noted.intent.as_ref().is_some_and(|intent| intent.key == key)
    }

    /// Whether this is the key of the overdue job.
    pub(crate) fn is_overdue(&self, key: &str) -> bool {
        self.noted.overdue.as_ref().is_some_and(|intent| intent.key == key)
    }

    /// Whether a state is marked as held by a job that does not hold it (any more), or has an overdue job that has ended.
    pub(crate) fn is_stray(&self, state: &AddressState) -> bool {
        state.job().is_some_and(|job| !self.holds(&job.key))
            || state.overdue_job().is_some_and(|job| !self.is_overdue(&job.key))
    }

    /// Corrects a stray mark; `None` if the state has none (any more). The address is as pending as before.
    pub(crate) fn correct_mark(&self, state: &AddressState, now: Timestamp) -> Option<AddressState> {
        if !self.is_stray(state) {
            return None;
        }
        match (state.job(), state.overdue_job()) {
            (Some(job), _) if self.is_overdue(&job.key) => state.job_overdue(&job.key, now),
            (Some(job), _) if !self.holds(&job.key) => state.job_ended(&job.key, JobRecord::Unknown, now),
            (_, Some(overdue)) => state.job_ended(&overdue.key, JobRecord::Unknown, now),
            (_, None) => None,
        }
    }

    /// Whether no jobs are to be made for now.
    pub(crate) fn singly(&self, now: Timestamp) -> bool {
        self.noted.overdue.is_some() || self.noted.singly_until > Some(now)
    }
}

impl<S, L, E, N, O, C, M> Run<'_, S, L, E, N, O, C, M>
where
    S: StateTable,
    L: SuppressionList,
    E: Lease,
    N: Notes,
    O: ObjectStore,
    C: Timer,
    M: Metrics,
{
    async fn note(&mut self, change: impl FnOnce(&mut JobNote)) -> Result<(), End> {
        let mut next = self.jobs.noted.clone();
        change(&mut next);
        match self.apply.notes.put(NOTE, &next, self.jobs.version).await? {
            Noted::Done(version) => {
                self.jobs.noted = next;
                self.jobs.version = Some(version);
            }
            Noted::Conflict => return Err(End::Later("another instance has noted an import job")),
        }
        Ok(())
    }

    async fn note_intent(&mut self, change: impl FnOnce(&mut Intent)) -> Result<(), End> {
        self.note(|noted| noted.intent.as_mut().map_or((), change)).await
    }

    fn location(&self, key: &str) -> Location {
        Location { bucket: self.apply.settings.bucket.clone(), key: key.to_owned() }
    }

    fn url(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.apply.settings.bucket)
    }

    /// Makes a job of what is due: of one kind, and as much as SES takes. Returns `false` if all of it has changed since.
    pub(crate) async fn start(&mut self, mut due: Work) -> Result<bool, End> {
        if self.calls.left() < TO_START {
            return Err(End::Later("an import job is not begun so late"));
        }
        let of = |due: &Work| import::plan(due.iter().map(|(state, to_do)| (state.address(), to_do)));
        let Some(plan) = of(&due) else { return Ok(false) };
        let now = self.now();
        let key = plan.key(now);
        let deletes = plan.kind == JobKind::Delete;
        let intent = Intent { key: key.clone(), deletes, planned_at: now, tried_at: None, id: None };
        self.note(|noted| noted.intent = Some(intent)).await?;
        let planned: HashSet<_> = plan.addresses.into_iter().collect();
        due.retain(|(state, _)| planned.contains(state.address()));
        let marked = self.mark(&due, &key).await?;
        due.retain(|(state, _)| marked.contains(state.address()));
        let Some(plan) = of(&due) else {
            self.note(|noted| noted.intent = None).await?;
            return Ok(false);
        };
        self.apply.objects.put_here(&self.location(&key), plan.body.into_bytes()).await?;
        info!(kind = plan.kind.as_ses(), addresses = plan.addresses.len(), key, "import job");
        self.create().await?;
        Ok(true)
    }

    /// Marks addresses as held by the job. One whose state somebody has written meanwhile is left out, since it may need
    /// something else now.
    async fn mark(&self, due: &Work, key: &str) -> Result<HashSet<String>, End> {
        let mark = |index: usize| async move {
            let Some((state, _)) = due.get(index).filter(|_| self.calls.left() > TO_CREATE) else {
                return Ok(None);
            };
            let put = self.apply.states.put(&state.in_job(key), Some(state.version()), self.deadline).await?;
            Ok::<_, End>((put == Put::Done).then(|| state.address().to_owned()))
        };
        let mut writes = stream::iter(0..due.len()).map(mark).buffer_unordered(PARALLEL);
        let mut marked = HashSet::new();
        while let Some(written) = writes.next().await {
            marked.extend(written?);
        }
        Ok(marked)
    }

    /// Has SES make the job from the object that was written.
    async fn create(&mut self) -> Result<(), End> {
        let now = self.now();
        self.note_intent(|intent| intent.tried_at = Some(now)).await?;
        let Some(intent) = self.jobs.noted.intent.clone() else { return Ok(()) };
        let (kind, url) = (intent.kind(), self.url(&intent.key));
        match self.calls.call(Twice::Never, async |list| list.create_import_job(kind, &url).await).await {
            Ok(id) => {
                self.counts.jobs_started += 1;
                self.jobs.watched_at = Some(self.now());
                self.note_intent(|intent| intent.id = Some(id)).await
            }
            Err(CallError::List(error @ (ListError::Refused(_) | ListError::Denied(_)))) => {
                self.give_up(&intent, &error.kind()).await
            }
            // No job was made. Its addresses are due again at once, and planned anew.
            Err(CallError::Later(why)) => {
                self.note(|noted| noted.intent = None).await?;
                Err(End::Later(why))
            }
            // Either no job was made, or it will be found by its key.
            Err(error) => Err(error.into()),
        }
    }

    /// Looks whether the job has ended, and if so records that; declares it overdue if it has not ended in time. It does not
    /// ask SES more often than is worth a call.
    pub(crate) async fn watch(&mut self) -> Result<(), End> {
        self.watch_overdue().await?;
        let Some(intent) = self.jobs.noted.intent.clone() else { return Ok(()) };
        if self.jobs.was_watched(self.now()) {
            return Ok(());
        }
        let watched = self.watch_job(intent).await;
        let is_late = |intent: &Intent| intent.age(self.now()) >= MAX_AGE;
        if matches!(watched, Err(End::Failed(_))) || !self.jobs.noted.intent.as_ref().is_some_and(is_late) {
            return watched;
        }
        if let Err(end) = watched {
            warn!("it is not known how far the import job is: {end}");
        }
        self.note(|noted| noted.overdue = noted.intent.take()).await?;
        let key = self.jobs.noted.overdue.as_ref().map(|intent| intent.key.as_str());
        error!(key, "an import job has not ended within an hour: its addresses go one by one");
        self.counts.jobs_overdue = 1;
        Ok(())
    }

    /// Looks, once in a run, whether the overdue job has ended, and if so records what it has done.
    async fn watch_overdue(&mut self) -> Result<(), End> {
        let Some(overdue) = self.jobs.noted.overdue.clone().filter(|_| !self.jobs.overdue_watched) else {
            return Ok(());
        };
        self.jobs.overdue_watched = true;
        self.counts.jobs_overdue = 1;
        if overdue.age(self.now()) >= FORGET_AFTER {
            warn!(key = overdue.key, "an overdue import job has not ended within a week and is forgotten");
            return self.note(|noted| noted.overdue = None).await;
        }
        let Some(id) = overdue.id.clone() else { return Ok(()) };
        match self.calls.call(Twice::Never, async |list| list.import_job(&id).await).await {
            Ok(job) if job.status == JobStatus::Completed => self.completed(&overdue, &job).await,
            Ok(ImportJob { status: JobStatus::Failed, .. }) | Err(CallError::List(ListError::NotFound)) => {
                info!(key = overdue.key, "an overdue import job has failed");
                self.note(|noted| noted.overdue = None).await
            }
            Ok(job) => {
                self.count_unknown(&job.status);
                Ok(())
            }
            Err(CallError::List(error)) => {
                warn!("it is not known how far the overdue import job is: {}", error.kind());
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn count_unknown(&mut self, status: &JobStatus) {
        if let JobStatus::Unknown(status) = status {
            warn!(status, "an import job has a status that is not known");
            self.counts.job_statuses_unknown += 1;
        }
    }

    /// Looks how far this job is.
    async fn watch_job(&mut self, mut intent: Intent) -> Result<(), End> {
        if intent.id.is_none() {
            intent.id = self.find(&intent).await?;
            if let Some(id) = intent.id.clone() {
                self.note_intent(|intent| intent.id = Some(id)).await?;
            }
        }
        let Some(id) = intent.id.clone() else {
            let may_appear = intent.tried_at.is_some_and(|at| self.now().since(at) < TO_APPEAR);
            self.jobs.watched_at = Some(self.now());
            if !may_appear {
                info!(key = intent.key, "an import job was not made, and is given up");
                self.note(|noted| noted.intent = None).await?;
            }
            return Ok(());
        };
        let job = match self.calls.call(Twice::Harmless, async |list| list.import_job(&id).await).await {
            Ok(job) => job,
            Err(CallError::List(error @ ListError::NotFound)) => {
                return self.give_up(&intent, &error.kind()).await;
            }
            Err(error) => return Err(error.into()),
        };
        self.jobs.watched_at = Some(self.now());
        match &job.status {
            JobStatus::Running => Ok(()),
            JobStatus::Unknown(_) => {
                self.count_unknown(&job.status);
                Ok(())
            }
            JobStatus::Failed => {
                self.counts.jobs_ended += 1;
                self.give_up(&intent, job.error.as_deref().unwrap_or("it failed")).await
            }
            JobStatus::Completed => {
                self.counts.jobs_ended += 1;
                self.completed(&intent, &job).await
            }
        }
    }

    /// Gives a job up, since nothing of it can be relied on. Its marks are stray then and come off, and its addresses are
    /// as pending as before: that is not their fault, so that they need not wait longer with each job.
    async fn give_up(&mut self, intent: &Intent, why: &str) -> Result<(), End> {
        warn!(key = intent.key, "an import job has failed, and for a while there are none: {why}");
        self.counts.jobs_failed += 1;
        let until = self.now().plus(SINGLY);
        self.note(|noted| {
            noted.intent = None;
            noted.singly_until = Some(until);
        })
        .await
    }

    /// Looks for the job by its key, for which SES must be asked for each of its jobs.
    async fn find(&mut self, intent: &Intent) -> Result<Option<String>, End> {
        if intent.tried_at.is_none() {
            return Ok(None);
        }
        let url = self.url(&intent.key);
        let mut next: Option<String> = None;
        loop {
            let page = self
                .calls
                .call(Twice::Harmless, async |list| list.import_jobs(next.as_deref()).await)
                .await?;
            let since = intent.planned_at.minus(SKEW);
            let fits = page.items.into_iter().filter(|job| {
                job.kind.is_none_or(|kind| kind == intent.kind())
                    && job.created_at.is_none_or(|created_at| created_at >= since)
            });
            for job in fits {
                match self.calls.call(Twice::Harmless, async |list| list.import_job(&job.id).await).await {
                    Ok(ImportJob { url: Some(found), .. }) if found == url => return Ok(Some(job.id)),
                    Ok(_) | Err(CallError::List(ListError::NotFound)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            next = page.next;
            if next.is_none() {
                return Ok(None);
            }
        }
    }

    /// Records what a job has done, overdue or not, which takes its marks off, and then takes the intent off.
    async fn completed(&mut self, intent: &Intent, job: &ImportJob) -> Result<(), End> {
        let records = match &job.failed_records_url {
            Some(url) => self.apply.list.failed_records(url).await,
            None => Ok(String::new()),
        };
        if let Err(error) = &records {
            warn!("the failed records of an import job can't be read: {}", error.kind());
        }
        let unfinished = Unfinished::of(&job.status, job.failed, records.ok().as_deref());
        let ended = Ended { unfinished, deleted: intent.deletes };
        let enabled = self.account().await?.enabled.clone();
        let mut held = Vec::new();
        self.due(|state| {
            if state.job_with_key(&intent.key).is_some() {
                held.push(state);
            }
            true
        })
        .await?;
        let what = "failed in an import job";
        let why = job.error.as_deref().map_or_else(|| what.to_owned(), |told| format!("{what}: {told}"));
        let failed = held.iter().filter(|state| ended.failed_at(state.address())).count();
        let addresses = held.len();
        self.each(held, |state, now| {
            let reason = state.job_with_key(&intent.key)?.reason;
            let record = if ended.failed_at(state.address()) {
                JobRecord::Failed { why: why.clone() }
            } else {
                JobRecord::Written { enabled: reason.is_none_or(|reason| enabled.contains(&reason)) }
            };
            state.job_ended(&intent.key, record, now)
        })
        .await?;
        info!(addresses, failed, key = intent.key, "import job has ended");
        self.counts.failed += failed;
        let until = self.now().plus(SINGLY);
        let useless = ended.unfinished == Unfinished::Any && !ended.deleted;
        self.counts.jobs_failed += usize::from(useless);
        self.note(|noted| {
            for job in [&mut noted.intent, &mut noted.overdue] {
                job.take_if(|job| job.key == intent.key);
            }
            if useless {
                noted.singly_until = Some(until);
            }
        })
        .await
    }
}
