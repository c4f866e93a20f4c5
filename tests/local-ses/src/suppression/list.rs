//! The suppression list of one Region.

use std::collections::{BTreeMap, BTreeSet};

use time::OffsetDateTime;

use super::import::{self, FailedRecord, Import, ImportAction, Job, Record};
use super::{Account, Entry, Evidence, ListWrite, ListWriter, Page, Reason, Refused, RefusedKind, Rules};
use crate::pages::{hash, read_token, write_token};

/// The number of entries on a page, both at most and if the request does not say. SES refuses more (probed); no source
/// tells what it does by default.
const MAX_PAGE: usize = 1000;
/// The number of import jobs on a page, both at most and if the request does not say. No source tells it; other recent
/// lists of SES have it.
const MAX_JOBS_PAGE: usize = 100;

/// The account-level suppression list of one Region, its import jobs, and the account on which they depend.
///
/// Every method takes the time, which may not go back. What import jobs would have done by then is done first.
#[derive(Debug, Clone, Default)]
pub struct SuppressionList {
    /// The account in this Region.
    pub account: Account,
    /// What differs from account to account.
    pub rules: Rules,
    region: String,
    /// The entries by a hash and the address. The hash gives the order of pages, since SES's is not by address (guide, the
    /// example of a list) and not stable (probed). Whoever pages misses an entry that is added before the place where they
    /// are.
    entries: BTreeMap<(u64, String), Entry>,
    /// The spellings that are on the list, by the address in lower case.
    variants: BTreeMap<String, BTreeSet<String>>,
    jobs: Vec<Job>,
    writes: Vec<ListWrite>,
    failing: BTreeMap<String, String>,
    failing_job: Option<String>,
}

/// Tells which entries of the list are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Entries with one of these reasons; if it is empty, with any.
    pub reasons: BTreeSet<Reason>,
    /// Entries that were put on the list after that time.
    pub after: Option<OffsetDateTime>,
    /// Entries that were put on the list before that time.
    pub before: Option<OffsetDateTime>,
}

impl Filter {
    /// Whether an entry is wanted. The guide says "after" and "before"; no source tells about the very moment.
    fn fits(&self, entry: &Entry) -> bool {
        (self.reasons.is_empty() || self.reasons.contains(&entry.reason))
            && self.after.is_none_or(|after| entry.last_update > after)
            && self.before.is_none_or(|before| entry.last_update < before)
    }
}

impl SuppressionList {
    /// An empty list. The name of the Region goes into its order and its tokens, so that they differ from those of others.
    pub fn new(region: &str, rules: Rules) -> Self {
        Self { region: region.to_owned(), rules, ..Self::default() }
    }

    /// Puts an address on the list, in place of an entry that is there, even if that turns a complaint into a bounce.
    pub fn put(&mut self, now: OffsetDateTime, address: &str, reason: Reason) -> Result<(), Refused> {
        self.advance(now);
        if !self.account.production_access {
            return Err(Refused::sandbox("PutSuppressedDestination"));
        }
        let address = self.spelled(address);
        check(&address)?;
        self.insert(address, Entry::new(reason, now), ListWriter::Request);
        Ok(())
    }

    /// The entry of an address in exactly this spelling.
    pub fn get(&mut self, now: OffsetDateTime, address: &str) -> Result<(String, Entry), Refused> {
        self.advance(now);
        self.check_path(address)?;
        let address = self.spelled(address);
        match self.entries.get(&self.key(&address)) {
            Some(entry) => Ok((address, entry.clone())),
            None => Err(not_listed(&address)),
        }
    }

    /// Takes the entry of an address in exactly this spelling off the list. The sandbox allows that: the guide names only
    /// the other two actions.
    pub fn delete(&mut self, now: OffsetDateTime, address: &str) -> Result<(), Refused> {
        self.advance(now);
        self.check_path(address)?;
        let address = self.spelled(address);
        if self.remove(now, &address, ListWriter::Request) { Ok(()) } else { Err(not_listed(&address)) }
    }

    /// A page of the list.
    pub fn page(
        &mut self,
        now: OffsetDateTime,
        filter: &Filter,
        size: Option<usize>,
        token: Option<&str>,
    ) -> Result<Page<(String, Entry)>, Refused> {
        self.advance(now);
        let size = size.unwrap_or(MAX_PAGE);
        if !(1..=MAX_PAGE).contains(&size) {
            return Err(Refused::bad(format!(
                "Page size {size} is invalid, expected a number between 1 and {MAX_PAGE}"
            )));
        }
        // A token is valid only for the Region and the filter for which it was given out (probed), and for a while.
        let scope = format!("{} {filter:?}", self.region);
        let invalid = || Refused::new(RefusedKind::InvalidNextToken, "Token is invalid.");
        let from = match token {
            Some(token) => {
                let token = read_token(&scope, token).ok_or_else(invalid)?;
                let (given_out, address) = token.split_once(' ').ok_or_else(invalid)?;
                let given_out =
                    given_out.parse().ok().and_then(|at| OffsetDateTime::from_unix_timestamp_nanos(at).ok());
                let lives = given_out.is_some_and(|at| now - at <= self.rules.token_life);
                self.key(Some(address).filter(|_| lives).ok_or_else(invalid)?)
            }
            None => (0, String::new()),
        };
        let mut fitting = self.entries.range(from..).filter(|(_, entry)| filter.fits(entry));
        let items: Vec<_> = fitting
            .by_ref()
            .take(size.min(self.rules.page))
            .map(|((_, address), entry)| (address.clone(), entry.clone()))
            .collect();
        let token = |address: &str| write_token(&scope, &format!("{} {address}", now.unix_timestamp_nanos()));
        let next_token = fitting.next().map(|((_, address), _)| token(address));
        Ok(Page { items, next_token })
    }

    /// All entries of the list, by address. SES itself has no such action.
    pub fn entries(&mut self, now: OffsetDateTime) -> BTreeMap<String, Entry> {
        self.advance(now);
        self.entries.iter().map(|((_, address), entry)| (address.clone(), entry.clone())).collect()
    }

    /// The number of entries on the list.
    pub fn count(&mut self, now: OffsetDateTime) -> usize {
        self.advance(now);
        self.entries.len()
    }

    /// Puts entries on the list as they are, even if SES would refuse them.
    pub fn seed<A: Into<String>>(&mut self, entries: impl IntoIterator<Item = (A, Entry)>) {
        for (address, entry) in entries {
            self.insert(address.into(), entry, ListWriter::Other);
        }
    }

    /// Takes an entry off the list, as somebody at the console would.
    pub fn take_off(&mut self, now: OffsetDateTime, address: &str) {
        self.advance(now);
        self.remove(now, address, ListWriter::Other);
    }

    /// All writes to the list so far, in the order of time.
    pub fn writes(&mut self, now: OffsetDateTime) -> &[ListWrite] {
        self.advance(now);
        &self.writes
    }

    /// Empties the list, as SES does 90 days after sending was paused (guide, "considerations").
    pub fn empty(&mut self) {
        self.entries.clear();
        self.variants.clear();
    }

    /// The reason for which mail to an address is stopped; `None` if it is not. Sending ignores case (guide, "Managing
    /// tenant suppression list entries": addresses that differ in case only are identical to sending), and an entry counts
    /// only if its reason is among the account's (guide, "considerations").
    pub fn suppresses(&mut self, now: OffsetDateTime, address: &str) -> Option<Reason> {
        self.advance(now);
        let variants = self.variants.get(&address.to_lowercase())?;
        variants
            .iter()
            .filter_map(|variant| self.entries.get(&self.key(variant)))
            .map(|entry| entry.reason)
            .filter(|reason| self.account.suppressed_reasons.contains(reason))
            .max()
    }

    /// Puts an address on the list as SES does by itself, if the reason is among the account's. It never does so with
    /// addresses of the mailbox simulator (guide, "mailbox simulator": its hard bounces do not go on the list).
    pub fn notice(&mut self, now: OffsetDateTime, address: &str, reason: Reason, evidence: Evidence) -> bool {
        self.advance(now);
        let simulator = address.to_ascii_lowercase().ends_with("@simulator.amazonses.com");
        if simulator || !self.account.suppressed_reasons.contains(&reason) {
            return false;
        }
        let address = self.spelled(address);
        self.insert(address, Entry { reason, last_update: now, evidence: Some(evidence) }, ListWriter::Other);
        true
    }

    /// Checks whether a job could be created, before its file is read.
    pub fn check_job(&mut self, now: OffsetDateTime, import: &Import) -> Result<(), Refused> {
        self.advance(now);
        if !self.account.production_access {
            return Err(Refused::sandbox("CreateImportJob"));
        }
        // The pattern is in the API's model.
        let path = import.source.strip_prefix("s3://").and_then(|path| path.split_once('/'));
        if path.is_none_or(|(bucket, key)| bucket.is_empty() || key.trim_matches('/').is_empty()) {
            return Err(Refused::constraint(
                "importDataSource.s3Url",
                r"Member must satisfy regular expression pattern: ^s3:\/\/([^\/]+)\/(.*?([^\/]+)\/?)$",
            ));
        }
        if self.jobs.iter().filter(|job| job.completed.is_none()).count() >= self.rules.import_jobs {
            return Err(Refused::new(
                RefusedKind::LimitExceeded,
                format!("There are {} import jobs under way.", self.rules.import_jobs),
            ));
        }
        Ok(())
    }

    /// Creates a job from a file, or from the reason why the file can't be read. The same request twice creates two jobs,
    /// since there is no idempotency token.
    ///
    /// A file that cannot be read, or has too many records, fails the job and not the request: `FailureInfo` of a job has
    /// "a message about why the job failed", and none of the errors of `CreateImportJob` is about the file (API reference v2).
    pub fn create_job(
        &mut self,
        now: OffsetDateTime,
        id: &str,
        import: Import,
        file: Result<&[u8], String>,
    ) -> Result<(), Refused> {
        self.check_job(now, &import)?;
        let limit = match import.action {
            ImportAction::Put => self.rules.import_puts,
            ImportAction::Delete => self.rules.import_deletes,
        };
        let records = match self.failing_job.take().map_or(file, Err) {
            Ok(file) => Ok(import::records(&import, file)),
            Err(why) => Err(why),
        };
        let records = records.and_then(|records| {
            let count = records.len();
            if count <= limit { Ok(records) } else { Err(format!("{count} records; {limit} are the limit.")) }
        });
        let (records, error) = match records {
            Ok(records) => (records, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        self.jobs.push(Job {
            id: id.to_owned(),
            import,
            created: now,
            completed: None,
            processed: 0,
            failed: Vec::new(),
            error,
            begins: now + self.rules.import_wait,
            begun: false,
            records,
        });
        self.advance(now);
        Ok(())
    }

    /// An import job, by its id.
    pub fn job(&mut self, now: OffsetDateTime, id: &str) -> Result<&Job, Refused> {
        self.advance(now);
        let none = || Refused::new(RefusedKind::NotFound, format!("Import job {id} does not exist."));
        self.jobs.iter().find(|job| job.id == id).ok_or_else(none)
    }

    /// A page of the jobs, with the latest first. No source tells the order.
    pub fn jobs_page(
        &mut self,
        now: OffsetDateTime,
        size: Option<usize>,
        token: Option<&str>,
    ) -> Result<Page<&Job>, Refused> {
        self.advance(now);
        // "To bulk add or remove addresses, you must have production access" (guide, "account-level suppression list"). That
        // does not name this action, but in the sandbox SES refuses it, too (probed).
        if !self.account.production_access {
            return Err(Refused::sandbox("ListImportJobs"));
        }
        let size = size.unwrap_or(MAX_JOBS_PAGE);
        if !(1..=MAX_JOBS_PAGE).contains(&size) {
            return Err(Refused::constraint("pageSize", "Member must be between 1 and 100"));
        }
        let scope = format!("{} jobs", self.region);
        let until = match token {
            None => self.jobs.len(),
            Some(token) => read_token(&scope, token)
                .and_then(|number| number.parse().ok())
                .filter(|number| *number <= self.jobs.len())
                .ok_or_else(|| Refused::bad("Invalid Next Token"))?,
        };
        let from = until.saturating_sub(size.min(self.rules.page));
        Ok(Page {
            items: self.jobs[from..until].iter().rev().collect(),
            next_token: (from > 0).then(|| write_token(&scope, &from.to_string())),
        })
    }

    /// All jobs, in the order in which they were created. SES itself has no such action.
    pub fn jobs(&mut self, now: OffsetDateTime) -> &[Job] {
        self.advance(now);
        &self.jobs
    }

    /// Lets every import of an address fail from now on.
    pub fn fail_imports_of(&mut self, address: &str, why: &str) {
        self.failing.insert(address.to_owned(), why.to_owned());
    }

    /// Lets the next job fail as a whole.
    pub fn fail_next_job(&mut self, why: &str) {
        self.failing_job = Some(why.to_owned());
    }

    /// Lets imports work again.
    pub fn heal(&mut self) {
        self.failing.clear();
        self.failing_job = None;
    }

    /// Does what the jobs would have done until now, in the order of time.
    fn advance(&mut self, now: OffsetDateTime) {
        let per_record = self.rules.import_per_record;
        loop {
            let due = self
                .jobs
                .iter()
                .enumerate()
                .filter_map(|(index, job)| Some((job.due(per_record).filter(|due| *due <= now)?, index)))
                .min();
            let Some((due, index)) = due else { break };
            self.step(index, due);
        }
        for job in &mut self.jobs {
            job.begun |= job.begins <= now;
        }
    }

    fn step(&mut self, index: usize, now: OffsetDateTime) {
        let job = &mut self.jobs[index];
        let record = job.records.get_mut(job.processed).map(|record| {
            // A record is looked at only once, so it can be taken out.
            let nothing = Record { line: String::new(), wants: Err(String::new()) };
            std::mem::replace(record, nothing)
        });
        let Some(Record { line, wants }) = record else {
            job.completed = Some(now);
            job.records = Vec::new();
            return;
        };
        job.processed += 1;
        if job.processed == job.records.len() {
            job.completed = Some(now);
        }
        let by = ListWriter::ImportJob(index);
        if let Err(why) = wants.and_then(|(address, reason)| self.import(now, &address, reason, by)) {
            self.jobs[index].failed.push(FailedRecord { line, why });
        }
    }

    /// Imports one record. No source tells whether a record fails that removes what is not there. Here it does, as the
    /// single action would.
    fn import(
        &mut self,
        now: OffsetDateTime,
        address: &str,
        reason: Option<Reason>,
        by: ListWriter,
    ) -> Result<(), String> {
        if let Some(why) = self.failing.get(address) {
            return Err(why.clone());
        }
        let address = self.spelled(address);
        match reason {
            Some(reason) => {
                check(&address).map_err(|refused| refused.message)?;
                // "If the record already exists, it will override it with the new value" (API reference v2,
                // `SuppressionListDestination`).
                self.insert(address, Entry::new(reason, now), by);
                Ok(())
            }
            None if self.remove(now, &address, by) => Ok(()),
            None => Err(not_listed(&address).message),
        }
    }

    fn spelled(&self, address: &str) -> String {
        if !self.rules.folds_domains {
            return address.to_owned();
        }
        let address = address.trim();
        match address.rsplit_once('@') {
            Some((local, domain)) => format!("{local}@{}", domain.to_lowercase()),
            None => address.to_owned(),
        }
    }

    fn key(&self, address: &str) -> (u64, String) {
        (hash(&self.region, address), address.to_owned())
    }

    fn check_path(&self, address: &str) -> Result<(), Refused> {
        if self.rules.refuses_slashes && address.contains('/') {
            return Err(Refused::bad("1 validation error detected: Value at 'emailAddress'"));
        }
        Ok(())
    }

    fn insert(&mut self, address: String, entry: Entry, by: ListWriter) {
        let (at, after) = (entry.last_update, Some(entry.reason));
        self.variants.entry(address.to_lowercase()).or_default().insert(address.clone());
        let before = self.entries.insert(self.key(&address), entry).map(|entry| entry.reason);
        self.writes.push(ListWrite { at, address, before, after, by });
    }

    /// Removes an entry; `false` if there was none.
    fn remove(&mut self, now: OffsetDateTime, address: &str, by: ListWriter) -> bool {
        let before = self.entries.remove(&self.key(address)).map(|entry| entry.reason);
        self.writes.push(ListWrite { at: now, address: address.to_owned(), before, after: None, by });
        if before.is_none() {
            return false;
        }
        let folded = address.to_lowercase();
        if let Some(variants) = self.variants.get_mut(&folded) {
            variants.remove(address);
            if variants.is_empty() {
                self.variants.remove(&folded);
            }
        }
        true
    }
}

/// The error for an address that is not on the list. The wording is SES's (probed).
fn not_listed(address: &str) -> Refused {
    Refused::new(
        RefusedKind::NotFound,
        format!("Email address {address} does not exist on your suppression list."),
    )
}

/// Refuses addresses to which no mail could be sent. No source tells what SES accepts.
fn check(address: &str) -> Result<(), Refused> {
    let good = address.rsplit_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && !domain.is_empty() && !domain.contains(['<', '>', ','])
    });
    if good && !address.chars().any(char::is_control) && address.trim() == address {
        return Ok(());
    }
    Err(Refused::bad(format!("Invalid email address {address:?}.")))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;
    use time::macros::datetime;

    use super::super::{ImportFormat, JobStatus};
    use super::*;

    const START: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

    fn at(seconds: u64) -> OffsetDateTime {
        START + Duration::from_secs(seconds)
    }

    fn list() -> SuppressionList {
        SuppressionList::new("us-east-1", Rules::default())
    }

    fn csv(action: ImportAction) -> Import {
        Import { action, format: ImportFormat::Csv, source: "s3://transit/key".to_owned() }
    }

    fn kind<T: std::fmt::Debug>(result: Result<T, Refused>) -> RefusedKind {
        result.expect_err("refused").kind
    }

    fn reasons(list: &mut SuppressionList, now: OffsetDateTime) -> Vec<(String, Reason)> {
        list.entries(now).into_iter().map(|(address, entry)| (address, entry.reason)).collect()
    }

    #[test]
    fn put_overwrites_and_delete_wants_the_exact_case() {
        let mut list = list();
        list.put(at(0), "a@example.com", Reason::Complaint).expect("put");
        list.put(at(1), "a@example.com", Reason::Bounce).expect("put");
        list.put(at(2), "A@example.com", Reason::Complaint).expect("put");
        let (_, entry) = list.get(at(3), "a@example.com").expect("listed");
        assert_eq!((entry.reason, entry.last_update), (Reason::Bounce, at(1)));
        assert_eq!(kind(list.get(at(3), "a@Example.com")), RefusedKind::NotFound);
        assert_eq!(kind(list.delete(at(3), "a@EXAMPLE.com")), RefusedKind::NotFound);
        assert_eq!(list.suppresses(at(3), "a@EXAMPLE.com"), Some(Reason::Complaint), "sending ignores case");
        list.delete(at(4), "A@example.com").expect("deleted");
        assert_eq!(list.suppresses(at(4), "a@EXAMPLE.com"), Some(Reason::Bounce));
        list.delete(at(4), "a@example.com").expect("deleted");
        assert_eq!(kind(list.delete(at(4), "a@example.com")), RefusedKind::NotFound);
        assert_eq!(list.suppresses(at(4), "a@example.com"), None);
    }

    #[test]
    fn every_write_is_kept_with_its_writer() {
        let mut list = list();
        list.seed([("a/b@example.com", Entry::new(Reason::Bounce, at(0)))]);
        list.put(at(1), "a/b@example.com", Reason::Complaint).expect("put");
        assert_eq!(kind(list.get(at(1), "a/b@example.com")), RefusedKind::BadRequest, "a slash in the path");
        assert_eq!(kind(list.delete(at(1), "a/b@example.com")), RefusedKind::BadRequest);
        list.create_job(at(2), "1", csv(ImportAction::Delete), Ok(b"a/b@example.com")).expect("made");
        list.take_off(at(60), "a/b@example.com");
        let (bounce, complaint) = (Some(Reason::Bounce), Some(Reason::Complaint));
        let write = |write: &ListWrite| (write.before, write.after, write.by);
        assert_eq!(
            list.writes(at(60)).iter().map(write).collect::<Vec<_>>(),
            [
                (None, bounce, ListWriter::Other),
                (bounce, complaint, ListWriter::Request),
                (complaint, None, ListWriter::ImportJob(0)),
                (None, None, ListWriter::Other),
            ]
        );
        list.rules.refuses_slashes = false;
        assert_eq!(kind(list.delete(at(60), "a/b@example.com")), RefusedKind::NotFound);
    }

    #[test]
    fn domains_are_folded_if_the_account_is_one_of_those() {
        let rules = Rules { folds_domains: true, ..Rules::default() };
        let mut list = SuppressionList::new("us-east-1", rules);
        list.put(at(0), " Foo@Example.COM", Reason::Bounce).expect("put");
        list.put(at(0), "Foo@example.com", Reason::Bounce).expect("put");
        list.put(at(0), "foo@example.com", Reason::Bounce).expect("put");
        let addresses: Vec<String> = list.entries(at(0)).into_keys().collect();
        assert_eq!(addresses, ["Foo@example.com", "foo@example.com"]);
        list.delete(at(0), "Foo@EXAMPLE.com").expect("deleted");
    }

    #[test]
    fn in_the_sandbox_nothing_is_put() {
        let mut list = list();
        list.account = Account::sandbox();
        list.seed([("a@example.com", Entry::new(Reason::Bounce, at(0)))]);
        assert_eq!(kind(list.put(at(0), "b@example.com", Reason::Bounce)), RefusedKind::BadRequest);
        let job = list.create_job(at(0), "1", csv(ImportAction::Put), Ok(b""));
        assert_eq!(kind(job), RefusedKind::BadRequest);
        assert_eq!(kind(list.jobs_page(at(0), None, None)), RefusedKind::BadRequest);
        assert_eq!(list.count(at(0)), 1);
        list.delete(at(0), "a@example.com").expect("deleted");
        assert!(list.notice(at(0), "c@example.com", Reason::Bounce, evidence()), "SES itself may");
    }

    fn evidence() -> Evidence {
        Evidence { message_id: "m".to_owned(), feedback_id: "f".to_owned() }
    }

    #[test]
    fn only_enabled_reasons_count() {
        let mut list = list();
        list.account.suppressed_reasons = vec![Reason::Complaint];
        list.put(at(0), "a@example.com", Reason::Bounce).expect("put");
        assert_eq!(list.suppresses(at(0), "a@example.com"), None);
        assert!(!list.notice(at(0), "b@example.com", Reason::Bounce, evidence()));
        assert!(list.notice(at(0), "c@example.com", Reason::Complaint, evidence()));
        assert!(!list.notice(at(0), "x+y@simulator.amazonses.com", Reason::Complaint, evidence()));
        list.account.suppressed_reasons.push(Reason::Bounce);
        assert_eq!(list.suppresses(at(0), "a@example.com"), Some(Reason::Bounce));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for address in ["", "a", "@example.com", "a@", "a@example.com ", "a\n@example.com"] {
            assert_eq!(
                kind(list().put(at(0), address, Reason::Bounce)),
                RefusedKind::BadRequest,
                "{address:?}"
            );
        }
    }

    #[test]
    fn an_import_takes_its_time() {
        let mut list = list();
        list.rules.import_per_record = Duration::from_secs(1);
        let file = "a@example.com,BOUNCE\nnonsense\nb@example.com,COMPLAINT\n".as_bytes();
        list.create_job(at(0), "1", csv(ImportAction::Put), Ok(file)).expect("made");
        let mut seen = |now| {
            let job = list.job(now, "1").expect("there");
            (job.status(), job.processed, job.failed.len(), job.completed)
        };
        assert_eq!(seen(at(4)), (JobStatus::Created, 0, 0, None));
        assert_eq!(seen(at(5)), (JobStatus::Processing, 0, 0, None));
        assert_eq!(seen(at(7)), (JobStatus::Processing, 2, 1, None));
        assert_eq!(seen(at(60)), (JobStatus::Completed, 3, 1, Some(at(8))));
        let job = list.job(at(60), "1").expect("there");
        assert_eq!(job.failed[0].line, "nonsense");
        let (_, entry) = list.get(at(60), "b@example.com").expect("listed");
        assert_eq!((entry.reason, entry.last_update), (Reason::Complaint, at(8)));
        assert_eq!(kind(list.job(at(60), "2")), RefusedKind::NotFound);
    }

    #[test]
    fn jobs_and_single_calls_take_effect_in_the_order_of_time() {
        let mut list = list();
        list.rules.import_per_record = Duration::from_secs(2);
        list.create_job(
            at(0),
            "put",
            csv(ImportAction::Put),
            Ok(b"a@example.com,BOUNCE\nb@example.com,BOUNCE"),
        )
        .expect("made");
        list.create_job(at(1), "delete", csv(ImportAction::Delete), Ok(b"a@example.com")).expect("made");
        // This is a release while a job is under way: what the job has yet to write is written after it.
        list.put(at(6), "b@example.com", Reason::Complaint).expect("put");
        list.delete(at(6), "b@example.com").expect("deleted");
        assert_eq!(reasons(&mut list, at(7)), [("a@example.com".to_owned(), Reason::Bounce)]);
        assert_eq!(reasons(&mut list, at(8)), []);
        assert_eq!(reasons(&mut list, at(9)), [("b@example.com".to_owned(), Reason::Bounce)]);
        assert_eq!(list.job(at(9), "delete").expect("there").status(), JobStatus::Completed);
    }

    #[test]
    fn an_import_overwrites_and_records_fail_alone() {
        let mut list = list();
        list.put(at(0), "a@example.com", Reason::Complaint).expect("put");
        list.fail_imports_of("b@example.com", "Internal failure");
        let file = b"a@example.com,BOUNCE\nb@example.com,BOUNCE\nc@example.com,BOUNCE";
        list.create_job(at(0), "1", csv(ImportAction::Put), Ok(file)).expect("made");
        let listed =
            [("a@example.com".to_owned(), Reason::Bounce), ("c@example.com".to_owned(), Reason::Bounce)];
        assert_eq!(reasons(&mut list, at(60)), listed);
        let failed = &list.job(at(60), "1").expect("there").failed;
        assert_eq!(
            failed[..],
            [FailedRecord { line: "b@example.com,BOUNCE".to_owned(), why: "Internal failure".to_owned() }]
        );
        list.create_job(at(60), "2", csv(ImportAction::Delete), Ok(b"a@example.com\nabsent@example.com"))
            .expect("made");
        assert_eq!(list.job(at(90), "2").expect("there").failed[0].line, "absent@example.com");
        assert_eq!(reasons(&mut list, at(90)).len(), 1);
    }

    #[test]
    fn jobs_that_cannot_be() {
        let mut list = list();
        for source in ["", "s3://", "s3://bucket", "s3://bucket/", "s3:///key", "https://bucket/key"] {
            let import = Import { source: source.to_owned(), ..csv(ImportAction::Put) };
            assert_eq!(kind(list.check_job(at(0), &import)), RefusedKind::BadRequest, "{source}");
        }
        list.create_job(at(0), "1", csv(ImportAction::Put), Err("no such key".to_owned())).expect("made");
        assert_eq!(list.job(at(0), "1").expect("there").status(), JobStatus::Created);
        list.rules.import_deletes = 1;
        list.create_job(at(0), "2", csv(ImportAction::Delete), Ok(b"a@example.com\nb@example.com"))
            .expect("made");
        list.fail_next_job("Internal failure");
        list.create_job(at(0), "3", csv(ImportAction::Put), Ok(b"a@example.com,BOUNCE")).expect("made");
        for (id, why) in
            [("1", "no such key"), ("2", "2 records; 1 are the limit."), ("3", "Internal failure")]
        {
            let job = list.job(at(60), id).expect("there");
            assert_eq!((job.status(), job.error.as_deref()), (JobStatus::Failed, Some(why)));
        }
        assert_eq!(list.count(at(60)), 0);

        list.rules.import_jobs = 1;
        list.create_job(at(60), "4", csv(ImportAction::Put), Ok(b"a@example.com,BOUNCE")).expect("made");
        let more = list.create_job(at(60), "5", csv(ImportAction::Put), Ok(b""));
        assert_eq!(kind(more), RefusedKind::LimitExceeded);
        list.create_job(at(90), "5", csv(ImportAction::Put), Ok(b"")).expect("made");
    }

    #[test]
    fn pages_are_filtered_and_tokens_bound() {
        let mut list = list();
        for number in 0..10_u64 {
            let reason = if number % 2 == 0 { Reason::Bounce } else { Reason::Complaint };
            list.put(at(number), &format!("{number}@example.com"), reason).expect("put");
        }
        let bounces = Filter { reasons: [Reason::Bounce].into(), ..Filter::default() };
        let page = list.page(at(10), &bounces, Some(3), None).expect("a page");
        assert_eq!(page.items.len(), 3);
        let token = page.next_token.expect("more");
        let rest = list.page(at(10), &bounces, Some(3), Some(&token)).expect("a page");
        assert_eq!((rest.items.len(), rest.next_token), (2, None));
        assert!(list.page(at(70), &bounces, Some(3), Some(&token)).is_ok());
        assert_eq!(
            kind(list.page(at(71), &bounces, Some(3), Some(&token))),
            RefusedKind::InvalidNextToken,
            "a token expires"
        );
        let other = list.page(at(10), &Filter::default(), None, Some(&token));
        assert_eq!(kind(other), RefusedKind::InvalidNextToken);
        let other =
            SuppressionList::new("eu-west-1", Rules::default()).page(at(10), &bounces, None, Some(&token));
        assert_eq!(kind(other), RefusedKind::InvalidNextToken);
        assert_eq!(kind(list.page(at(10), &bounces, None, Some("?"))), RefusedKind::InvalidNextToken);
        assert_eq!(kind(list.page(at(10), &bounces, Some(0), None)), RefusedKind::BadRequest);
        assert_eq!(kind(list.page(at(10), &bounces, Some(1001), None)), RefusedKind::BadRequest);

        let between = Filter { after: Some(at(3)), before: Some(at(6)), ..Filter::default() };
        let page = list.page(at(10), &between, None, None).expect("a page");
        let mut found: Vec<_> = page.items.iter().map(|(address, _)| address.as_str()).collect();
        found.sort_unstable();
        assert_eq!(found, ["4@example.com", "5@example.com"]);
    }

    #[test]
    fn jobs_are_paged_the_latest_first() {
        let mut list = list();
        for number in 0..5 {
            list.create_job(at(number), &number.to_string(), csv(ImportAction::Put), Ok(b"")).expect("made");
        }
        let (mut ids, mut token) = (Vec::new(), None);
        loop {
            let page = list.jobs_page(at(9), Some(2), token.as_deref()).expect("a page");
            ids.extend(page.items.into_iter().map(|job| job.id.clone()));
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(ids, ["4", "3", "2", "1", "0"]);
        list.rules.page = 1;
        let page = list.jobs_page(at(9), Some(2), None).expect("a page");
        assert_eq!(page.items.len(), 1, "SES may give fewer than asked");
        assert_eq!(kind(list.jobs_page(at(9), Some(101), None)), RefusedKind::BadRequest);
        assert_eq!(kind(list.jobs_page(at(9), None, Some("x"))), RefusedKind::BadRequest);
    }

    #[test]
    fn a_hundred_thousand_are_quick() {
        let began = Instant::now();
        let mut list = list();
        list.seed((0..100_000).map(|n| (format!("{n}@example.com"), Entry::new(Reason::Bounce, START))));
        let (mut seen, mut token) = (0, None);
        loop {
            let page = list.page(at(0), &Filter::default(), None, token.as_deref()).expect("a page");
            seen += page.items.len();
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, 100_000);
        let file = (0..100_000).map(|n| format!("{n}@example.com,COMPLAINT")).collect::<Vec<_>>().join("\n");
        list.create_job(at(0), "1", csv(ImportAction::Put), Ok(file.as_bytes())).expect("made");
        assert_eq!(list.job(at(600), "1").expect("there").processed, 100_000);
        list.empty();
        assert_eq!(list.count(at(600)), 0);
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }

    proptest! {
        #[test]
        fn what_stands_still_is_paged_once(
            addresses in proptest::collection::btree_set("[a-c]{1,3}@[a-b]\\.example", 0..40),
            size in 1..7_usize,
        ) {
            let mut list = list();
            list.seed(addresses.iter().map(|address| (address.clone(), Entry::new(Reason::Bounce, START))));
            let (mut seen, mut token) = (Vec::new(), None);
            loop {
                let page = list.page(START, &Filter::default(), Some(size), token.as_deref()).expect("a page");
                seen.extend(page.items.into_iter().map(|(address, _)| address));
                token = page.next_token;
                if token.is_none() {
                    break;
                }
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, addresses.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn sending_and_list_agree(
            steps in proptest::collection::vec(("[aA][bB]?@[eE]\\.example", 0..3_u8), 0..30),
        ) {
            let mut list = list();
            for (address, step) in steps {
                match step {
                    0 => list.put(START, &address, Reason::Bounce).expect("put"),
                    1 => list.put(START, &address, Reason::Complaint).expect("put"),
                    _ => drop(list.delete(START, &address)),
                }
                for probe in ["a@e.example", "ab@e.example"] {
                    let strongest = list
                        .entries(START)
                        .into_iter()
                        .filter(|(address, _)| address.eq_ignore_ascii_case(probe))
                        .map(|(_, entry)| entry.reason)
                        .max();
                    prop_assert_eq!(list.suppresses(START, probe), strongest);
                }
            }
        }
    }
}
