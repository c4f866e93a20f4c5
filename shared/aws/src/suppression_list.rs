//! SES's account-level suppression list of one Region, the import jobs that fill it, and the account that they depend on.
//!
//! Nothing is retried here: SES takes one request a second, so whoever calls keeps the pace and decides what is worth
//! another call.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::config::http::HttpResponse;
use aws_sdk_sesv2::config::interceptors::{
    BeforeTransmitInterceptorContextMut, FinalizerInterceptorContextRef,
};
use aws_sdk_sesv2::config::retry::RetryConfig;
use aws_sdk_sesv2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_sesv2::error::{BoxError, DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_sesv2::primitives::DateTime;
use aws_sdk_sesv2::types::{
    DataFormat, ImportDataSource, ImportDestination, ImportDestinationType, JobStatus as SdkStatus,
    SuppressionListDestination, SuppressionListImportAction, SuppressionListReason,
};
use mailroom_core::suppression::Reason;
use mailroom_core::suppression::import::{JobKind, JobStatus};
use mailroom_core::suppression::reconcile::Entry;
use mailroom_core::timestamp::Timestamp;
use serde_json::Value;

use crate::clock::Clock;
use crate::fuse::Fuse;

/// Reads and writes the list. Each method is one call of SES's API.
pub trait SuppressionList {
    /// Puts an entry, exactly so, over whatever is there.
    ///
    /// # Errors
    /// See [`ListError`]. It may have been put nevertheless, unless throttled or refused.
    #[expect(async_fn_in_trait, reason = "called through generics by functions that run on one thread")]
    async fn put(&self, spelling: &str, reason: Reason) -> Result<(), ListError>;

    /// Deletes an entry that is spelled exactly so. That there is none is fine.
    ///
    /// # Errors
    /// See [`ListError`]. It may have been deleted nevertheless, unless throttled or refused.
    #[expect(async_fn_in_trait, reason = "called through generics by functions that run on one thread")]
    async fn delete(&self, spelling: &str) -> Result<(), ListError>;

    /// The entry that is spelled exactly so.
    ///
    /// # Errors
    /// See [`ListError`].
    #[expect(async_fn_in_trait, reason = "called through generics by functions that run on one thread")]
    async fn get(&self, spelling: &str) -> Result<Option<Entry>, ListError>;

    /// A page of the list. It is no snapshot: what is put meanwhile may be missed.
    ///
    /// # Errors
    /// See [`ListError`]. [`ListError::Refused`] if SES does not take the token (any more).
    #[expect(async_fn_in_trait, reason = "called through generics by functions that run on one thread")]
    async fn page(&self, next: Option<&str>) -> Result<ListPage<Entry>, ListError>;

    /// What the list depends on.
    ///
    /// # Errors
    /// See [`ListError`].
    #[expect(async_fn_in_trait, reason = "called through generics by functions that run on one thread")]
    async fn account(&self) -> Result<Account, ListError>;

    /// Makes a job of the object at `s3://bucket/key`, newline-delimited JSON; the job's id. SES reads the object itself,
    /// without a role: the bucket's policy must let `ses.amazonaws.com` (Developer Guide, "Adding email addresses in bulk").
    ///
    /// # Errors
    /// See [`ListError`]. It may have been made nevertheless, unless throttled or refused, and there is no token that makes
    /// a second call the same: look for it first.
    #[expect(async_fn_in_trait, reason = "called through generics by functions that run on one thread")]
    async fn create_import_job(&self, kind: JobKind, url: &str) -> Result<String, ListError>;

    /// One job, with what only this call tells: its object, and its failed records.
    ///
    /// # Errors
    /// See [`ListError`].
    #[expect(async_fn_in_trait, reason = "called through generics by functions that run on one thread")]
    async fn import_job(&self, id: &str) -> Result<ImportJob, ListError>;

    /// A page of this list's jobs, in no order that is documented. It does not tell their objects.
    ///
    /// # Errors
    /// See [`ListError`].
    #[expect(async_fn_in_trait, reason = "called through generics by functions that run on one thread")]
    async fn import_jobs(&self, next: Option<&str>) -> Result<ListPage<ListedJob>, ListError>;

    /// What lies at a job's [`ImportJob::failed_records_url`]. Not a call of SES's API: it does not count for its pace.
    ///
    /// # Errors
    /// See [`ListError`].
    #[expect(async_fn_in_trait, reason = "called through generics by functions that run on one thread")]
    async fn failed_records(&self, url: &str) -> Result<String, ListError>;
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage<T> {
    /// What is on it. A page may be empty and not the last.
    pub items: Vec<T>,
    /// How many there were besides that this version can't read, such as entries with a reason that SES has added since.
    pub unread: usize,
    /// Where to go on; `None` after the last page.
    pub next: Option<String>,
}

/// The account in this Region, as far as the list depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Whether it is out of the sandbox. In it, nothing can be put and no job made.
    pub production_access: bool,
    /// The reasons for which an entry stops mail.
    pub enabled: BTreeSet<Reason>,
}

/// An import job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportJob {
    /// `s3://bucket/key`
    pub url: Option<String>,
    /// How far it is.
    pub status: JobStatus,
    /// How many of its records have failed.
    pub failed: usize,
    /// Where they lie.
    pub failed_records_url: Option<String>,
    /// Why it has failed as a whole.
    pub error: Option<String>,
}

/// An import job in a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedJob {
    /// Its id.
    pub id: String,
    /// What it does, if that can be told.
    pub kind: Option<JobKind>,
    /// When it was made, if that can be told.
    pub created_at: Option<Timestamp>,
}

/// Why SES did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// 429: faster than SES takes it. Nothing was done; a retry can help, later.
    #[error("SES throttles")]
    Throttled,
    /// There is no such job.
    #[error("no such import job")]
    NotFound,
    /// SES does not take it: the account is in the sandbox (ask [`SuppressionList::account`], not the text), or the
    /// input is not right. Nothing was done, and no retry can help. The text may name the address: not for a log line.
    #[error("SES refuses it: {0}")]
    Refused(String),
    /// Failed, unanswered, or not permitted to the role. A retry can help.
    #[error("SES does not answer: {0}")]
    Unavailable(String),
}

/// SES itself.
pub struct SesList {
    client: Client,
}

impl SesList {
    /// The list of the configuration's own Region.
    pub fn new(config: &SdkConfig) -> Self {
        // The SDK's retries would break the pace, and it can't know which calls may be made twice.
        let config = aws_sdk_sesv2::config::Builder::from(config).retry_config(RetryConfig::disabled());
        Self { client: Client::from_conf(config.build()) }
    }
}

impl SuppressionList for SesList {
    async fn put(&self, spelling: &str, reason: Reason) -> Result<(), ListError> {
        let reason = SuppressionListReason::from(reason.as_ses());
        let put =
            self.client.put_suppressed_destination().email_address(spelling).reason(reason).send().await;
        put.map(drop).map_err(|error| told(&error))
    }

    async fn delete(&self, spelling: &str) -> Result<(), ListError> {
        match self.client.delete_suppressed_destination().email_address(spelling).send().await {
            Ok(_) => Ok(()),
            Err(error) if is_not_found(&error) => Ok(()),
            Err(error) => Err(told(&error)),
        }
    }

    async fn get(&self, spelling: &str) -> Result<Option<Entry>, ListError> {
        match self.client.get_suppressed_destination().email_address(spelling).send().await {
            Ok(output) => {
                let found = output
                    .suppressed_destination
                    .and_then(|found| entry(found.email_address, &found.reason, &found.last_update_time));
                found
                    .map(Some)
                    .ok_or_else(|| ListError::Unavailable("an entry that can't be read".to_owned()))
            }
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(told(&error)),
        }
    }

    async fn page(&self, next: Option<&str>) -> Result<ListPage<Entry>, ListError> {
        let list = self.client.list_suppressed_destinations().page_size(1000);
        let output =
            list.set_next_token(next.map(str::to_owned)).send().await.map_err(|error| told(&error))?;
        let found = output.suppressed_destination_summaries.unwrap_or_default();
        let count = found.len();
        let items: Vec<_> = found
            .into_iter()
            .filter_map(|found| entry(found.email_address, &found.reason, &found.last_update_time))
            .collect();
        Ok(ListPage { unread: count - items.len(), items, next: output.next_token })
    }

    async fn account(&self) -> Result<Account, ListError> {
        let account = self.client.get_account().send().await.map_err(|error| told(&error))?;
        let reasons = account.suppression_attributes.and_then(|attributes| attributes.suppressed_reasons);
        let enabled = reasons.unwrap_or_default();
        Ok(Account {
            production_access: account.production_access_enabled,
            enabled: enabled.iter().filter_map(|reason| Reason::from_ses(reason.as_str())).collect(),
        })
    }

    async fn create_import_job(&self, kind: JobKind, url: &str) -> Result<String, ListError> {
        let unbuilt = |error: &dyn std::error::Error| ListError::Refused(error.to_string());
        let action = SuppressionListImportAction::from(kind.as_ses());
        let list = SuppressionListDestination::builder().suppression_list_import_action(action).build();
        let list = list.map_err(|error| unbuilt(&error))?;
        let source = ImportDataSource::builder().s3_url(url).data_format(DataFormat::Json).build();
        let source = source.map_err(|error| unbuilt(&error))?;
        let destination = ImportDestination::builder().suppression_list_destination(list).build();
        let create = self.client.create_import_job().import_destination(destination);
        let output = create.import_data_source(source).send().await.map_err(|error| told(&error))?;
        output.job_id.ok_or_else(|| ListError::Unavailable("a job without an id".to_owned()))
    }

    async fn import_job(&self, id: &str) -> Result<ImportJob, ListError> {
        let output = match self.client.get_import_job().job_id(id).send().await {
            Ok(output) => output,
            Err(error) if is_not_found(&error) => return Err(ListError::NotFound),
            Err(error) => return Err(told(&error)),
        };
        let (failed_records_url, error) =
            output.failure_info.map_or((None, None), |info| (info.failed_records_s3_url, info.error_message));
        let status = output.job_status.as_ref().map_or("", SdkStatus::as_str);
        Ok(ImportJob {
            url: output.import_data_source.map(|source| source.s3_url),
            status: JobStatus::from_ses(status),
            failed: output.failed_records_count.and_then(|count| count.try_into().ok()).unwrap_or_default(),
            failed_records_url,
            error,
        })
    }

    async fn import_jobs(&self, next: Option<&str>) -> Result<ListPage<ListedJob>, ListError> {
        let list =
            self.client.list_import_jobs().import_destination_type(ImportDestinationType::SuppressionList);
        let output =
            list.set_next_token(next.map(str::to_owned)).send().await.map_err(|error| told(&error))?;
        let found = output.import_jobs.unwrap_or_default();
        let count = found.len();
        let items: Vec<_> = found
            .into_iter()
            .filter_map(|job| {
                let list = job.import_destination.and_then(|to| to.suppression_list_destination);
                let kind = list.and_then(|list| match list.suppression_list_import_action {
                    SuppressionListImportAction::Put => Some(JobKind::Put),
                    SuppressionListImportAction::Delete => Some(JobKind::Delete),
                    _ => None,
                });
                Some(ListedJob {
                    id: job.job_id?,
                    kind,
                    created_at: job.created_timestamp.as_ref().and_then(time),
                })
            })
            .collect();
        Ok(ListPage { unread: count - items.len(), items, next: output.next_token })
    }

    /// Carried by the client that is there, as a request with another address and without its signature: the URL is signed
    /// itself, and an HTTP client for this alone would be a second TLS stack.
    async fn failed_records(&self, url: &str) -> Result<String, ListError> {
        let carrier = Carrier { url: url.to_owned(), answer: Arc::default() };
        let answer = Arc::clone(&carrier.answer);
        // What SES's deserializer makes of the answer does not matter.
        let sent = self.client.get_import_job().job_id("-").customize().interceptor(carrier).send().await;
        let answer = answer.lock().ok().and_then(|mut answer| answer.take());
        answer.ok_or_else(|| {
            let why = sent.err().and_then(|error| error.raw_response().map(HttpResponse::status));
            ListError::Unavailable(
                why.map_or_else(|| "no answer".to_owned(), |status| format!("status {}", status.as_u16())),
            )
        })
    }
}

/// Sends a request elsewhere, and keeps the answer.
#[derive(Debug)]
struct Carrier {
    url: String,
    answer: Arc<Mutex<Option<String>>>,
}

impl Intercept for Carrier {
    fn name(&self) -> &'static str {
        "Carrier"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        request.set_uri(self.url.as_str())?;
        let names: Vec<_> = request.headers().iter().map(|(name, _)| name.to_owned()).collect();
        for name in names {
            request.headers_mut().remove(name);
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answer = context.response().filter(|answer| answer.status().is_success());
        if let (Some(body), Ok(mut kept)) =
            (answer.and_then(|answer| answer.body().bytes()), self.answer.lock())
        {
            *kept = Some(String::from_utf8_lossy(body).into_owned());
        }
        Ok(())
    }
}

fn entry(spelling: String, reason: &SuppressionListReason, updated_at: &DateTime) -> Option<Entry> {
    Some(Entry { spelling, reason: Reason::from_ses(reason.as_str())?, updated_at: time(updated_at)? })
}

fn time(time: &DateTime) -> Option<Timestamp> {
    Timestamp::from_millis(time.to_millis().ok()?)
}

fn is_not_found<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    error.code() == Some("NotFoundException")
}

fn told<E>(error: &SdkError<E, HttpResponse>) -> ListError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    match (status, error.code()) {
        (Some(429), _) | (_, Some("TooManyRequestsException" | "ThrottlingException")) => {
            ListError::Throttled
        }
        (_, Some(code @ ("BadRequestException" | "NotFoundException" | "InvalidNextTokenException"))) => {
            ListError::Refused(format!("{code}: {}", error.message().unwrap_or_default()))
        }
        (_, Some(code)) => ListError::Unavailable(code.to_owned()),
        (Some(status), None) => ListError::Unavailable(format!("status {status}")),
        (None, None) => match error {
            SdkError::ConstructionFailure(_) => ListError::Refused(DisplayErrorContext(error).to_string()),
            _ => ListError::Unavailable(DisplayErrorContext(error).to_string()),
        },
    }
}

/// A list in memory, with SES's rules that a handler can run into: exact case, Put over what is there, a pace, the sandbox,
/// jobs that take their time and have failed records; and trouble on demand. Clones are one list.
#[derive(Clone)]
pub struct MemoryList<C> {
    inner: Arc<Mutex<Inner>>,
    read: Arc<ReadObject>,
    clock: C,
    fuse: Fuse,
}

/// Gives what lies at `s3://bucket/key`.
type ReadObject = dyn Fn(&str) -> Option<String> + Send + Sync;

struct Inner {
    account: Account,
    rules: MemoryRules,
    entries: BTreeMap<String, (Reason, Timestamp)>,
    jobs: Vec<MemoryJob>,
    poisoned: BTreeSet<String>,
    failing_in_jobs: BTreeSet<String>,
    faults: VecDeque<Fault>,
    last: Option<Timestamp>,
    calls: BTreeMap<&'static str, usize>,
    writes: Vec<Write>,
}

/// Something that was written to the list, changed or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// When.
    pub at: Timestamp,
    /// Exactly so.
    pub spelling: String,
    /// What stood there before.
    pub before: Option<Reason>,
    /// And after.
    pub after: Option<Reason>,
    /// By whom.
    pub by: Writer,
}

/// Who wrote to the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writer {
    /// A call of its own.
    Call,
    /// The import job of this object: `s3://bucket/key`.
    Job(String),
    /// Not Mailroom.
    Others,
}

/// What no source tells of SES, or a test wants otherwise.
#[derive(Debug, Clone, Copy)]
pub struct MemoryRules {
    /// Between two calls; whoever is faster is throttled.
    pub interval: Duration,
    /// Until a job does its first record.
    pub job_wait: Duration,
    /// From one record to the next.
    pub job_per_record: Duration,
    /// Whether a job tells which of its records have failed.
    pub tells_failed: bool,
    /// Whether a job fails at a record that deletes what is not there. No source tells.
    pub fails_at_absent: bool,
    /// Whether no call deletes an address with a slash (aws/aws-sdk#158).
    pub refuses_slashes: bool,
    /// Entries on a page.
    pub page: usize,
}

impl Default for MemoryRules {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            job_wait: Duration::from_secs(5),
            job_per_record: Duration::from_millis(1),
            tells_failed: true,
            fails_at_absent: true,
            refuses_slashes: true,
            page: 1000,
        }
    }
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing out of the ordinary.
    None,
    /// Throttled.
    Throttled,
    /// Nothing is done.
    Unavailable,
    /// It is done and not answered.
    Unanswered,
    /// SES does not take it, such as a page's token that it no longer knows.
    Refused,
}

struct MemoryJob {
    kind: JobKind,
    url: String,
    created_at: Timestamp,
    lines: Vec<String>,
    done: usize,
    failed: Vec<String>,
    unreadable: bool,
}

impl<C: Clock> MemoryList<C> {
    /// An empty list of an account with production access. `read` gives what lies at `s3://bucket/key`.
    pub fn new(clock: C, read: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        let enabled = BTreeSet::from([Reason::Bounce, Reason::Complaint]);
        let inner = Inner {
            account: Account { production_access: true, enabled },
            rules: MemoryRules::default(),
            entries: BTreeMap::new(),
            jobs: Vec::new(),
            poisoned: BTreeSet::new(),
            failing_in_jobs: BTreeSet::new(),
            faults: VecDeque::new(),
            last: None,
            calls: BTreeMap::new(),
            writes: Vec::new(),
        };
        Self { inner: Arc::new(Mutex::new(inner)), read: Arc::new(read), clock, fuse: Fuse::default() }
    }

    /// The same list, by way of a function that may die.
    #[must_use]
    pub fn with_fuse(&self, fuse: &Fuse) -> Self
    where
        C: Clone,
    {
        Self { fuse: fuse.clone(), ..self.clone() }
    }

    /// What is on it now, by spelling.
    pub fn entries(&self) -> BTreeMap<String, Reason> {
        let now = self.clock.now();
        self.lock().map_or_else(
            |_| BTreeMap::new(),
            |mut inner| {
                inner.advance(now);
                inner.entries.iter().map(|(spelling, (reason, _))| (spelling.clone(), *reason)).collect()
            },
        )
    }

    /// Puts an entry there, not by way of Mailroom.
    pub fn insert(&self, spelling: &str, reason: Reason) {
        let now = self.clock.now();
        self.change(|inner| inner.write(spelling, Some(reason), now, Writer::Others));
    }

    /// Takes one away, not by way of Mailroom.
    pub fn remove(&self, spelling: &str) {
        let now = self.clock.now();
        self.change(|inner| inner.write(spelling, None, now, Writer::Others));
    }

    /// Another account.
    pub fn set_account(&self, account: Account) {
        self.change(|inner| inner.account = account);
    }

    /// Other rules.
    pub fn set_rules(&self, rules: MemoryRules) {
        self.change(|inner| inner.rules = rules);
    }

    /// SES refuses to put this spelling, and a job's record of it fails.
    pub fn poison(&self, spelling: &str) {
        self.change(|inner| {
            inner.poisoned.insert(spelling.to_owned());
        });
    }

    /// A job's record of this spelling fails; a call with it does not.
    pub fn fail_in_jobs(&self, spelling: &str) {
        self.change(|inner| {
            inner.failing_in_jobs.insert(spelling.to_owned());
        });
    }

    /// What was written so far, without the first so many.
    pub fn writes(&self, skip: usize) -> Vec<Write> {
        let now = self.clock.now();
        self.lock().map_or_else(
            |_| Vec::new(),
            |mut inner| {
                inner.advance(now);
                inner.writes.iter().skip(skip).cloned().collect()
            },
        )
    }

    /// No call fails that was to, as far as it was not made.
    pub fn recover(&self) {
        self.change(|inner| inner.faults.clear());
    }

    /// What becomes of the next calls, one each.
    pub fn fault(&self, faults: impl IntoIterator<Item = Fault>) {
        self.change(|inner| inner.faults.extend(faults));
    }

    /// How many calls there were of each method, the throttled ones among them.
    pub fn calls(&self) -> BTreeMap<&'static str, usize> {
        self.lock().map_or_else(|_| BTreeMap::new(), |inner| inner.calls.clone())
    }

    fn lock(&self) -> Result<MutexGuard<'_, Inner>, ListError> {
        self.inner.lock().map_err(|_| ListError::Unavailable("poisoned".to_owned()))
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let now = self.clock.now();
        if let Ok(mut inner) = self.lock() {
            inner.advance(now);
            change(&mut inner);
        }
    }

    async fn call<T>(
        &self,
        name: &'static str,
        call: impl FnOnce(&mut Inner, Timestamp) -> Result<T, ListError>,
    ) -> Result<T, ListError> {
        self.fuse.effect().await;
        let now = self.clock.now();
        let mut inner = self.lock()?;
        inner.advance(now);
        *inner.calls.entry(name).or_default() += 1;
        let fault = inner.faults.pop_front().unwrap_or(Fault::None);
        let hasty = inner.last.is_some_and(|last| now < last.plus(inner.rules.interval));
        if hasty || fault == Fault::Throttled {
            return Err(ListError::Throttled);
        }
        inner.last = Some(now);
        if fault == Fault::Unavailable {
            return Err(ListError::Unavailable("told to fail".to_owned()));
        }
        if fault == Fault::Refused {
            return Err(ListError::Refused("BadRequestException: told to refuse".to_owned()));
        }
        let done = call(&mut inner, now);
        if fault == Fault::Unanswered {
            return Err(ListError::Unavailable("told to time out".to_owned()));
        }
        done
    }
}

impl Inner {
    fn write(&mut self, spelling: &str, after: Option<Reason>, at: Timestamp, by: Writer) {
        let before = match after {
            Some(reason) => self.entries.insert(spelling.to_owned(), (reason, at)),
            None => self.entries.remove(spelling),
        };
        let before = before.map(|(reason, _)| reason);
        self.writes.push(Write { at, spelling: spelling.to_owned(), before, after, by });
    }

    /// Does what jobs have done until now.
    fn advance(&mut self, now: Timestamp) {
        for index in 0..self.jobs.len() {
            while let Some((spelling, reason, at, by)) = self.next_record(index, now) {
                self.write(&spelling, reason, at, by);
            }
        }
    }

    /// What a job's next record that is due and can be done writes.
    fn next_record(
        &mut self,
        index: usize,
        now: Timestamp,
    ) -> Option<(String, Option<Reason>, Timestamp, Writer)> {
        let job = self.jobs.get_mut(index)?;
        while let Some(line) = job.lines.get(job.done) {
            let records = u32::try_from(job.done).unwrap_or(u32::MAX);
            let wait = self.rules.job_wait + self.rules.job_per_record.saturating_mul(records);
            let at = job.created_at.plus(wait);
            if at > now {
                return None;
            }
            job.done += 1;
            let fields: Value = serde_json::from_str(line).unwrap_or_default();
            let spelling = fields.get("emailAddress").and_then(Value::as_str).unwrap_or_default();
            let reason = fields.get("reason").and_then(Value::as_str).and_then(Reason::from_ses);
            let absent = job.kind == JobKind::Delete && !self.entries.contains_key(spelling);
            let fails = spelling.is_empty()
                || (absent && self.rules.fails_at_absent)
                || self.poisoned.contains(spelling)
                || self.failing_in_jobs.contains(spelling);
            match (job.kind, reason) {
                (JobKind::Put, Some(_)) | (JobKind::Delete, _) if !fails => {
                    let reason = reason.filter(|_| job.kind == JobKind::Put);
                    return Some((spelling.to_owned(), reason, at, Writer::Job(job.url.clone())));
                }
                _ => job.failed.push(line.clone()),
            }
        }
        None
    }

    fn outside_sandbox(&self) -> Result<(), ListError> {
        let refused = || ListError::Refused("BadRequestException: sandbox".to_owned());
        self.account.production_access.then_some(()).ok_or_else(refused)
    }
}

impl<C: Clock> SuppressionList for MemoryList<C> {
    async fn put(&self, spelling: &str, reason: Reason) -> Result<(), ListError> {
        self.call("put", |inner, now| {
            inner.outside_sandbox()?;
            if inner.poisoned.contains(spelling) {
                return Err(ListError::Refused("BadRequestException: told to refuse".to_owned()));
            }
            inner.write(spelling, Some(reason), now, Writer::Call);
            Ok(())
        })
        .await
    }

    async fn delete(&self, spelling: &str) -> Result<(), ListError> {
        self.call("delete", |inner, now| {
            if inner.rules.refuses_slashes && spelling.contains('/') {
                return Err(ListError::Refused("BadRequestException: a slash".to_owned()));
            }
            inner.write(spelling, None, now, Writer::Call);
            Ok(())
        })
        .await
    }

    async fn get(&self, spelling: &str) -> Result<Option<Entry>, ListError> {
        let entry = |(reason, updated_at): &(Reason, Timestamp)| Entry {
            spelling: spelling.to_owned(),
            reason: *reason,
            updated_at: *updated_at,
        };
        self.call("get", |inner, _| Ok(inner.entries.get(spelling).map(entry))).await
    }

    async fn page(&self, next: Option<&str>) -> Result<ListPage<Entry>, ListError> {
        self.call("page", |inner, _| {
            let mut left =
                inner.entries.iter().filter(|(spelling, _)| next.is_none_or(|next| spelling.as_str() > next));
            let entry = |(spelling, (reason, updated_at)): (&String, &(Reason, Timestamp))| Entry {
                spelling: spelling.clone(),
                reason: *reason,
                updated_at: *updated_at,
            };
            let items: Vec<_> = left.by_ref().take(inner.rules.page).map(entry).collect();
            let more = left.next().is_some();
            let next = items.last().filter(|_| more).map(|entry| entry.spelling.clone());
            Ok(ListPage { items, unread: 0, next })
        })
        .await
    }

    async fn account(&self) -> Result<Account, ListError> {
        self.call("account", |inner, _| Ok(inner.account.clone())).await
    }

    async fn create_import_job(&self, kind: JobKind, url: &str) -> Result<String, ListError> {
        let content = (self.read)(url);
        self.call("create_import_job", |inner, now| {
            inner.outside_sandbox()?;
            let lines: Vec<String> =
                content.as_deref().unwrap_or_default().lines().map(str::to_owned).collect();
            if lines.len() > kind.max_entries() {
                return Err(ListError::Refused("BadRequestException: too many entries".to_owned()));
            }
            inner.jobs.push(MemoryJob {
                kind,
                url: url.to_owned(),
                created_at: now,
                lines,
                done: 0,
                failed: Vec::new(),
                unreadable: content.is_none(),
            });
            Ok((inner.jobs.len() - 1).to_string())
        })
        .await
    }

    async fn import_job(&self, id: &str) -> Result<ImportJob, ListError> {
        self.call("import_job", |inner, _| {
            let job = id.parse().ok().and_then(|id: usize| inner.jobs.get(id)).ok_or(ListError::NotFound)?;
            let status = match job.unreadable {
                true => JobStatus::Failed,
                false if job.done < job.lines.len() => JobStatus::Running,
                false => JobStatus::Completed,
            };
            let told = inner.rules.tells_failed && !job.failed.is_empty();
            Ok(ImportJob {
                url: Some(job.url.clone()),
                status,
                failed: job.failed.len(),
                failed_records_url: told.then(|| id.to_owned()),
                error: job.unreadable.then(|| "no such object".to_owned()),
            })
        })
        .await
    }

    async fn import_jobs(&self, next: Option<&str>) -> Result<ListPage<ListedJob>, ListError> {
        self.call("import_jobs", |inner, _| {
            let from = next.and_then(|next| next.parse().ok()).unwrap_or(0);
            let job = |(id, job): (usize, &MemoryJob)| ListedJob {
                id: id.to_string(),
                kind: Some(job.kind),
                created_at: Some(job.created_at),
            };
            let items: Vec<_> =
                inner.jobs.iter().enumerate().skip(from).take(inner.rules.page).map(job).collect();
            let to = from + items.len();
            Ok(ListPage { items, unread: 0, next: (to < inner.jobs.len()).then(|| to.to_string()) })
        })
        .await
    }

    async fn failed_records(&self, url: &str) -> Result<String, ListError> {
        let inner = self.lock()?;
        let job = url.parse().ok().and_then(|id: usize| inner.jobs.get(id));
        job.map(|job| job.failed.join("\n")).ok_or(ListError::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use mailroom_core::suppression::import;

    use super::*;
    use crate::clock::MemoryClock;
    use crate::stub::{Answer, Stub, config};

    #[tokio::test]
    async fn each_answer_says_whether_a_retry_can_help() {
        let named = |name: &str, status, body| Answer::from((status, body)).with("x-amzn-errortype", name);
        let stub = Stub::start([
            named("TooManyRequestsException", 429, "{}"),
            named("NotFoundException", 404, "{}"),
            named("NotFoundException", 404, "{}"),
            named("BadRequestException", 400, r#"{"message":"why"}"#),
            named("AccessDeniedException", 403, "{}"),
            named("InternalFailure", 500, "{}"),
            Answer::from((
                200,
                r#"{"ProductionAccessEnabled":true,"SuppressionAttributes":{"SuppressedReasons":["BOUNCE","NEW"]}}"#,
            )),
            named("LimitExceededException", 400, "{}"),
        ]);
        let list = SesList::new(&stub.config());
        let put = || list.put("a@example.com", Reason::Bounce);
        assert_eq!(put().await, Err(ListError::Throttled));
        assert_eq!(list.delete("a@example.com").await, Ok(()));
        assert_eq!(list.get("a@example.com").await, Ok(None));
        assert_eq!(put().await, Err(ListError::Refused("BadRequestException: why".to_owned())));
        assert_eq!(put().await, Err(ListError::Unavailable("AccessDeniedException".to_owned())));
        assert_eq!(put().await, Err(ListError::Unavailable("InternalFailure".to_owned())));
        let enabled = BTreeSet::from([Reason::Bounce]);
        assert_eq!(list.account().await, Ok(Account { production_access: true, enabled }));
        let job = list.create_import_job(JobKind::Put, "s3://b/k").await;
        assert_eq!(job, Err(ListError::Unavailable("LimitExceededException".to_owned())));
        assert_eq!(stub.requests().len(), 8, "each call is one request");
    }

    #[tokio::test]
    async fn a_presigned_url_is_asked_for_as_it_is() {
        const FAILED: &str = "{\"emailAddress\":\"A@example.com\"}\n{\"emailAddress\":\"b@example.com\"}\n";
        let stub = Stub::start([(200, FAILED), (403, "<Error/>")]);
        let url = stub.url.clone();
        // SES itself is elsewhere, and does not answer.
        let list = SesList::new(&config("http://127.0.0.1:9"));
        let records = list.failed_records(&format!("{url}/records?X-Amz-Signature=1")).await.unwrap();
        assert_eq!(records, FAILED);
        assert_eq!(import::named(&records).0.len(), 2);
        let denied = list.failed_records(&format!("{url}/records")).await;
        assert_eq!(denied, Err(ListError::Unavailable("status 403".to_owned())));
        let request = stub.requests()[0].head.to_ascii_lowercase();
        assert!(request.starts_with("get /records?x-amz-signature=1 "), "{request}");
        assert!(!request.contains("authorization") && !request.contains("x-amz-date"), "{request}");
    }

    #[tokio::test]
    async fn the_list_in_memory_keeps_the_rules() {
        let clock = MemoryClock::at(Timestamp::from_millis(1_769_525_978_237).unwrap());
        let object = "{\"emailAddress\":\"b@example.com\",\"reason\":\"BOUNCE\"}\n{\"emailAddress\":\"c@example.com\"}";
        let list =
            MemoryList::new(clock.clone(), move |url: &str| (url == "s3://b/k").then(|| object.to_owned()));
        let second = || clock.advance(Duration::from_secs(1));
        assert_eq!(list.put("A@example.com", Reason::Complaint).await, Ok(()));
        assert_eq!(list.get("A@example.com").await, Err(ListError::Throttled));
        second();
        assert_eq!(list.get("a@example.com").await, Ok(None));
        second();
        assert_eq!(list.put("A@example.com", Reason::Bounce).await, Ok(()));
        second();
        assert_eq!(list.get("A@example.com").await.unwrap().unwrap().reason, Reason::Bounce);
        second();
        let id = list.create_import_job(JobKind::Put, "s3://b/k").await.unwrap();
        second();
        assert_eq!(list.import_job(&id).await.unwrap().status, JobStatus::Running);
        clock.advance(Duration::from_mins(1));
        let job = list.import_job(&id).await.unwrap();
        assert_eq!((job.status, job.failed), (JobStatus::Completed, 1));
        let failed = list.failed_records(&job.failed_records_url.unwrap()).await.unwrap();
        assert_eq!(failed, "{\"emailAddress\":\"c@example.com\"}");
        assert_eq!(list.entries().into_keys().collect::<Vec<_>>(), ["A@example.com", "b@example.com"]);
        list.set_rules(MemoryRules { page: 1, ..MemoryRules::default() });
        second();
        let first = list.page(None).await.unwrap();
        second();
        let rest = list.page(first.next.as_deref()).await.unwrap();
        assert_eq!((first.items.len(), rest.items.len(), rest.next), (1, 1, None));
        list.set_account(Account { production_access: false, enabled: BTreeSet::new() });
        second();
        assert!(matches!(list.put("c@example.com", Reason::Bounce).await, Err(ListError::Refused(_))));
        second();
        assert_eq!(list.delete("A@example.com").await, Ok(()));
    }
}
