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

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::reason::Reason;
use super::spellings::Spellings;
use super::state::{Source, SuppressionState};
use crate::record::Record;
use crate::text::visible;
use crate::timestamp::Timestamp;

/// The partitions of the `states` and `pending` indexes. One partition takes 1,000 writes a second, and a storm of bounces
/// falls on all at once; every reader asks all of them.
pub const SHARDS: u8 = 16;
/// The sort key of every state.
pub const SORT_KEY: &str = "SUPPRESSION";
/// Of this many decisions of operators it is remembered that they were taken in: as many as a batch of the stream holds,
/// all of which may be of one address and come again.
const DECISIONS: usize = 100;
/// Of an error's text.
const WHY: usize = 256;
/// By how much what stops mail to somebody who complained, and what lets mail through again, goes before bounces. Not more: a
/// flood of releases must not keep bounces off the list for good.
const HEAD_START: Duration = Duration::from_hours(1);
const FIRST_BACKOFF: Duration = Duration::from_mins(1);
const LONGEST_BACKOFF: Duration = Duration::from_hours(6);

/// The partition of an index in which an address stands: `00` to `15`.
pub fn shard(match_address: &str) -> String {
    let hash = Sha256::digest(match_address);
    format!("{:02}", hash.first().copied().unwrap_or_default() % SHARDS)
}

/// All partitions of an index.
pub fn shards() -> impl Iterator<Item = String> {
    (0..SHARDS).map(|shard| format!("{shard:02}"))
}

/// The table's partition key for all that concerns an address.
pub fn partition_key(match_address: &str) -> String {
    format!("ADDR#{match_address}")
}

/// Something to join into an address's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Match form.
    pub address: String,
    /// As it was spelled by whoever said it.
    pub spellings: Spellings,
    /// What was said.
    pub state: SuppressionState,
    /// The sort key of the operator's decision, if it is one.
    pub decision: Option<String>,
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
    /// Sort key of the index `pending`: `apply` does what is due, and first what has been for longest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    due_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pending_since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    applied: Option<Applied>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    job: Option<Job>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    decisions: Vec<String>,
}

/// What this Region's list held of the address when it was last written or seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// `None`: nothing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Reason>,
    /// When.
    pub at: Timestamp,
    /// It had gone from the list without our doing and is left off until there is new evidence.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub left_off: bool,
    /// SES was trusted to have put it there, and nobody has seen it there yet.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub trusted: bool,
}

impl Applied {
    fn new(reason: Option<Reason>, at: Timestamp) -> Self {
        Self { reason, at, left_off: false, trusted: false }
    }
}

/// How `apply` last fared, until something new is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// In one word.
    pub kind: OutcomeKind,
    /// When.
    pub at: Timestamp,
    /// The error, capped.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
    /// How often it was tried in vain.
    #[serde(default)]
    pub tries: u32,
}

/// In one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// The list is right.
    Applied,
    /// SES puts nothing on the list of an account in its sandbox. Settled until reconcile sees that it has left.
    RefusedSandbox,
    /// The entry stands on the list and has no effect: its reason is not enabled in this Region.
    ReasonNotEnabled,
    /// It will be tried again.
    Failed,
    /// SES has said the same no twice. It won't be tried again until something new is said.
    FailedForGood,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// The list was written.
    Written {
        /// What it holds now.
        reason: Option<Reason>,
        /// Whether that reason is among the Region's enabled ones.
        enabled: bool,
    },
    /// The list was not written: SES is trusted to have done that.
    Trusted {
        /// What it holds, if so.
        reason: Reason,
        /// Whether that reason is among the Region's enabled ones.
        enabled: bool,
    },
    /// The account is in the sandbox.
    RefusedSandbox,
    /// An error.
    Failed {
        /// Its text.
        why: String,
        /// Whether trying again may help.
        may_pass: bool,
    },
}

/// What an import job that has ended made of one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobRecord {
    /// It wrote the entry.
    Written {
        /// Whether the entry's reason is among the Region's enabled ones.
        enabled: bool,
    },
    /// It did not, or nobody knows.
    Failed {
        /// In words.
        why: String,
    },
    /// There was no such job, or it ended long ago: the address is as pending as before.
    Unknown,
}

/// The import job that holds an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The key of its object in S3, by which it is found again.
    pub key: String,
    /// The address's version when it went in.
    version: u64,
    /// What the job makes of its entry; `None`: it deletes it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Reason>,
}

/// What `apply` knows of its Region.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// `us-east-1`
    pub region: &'a str,
    /// Whether reconcile has been through this Region's list once. Before, a BOUNCE may overwrite a COMPLAINT that nobody
    /// knows of.
    pub first_pass_ended: bool,
    /// Whether SES is trusted to have put on its own list what it bounced itself.
    pub trust_origin: bool,
}

/// What the list needs for one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToDo {
    /// Nothing is pending.
    Nothing,
    /// Not now.
    Wait(Wait),
    /// Nothing to write: SES has put it there itself. Record it as written.
    Trust(Reason),
    /// Put one entry.
    Put {
        /// Exactly so.
        spelling: String,
        /// With this reason.
        reason: Reason,
    },
    /// Delete each entry that there may be.
    Delete {
        /// Exactly so. That one of them is not found is no error.
        spellings: Vec<String>,
    },
}

/// Why something pending waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// An import job that holds it has not ended.
    Job,
    /// It failed a while ago and is tried again later.
    NotDue,
    /// A BOUNCE, and reconcile has not seen the list.
    FirstPass,
}

impl AddressState {
    /// Joins a change. `None` if nothing is new and nothing need be written.
    pub fn advance(known: Option<&Self>, change: &Change, now: Timestamp) -> Option<Self> {
        let mut next = match known {
            Some(known) => known.clone(),
            None => Self::unsaid(&change.address, now),
        };
        if change.decision.as_ref().is_some_and(|decision| next.decisions.contains(decision)) {
            return None;
        }
        let before = next.state.clone();
        next.state = before.join(&change.state);
        let said = next.state != before;
        if !said {
            // A spelling alone is worth keeping, but not an item of its own.
            known?;
        }
        let spelled = next.spellings.add_all(change.spellings.iter());
        if !said && !spelled && change.decision.is_none() {
            return None;
        }
        if let Some(decision) = &change.decision {
            next.decisions.push(decision.clone());
            let surplus = next.decisions.len().saturating_sub(DECISIONS);
            next.decisions.drain(..surplus);
        }
        if said || spelled {
            next.changed_at = next.changed_at.max(now);
        }
        if said && next.list_needs_work(&before) {
            next.make_pending(now);
        }
        Some(next.written())
    }

    fn unsaid(address: &str, now: Timestamp) -> Self {
        Self {
            pk: partition_key(address),
            sk: SORT_KEY.to_owned(),
            address: address.to_owned(),
            shard: shard(address),
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
            decisions: Vec::new(),
        }
    }

    /// Whether the list may be wrong now: it holds something else than what is in force, or something was said after it
    /// was last written (somebody may have taken the entry off by hand, and mail to the address bounced again).
    fn list_needs_work(&self, before: &SuppressionState) -> bool {
        match self.applied {
            None => true,
            Some(Applied { left_off: true, .. }) => {
                self.state.accused_at() > before.accused_at() || self.effective() > before.effective()
            }
            Some(applied) => {
                self.effective() != applied.reason || self.state.last_said_at() > Some(applied.at)
            }
        }
    }

    fn make_pending(&mut self, now: Timestamp) {
        self.pending_since.get_or_insert(now);
        self.pending = Some(self.shard.clone());
        self.outcome = None;
        self.make_due(now);
    }

    /// What is pending is due now, in the order in which `apply` is to see it: it does not look at all of a large backlog.
    fn make_due(&mut self, now: Timestamp) {
        let bounce = self.effective() == Some(Reason::Bounce);
        let at = if bounce { now } else { now.minus(HEAD_START) };
        self.due_at = self.pending.as_ref().map(|_| at);
    }

    fn settle(&mut self) {
        self.pending = None;
        self.pending_since = None;
        self.due_at = None;
    }

    #[must_use]
    fn written(mut self) -> Self {
        self.version += 1;
        self
    }

    /// What `apply` has to do.
    pub fn to_do(&self, site: Site<'_>, now: Timestamp) -> ToDo {
        if self.pending.is_none() {
            return ToDo::Nothing;
        }
        if self.job.is_some() {
            return ToDo::Wait(Wait::Job);
        }
        if self.due_at > Some(now) {
            return ToDo::Wait(Wait::NotDue);
        }
        let Some((reason, said)) = self.state.in_force() else {
            let mut spellings: Vec<_> = self.spellings.iter().map(str::to_owned).collect();
            // Whoever put it on the list by hand has most likely typed it in lower case.
            if !spellings.contains(&self.address) {
                spellings.push(self.address.clone());
            }
            return ToDo::Delete { spellings };
        };
        let by_ses = matches!(said.source, Source::Bounce | Source::Complaint) && said.region == site.region;
        // Once: what is pending again although the list should hold it, it does not hold.
        let held = self.applied.is_some_and(|applied| applied.reason == Some(reason));
        if by_ses && site.trust_origin && !held {
            return ToDo::Trust(reason);
        }
        if reason == Reason::Bounce && !site.first_pass_ended {
            return ToDo::Wait(Wait::FirstPass);
        }
        let spelling = self.spellings.first().unwrap_or(&self.address).to_owned();
        ToDo::Put { spelling, reason }
    }

    /// Puts it into an import job, which writes what is in force now: nothing else touches its entry until the job ends.
    #[must_use]
    pub fn in_job(&self, key: &str) -> Self {
        let mut next = self.clone().written();
        next.job = Some(Job { key: key.to_owned(), version: next.version, reason: next.effective() });
        next
    }

    /// Records what became of an attempt made for version `acted_on`. If something was said since, it stays pending.
    #[must_use]
    pub fn attempted(&self, acted_on: u64, attempt: Attempt, now: Timestamp) -> Self {
        let mut next = self.clone();
        // With a job in flight this is a straggler's: the list is then what the job leaves, which is not known.
        next.record(acted_on == self.version && self.job.is_none(), attempt, now);
        next.written()
    }

    /// Records what an import job that has ended made of it. `None` if this job does not hold it (any more).
    pub fn job_ended(&self, key: &str, record: JobRecord, now: Timestamp) -> Option<Self> {
        let job = self.job.as_ref().filter(|job| job.key == key)?;
        let mut next = self.clone();
        next.job = None;
        let attempt = match record {
            JobRecord::Written { enabled } => Attempt::Written { reason: job.reason, enabled },
            JobRecord::Failed { why } => Attempt::Failed { why, may_pass: true },
            JobRecord::Unknown => {
                next.make_due(now);
                return Some(next.written());
            }
        };
        next.record(job.version == self.version, attempt, now);
        Some(next.written())
    }

    fn record(&mut self, current: bool, attempt: Attempt, now: Timestamp) {
        match attempt {
            Attempt::Written { reason, .. } => self.applied = Some(Applied::new(reason, now)),
            Attempt::Trusted { reason, .. } => {
                self.applied = Some(Applied { trusted: true, ..Applied::new(Some(reason), now) });
            }
            Attempt::RefusedSandbox | Attempt::Failed { .. } => {}
        }
        if !current {
            self.make_due(now);
            return;
        }
        let tries = self.outcome.as_ref().map_or(0, |outcome| outcome.tries);
        let (kind, why, tries) = match attempt {
            Attempt::Written { enabled: true, .. } | Attempt::Trusted { enabled: true, .. } => {
                (OutcomeKind::Applied, None, 0)
            }
            Attempt::Written { enabled: false, .. } | Attempt::Trusted { enabled: false, .. } => {
                (OutcomeKind::ReasonNotEnabled, None, 0)
            }
            Attempt::RefusedSandbox => (OutcomeKind::RefusedSandbox, None, 0),
            Attempt::Failed { why, may_pass: true } => (OutcomeKind::Failed, Some(why), tries + 1),
            Attempt::Failed { why, may_pass: false } => {
                // Believed when it is repeated: an account may leave the sandbox between a refusal and the look at the account.
                let before = self.outcome.as_ref().and_then(|outcome| outcome.why.as_deref());
                let repeated = before == Some(visible(&why, WHY).as_str());
                let kind = if repeated { OutcomeKind::FailedForGood } else { OutcomeKind::Failed };
                (kind, Some(why), tries + 1)
            }
        };
        if kind == OutcomeKind::Failed {
            self.due_at = Some(now.plus(backoff(tries)));
        } else {
            self.settle();
        }
        self.outcome = Some(Outcome { kind, at: now, why: why.map(|why| visible(&why, WHY)), tries });
    }

    /// Marks that the list must be made right, whatever was applied. `put` is the entry that is to be overwritten.
    /// `found` are the spellings that stand on the list. `None` if it is pending already.
    pub fn marked<'a>(
        &self,
        found: impl IntoIterator<Item = &'a str>,
        put: Option<&str>,
        now: Timestamp,
    ) -> Option<Self> {
        if self.pending.is_some() {
            return None;
        }
        let mut next = self.clone();
        next.spellings.add_listed(found);
        if let Some(put) = put {
            next.spellings.prefer(put);
        }
        next.make_pending(now);
        Some(next.written())
    }

    /// Records what was seen on the list, where it is what must be there. `None` if it is known already.
    pub fn seen_on_list<'a>(
        &self,
        reason: Option<Reason>,
        at: Timestamp,
        found: impl IntoIterator<Item = &'a str>,
    ) -> Option<Self> {
        let mut next = self.clone();
        next.spellings.add_all(found);
        let at = self.applied.map_or(at, |applied| applied.at.max(at));
        next.applied = Some(Applied::new(reason, at));
        next.outcome = None;
        (next != *self).then(|| next.written())
    }

    /// Joins what stands on the list, and that it stands there. `None` if nothing is new.
    pub fn taken_in(known: Option<&Self>, change: &Change, reason: Reason, now: Timestamp) -> Option<Self> {
        let mut next = Self::advance(known, change, now)?;
        if next.effective() == Some(reason) && !known.is_some_and(Self::is_pending) {
            next.settle();
            next.applied = Some(Applied::new(Some(reason), now));
        }
        Some(next)
    }

    /// Records that it had gone from the list without our doing, and leaves it off until there is new evidence.
    #[must_use]
    pub fn left_off(&self, now: Timestamp) -> Self {
        let mut next = self.clone();
        next.applied = Some(Applied { left_off: true, ..Applied::new(None, now) });
        next.written()
    }

    /// Match form.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its partition in the indexes: see [`shard`].
    pub fn shard(&self) -> &str {
        &self.shard
    }

    /// What was said.
    pub fn state(&self) -> &SuppressionState {
        &self.state
    }

    /// What is in force.
    pub fn effective(&self) -> Option<Reason> {
        self.state.effective()
    }

    /// In what spellings the list may hold it.
    pub fn spellings(&self) -> &Spellings {
        &self.spellings
    }

    /// One more with each write: the condition of the next, and what `apply` acts for.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When something new was last joined, by this Region's clock.
    pub fn changed_at(&self) -> Timestamp {
        self.changed_at
    }

    /// Since when the list may need work.
    pub fn pending_since(&self) -> Option<Timestamp> {
        self.pending_since
    }

    /// From when on `apply` may do it, if it is pending.
    pub fn due_at(&self) -> Option<Timestamp> {
        self.due_at
    }

    /// What the list held when it was last written or seen.
    pub fn applied(&self) -> Option<Applied> {
        self.applied
    }

    /// When the list was last written or seen, or that was tried.
    pub fn last_tried_at(&self) -> Option<Timestamp> {
        self.applied.map(|applied| applied.at).max(self.outcome.as_ref().map(|outcome| outcome.at))
    }

    /// How `apply` last fared, if nothing new was said since.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// The import job that holds it.
    pub fn job(&self) -> Option<&Job> {
        self.job.as_ref()
    }

    /// Whether the list may need work.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }
}

impl Record for AddressState {
    fn key(&self) -> (&str, &str) {
        (&self.pk, &self.sk)
    }
}

fn backoff(tries: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(tries.saturating_sub(1));
    FIRST_BACKOFF.saturating_mul(doubled).min(LONGEST_BACKOFF)
}
