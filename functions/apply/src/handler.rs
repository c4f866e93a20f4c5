//! Takes the lease and drains what is pending.
//!
//! Timeline of a run, of which only one goes on at a time:
//!
//! ```text
//! lease   job of an earlier run: has it ended?   what is due ─▶ a few: one by one, each read again before it is written
//!                                                 ▲     │
//!                                                 └─────┴────▶ more than a minute's worth: import job
//! ```
//!
//! A crash between any two effects leaves the address pending and the job's intent written: the next run does again what
//! changes nothing if it was done.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use mailroom_aws::clock::Timer;
use mailroom_aws::lease::{Acquired, Lease, LeaseError};
use mailroom_aws::metrics::Metrics;
use mailroom_aws::notes::{FIRST_PASS, FirstPass, NoteError, Notes};
use mailroom_aws::objects::{ObjectError, ObjectStore};
use mailroom_aws::states::{Put, StateTable, TableError};
use mailroom_aws::stream as table_stream;
use mailroom_aws::suppression_list::{Account, ListError, SuppressionList};
use mailroom_core::suppression::item::{
    Attempt, JobRecord, OutcomeKind, SHARDS, SORT_KEY, Site, ToDo, shards,
};
use mailroom_core::suppression::{AddressState, Reason, import};
use mailroom_core::timestamp::Timestamp;
use serde::Serialize;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::calls::{CallError, Calls, Twice};
use crate::job::Jobs;
use crate::settings::Settings;

/// The lease's name.
pub const LEASE: &str = "apply";
/// Longer than the invocation may last, by clocks that differ a little.
const LEASE_MARGIN: Duration = Duration::from_secs(30);
/// What is kept in memory of what is pending; the rest is next.
const MOST: usize = 25_000;
/// Of each shard in its turn, so that what is due first is seen whatever shard it is in: about as many as DynamoDB gives at
/// once.
const PAGE: usize = MOST / SHARDS as usize;
/// Writes of states under way at once.
const PARALLEL: usize = 16;
/// Single calls before the backlog is looked at again: in a storm it has grown into a job's.
const ROUND: usize = 10;
const CONFLICTS: usize = 8;
/// Of what the stream tells. In a storm the index shows enough.
const NAMED: usize = 100;

/// The function: its ports and what the template told it.
pub struct Apply<S, L, E, N, O, C, M> {
    /// The states.
    pub states: S,
    /// The list, of this Region.
    pub list: L,
    /// Of which this function has one.
    pub leases: E,
    /// Where the import job's intent stands, and whether reconcile has been through the list.
    pub notes: N,
    /// Where import jobs' objects lie.
    pub objects: O,
    /// What time it is.
    pub clock: C,
    /// Where counts go.
    pub metrics: M,
    /// What the template told.
    pub settings: Settings,
}

/// What became of an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ran {
    /// Another instance is at work.
    Busy,
    /// All that was due is done, or in an import job.
    Drained,
    /// Something is left for the next run.
    Left,
}

/// The invocation fails. A retry can help, and the next minute is one.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It is not known whether another instance is at work.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The table.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The bucket of import jobs.
    #[error(transparent)]
    Object(#[from] ObjectError),
}

/// Why a run ends before all is done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error("the rest is left for the next run: {0}")]
    Later(&'static str),
    /// Without what SES says to people: it may name the address.
    #[error("the rest is left for the next run: {}", .0.kind())]
    List(ListError),
    #[error(transparent)]
    Failed(#[from] ApplyError),
}

impl From<CallError> for End {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Later(why) => Self::Later(why),
            CallError::List(error) => Self::List(error),
        }
    }
}

macro_rules! fails {
    ($($error:ty),*) => {$(
        impl From<$error> for End {
            fn from(error: $error) -> Self {
                Self::Failed(error.into())
            }
        }
    )*};
}
fails!(TableError, NoteError, ObjectError);

/// Why a call for an address has no result.
enum NotCalled {
    /// The address is no longer as it was read.
    Moved,
    /// The run ends.
    End(End),
}

impl<E: Into<End>> From<E> for NotCalled {
    fn from(error: E) -> Self {
        Self::End(error.into())
    }
}

#[derive(Default)]
pub(crate) struct Counts {
    put: usize,
    deleted: usize,
    trusted: usize,
    refused_sandbox: usize,
    reason_not_enabled: usize,
    pub(crate) failed: usize,
    pub(crate) jobs_started: usize,
    pub(crate) jobs_ended: usize,
    pub(crate) jobs_failed: usize,
    oldest: Duration,
}

/// One invocation that holds the lease.
pub(crate) struct Run<'a, S, L, E, N, O, C, M> {
    pub(crate) apply: &'a Apply<S, L, E, N, O, C, M>,
    pub(crate) calls: Calls<'a, L, C>,
    pub(crate) deadline: Instant,
    pub(crate) jobs: Jobs,
    pub(crate) counts: Counts,
    first_pass_ended: bool,
    account: Option<Account>,
}

/// What is due, and what it needs.
pub(crate) type Work = Vec<(AddressState, ToDo)>;

impl<S, L, E, N, O, C, M> Apply<S, L, E, N, O, C, M>
where
    S: StateTable,
    L: SuppressionList,
    E: Lease,
    N: Notes,
    O: ObjectStore,
    C: Timer,
    M: Metrics,
{
    /// Handles one invocation, whose id is `holder`; returns shortly after `deadline` at the latest.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn handle(&self, payload: &str, holder: &str, deadline: Instant) -> Result<Ran, ApplyError> {
        let now = self.clock.now();
        let ends_at = now.plus(deadline.saturating_duration_since(Instant::now()));
        if self.leases.acquire(LEASE, holder, now, ends_at.plus(LEASE_MARGIN)).await? == Acquired::Held {
            info!("another instance is at work");
            return Ok(Ran::Busy);
        }
        let (named, unread) = named(payload);
        self.metrics.count(&[("StreamRecordsUnread", unread)]);
        let ran = self.run(&named, deadline, ends_at).await;
        // If this fails, the lease ends by itself.
        if let Err(error) = self.leases.release(LEASE, holder).await {
            warn!("{error}");
        }
        ran
    }

    async fn run(&self, named: &[String], deadline: Instant, ends_at: Timestamp) -> Result<Ran, ApplyError> {
        let mut run = Run {
            apply: self,
            calls: Calls::new(&self.list, &self.clock, self.settings.interval(), ends_at),
            deadline,
            jobs: Jobs::read(&self.notes).await?,
            counts: Counts::default(),
            first_pass_ended: self.notes.get::<FirstPass>(FIRST_PASS).await?.is_some(),
            account: None,
        };
        let ended = run.drain(named).await;
        let (calls, counts) = (&run.calls, &run.counts);
        self.metrics.count(&[
            ("SesCalls", calls.made),
            ("SesCallsThrottled", calls.throttled),
            ("EntriesPut", counts.put),
            ("EntriesDeleted", counts.deleted),
            ("EntriesTrusted", counts.trusted),
            ("RefusedSandbox", counts.refused_sandbox),
            ("ReasonNotEnabled", counts.reason_not_enabled),
            ("Failed", counts.failed),
            ("ImportJobsStarted", counts.jobs_started),
            ("ImportJobsEnded", counts.jobs_ended),
            ("ImportJobsFailed", counts.jobs_failed),
            ("OldestPendingSeconds", usize::try_from(counts.oldest.as_secs()).unwrap_or(usize::MAX)),
        ]);
        match ended {
            Ok(()) => Ok(Ran::Drained),
            Err(End::Failed(error)) => Err(error),
            Err(end) => {
                warn!("{end}");
                Ok(Ran::Left)
            }
        }
    }
}

/// The addresses that the table's stream tells of; none if it was the clock that woke us. The index may lag behind the
/// stream, so these are looked at besides. And how many of its records could not be read.
fn named(payload: &str) -> (Vec<String>, usize) {
    let (mut named, mut unread) = (BTreeSet::new(), 0);
    for record in table_stream::open(payload).unwrap_or_default() {
        let state = match record {
            Ok(written) if written.sk() != SORT_KEY => continue,
            // Without the error's text: it may name the address.
            Ok(written) => written.read::<AddressState>().map_err(|_| "not a state"),
            Err(error) => Err(error.why),
        };
        match state {
            // Bounces last: of a storm there are more than are looked at.
            Ok(state) => {
                named.insert((state.effective() == Some(Reason::Bounce), state.address().to_owned()));
            }
            Err(why) => {
                unread += 1;
                error!("a record of the stream is left to the index: {why}");
            }
        }
    }
    let mut named: Vec<_> = named.into_iter().take(NAMED).map(|(_, address)| address).collect();
    named.sort_unstable();
    named.dedup();
    (named, unread)
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
    pub(crate) fn now(&self) -> Timestamp {
        self.apply.clock.now()
    }

    async fn drain(&mut self, named: &[String]) -> Result<(), End> {
        let mut named = named;
        // Why it is not known how far the job is.
        let mut unwatched = None;
        loop {
            let watched = if unwatched.is_none() { self.watch().await } else { Ok(()) };
            // Whatever became of that: for how long something has been pending is counted.
            let (due, unmarked) = self.collect(std::mem::take(&mut named)).await?;
            match watched {
                Err(End::List(error)) => {
                    warn!("it is not known how far the import job is: {}", error.kind());
                    unwatched = Some(error);
                }
                watched => watched?,
            }
            let (due, settled) = self.without_calls(due).await?;
            let mut done = unmarked + settled;
            let (mut singly, by_job): (Work, Work) = due.into_iter().partition(failed_by_job);
            let calls = by_job.iter().map(|(_, to_do)| import::calls(to_do)).sum();
            let many = import::goes_by_job(calls, self.apply.settings.calls_per_minute());
            let mut waits = None;
            if many && self.jobs_allowed().await? {
                if !self.jobs.in_flight() {
                    if self.start(by_job).await? {
                        continue;
                    }
                    return Ok(());
                }
                // Not what the stream names: of a storm, it names all.
                singly.extend(by_job.into_iter().filter(|(_, to_do)| is_urgent(to_do)));
                waits = Some("an import job is under way");
            } else {
                singly.extend(by_job);
            }
            let (only_by_job, mut singly): (Work, Work) =
                singly.into_iter().partition(|(_, to_do)| import::only_by_job(to_do));
            if !only_by_job.is_empty() {
                if !self.account().await?.production_access {
                    // No jobs there: SES may have changed its mind.
                    singly.extend(only_by_job);
                } else if self.jobs.in_flight() || !self.jobs_allowed().await? {
                    waits = waits.or(Some("it needs an import job, which must wait"));
                } else if self.start(only_by_job).await? {
                    continue;
                }
            }
            done += self.singly(singly).await?;
            // What the index shows but is done already, it will not show for long.
            if done > 0 {
                continue;
            }
            if let Some(error) = unwatched.take() {
                return Err(End::List(error));
            }
            let Some(why) = waits else { return Ok(()) };
            let until_watched = self.jobs.next_watch_in(self.now());
            if !(many && self.jobs.in_flight() && self.calls.wait(until_watched).await) {
                return Err(End::Later(why));
            }
        }
    }

    async fn jobs_allowed(&mut self) -> Result<bool, End> {
        Ok(!self.jobs.singly(self.now()) && self.account().await?.production_access)
    }

    /// Asked once in a run, and only if there is something to put.
    pub(crate) async fn account(&mut self) -> Result<&Account, End> {
        let account = match self.account.take() {
            Some(account) => account,
            None => self.calls.call(Twice::Harmless, async |list| list.account().await).await?,
        };
        Ok(self.account.insert(account))
    }

    fn to_do(&self, state: &AddressState) -> ToDo {
        let settings = &self.apply.settings;
        let site = Site {
            region: &settings.region,
            first_pass_ended: self.first_pass_ended,
            trust_origin: settings.trust_origin,
        };
        state.to_do(site, self.now())
    }

    /// All states of the index that are due, until `take` has enough: of each shard what is due first, then of each the next.
    pub(crate) async fn due(&self, mut take: impl FnMut(AddressState) -> bool) -> Result<(), End> {
        let now = self.now();
        let mut pages: VecDeque<_> = shards().map(|shard| (shard, None)).collect();
        while let Some((shard, after)) = pages.pop_front() {
            let page = self.apply.states.pending(&shard, now, after.as_ref(), PAGE, self.deadline).await?;
            for state in page.items {
                if !take(state) {
                    return Ok(());
                }
            }
            if page.next.is_some() {
                pages.push_back((shard, page.next));
            }
        }
        Ok(())
    }

    /// What is due and can be done now. What an import job holds is not touched, unless nobody knows that job any more: its
    /// intent was given up, or the job ended before the index showed that it holds the address. Of how many the mark of such
    /// a job was taken off is told besides: they are due next.
    async fn collect(&mut self, named: &[String]) -> Result<(Work, usize), End> {
        let mut work = Work::new();
        let mut reads = stream::iter(named)
            .map(|address| self.apply.states.get(address, self.deadline))
            .buffer_unordered(PARALLEL);
        while let Some(state) = reads.next().await {
            let Some(state) = state? else { continue };
            let to_do = self.to_do(&state);
            if can_be_done(&to_do) {
                work.push((state, to_do));
            }
        }
        let mut stray = Vec::new();
        let now = self.now();
        let mut oldest = now;
        self.due(|state| {
            oldest = state.pending_since().map_or(oldest, |since| oldest.min(since));
            let known = named.binary_search_by(|named| named.as_str().cmp(state.address())).is_ok();
            let to_do = self.to_do(&state);
            match state.job() {
                Some(job) if !self.jobs.holds(&job.key) => stray.push(state),
                None if !known && can_be_done(&to_do) => work.push((state, to_do)),
                Some(_) | None => {}
            }
            work.len() < MOST
        })
        .await?;
        self.counts.oldest = self.counts.oldest.max(now.since(oldest));
        let unmarked = self
            .each(stray, |state, now| {
                let key = state.job()?.key.clone();
                if self.jobs.holds(&key) {
                    return None;
                }
                state.job_ended(&key, JobRecord::Unknown, now)
            })
            .await?;
        Ok((work, unmarked))
    }

    /// Records what needs no call, and returns the rest: what SES is trusted to have put, and what it refuses to put.
    async fn without_calls(&mut self, due: Work) -> Result<(Work, usize), End> {
        if !due.iter().any(|(_, to_do)| matches!(to_do, ToDo::Put { .. } | ToDo::Trust(_))) {
            return Ok((due, 0));
        }
        let account = self.account().await?.clone();
        let settles = |to_do: &ToDo| match to_do {
            ToDo::Trust(reason) => {
                Some(Attempt::Trusted { reason: *reason, enabled: account.enabled.contains(reason) })
            }
            ToDo::Put { .. } if !account.production_access => Some(Attempt::RefusedSandbox),
            _ => None,
        };
        let (settled, rest): (Work, Work) = due.into_iter().partition(|(_, to_do)| settles(to_do).is_some());
        let (this, settles) = (&*self, &settles);
        let mut writes = stream::iter(settled)
            .map(|(stale, _)| async move {
                // The index lags, and what is done already must not count as progress.
                let state = this.apply.states.get(stale.address(), this.deadline).await?;
                let settled = state.and_then(|state| Some((settles(&this.to_do(&state))?, state)));
                let Some((attempt, state)) = settled else { return Ok(None) };
                this.attempted(state, &attempt).await?;
                Ok::<_, End>(Some(attempt))
            })
            .buffer_unordered(PARALLEL);
        let (mut trusted, mut refused_sandbox) = (0, 0);
        while let Some(written) = writes.next().await {
            match written? {
                Some(Attempt::Trusted { .. }) => trusted += 1,
                Some(_) => refused_sandbox += 1,
                None => {}
            }
        }
        drop(writes);
        self.counts.trusted += trusted;
        self.counts.refused_sandbox += refused_sandbox;
        Ok((rest, trusted + refused_sandbox))
    }

    /// Does as much as goes before the backlog is to be looked at again; how many were done.
    async fn singly(&mut self, mut due: Work) -> Result<usize, End> {
        // What stops mail to somebody who complained before what lets mail through again, and that before bounces. What a
        // job was to delete comes last: it most likely has deleted, or it was not there.
        let rank = |due: &(AddressState, ToDo)| match due.1 {
            ToDo::Put { reason: Reason::Complaint, .. } => 0,
            _ if failed_by_job(due) => 3,
            ToDo::Delete { .. } => 1,
            _ => 2,
        };
        due.sort_by_key(|due| (rank(due), due.0.pending_since()));
        let before = self.calls.made;
        let mut done = 0;
        for (stale, _) in due {
            if self.calls.made - before >= ROUND {
                break;
            }
            let Some((state, attempt, end)) = self.act(stale.address()).await? else { continue };
            match &attempt {
                Attempt::Written { reason: None, .. } => self.counts.deleted += 1,
                Attempt::Written { enabled, .. } => {
                    self.counts.put += 1;
                    self.counts.reason_not_enabled += usize::from(!enabled);
                }
                Attempt::Trusted { .. } => self.counts.trusted += 1,
                Attempt::RefusedSandbox => self.counts.refused_sandbox += 1,
                Attempt::Failed { .. } => self.counts.failed += 1,
            }
            self.attempted(state, &attempt).await?;
            done += 1;
            if let Some(error) = end {
                return Err(End::List(error));
            }
        }
        Ok(done)
    }

    /// Does what the list needs for one address; the state that it was done for, and whether SES still answers. `None` if
    /// the list needs nothing (any more).
    async fn act(
        &mut self,
        address: &str,
    ) -> Result<Option<(AddressState, Attempt, Option<ListError>)>, End> {
        loop {
            // The index lags.
            let Some(state) = self.apply.states.get(address, self.deadline).await? else { return Ok(None) };
            let done = match self.to_do(&state) {
                ToDo::Put { spelling, reason } => self.put(&state, &spelling, reason).await,
                ToDo::Delete { spellings } => self.delete(&state, &spellings).await,
                ToDo::Nothing | ToDo::Wait(_) | ToDo::Trust(_) => return Ok(None),
            };
            match done {
                Ok((attempt, end)) => return Ok(Some((state, attempt, end))),
                Err(NotCalled::Moved) => {}
                Err(NotCalled::End(end)) => return Err(end),
            }
        }
    }

    async fn put(
        &mut self,
        state: &AddressState,
        spelling: &str,
        reason: Reason,
    ) -> Result<(Attempt, Option<ListError>), NotCalled> {
        // Before, so that what was put is recorded without waiting for another call.
        let enabled = self.account().await?.enabled.contains(&reason);
        match self.call_for(state, async |list| list.put(spelling, reason).await).await? {
            Ok(()) => Ok((Attempt::Written { reason: Some(reason), enabled }, None)),
            Err(error @ ListError::Refused(_)) => {
                // It may have come into the sandbox since it was asked, and then the address is not to blame.
                self.account = None;
                let production_access = self.account().await?.production_access;
                Ok(if production_access { failed(&error) } else { (Attempt::RefusedSandbox, None) })
            }
            Err(error) => Ok(failed(&error)),
        }
    }

    async fn delete(
        &mut self,
        state: &AddressState,
        spellings: &[String],
    ) -> Result<(Attempt, Option<ListError>), NotCalled> {
        for spelling in spellings {
            if let Err(error) = self.call_for(state, async |list| list.delete(spelling).await).await? {
                return Ok(failed(&error));
            }
        }
        Ok((Attempt::Written { reason: None, enabled: true }, None))
    }

    /// Calls SES for a state, unless something has been said by the time that SES takes the call: a BOUNCE must not be put
    /// over the COMPLAINT that came while it waited.
    async fn call_for(
        &mut self,
        state: &AddressState,
        call: impl AsyncFn(&L) -> Result<(), ListError>,
    ) -> Result<Result<(), ListError>, NotCalled> {
        let (apply, deadline) = (self.apply, self.deadline);
        let still = async || {
            let found = apply.states.get(state.address(), deadline).await.map_err(End::from)?;
            let same = found.is_some_and(|found| found.version() == state.version());
            if same { Ok(()) } else { Err(NotCalled::Moved) }
        };
        match self.calls.call_if(Twice::Harmless, still, call).await {
            Ok(()) => Ok(Ok(())),
            Err(NotCalled::End(End::List(error))) => Ok(Err(error)),
            Err(not_called) => Err(not_called),
        }
    }

    /// Records what became of an attempt made for this version.
    async fn attempted(&self, state: AddressState, attempt: &Attempt) -> Result<(), End> {
        let acted_on = state.version();
        self.update(state, |state, now| Some(state.attempted(acted_on, attempt.clone(), now))).await?;
        Ok(())
    }

    /// Writes what `change` makes of each state, and says of how many; those of which it makes nothing are left alone.
    pub(crate) async fn each(
        &self,
        states: Vec<AddressState>,
        change: impl Fn(&AddressState, Timestamp) -> Option<AddressState>,
    ) -> Result<usize, End> {
        let change = &change;
        let mut writes =
            stream::iter(states).map(|state| self.update(state, change)).buffer_unordered(PARALLEL);
        let mut count = 0;
        while let Some(written) = writes.next().await {
            count += usize::from(written?);
        }
        Ok(count)
    }

    /// Writes what `change` makes of a state; if somebody was faster, of what it is then. Whether it made something of it.
    async fn update(
        &self,
        mut state: AddressState,
        change: impl Fn(&AddressState, Timestamp) -> Option<AddressState>,
    ) -> Result<bool, End> {
        for _ in 0..CONFLICTS {
            let Some(next) = change(&state, self.now()) else { return Ok(false) };
            match self.apply.states.put(&next, Some(state.version()), self.deadline).await? {
                Put::Done => return Ok(true),
                Put::Conflict(_) => match self.apply.states.get(state.address(), self.deadline).await? {
                    Some(fresh) => state = fresh,
                    None => return Ok(false),
                },
            }
        }
        Err(End::Later("others keep writing the same state"))
    }
}

/// A deletion that failed is no job's (again): whether a job fails at an entry that is not there, no source tells, and it may
/// fail at it for ever. A call says so, and then there is nothing to do.
fn failed_by_job((state, to_do): &(AddressState, ToDo)) -> bool {
    let failed = state.outcome().is_some_and(|outcome| outcome.kind == OutcomeKind::Failed);
    failed && matches!(to_do, ToDo::Delete { .. }) && !import::only_by_job(to_do)
}

/// What stops mail to somebody who complained, and what lets mail through again.
fn is_urgent(to_do: &ToDo) -> bool {
    matches!(to_do, ToDo::Put { reason: Reason::Complaint, .. } | ToDo::Delete { .. })
}

fn can_be_done(to_do: &ToDo) -> bool {
    !matches!(to_do, ToDo::Nothing | ToDo::Wait(_))
}

/// That SES finds the input wrong is about this address. Anything else is about SES, or what we may: one address bears it, so
/// that it does not stand in the way of the others, and the run ends.
fn failed(error: &ListError) -> (Attempt, Option<ListError>) {
    let of_address = matches!(error, ListError::Refused(refusal) if refusal.code == "BadRequestException");
    let end = (!of_address).then(|| error.clone());
    (Attempt::Failed { why: error.to_string(), may_pass: !of_address }, end)
}
