//! An invocation that holds the lease: what it knows, and how it reads and writes states.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use mailroom_aws::clock::Clock;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::suppression_list::{AccountStatus, SuppressionList};
use mailroom_aws::table::TableError;
use mailroom_aws::table::notes::{FIRST_PASS_NOTE, FirstPassNote, NoteStore};
use mailroom_aws::table::states::{StateTable, update_known_state};
use mailroom_core::suppression::AddressState;
use mailroom_core::suppression::address_state::{ApplyAttempt, ApplyContext, SHARD_COUNT, all_shards};
use mailroom_core::suppression::dispatch::DueAddress;
use mailroom_core::timestamp::Timestamp;

use crate::error::RunEnd;
use crate::job_tracker::JobTracker;
use crate::list_caller::{Idempotency, ListCaller};
use crate::ports::{ApplyFunction, Ports};

/// The number of states that are read or written at once.
pub(crate) const MAX_PARALLEL_WRITES: usize = 16;
/// The most due addresses that are kept in memory. What else is pending comes next.
pub(crate) const MAX_DUE: usize = 25_000;
/// The states that are read from a shard before it is the next one's turn, so that what is due first is seen whatever shard
/// it is in. That is about as many as DynamoDB gives at once.
const PAGE_SIZE: usize = MAX_DUE / SHARD_COUNT as usize;

/// What a run counts.
#[derive(Default)]
pub(crate) struct RunCounts {
    pub(crate) put: usize,
    pub(crate) deleted: usize,
    pub(crate) trusted: usize,
    pub(crate) refused_sandbox: usize,
    pub(crate) reason_not_enabled: usize,
    pub(crate) failed: usize,
    pub(crate) jobs_started: usize,
    pub(crate) jobs_ended: usize,
    pub(crate) jobs_failed: usize,
    pub(crate) jobs_overdue: usize,
    pub(crate) job_statuses_unknown: usize,
    /// The time since which the oldest pending address has been pending.
    pub(crate) oldest_pending: Duration,
}

impl RunCounts {
    /// Counts an attempt that was made by a single call.
    pub(crate) fn add(&mut self, attempt: &ApplyAttempt) {
        match attempt {
            ApplyAttempt::Written { reason: None, .. } => self.deleted += 1,
            ApplyAttempt::Written { enabled, .. } => {
                self.put += 1;
                self.reason_not_enabled += usize::from(!enabled);
            }
            ApplyAttempt::TrustedSes { .. } => self.trusted += 1,
            ApplyAttempt::RefusedSandbox => self.refused_sandbox += 1,
            ApplyAttempt::Failed { .. } => self.failed += 1,
        }
    }
}

/// An invocation that holds the lease.
pub(crate) struct ApplyRun<'a, P: Ports> {
    pub(crate) function: &'a ApplyFunction<P>,
    pub(crate) list_caller: ListCaller<'a, P::List, P::Clock>,
    pub(crate) deadline: Deadline,
    pub(crate) import_jobs: JobTracker,
    pub(crate) counts: RunCounts,
    first_pass_ended: bool,
    account_status: Option<AccountStatus>,
}

impl<'a, P: Ports> ApplyRun<'a, P> {
    /// A run that ends at `deadline`, which is `ends_at` by the function's clock.
    pub(crate) async fn new(
        apply: &'a ApplyFunction<P>,
        deadline: Deadline,
        ends_at: Timestamp,
    ) -> Result<Self, TableError> {
        Ok(Self {
            function: apply,
            list_caller: ListCaller::new(&apply.list, &apply.clock, apply.settings.call_interval(), ends_at),
            deadline,
            import_jobs: JobTracker::read(&apply.table, deadline).await?,
            counts: RunCounts::default(),
            first_pass_ended: apply
                .table
                .get_note::<FirstPassNote>(FIRST_PASS_NOTE, deadline)
                .await?
                .is_some(),
            account_status: None,
        })
    }

    /// What was counted, by the metric's name.
    pub(crate) fn metrics(&self) -> [(&'static str, usize); 14] {
        let (calls, counts) = (&self.list_caller, &self.counts);
        [
            ("SesCalls", calls.call_count),
            ("SesCallsThrottled", calls.throttled_count),
            ("EntriesPut", counts.put),
            ("EntriesDeleted", counts.deleted),
            ("EntriesTrusted", counts.trusted),
            ("RefusedSandbox", counts.refused_sandbox),
            ("ReasonNotEnabled", counts.reason_not_enabled),
            ("Failed", counts.failed),
            ("ImportJobsStarted", counts.jobs_started),
            ("ImportJobsEnded", counts.jobs_ended),
            ("ImportJobsFailed", counts.jobs_failed),
            ("ImportJobsOverdue", counts.jobs_overdue),
            ("ImportJobStatusesUnknown", counts.job_statuses_unknown),
            ("OldestPendingSeconds", usize::try_from(counts.oldest_pending.as_secs()).unwrap_or(usize::MAX)),
        ]
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.function.clock.now()
    }

    /// The account, which SES is asked for once in a run, and only if it matters.
    pub(crate) async fn account_status(&mut self) -> Result<&AccountStatus, RunEnd> {
        let account = match self.account_status.take() {
            Some(account) => account,
            None => {
                self.list_caller
                    .call_with_retries(Idempotency::Idempotent, async |list| list.account_status().await)
                    .await?
            }
        };
        Ok(self.account_status.insert(account))
    }

    /// The account as SES says that it is now.
    pub(crate) async fn reread_account(&mut self) -> Result<&AccountStatus, RunEnd> {
        self.account_status = None;
        self.account_status().await
    }

    /// What the list needs for a state; `None` if that is nothing, or has to wait.
    pub(crate) fn due_address(&self, state: AddressState) -> Option<DueAddress> {
        let settings = &self.function.settings;
        let site = ApplyContext {
            region: &settings.region,
            first_pass_ended: self.first_pass_ended,
            trust_origin: settings.trust_origin,
        };
        DueAddress::new(state, site, self.now())
    }

    /// Reads a state again, since the index lags behind, and says what the list needs for it.
    pub(crate) async fn reread(&self, address: &str) -> Result<Option<DueAddress>, RunEnd> {
        let state = self.function.table.get_state(address, self.deadline).await?;
        Ok(state.and_then(|state| self.due_address(state)))
    }

    /// Hands all states of the index that are due to `take`, until that returns `false`: of each shard the first page, then
    /// of each the next.
    pub(crate) async fn for_each_due(
        &self,
        mut take: impl FnMut(AddressState) -> bool,
    ) -> Result<(), RunEnd> {
        let now = self.now();
        let mut pages: VecDeque<_> = all_shards().map(|shard| (shard, None)).collect();
        while let Some((shard, after)) = pages.pop_front() {
            let page = self
                .function
                .table
                .pending_states(&shard, now, after.as_ref(), PAGE_SIZE, self.deadline)
                .await?;
            for state in page.items {
                if !take(state) {
                    return Ok(());
                }
            }
            if page.next_cursor.is_some() {
                pages.push_back((shard, page.next_cursor));
            }
        }
        Ok(())
    }

    /// Records the result of an attempt, which was made for this version of the state.
    pub(crate) async fn record_attempt(
        &self,
        state: AddressState,
        attempt: &ApplyAttempt,
    ) -> Result<(), RunEnd> {
        let acted_on = state.version();
        self.update_state(state, |state, now| Some(state.record_attempt(acted_on, attempt.clone(), now)))
            .await?;
        Ok(())
    }

    /// Writes what `change` makes of each state, and leaves alone those of which it makes nothing. Returns what was written.
    pub(crate) async fn update_all(
        &self,
        states: Vec<AddressState>,
        change: impl Fn(&AddressState, Timestamp) -> Option<AddressState>,
    ) -> Result<Vec<AddressState>, RunEnd> {
        let change = &change;
        let mut writes = stream::iter(states)
            .map(|state| self.update_state(state, change))
            .buffer_unordered(MAX_PARALLEL_WRITES);
        let mut all = Vec::new();
        while let Some(written) = writes.next().await {
            all.extend(written?);
        }
        Ok(all)
    }

    /// Writes what `change` makes of a state, or of what the state has become if somebody else was faster. Returns what was
    /// written; `None` if nothing was.
    async fn update_state(
        &self,
        state: AddressState,
        change: impl Fn(&AddressState, Timestamp) -> Option<AddressState>,
    ) -> Result<Option<AddressState>, RunEnd> {
        let address = state.address().to_owned();
        let change = |state: Option<&AddressState>| change(state?, self.now());
        let update =
            update_known_state(&self.function.table, &address, Some(state), self.deadline, change).await?;
        Ok(update.state.filter(|_| update.was_written))
    }
}
