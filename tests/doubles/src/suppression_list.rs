//! The account-level suppression list of one Region, and its import jobs: the local SES's model behind the port, with faults.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use local_ses::suppression::{
    Filter, Import, ImportAction as ModelAction, ImportFormat, JobFailure, ListWriter as ModelWriter, Pace,
    Pacer, Refused, RefusedKind, SuppressionList as Model,
};
use mailroom_aws::clock::Clock;
use mailroom_aws::suppression_list::{
    AccountStatus, ImportJob, ImportJobSummary, ListError, ListPage, SesRefusal, SuppressionList,
};
use mailroom_core::suppression::SuppressionReason;
use mailroom_core::suppression::import::{ImportAction, JobStatus};
use mailroom_core::suppression::reconcile::ListEntry;
use mailroom_core::suppression::window::ListWindow;
use mailroom_core::timestamp::Timestamp;
use time::OffsetDateTime;

use crate::convert::{date_time, timestamp};
use crate::{Fault, Fuse, MemoryObjects, lock};

pub use local_ses::suppression::Rules as ListRules;

/// The list of one Region.
#[derive(Clone)]
pub struct MemoryList<C> {
    inner: Arc<Mutex<Inner>>,
    objects: MemoryObjects,
    clock: C,
    fuse: Fuse,
}

#[derive(Default)]
struct Inner {
    list: Model,
    pacer: Pacer,
    job_faults: JobFaults,
    poisoned: BTreeSet<String>,
    faults: VecDeque<Fault>,
    calls: BTreeMap<&'static str, usize>,
}

/// What is wrong with all import jobs, until a test says otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub struct JobFaults {
    /// The role may not make import jobs.
    pub creation_denied: bool,
    /// The role may not ask for import jobs.
    pub reading_denied: bool,
    /// SES does not say which records of a job have failed.
    pub failed_records_hidden: bool,
    /// SES has this status for every job; `None`: the job's own.
    pub status: Option<&'static str>,
}

/// A write to the list, whether it changed anything or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListWrite {
    /// When it was written.
    pub at: Timestamp,
    /// The address, in exactly this spelling.
    pub spelling: String,
    /// The entry's reason before the write; `None` if there was no entry.
    pub before: Option<SuppressionReason>,
    /// The entry's reason after the write; `None` if there is no entry.
    pub after: Option<SuppressionReason>,
    /// Who wrote it.
    pub by: ListWriter,
}

/// Who wrote to the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListWriter {
    /// A single call.
    Call,
    /// An import job.
    Job {
        /// The URL of the job's object, `s3://bucket/key`.
        url: String,
        /// When the job was made.
        created_at: Timestamp,
    },
    /// Somebody other than Mailroom.
    Others,
}

impl<C: Clock> MemoryList<C> {
    /// An empty list of an account with production access, whose import jobs read these objects.
    pub fn new(clock: C, objects: &MemoryObjects) -> Self {
        Self { inner: Arc::default(), objects: objects.clone(), clock, fuse: Fuse::default() }
    }

    /// The same list, for a function that may die.
    #[must_use]
    pub fn with_fuse(&self, fuse: &Fuse) -> Self
    where
        C: Clone,
    {
        Self { fuse: fuse.clone(), ..self.clone() }
    }

    /// The entries that are on the list now, by spelling.
    pub fn entries(&self) -> BTreeMap<String, SuppressionReason> {
        let entries = self.inner().list.entries(self.now());
        entries.into_iter().map(|(spelling, entry)| (spelling, reason(entry.reason))).collect()
    }

    /// Puts an entry on the list, as somebody other than Mailroom would.
    pub fn insert(&self, spelling: &str, reason: SuppressionReason) {
        let entry = local_ses::suppression::Entry::new(model_reason(reason), self.now());
        self.inner().list.seed([(spelling, entry)]);
    }

    /// Removes an entry, as somebody other than Mailroom would.
    pub fn remove(&self, spelling: &str) {
        self.inner().list.take_off(self.now(), spelling);
    }

    /// Replaces the account.
    pub fn set_account(&self, account: AccountStatus) {
        let mut inner = self.inner();
        inner.list.account.production_access = account.has_production_access;
        inner.list.account.suppressed_reasons =
            account.enabled_reasons.into_iter().map(model_reason).collect();
    }

    /// Replaces what differs from account to account.
    pub fn set_rules(&self, rules: ListRules) {
        self.inner().list.rules = rules;
    }

    /// Replaces what is wrong with import jobs.
    pub fn set_job_faults(&self, faults: JobFaults) {
        self.inner().job_faults = faults;
    }

    /// Has SES refuse to put a spelling, and a job's record of it fail.
    pub fn poison(&self, spelling: &str) {
        self.inner().poisoned.insert(spelling.to_owned());
        self.fail_in_jobs(spelling);
    }

    /// Has a job's record of a spelling fail, but not a call with it.
    pub fn fail_in_jobs(&self, spelling: &str) {
        self.inner().list.fail_imports_of(spelling, "injected failure");
    }

    /// The writes so far, without the first `skip`.
    pub fn writes(&self, skip: usize) -> Vec<ListWrite> {
        let mut inner = self.inner();
        let new: Vec<_> = inner.list.writes(self.now()).iter().skip(skip).cloned().collect();
        let jobs = inner.list.jobs(self.now());
        let writer = |by| match by {
            ModelWriter::Request => ListWriter::Call,
            ModelWriter::ImportJob(index) => {
                let job = &jobs[index];
                ListWriter::Job { url: job.import.source.clone(), created_at: timestamp(job.created) }
            }
            ModelWriter::Other => ListWriter::Others,
        };
        let write = |write: local_ses::suppression::ListWrite| ListWrite {
            at: timestamp(write.at),
            spelling: write.address,
            before: write.before.map(reason),
            after: write.after.map(reason),
            by: writer(write.by),
        };
        new.into_iter().map(write).collect()
    }

    /// Clears the faults that were set for calls that have not been made yet.
    pub fn recover(&self) {
        self.inner().faults.clear();
    }

    /// Sets what becomes of the next calls, one each.
    pub fn fault(&self, faults: impl IntoIterator<Item = Fault>) {
        self.inner().faults.extend(faults);
    }

    /// How many calls there were of each method, throttled ones included.
    pub fn calls(&self) -> BTreeMap<&'static str, usize> {
        self.inner().calls.clone()
    }

    fn now(&self) -> OffsetDateTime {
        date_time(self.clock.now())
    }

    /// The list once its jobs have done what they would have done by now.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        let mut inner = lock(&self.inner);
        inner.list.jobs(self.now());
        inner
    }

    async fn call<T>(
        &self,
        name: &'static str,
        call: impl FnOnce(&mut Inner, OffsetDateTime) -> Result<T, ListError>,
    ) -> Result<T, ListError> {
        self.fuse.effect().await;
        let now = self.now();
        let mut inner = self.inner();
        *inner.calls.entry(name).or_default() += 1;
        let fault = inner.faults.pop_front().unwrap_or(Fault::None);
        if fault == Fault::Throttled || !inner.pacer.admit(Pace::default(), name, now) {
            return Err(ListError::Throttled);
        }
        fault.meet(|| call(&mut inner, now))
    }
}

fn reason(reason: local_ses::suppression::Reason) -> SuppressionReason {
    match reason {
        local_ses::suppression::Reason::Bounce => SuppressionReason::Bounce,
        local_ses::suppression::Reason::Complaint => SuppressionReason::Complaint,
    }
}

fn model_reason(reason: SuppressionReason) -> local_ses::suppression::Reason {
    match reason {
        SuppressionReason::Bounce => local_ses::suppression::Reason::Bounce,
        SuppressionReason::Complaint => local_ses::suppression::Reason::Complaint,
    }
}

fn entry((spelling, entry): (String, local_ses::suppression::Entry)) -> ListEntry {
    ListEntry { spelling, reason: reason(entry.reason), updated_at: timestamp(entry.last_update) }
}

fn refused(refused: Refused) -> ListError {
    ListError::Refused(SesRefusal { code: refused.kind.code().to_owned(), message: refused.message })
}

fn found<T>(answer: Result<T, Refused>) -> Result<Option<T>, ListError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind == RefusedKind::NotFound => Ok(None),
        Err(error) => Err(refused(error)),
    }
}

fn permitted(denied: bool) -> Result<(), ListError> {
    if denied { Err(ListError::Denied("AccessDeniedException".to_owned())) } else { Ok(()) }
}

/// Each method maps SES's answer as the adapter does.
impl<C: Clock> SuppressionList for MemoryList<C> {
    async fn put(&self, spelling: &str, reason: SuppressionReason) -> Result<(), ListError> {
        self.call("put", |inner, now| {
            if inner.list.account.production_access && inner.poisoned.contains(spelling) {
                let (code, message) = ("BadRequestException".to_owned(), "injected refusal".to_owned());
                return Err(ListError::Refused(SesRefusal { code, message }));
            }
            inner.list.put(now, spelling, model_reason(reason)).map_err(refused)
        })
        .await
    }

    async fn delete(&self, spelling: &str) -> Result<(), ListError> {
        self.call("delete", |inner, now| found(inner.list.delete(now, spelling)).map(drop)).await
    }

    async fn get(&self, spelling: &str) -> Result<Option<ListEntry>, ListError> {
        self.call("get", |inner, now| Ok(found(inner.list.get(now, spelling))?.map(entry))).await
    }

    async fn list_entries(
        &self,
        window: ListWindow,
        next_token: Option<&str>,
    ) -> Result<ListPage<ListEntry>, ListError> {
        let filter = Filter {
            after: window.from.map(|from| date_time(from.minus(Duration::from_millis(1)))),
            before: window.until.map(date_time),
            ..Filter::default()
        };
        self.call("page", |inner, now| {
            let page = inner.list.page(now, &filter, None, next_token).map_err(refused)?;
            let items = page.items.into_iter().map(entry).collect();
            Ok(ListPage { items, unreadable_count: 0, next_token: page.next_token })
        })
        .await
    }

    async fn account_status(&self) -> Result<AccountStatus, ListError> {
        self.call("account", |inner, _| {
            let account = &inner.list.account;
            let enabled = account.suppressed_reasons.iter().copied().map(reason).collect();
            Ok(AccountStatus { has_production_access: account.production_access, enabled_reasons: enabled })
        })
        .await
    }

    async fn create_import_job(&self, action: ImportAction, object_url: &str) -> Result<String, ListError> {
        let model_action = match action {
            ImportAction::Put => ModelAction::Put,
            ImportAction::Delete => ModelAction::Delete,
        };
        let import =
            Import { action: model_action, format: ImportFormat::Json, source: object_url.to_owned() };
        let file = self.objects.content_at(object_url);
        let file = file.as_deref().ok_or_else(|| "no such object".to_owned());
        self.call("create_import_job", |inner, now| {
            permitted(inner.job_faults.creation_denied)?;
            let id = inner.list.jobs(now).len().to_string();
            inner.list.create_job(now, &id, import, file).map_err(refused)?;
            Ok(id)
        })
        .await
    }

    async fn import_job(&self, job_id: &str) -> Result<ImportJob, ListError> {
        self.call("import_job", |inner, now| {
            let faults = inner.job_faults;
            permitted(faults.reading_denied)?;
            let job = found(inner.list.job(now, job_id))?.ok_or(ListError::NotFound)?;
            let (failed_records_url, error) = match job.failure() {
                Some(JobFailure::Records) => {
                    ((!faults.failed_records_hidden).then(|| job_id.to_owned()), None)
                }
                Some(JobFailure::Job(error)) => (None, Some(error.to_owned())),
                None => (None, None),
            };
            Ok(ImportJob {
                object_url: Some(job.import.source.clone()),
                status: JobStatus::from_ses(faults.status.unwrap_or(job.status().as_str())),
                failed_count: job.failed.len(),
                failed_records_url,
                error,
            })
        })
        .await
    }

    async fn import_jobs(&self, next_token: Option<&str>) -> Result<ListPage<ImportJobSummary>, ListError> {
        self.call("import_jobs", |inner, now| {
            permitted(inner.job_faults.reading_denied)?;
            let page = inner.list.jobs_page(now, None, next_token).map_err(refused)?;
            let listed = |job: &local_ses::suppression::Job| ImportJobSummary {
                id: job.id.clone(),
                action: Some(match job.import.action {
                    ModelAction::Put => ImportAction::Put,
                    ModelAction::Delete => ImportAction::Delete,
                }),
                created_at: Some(timestamp(job.created)),
            };
            Ok(ListPage {
                items: page.items.into_iter().map(listed).collect(),
                unreadable_count: 0,
                next_token: page.next_token,
            })
        })
        .await
    }

    async fn download_failed_records(&self, failed_records_url: &str) -> Result<String, ListError> {
        let job = found(
            self.inner()
                .list
                .job(self.now(), failed_records_url)
                .map(local_ses::suppression::Job::failed_records),
        );
        job?.ok_or(ListError::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use mailroom_core::inbound::{ObjectFacts, ObjectLocation};

    use super::*;
    use crate::MemoryClock;

    const BOUNCE: SuppressionReason = SuppressionReason::Bounce;
    const URL: &str = "s3://b/k";

    /// A list whose every call comes a second after the last, and an object of these lines at [`URL`].
    fn list(lines: &[&str]) -> (MemoryList<MemoryClock>, MemoryClock) {
        let clock = MemoryClock::at(Timestamp::parse("2026-01-27T15:00:00Z").unwrap());
        let objects = MemoryObjects::default();
        let location = ObjectLocation { bucket: "b".to_owned(), key: "k".to_owned() };
        objects.insert(&location, ObjectFacts::default(), lines.join("\n").into());
        (MemoryList::new(clock.clone(), &objects), clock)
    }

    fn code<T: std::fmt::Debug>(answer: Result<T, ListError>) -> String {
        match answer {
            Err(ListError::Refused(refusal)) => refusal.code,
            other => format!("{other:?}"),
        }
    }

    fn spellings(list: &MemoryList<MemoryClock>) -> Vec<String> {
        list.entries().into_keys().collect()
    }

    #[tokio::test]
    async fn answers_are_those_of_the_adapter_and_faults_come_before_them() {
        let (list, clock) = list(&[]);
        let second = || clock.advance(Duration::from_secs(1));
        assert_eq!(list.put("A@example.com", SuppressionReason::Complaint).await, Ok(()));
        assert_eq!(list.get("A@example.com").await, Err(ListError::Throttled), "too fast");
        second();
        assert_eq!(list.get("a@example.com").await, Ok(None));
        second();
        assert_eq!(list.delete("a@example.com").await, Ok(()), "it is no error if there is none");
        list.poison("b@example.com");
        second();
        assert_eq!(code(list.put("b@example.com", BOUNCE).await), "BadRequestException");
        list.fault([Fault::Unanswered, Fault::Denied]);
        second();
        assert!(matches!(list.put("A@example.com", BOUNCE).await, Err(ListError::Unavailable(_))));
        second();
        assert!(matches!(list.account_status().await, Err(ListError::Denied(_))));
        second();
        assert_eq!(
            list.get("A@example.com").await.unwrap().unwrap().reason,
            BOUNCE,
            "done, but not answered"
        );
        list.insert("c@example.com", BOUNCE);
        list.remove("c@example.com");
        let writes: Vec<_> = list.writes(2).into_iter().map(|write| (write.spelling, write.by)).collect();
        let expected = [
            ("A@example.com", ListWriter::Call),
            ("c@example.com", ListWriter::Others),
            ("c@example.com", ListWriter::Others),
        ];
        assert_eq!(writes, expected.map(|(spelling, by)| (spelling.to_owned(), by)));
        assert_eq!(list.calls()["put"], 3);
    }

    #[tokio::test]
    async fn a_job_is_the_writer_of_its_records() {
        let put = r#"{"emailAddress":"b@example.com","reason":"BOUNCE"}"#;
        let (list, clock) = list(&[put, r#"{"emailAddress":"c@example.com"}"#]);
        let created_at = clock.now();
        let id = list.create_import_job(ImportAction::Put, URL).await.unwrap();
        clock.advance(Duration::from_mins(1));
        let job = list.import_job(&id).await.unwrap();
        assert_eq!((job.status, job.failed_count), (JobStatus::Completed, 1));
        let failed = list.download_failed_records(&job.failed_records_url.unwrap()).await.unwrap();
        assert_eq!(
            mailroom_core::suppression::import::parse_record_addresses(&failed).match_forms.len(),
            1,
            "{failed}"
        );
        let [write] = &list.writes(0)[..] else { panic!("{:?}", list.writes(0)) };
        assert_eq!((write.before, write.after), (None, Some(BOUNCE)));
        assert_eq!(write.by, ListWriter::Job { url: URL.to_owned(), created_at });
        list.set_job_faults(JobFaults { failed_records_hidden: true, ..JobFaults::default() });
        clock.advance(Duration::from_secs(1));
        assert_eq!(list.import_job(&id).await.unwrap().failed_records_url, None);
    }

    // There were two models of the list once. Where they differed, AWS's documentation decides; where it is silent, the rule
    // that asks more of the caller.

    /// One model refused the request. API reference v2: a failed job has "a message about why the job failed"
    /// (`FailureInfo`), and no error of `CreateImportJob` is about the object's content. The limit is that of the guide
    /// ("Adding email addresses in bulk to your account-level suppression list").
    #[tokio::test]
    async fn too_many_records_fail_the_job_and_not_the_request() {
        let (list, clock) = list(&vec![r#"{"emailAddress":"a@example.com"}"#; 10_001]);
        list.insert("a@example.com", BOUNCE);
        let id = list.create_import_job(ImportAction::Delete, URL).await.unwrap();
        clock.advance(Duration::from_secs(1));
        assert_eq!(
            list.import_job(&id).await.unwrap().status,
            JobStatus::Running,
            "SES has not looked at it yet"
        );
        clock.advance(Duration::from_mins(1));
        let job = list.import_job(&id).await.unwrap();
        assert_eq!(
            (job.status, job.error.is_some(), job.failed_records_url),
            (JobStatus::Failed, true, None)
        );
        assert_eq!(spellings(&list), ["a@example.com"]);
    }

    /// One model answered `ListImportJobs`. "To bulk add or remove addresses, you must have production access" (guide, "Using
    /// the Amazon SES account-level suppression list") names no action; asked, SES refuses this one, too.
    #[tokio::test]
    async fn in_the_sandbox_jobs_are_neither_made_nor_listed() {
        let (list, clock) = list(&[]);
        list.create_import_job(ImportAction::Put, URL).await.unwrap();
        list.set_account(AccountStatus {
            has_production_access: false,
            enabled_reasons: BTreeSet::from([BOUNCE]),
        });
        for call in 0..3 {
            clock.advance(Duration::from_secs(1));
            let refused = match call {
                0 => code(list.put("a@example.com", BOUNCE).await),
                1 => code(list.create_import_job(ImportAction::Put, URL).await),
                _ => code(list.import_jobs(None).await),
            };
            assert_eq!(refused, "BadRequestException");
        }
    }

    /// One model gave out entries in the order of their addresses, jobs from the first, and a token's error as a bad request.
    /// API reference v2 documents no order for `ListSuppressedDestinations` and `ListImportJobs`, and
    /// `InvalidNextTokenException` for the former.
    #[tokio::test]
    async fn pages_have_no_order_to_rely_on() {
        let (list, clock) = list(&[]);
        let names: Vec<_> = (0..9).map(|n| format!("{n}@example.com")).collect();
        for name in &names {
            list.insert(name, BOUNCE);
            clock.advance(Duration::from_secs(5));
            list.create_import_job(ImportAction::Put, URL).await.unwrap();
        }
        clock.advance(Duration::from_secs(1));
        let page = list.list_entries(ListWindow::default(), None).await.unwrap();
        assert!(!page.items.iter().map(|entry| &entry.spelling).is_sorted());
        clock.advance(Duration::from_secs(1));
        let jobs = list.import_jobs(None).await.unwrap().items;
        assert!(jobs.iter().rev().map(|job| job.created_at).is_sorted());
        clock.advance(Duration::from_secs(1));
        assert_eq!(
            code(list.list_entries(ListWindow::default(), Some("t")).await),
            "InvalidNextTokenException"
        );
    }

    /// One model let each job end before it looked at the next. The last write wins, whoever writes it (API reference v2,
    /// `SuppressionListDestination`: PUT overrides what exists).
    #[tokio::test]
    async fn jobs_take_effect_in_the_order_of_time() {
        let lines = ["a", "b", "a"]
            .map(|name| format!(r#"{{"emailAddress":"{name}@example.com","reason":"BOUNCE"}}"#));
        let (list, clock) = list(&lines.each_ref().map(String::as_str));
        list.set_rules(ListRules { import_per_record: Duration::from_secs(10), ..ListRules::default() });
        list.create_import_job(ImportAction::Put, URL).await.unwrap();
        clock.advance(Duration::from_secs(5));
        list.create_import_job(ImportAction::Delete, URL).await.unwrap();
        clock.advance(Duration::from_mins(5));
        let writes: Vec<_> = list.writes(0).into_iter().map(|write| write.at).collect();
        assert!(writes.is_sorted() && writes.len() == 6, "{writes:?}");
    }

    /// One model counted blank lines as records, put what is no address, told of failed records while the job ran, and took any
    /// number of jobs. Guide, "Adding email addresses in bulk": one object per line. API reference v2: `LimitExceededException`
    /// is "too many instances of the specified resource type"; `FailureInfo` is of the whole job.
    #[tokio::test]
    async fn what_else_differed() {
        let put = |address: &str| format!(r#"{{"emailAddress":"{address}","reason":"BOUNCE"}}"#);
        let lines = [put(" a@example.com"), String::new(), put("b@example.com")];
        let (list, clock) = list(&lines.each_ref().map(String::as_str));
        assert_eq!(code(list.put(" a@example.com", BOUNCE).await), "BadRequestException");
        list.set_rules(ListRules {
            import_per_record: Duration::from_secs(10),
            import_jobs: 1,
            ..ListRules::default()
        });
        clock.advance(Duration::from_secs(1));
        let id = list.create_import_job(ImportAction::Put, URL).await.unwrap();
        clock.advance(Duration::from_secs(1));
        assert_eq!(code(list.create_import_job(ImportAction::Put, URL).await), "LimitExceededException");
        clock.advance(Duration::from_secs(15));
        let job = list.import_job(&id).await.unwrap();
        assert_eq!((job.status, job.failed_count, job.failed_records_url), (JobStatus::Running, 1, None));
        clock.advance(Duration::from_mins(1));
        let job = list.import_job(&id).await.unwrap();
        assert_eq!(
            (job.status, job.failed_count, job.failed_records_url.is_some()),
            (JobStatus::Completed, 1, true)
        );
        assert_eq!(spellings(&list), ["b@example.com"]);
    }
}
