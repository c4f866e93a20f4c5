//! The account-level suppression list of one Region, and its import jobs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mailroom_aws::clock::Clock;
use mailroom_aws::suppression_list::{
    Account, ImportJob, ListError, ListPage, ListedJob, Refusal, SuppressionList,
};
use mailroom_core::suppression::Reason;
use mailroom_core::suppression::import::{JobKind, JobStatus};
use mailroom_core::suppression::reconcile::Entry;
use mailroom_core::suppression::window::Window;
use mailroom_core::timestamp::Timestamp;
use serde_json::{Value, json};

use crate::{Fault, Fuse, MemoryObjects, lock};

/// A list in memory, with the rules of SES that a handler can run into (exact case, Put over what is there, a pace, the
/// sandbox, jobs that take their time and have failed records) and with trouble on demand. Clones are one list.
#[derive(Clone)]
pub struct MemoryList<C> {
    inner: Arc<Mutex<Inner>>,
    objects: MemoryObjects,
    clock: C,
    fuse: Fuse,
}

struct Inner {
    account: Account,
    rules: ListRules,
    entries: BTreeMap<String, (Reason, Timestamp)>,
    jobs: Vec<MemoryJob>,
    poisoned: BTreeSet<String>,
    failing_in_jobs: BTreeSet<String>,
    faults: VecDeque<Fault>,
    last: Option<Timestamp>,
    calls: BTreeMap<&'static str, usize>,
    writes: Vec<ListWrite>,
}

/// A write to the list, whether it changed anything or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListWrite {
    /// When it was written.
    pub at: Timestamp,
    /// The address, in exactly this spelling.
    pub spelling: String,
    /// The entry's reason before the write; `None` if there was no entry.
    pub before: Option<Reason>,
    /// The entry's reason after the write; `None` if there is no entry.
    pub after: Option<Reason>,
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

/// The rules that no source tells of SES, or that a test wants changed.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a rule of its own")]
pub struct ListRules {
    /// The shortest time between two calls; a faster caller is throttled.
    pub interval: Duration,
    /// The time until a job does its first record.
    pub job_wait: Duration,
    /// The time from one record of a job to the next.
    pub job_per_record: Duration,
    /// Whether a job tells which of its records have failed.
    pub tells_failed: bool,
    /// Whether a job fails at a record that deletes what is not there. No source tells.
    pub fails_at_absent: bool,
    /// Whether no call deletes or gets an address with a slash (aws/aws-sdk#158).
    pub refuses_slashes: bool,
    /// Whether the role may make import jobs.
    pub allows_jobs: bool,
    /// Whether the role may ask for import jobs.
    pub shows_jobs: bool,
    /// The status that is told of every import job; `None` for the job's own.
    pub job_status: Option<&'static str>,
    /// The number of entries on a page.
    pub page: usize,
    /// The time for which a page's token is accepted. By default it does not outlive an invocation.
    pub token_life: Duration,
}

impl Default for ListRules {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            job_wait: Duration::from_secs(5),
            job_per_record: Duration::from_millis(1),
            tells_failed: true,
            fails_at_absent: true,
            refuses_slashes: true,
            allows_jobs: true,
            shows_jobs: true,
            job_status: None,
            page: 1000,
            token_life: Duration::from_mins(1),
        }
    }
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
    /// An empty list of an account with production access, whose import jobs read these objects.
    pub fn new(clock: C, objects: &MemoryObjects) -> Self {
        let enabled = BTreeSet::from([Reason::Bounce, Reason::Complaint]);
        let inner = Inner {
            account: Account { production_access: true, enabled },
            rules: ListRules::default(),
            entries: BTreeMap::new(),
            jobs: Vec::new(),
            poisoned: BTreeSet::new(),
            failing_in_jobs: BTreeSet::new(),
            faults: VecDeque::new(),
            last: None,
            calls: BTreeMap::new(),
            writes: Vec::new(),
        };
        Self { inner: Arc::new(Mutex::new(inner)), objects: objects.clone(), clock, fuse: Fuse::default() }
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
    pub fn entries(&self) -> BTreeMap<String, Reason> {
        let mut inner = lock(&self.inner);
        inner.advance(self.clock.now());
        inner.entries.iter().map(|(spelling, (reason, _))| (spelling.clone(), *reason)).collect()
    }

    /// Puts an entry on the list, as somebody other than Mailroom would.
    pub fn insert(&self, spelling: &str, reason: Reason) {
        let now = self.clock.now();
        self.change(|inner| inner.write(spelling, Some(reason), now, ListWriter::Others));
    }

    /// Removes an entry, as somebody other than Mailroom would.
    pub fn remove(&self, spelling: &str) {
        let now = self.clock.now();
        self.change(|inner| inner.write(spelling, None, now, ListWriter::Others));
    }

    /// Replaces the account.
    pub fn set_account(&self, account: Account) {
        self.change(|inner| inner.account = account);
    }

    /// Replaces the rules.
    pub fn set_rules(&self, rules: ListRules) {
        self.change(|inner| inner.rules = rules);
    }

    /// Has SES refuse to put a spelling, and a job's record of it fail.
    pub fn poison(&self, spelling: &str) {
        self.change(|inner| {
            inner.poisoned.insert(spelling.to_owned());
        });
    }

    /// Has a job's record of a spelling fail, but not a call with it.
    pub fn fail_in_jobs(&self, spelling: &str) {
        self.change(|inner| {
            inner.failing_in_jobs.insert(spelling.to_owned());
        });
    }

    /// The writes so far, without the first `skip`.
    pub fn writes(&self, skip: usize) -> Vec<ListWrite> {
        let mut inner = lock(&self.inner);
        inner.advance(self.clock.now());
        inner.writes.iter().skip(skip).cloned().collect()
    }

    /// Clears the faults that were set for calls that have not been made yet.
    pub fn recover(&self) {
        self.change(|inner| inner.faults.clear());
    }

    /// Sets what becomes of the next calls, one each.
    pub fn fault(&self, faults: impl IntoIterator<Item = Fault>) {
        self.change(|inner| inner.faults.extend(faults));
    }

    /// How many calls there were of each method, throttled ones included.
    pub fn calls(&self) -> BTreeMap<&'static str, usize> {
        lock(&self.inner).calls.clone()
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = lock(&self.inner);
        inner.advance(self.clock.now());
        change(&mut inner);
    }

    async fn call<T>(
        &self,
        name: &'static str,
        call: impl FnOnce(&mut Inner, Timestamp) -> Result<T, ListError>,
    ) -> Result<T, ListError> {
        self.fuse.effect().await;
        let now = self.clock.now();
        let mut inner = lock(&self.inner);
        inner.advance(now);
        *inner.calls.entry(name).or_default() += 1;
        let fault = inner.faults.pop_front().unwrap_or(Fault::None);
        let hasty = inner.last.is_some_and(|last| now < last.plus(inner.rules.interval));
        if hasty || fault == Fault::Throttled {
            return Err(ListError::Throttled);
        }
        inner.last = Some(now);
        fault.meet(|| call(&mut inner, now))
    }
}

fn write_token(spelling: &str, window: Window, now: Timestamp) -> String {
    json!([spelling, window, now]).to_string()
}

fn refused(why: &str) -> ListError {
    ListError::Refused(Refusal { code: "BadRequestException".to_owned(), message: why.to_owned() })
}

impl Inner {
    fn write(&mut self, spelling: &str, after: Option<Reason>, at: Timestamp, by: ListWriter) {
        let before = match after {
            Some(reason) => self.entries.insert(spelling.to_owned(), (reason, at)),
            None => self.entries.remove(spelling),
        };
        let before = before.map(|(reason, _)| reason);
        self.writes.push(ListWrite { at, spelling: spelling.to_owned(), before, after, by });
    }

    /// Carries out what jobs have done until now.
    fn advance(&mut self, now: Timestamp) {
        for index in 0..self.jobs.len() {
            while let Some((spelling, reason, at, by)) = self.next_record(index, now) {
                self.write(&spelling, reason, at, by);
            }
        }
    }

    /// The write of a job's next record that is due and can be done; `None` if there is none.
    fn next_record(
        &mut self,
        index: usize,
        now: Timestamp,
    ) -> Option<(String, Option<Reason>, Timestamp, ListWriter)> {
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
                    let by = ListWriter::Job { url: job.url.clone(), created_at: job.created_at };
                    return Some((spelling.to_owned(), reason, at, by));
                }
                _ => job.failed.push(json!({ "record": line, "error": "injected failure" }).to_string()),
            }
        }
        None
    }

    /// The spelling after which a page begins. A token is good for its own window, and for a while.
    fn read_token(&self, token: &str, window: Window, now: Timestamp) -> Result<String, ListError> {
        let read = serde_json::from_str::<(String, Window, Timestamp)>(token).ok();
        let good = read.filter(|(_, of, at)| *of == window && now.since(*at) <= self.rules.token_life);
        good.map(|(spelling, ..)| spelling).ok_or_else(|| refused("the token is invalid"))
    }

    fn may_look_at_jobs(&self) -> Result<(), ListError> {
        let denied = || ListError::Denied("AccessDeniedException".to_owned());
        self.rules.shows_jobs.then_some(()).ok_or_else(denied)
    }

    fn outside_sandbox(&self) -> Result<(), ListError> {
        self.account.production_access.then_some(()).ok_or_else(|| refused("sandbox"))
    }
}

impl<C: Clock> SuppressionList for MemoryList<C> {
    async fn put(&self, spelling: &str, reason: Reason) -> Result<(), ListError> {
        self.call("put", |inner, now| {
            inner.outside_sandbox()?;
            if inner.poisoned.contains(spelling) {
                return Err(refused("injected refusal"));
            }
            inner.write(spelling, Some(reason), now, ListWriter::Call);
            Ok(())
        })
        .await
    }

    async fn delete(&self, spelling: &str) -> Result<(), ListError> {
        self.call("delete", |inner, now| {
            if inner.rules.refuses_slashes && spelling.contains('/') {
                return Err(refused("a slash"));
            }
            inner.write(spelling, None, now, ListWriter::Call);
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
        self.call("get", |inner, _| {
            if inner.rules.refuses_slashes && spelling.contains('/') {
                return Err(refused("a slash"));
            }
            Ok(inner.entries.get(spelling).map(entry))
        })
        .await
    }

    async fn page(&self, window: Window, next: Option<&str>) -> Result<ListPage<Entry>, ListError> {
        self.call("page", |inner, now| {
            let after = match next {
                None => Bound::Unbounded,
                Some(token) => Bound::Excluded(inner.read_token(token, window, now)?),
            };
            let entry = |(spelling, (reason, updated_at)): (&String, &(Reason, Timestamp))| Entry {
                spelling: spelling.clone(),
                reason: *reason,
                updated_at: *updated_at,
            };
            let left = inner.entries.range((after, Bound::Unbounded)).map(entry);
            let mut left = left.filter(|entry| window.contains(entry.updated_at));
            let items: Vec<_> = left.by_ref().take(inner.rules.page).collect();
            let more = left.next().is_some();
            let next = items.last().filter(|_| more).map(|entry| write_token(&entry.spelling, window, now));
            Ok(ListPage { items, unread: 0, next })
        })
        .await
    }

    async fn account(&self) -> Result<Account, ListError> {
        self.call("account", |inner, _| Ok(inner.account.clone())).await
    }

    async fn create_import_job(&self, kind: JobKind, url: &str) -> Result<String, ListError> {
        let content = self.objects.content_at(url).and_then(|content| String::from_utf8(content).ok());
        self.call("create_import_job", |inner, now| {
            inner.outside_sandbox()?;
            if !inner.rules.allows_jobs {
                return Err(ListError::Denied("AccessDeniedException".to_owned()));
            }
            let lines: Vec<String> =
                content.as_deref().unwrap_or_default().lines().map(str::to_owned).collect();
            if lines.len() > kind.max_entries() {
                return Err(refused("too many entries"));
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
            inner.may_look_at_jobs()?;
            let job = id.parse().ok().and_then(|id: usize| inner.jobs.get(id)).ok_or(ListError::NotFound)?;
            let status = match (job.unreadable, inner.rules.job_status) {
                (_, Some(told)) => JobStatus::from_ses(told),
                (true, None) => JobStatus::Failed,
                (false, None) if job.done < job.lines.len() => JobStatus::Running,
                (false, None) => JobStatus::Completed,
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
            inner.may_look_at_jobs()?;
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
        let inner = lock(&self.inner);
        let job = url.parse().ok().and_then(|id: usize| inner.jobs.get(id));
        job.map(|job| job.failed.join("\n")).ok_or(ListError::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryClock;
    use mailroom_core::inbound::{Location, ObjectFacts};

    #[tokio::test]
    async fn the_list_in_memory_keeps_the_rules() {
        let clock = MemoryClock::at(Timestamp::from_millis(1_769_525_978_237).unwrap());
        let object = "{\"emailAddress\":\"b@example.com\",\"reason\":\"BOUNCE\"}\n{\"emailAddress\":\"c@example.com\"}";
        let objects = MemoryObjects::default();
        let location = Location { bucket: "b".to_owned(), key: "k".to_owned() };
        objects.insert(&location, ObjectFacts::default(), object.into());
        let list = MemoryList::new(clock.clone(), &objects);
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
        assert_eq!(failed, r#"{"error":"injected failure","record":"{\"emailAddress\":\"c@example.com\"}"}"#);
        assert_eq!(list.entries().into_keys().collect::<Vec<_>>(), ["A@example.com", "b@example.com"]);
        list.set_rules(ListRules { page: 1, ..ListRules::default() });
        second();
        let all = Window::default();
        let first = list.page(all, None).await.unwrap();
        second();
        let rest = list.page(all, first.next.as_deref()).await.unwrap();
        assert_eq!((first.items.len(), rest.items.len(), rest.next), (1, 1, None));
        second();
        let window = Window { from: None, until: rest.items.first().map(|entry| entry.updated_at) };
        let page = list.page(window, None).await.unwrap();
        assert_eq!((page.items, page.next), (first.items, None));
        second();
        assert!(matches!(list.page(window, first.next.as_deref()).await, Err(ListError::Refused(_))));
        clock.advance(Duration::from_mins(1));
        assert!(matches!(list.page(all, first.next.as_deref()).await, Err(ListError::Refused(_))));
        list.set_account(Account { production_access: false, enabled: BTreeSet::new() });
        second();
        assert!(matches!(list.put("c@example.com", Reason::Bounce).await, Err(ListError::Refused(_))));
        second();
        assert_eq!(list.delete("A@example.com").await, Ok(()));
    }
}
