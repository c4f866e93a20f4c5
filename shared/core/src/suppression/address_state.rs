//! What the table keeps of an address, and when this Region's list needs work.
//!
//! Whoever changes an item reads it, calls one of the methods here, and writes what comes back on condition that
//! [`AddressState::version`] is still the one that was read (that no item exists, if none was). If it is not, read again.
//!
//! Timeline of one that becomes pending while `apply` is at work:
//!
//! ```text
//! decide  writes version 5, pending      apply   reads version 5, puts BOUNCE on the list
//! merge   writes version 6, pending      apply   finds 6 where it acted on 5: records what it wrote, leaves it pending
//! apply   reads version 7, does what the list needs now, and clears it
//! ```

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::reason::SuppressionReason;
use super::spellings::Spellings;
use super::state::{StatementSource, SuppressionState};
use super::urgency::Urgency;
use crate::record::TableItem;
use crate::text::sanitize_text;
use crate::timestamp::Timestamp;

/// The number of partitions of the `states` and `pending` indexes. One partition takes 1,000 writes a second, and a storm
/// of bounces falls on all at once; every reader asks all of them.
pub const SHARD_COUNT: u8 = 16;
/// The sort key of every state.
pub const STATE_SORT_KEY: &str = "SUPPRESSION";
/// How many characters of an error's text are kept.
const MAX_CAUSE_CHARS: usize = 256;
/// How much earlier complaints and releases come due than bounces, since they stop mail to somebody who complained or let
/// mail through again. Not more: a flood of releases must not keep bounces off the list for good.
const HEAD_START: Duration = Duration::from_hours(1);
const FIRST_BACKOFF: Duration = Duration::from_mins(1);
const LONGEST_BACKOFF: Duration = Duration::from_hours(6);
/// The time after which an entry that an overdue job may have overwritten is written again. This concerns few addresses:
/// those whose state has changed since they went into the job.
const OVERDUE_REWRITE_INTERVAL: Duration = Duration::from_hours(1);

/// The partition of an index in which an address stands, from `00` to `15`.
pub fn shard(match_form: &str) -> String {
    let hash = Sha256::digest(match_form);
    format!("{:02}", hash.first().copied().unwrap_or_default() % SHARD_COUNT)
}

/// A name of an address for a log line, which may hold no address: its shard and the first eight digits of its SHA-256, as
/// in `07-3f9a2c1d`. Whoever has the address can compute it.
pub fn pseudonym(match_form: &str) -> String {
    let mut name = format!("{}-", shard(match_form));
    for byte in Sha256::digest(match_form).iter().take(4) {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// All partitions of an index.
pub fn all_shards() -> impl Iterator<Item = String> {
    (0..SHARD_COUNT).map(|shard| format!("{shard:02}"))
}

/// The table's partition key for all that concerns an address.
pub fn partition_key(match_form: &str) -> String {
    format!("ADDR#{match_form}")
}

/// A change to join into an address's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// The address in match form.
    pub address: String,
    /// The spellings of whoever said it.
    pub spellings: Spellings,
    /// What was said, as a state to join.
    pub state: SuppressionState,
}

/// The item `ADDR#<match address>` / `SUPPRESSION`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressState {
    pk: String,
    sk: String,
    address: String,
    /// Partition key of the index `states`.
    shard: String,
    /// Sort key of the index `states`.
    changed_at: Timestamp,
    state: SuppressionState,
    spellings: Spellings,
    version: u64,
    /// Partition key of the index `pending`, absent unless the list may need work.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pending: Option<String>,
    /// Sort key of the index `pending`: `apply` does what is due, and begins with what has been due the longest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    due_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pending_since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    applied: Option<LastKnownEntry>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    outcome: Option<ApplyOutcome>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    job: Option<AddressJob>,
    /// A job that did not end in time and may still write the entry. It no longer holds the address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    overdue_job: Option<AddressJob>,
}

/// What this Region's list held of the address when it was last written or seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastKnownEntry {
    /// The reason of the entry; `None` if the list held none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<SuppressionReason>,
    /// When the list was last written or seen.
    pub at: Timestamp,
    /// Whether the entry had gone from the list without our doing, and is left off until there is new evidence.
    #[serde(rename = "left_off", skip_serializing_if = "std::ops::Not::not", default)]
    pub removal_accepted: bool,
    /// Whether SES was trusted to have put the entry there, and nobody has seen it there yet.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub trusted: bool,
}

impl LastKnownEntry {
    fn new(reason: Option<SuppressionReason>, at: Timestamp) -> Self {
        Self { reason, at, removal_accepted: false, trusted: false }
    }
}

/// How `apply` last fared with the address, until something new is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyOutcome {
    /// The outcome in one word.
    pub kind: ApplyOutcomeKind,
    /// When `apply` tried.
    pub at: Timestamp,
    /// The error's text, capped; `None` if there was none.
    #[serde(rename = "why", skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<String>,
    /// How many attempts have failed.
    #[serde(default)]
    pub tries: u32,
}

/// The outcome of `apply` in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplyOutcomeKind {
    /// The list is right.
    Applied,
    /// SES puts nothing on the list of an account in its sandbox. Not tried again until reconcile sees that the account
    /// has left it.
    RefusedSandbox,
    /// The entry stands on the list but has no effect, since its reason is not enabled in this Region.
    ReasonNotEnabled,
    /// The attempt failed, and will be repeated.
    Failed,
    /// SES has given the same refusal twice. It won't be tried again until something new is said.
    FailedForGood,
}

/// The result of an attempt to make the list right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplyAttempt {
    /// The list was written.
    Written {
        /// The reason of the entry that the list holds now; `None` if it holds none.
        reason: Option<SuppressionReason>,
        /// Whether that reason is among the Region's enabled ones.
        enabled: bool,
    },
    /// The list was not written, since SES is trusted to have done that.
    TrustedSes {
        /// The reason of the entry that the list then holds.
        reason: SuppressionReason,
        /// Whether that reason is among the Region's enabled ones.
        enabled: bool,
    },
    /// SES refused, since the account is in the sandbox.
    RefusedSandbox,
    /// The attempt failed with an error.
    Failed {
        /// The error's text.
        cause: String,
        /// Whether trying again may help.
        retryable: bool,
    },
}

/// What an import job that has ended made of one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportResult {
    /// The job wrote the entry.
    Written {
        /// Whether the entry's reason is among the Region's enabled ones.
        enabled: bool,
    },
    /// The job did not write the entry, or nobody knows whether it did.
    Failed {
        /// The cause, in words.
        cause: String,
    },
    /// There was no such job, or it ended long ago: the address is as pending as before.
    Unknown,
}

/// The import job that holds an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressJob {
    /// The key of the job's object in S3, by which the job is found again.
    pub key: String,
    /// The version of the address's state when it went into the job, or when the job became overdue if nothing had changed
    /// until then. The job wrote what is in force only if this is still the version when it ends.
    version: u64,
    /// The reason that the job gives the entry; `None` if it deletes the entry.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<SuppressionReason>,
}

/// What `apply` knows of its Region.
#[derive(Debug, Clone, Copy)]
pub struct ApplyContext<'a> {
    /// The Region's name, such as `us-east-1`.
    pub region: &'a str,
    /// Whether reconcile has been through this Region's list once. Before that, a BOUNCE might overwrite a COMPLAINT that
    /// nobody knows of.
    pub first_pass_ended: bool,
    /// Whether SES is trusted to have put an address on this Region's list itself when it reported its bounce or
    /// complaint here.
    pub trust_origin: bool,
}

/// What the list needs for one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListAction {
    /// Nothing needs to be done.
    Nothing,
    /// Something is pending, but has to wait.
    Wait(WaitReason),
    /// Nothing needs to be written, since SES has put the entry there itself. Record it as written, with this reason.
    TrustSes(SuppressionReason),
    /// Put one entry on the list.
    Put {
        /// The entry's address, to be put in exactly this spelling.
        spelling: String,
        /// The entry's reason.
        reason: SuppressionReason,
    },
    /// Delete every entry that the list may hold of the address.
    Delete {
        /// The spellings to delete, exactly as they are. It is no error if one of them is not found.
        spellings: Vec<String>,
    },
}

/// Why something pending waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitReason {
    /// An import job that holds the address has not ended.
    HeldByJob,
    /// An attempt failed a while ago, and the next one is not due yet.
    NotDue,
    /// The entry would be a BOUNCE, and reconcile has not been through the list yet.
    AwaitingFirstPass,
}

impl AddressState {
    /// Joins a change into what is known. `None` if nothing is new, so that nothing need be written.
    pub fn join_change(current: Option<&Self>, change: &StateChange, now: Timestamp) -> Option<Self> {
        let mut next = match current {
            Some(known) => known.clone(),
            None => Self::without_statements(&change.address, now),
        };
        let before = next.state.clone();
        next.state = before.join(&change.state);
        let said = next.state != before;
        if !said {
            // A spelling alone is worth keeping, but not an item of its own.
            current?;
        }
        let spelled = next.spellings.add_all_if_room(change.spellings.iter());
        if !said && !spelled {
            return None;
        }
        next.changed_at = next.changed_at.max(now);
        if said && next.is_known_entry_outdated(&before) {
            next.set_pending(now);
        }
        Some(next.increment_version())
    }

    /// Joins several changes of one address into what is known, in one write. `None` if nothing is new.
    pub fn join_changes(current: Option<&Self>, changes: &[StateChange], now: Timestamp) -> Option<Self> {
        changes.iter().fold(None, |next: Option<Self>, change| {
            Self::join_change(next.as_ref().or(current), change, now).or(next)
        })
    }

    fn without_statements(match_form: &str, now: Timestamp) -> Self {
        Self {
            pk: partition_key(match_form),
            sk: STATE_SORT_KEY.to_owned(),
            address: match_form.to_owned(),
            shard: shard(match_form),
            changed_at: now,
            state: SuppressionState::default(),
            spellings: Spellings::default(),
            version: 0,
            pending: None,
            due_at: None,
            pending_since: None,
            applied: None,
            outcome: None,
            job: None,
            overdue_job: None,
        }
    }

    /// Whether the list may be wrong now: it holds something else than what is in force, or something was said after it
    /// was last written (somebody may have taken the entry off by hand, and mail to the address bounced again).
    fn is_known_entry_outdated(&self, state_before_join: &SuppressionState) -> bool {
        match self.applied {
            None => true,
            Some(LastKnownEntry { removal_accepted: true, .. }) => {
                self.state.last_evidence_at() > state_before_join.last_evidence_at()
                    || self.effective_reason() > state_before_join.effective_reason()
            }
            Some(applied) => {
                self.effective_reason() != applied.reason || self.state.last_statement_at() > Some(applied.at)
            }
        }
    }

    fn set_pending(&mut self, now: Timestamp) {
        self.pending_since = Some(self.pending_since.map_or(now, |since| since.min(now)));
        self.pending = Some(self.shard.clone());
        self.outcome = None;
        self.set_due(now);
    }

    /// Makes what is pending due now. How early decides the order in which `apply` sees it, since that does not look at
    /// all of a large backlog.
    fn set_due(&mut self, now: Timestamp) {
        let precedes = Urgency::of_effective_reason(self.effective_reason()).is_complaint_or_release();
        let at = if precedes { now.minus(HEAD_START) } else { now };
        self.due_at = self.pending.as_ref().map(|_| at);
    }

    /// Records that the list needs no more work now. If an overdue job may still write something other than what is in
    /// force, the address stays pending and is due again later. While it is pending, reconcile does not take what the job
    /// writes for somebody else's entry.
    fn clear_pending_unless_overdue(&mut self, now: Timestamp) {
        let may_be_overwritten =
            self.overdue_job.as_ref().is_some_and(|job| job.reason != self.effective_reason());
        let again = may_be_overwritten.then(|| now.plus(OVERDUE_REWRITE_INTERVAL));
        self.pending = again.map(|_| self.shard.clone());
        self.pending_since = again;
        self.due_at = again;
    }

    #[must_use]
    fn increment_version(mut self) -> Self {
        self.version += 1;
        self
    }

    /// What `apply` has to do.
    pub fn next_list_action(&self, context: ApplyContext<'_>, now: Timestamp) -> ListAction {
        if self.pending.is_none() {
            return ListAction::Nothing;
        }
        if self.job.is_some() {
            return ListAction::Wait(WaitReason::HeldByJob);
        }
        if self.due_at > Some(now) {
            return ListAction::Wait(WaitReason::NotDue);
        }
        let Some((reason, said)) = self.state.statement_in_force() else {
            let mut spellings: Vec<_> = self.spellings.iter().map(str::to_owned).collect();
            // Somebody who put the address on the list by hand has most likely typed it in lower case.
            if !spellings.contains(&self.address) {
                spellings.push(self.address.clone());
            }
            return ListAction::Delete { spellings };
        };
        let by_ses = matches!(said.source, StatementSource::Bounce | StatementSource::Complaint)
            && said.region == context.region;
        // SES is trusted only once: if the address is pending although the list should hold it, the list does not hold
        // it.
        let held = self.applied.is_some_and(|applied| applied.reason == Some(reason));
        if by_ses && context.trust_origin && !held {
            return ListAction::TrustSes(reason);
        }
        if reason == SuppressionReason::Bounce && !context.first_pass_ended {
            return ListAction::Wait(WaitReason::AwaitingFirstPass);
        }
        let spelling = self.spellings.first().unwrap_or(&self.address).to_owned();
        ListAction::Put { spelling, reason }
    }

    /// Records that an import job holds the address, which writes what is in force now. Nothing else touches its entry
    /// until the job ends.
    #[must_use]
    pub fn assign_to_job(&self, job_key: &str) -> Self {
        let mut next = self.clone().increment_version();
        next.job = Some(AddressJob {
            key: job_key.to_owned(),
            version: next.version,
            reason: next.effective_reason(),
        });
        next
    }

    /// Records the result of an attempt that was made for version `attempted_version`. If something was said since, the state
    /// stays pending.
    #[must_use]
    pub fn record_attempt(&self, attempted_version: u64, attempt: ApplyAttempt, now: Timestamp) -> Self {
        let mut next = self.clone();
        // With a job in flight the attempt is a straggler's: the list will be what the job leaves, which is not known.
        next.update_from_attempt(attempted_version == self.version && self.job.is_none(), attempt, now);
        next.increment_version()
    }

    /// Records that the import job that holds the address did not end in time: the address is due, and remembers that this
    /// job may still write its entry. `None` if the job does not hold it (any more).
    pub fn mark_job_overdue(&self, job_key: &str, now: Timestamp) -> Option<Self> {
        let job = self.job.as_ref().filter(|job| job.key == job_key)?;
        let mut next = self.clone().increment_version();
        let version = if job.version == self.version { next.version } else { job.version };
        next.overdue_job = next.job.take().map(|job| AddressJob { version, ..job });
        next.set_due(now);
        Some(next)
    }

    /// Records what an import job that has ended made of the address. `None` if this job neither holds it (any more) nor is
    /// its overdue one.
    pub fn record_import_result(&self, job_key: &str, result: ImportResult, now: Timestamp) -> Option<Self> {
        let job = self.job_with_key(job_key)?;
        let mut next = self.clone();
        next.job.take_if(|job| job.key == job_key);
        next.overdue_job.take_if(|job| job.key == job_key);
        let attempt = match result {
            ImportResult::Written { enabled } => ApplyAttempt::Written { reason: job.reason, enabled },
            ImportResult::Failed { cause: why } => ApplyAttempt::Failed { cause: why, retryable: true },
            ImportResult::Unknown => {
                next.set_due(now);
                return Some(next.increment_version());
            }
        };
        next.update_from_attempt(job.version == self.version, attempt, now);
        Some(next.increment_version())
    }

    fn update_from_attempt(&mut self, is_current_version: bool, attempt: ApplyAttempt, now: Timestamp) {
        match attempt {
            ApplyAttempt::Written { reason, .. } => self.applied = Some(LastKnownEntry::new(reason, now)),
            ApplyAttempt::TrustedSes { reason, .. } => {
                self.applied =
                    Some(LastKnownEntry { trusted: true, ..LastKnownEntry::new(Some(reason), now) });
            }
            ApplyAttempt::RefusedSandbox | ApplyAttempt::Failed { .. } => {}
        }
        if !is_current_version {
            self.set_due(now);
            return;
        }
        let tries = self.outcome.as_ref().map_or(0, |outcome| outcome.tries);
        let (kind, why, tries) = match attempt {
            ApplyAttempt::Written { enabled: true, .. } | ApplyAttempt::TrustedSes { enabled: true, .. } => {
                (ApplyOutcomeKind::Applied, None, 0)
            }
            ApplyAttempt::Written { enabled: false, .. }
            | ApplyAttempt::TrustedSes { enabled: false, .. } => {
                (ApplyOutcomeKind::ReasonNotEnabled, None, 0)
            }
            ApplyAttempt::RefusedSandbox => (ApplyOutcomeKind::RefusedSandbox, None, 0),
            ApplyAttempt::Failed { cause: why, retryable: true } => {
                (ApplyOutcomeKind::Failed, Some(why), tries + 1)
            }
            ApplyAttempt::Failed { cause: why, retryable: false } => {
                // A refusal counts only when it is repeated: the account may leave the sandbox between a refusal and the
                // look at the account.
                let before = self.outcome.as_ref().and_then(|outcome| outcome.cause.as_deref());
                let repeated = before == Some(sanitize_text(&why, MAX_CAUSE_CHARS).as_str());
                let kind = if repeated { ApplyOutcomeKind::FailedForGood } else { ApplyOutcomeKind::Failed };
                (kind, Some(why), tries + 1)
            }
        };
        if kind == ApplyOutcomeKind::Failed {
            self.due_at = Some(now.plus(backoff_after(tries)));
        } else {
            self.clear_pending_unless_overdue(now);
        }
        self.outcome = Some(ApplyOutcome {
            kind,
            at: now,
            cause: why.map(|why| sanitize_text(&why, MAX_CAUSE_CHARS)),
            tries,
        });
    }

    /// Marks that the list must be made right, whatever was applied. `preferred_spelling` is the entry that is to be overwritten,
    /// `listed_spellings` are the spellings that stand on the list. `None` if the state is pending already.
    pub fn mark_newly_pending<'a>(
        &self,
        listed_spellings: impl IntoIterator<Item = &'a str>,
        preferred_spelling: Option<&str>,
        now: Timestamp,
    ) -> Option<Self> {
        if self.pending.is_some() {
            return None;
        }
        let mut next = self.clone();
        next.spellings.add_making_room(listed_spellings);
        if let Some(put) = preferred_spelling {
            next.spellings.add_or_move_to_front(put);
        }
        next.set_pending(now);
        Some(next.increment_version())
    }

    /// Records an entry that was seen on the list and is as it must be. `None` if that is known already.
    pub fn record_listed_entry<'a>(
        &self,
        listed_reason: Option<SuppressionReason>,
        seen_at: Timestamp,
        listed_spellings: impl IntoIterator<Item = &'a str>,
    ) -> Option<Self> {
        let mut next = self.clone();
        next.spellings.add_all_if_room(listed_spellings);
        let at = self.applied.map_or(seen_at, |applied| applied.at.max(seen_at));
        next.applied = Some(LastKnownEntry::new(listed_reason, at));
        next.outcome = None;
        (next != *self).then(|| next.increment_version())
    }

    /// Joins what an entry of the list says, and records that it stands there. `None` if nothing is new.
    pub fn adopt_entry(
        current: Option<&Self>,
        change: &StateChange,
        listed_reason: SuppressionReason,
        now: Timestamp,
    ) -> Option<Self> {
        let mut next = Self::join_change(current, change, now)?;
        if next.effective_reason() == Some(listed_reason) && !current.is_some_and(Self::is_pending) {
            next.clear_pending_unless_overdue(now);
            next.applied = Some(LastKnownEntry::new(Some(listed_reason), now));
        }
        Some(next)
    }

    /// Records that the entry had gone from the list without our doing, and leaves it off until there is new evidence.
    #[must_use]
    pub fn record_accepted_removal(&self, now: Timestamp) -> Self {
        let mut next = self.clone();
        next.applied = Some(LastKnownEntry { removal_accepted: true, ..LastKnownEntry::new(None, now) });
        next.increment_version()
    }

    /// The address in match form.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The partition of the indexes in which the state stands: see [`shard`].
    pub fn shard(&self) -> &str {
        &self.shard
    }

    /// What was said about the address.
    pub fn state(&self) -> &SuppressionState {
        &self.state
    }

    /// The reason that is in force; `None` if there is none.
    pub fn effective_reason(&self) -> Option<SuppressionReason> {
        self.state.effective_reason()
    }

    /// The spellings in which the list may hold the address.
    pub fn spellings(&self) -> &Spellings {
        &self.spellings
    }

    /// The version, which grows by one with each write: it is the condition of the next write, and what `apply` acts for.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When something new was last joined, by this Region's clock.
    pub fn last_joined_at(&self) -> Timestamp {
        self.changed_at
    }

    /// Since when the list may need work; `None` if nothing is pending.
    pub fn pending_since(&self) -> Option<Timestamp> {
        self.pending_since
    }

    /// From when on `apply` may work on it; `None` if nothing is pending.
    pub fn due_at(&self) -> Option<Timestamp> {
        self.due_at
    }

    /// What the list held when it was last written or seen; `None` if neither has happened.
    pub fn last_known_entry(&self) -> Option<LastKnownEntry> {
        self.applied
    }

    /// When the list was last written or seen, or an attempt was last made; `None` if never.
    pub fn last_list_access_at(&self) -> Option<Timestamp> {
        self.applied.map(|applied| applied.at).max(self.outcome.as_ref().map(|outcome| outcome.at))
    }

    /// How `apply` last fared, if nothing new was said since.
    pub fn current_apply_outcome(&self) -> Option<&ApplyOutcome> {
        self.outcome.as_ref()
    }

    /// The import job that holds the address; `None` if there is none.
    pub fn assigned_job(&self) -> Option<&AddressJob> {
        self.job.as_ref()
    }

    /// The import job that did not end in time and may still write the entry; `None` if there is none.
    pub fn overdue_job(&self) -> Option<&AddressJob> {
        self.overdue_job.as_ref()
    }

    /// The import job with this key, whether it holds the address or is overdue; `None` if neither.
    pub fn job_with_key(&self, job_key: &str) -> Option<&AddressJob> {
        self.job.iter().chain(&self.overdue_job).find(|job| job.key == job_key)
    }

    /// Whether the list may need work.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }
}

impl TableItem for AddressState {
    fn key(&self) -> (&str, &str) {
        (&self.pk, &self.sk)
    }
}

fn backoff_after(failed_attempts: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failed_attempts.saturating_sub(1));
    FIRST_BACKOFF.saturating_mul(doubled).min(LONGEST_BACKOFF)
}
