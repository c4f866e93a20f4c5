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
//! A crash between any two effects leaves the address pending and the job's intent written. The next run does the same
//! again, and what was done already it does not change.

use std::collections::BTreeSet;
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
use mailroom_core::suppression::item::SORT_KEY;
use mailroom_core::suppression::{AddressState, Reason};
use mailroom_core::timestamp::Timestamp;
use serde::Serialize;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::calls::{CallError, Calls};
use crate::job::Jobs;
use crate::settings::Settings;

/// The name of the lease, which only one instance holds at a time.
pub const LEASE: &str = "apply";
/// How much longer than the invocation the lease lasts, for clocks that differ a little.
const LEASE_MARGIN: Duration = Duration::from_secs(30);
/// The number of states that are written at once.
pub(crate) const PARALLEL: usize = 16;
const CONFLICTS: usize = 8;
/// The most addresses that are taken from the stream's event. In a storm the index shows enough.
const NAMED: usize = 100;

/// The apply function: its ports and its settings.
pub struct Apply<S, L, E, N, O, C, M> {
    /// The table: the states.
    pub states: S,
    /// SES's suppression list of this Region.
    pub list: L,
    /// The leases in the table, one of which keeps all but one instance from running.
    pub leases: E,
    /// Notes in the table: the import job's intent, and whether reconcile has been through the list once.
    pub notes: N,
    /// The bucket for the objects of import jobs.
    pub objects: O,
    /// The clock.
    pub clock: C,
    /// Where metrics are counted.
    pub metrics: M,
    /// What the template tells the function.
    pub settings: Settings,
}

/// What became of an invocation. This is also its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ran {
    /// It did nothing, since another instance is at work.
    Busy,
    /// Everything that was due is done, or is in an import job.
    Drained,
    /// Something is left for the next run.
    Left,
}

/// Why an invocation failed. A retry can help, and the next minute is one.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The lease could not be taken, so it is not known whether another instance is at work.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// A state in the table can't be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A note in the table can't be read or written.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The object of an import job can't be written.
    #[error(transparent)]
    Object(#[from] ObjectError),
}

/// Why a run ends before everything is done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error("the rest is left for the next run: {0}")]
    Later(&'static str),
    /// SES's answer. Its text for people is left out, since that may name the address.
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

#[derive(Default)]
pub(crate) struct Counts {
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
    pub(crate) oldest: Duration,
}

/// An invocation that holds the lease.
pub(crate) struct Run<'a, S, L, E, N, O, C, M> {
    pub(crate) apply: &'a Apply<S, L, E, N, O, C, M>,
    pub(crate) calls: Calls<'a, L, C>,
    pub(crate) deadline: Instant,
    pub(crate) jobs: Jobs,
    pub(crate) counts: Counts,
    pub(crate) first_pass_ended: bool,
    pub(crate) account: Option<Account>,
}

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
        // If the lease can't be released, it ends by itself.
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
            ("ImportJobsOverdue", counts.jobs_overdue),
            ("ImportJobStatusesUnknown", counts.job_statuses_unknown),
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

/// The addresses that the table's stream names, which are none if the schedule woke the function, and the number of its
/// records that could not be read. These addresses are looked at besides those of the index, which may lag behind the
/// stream.
fn named(payload: &str) -> (Vec<String>, usize) {
    let (mut named, mut unread) = (BTreeSet::new(), 0);
    for record in table_stream::open(payload).unwrap_or_default() {
        let state = match record {
            Ok(written) if written.sk() != SORT_KEY => continue,
            // The error's text is left out, since it may name the address.
            Ok(written) => written.read::<AddressState>().map_err(|_| "not a state"),
            Err(error) => Err(error.why),
        };
        match state {
            // Bounces come last: in a storm there are more of them than are looked at.
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

    /// Writes what `change` makes of each state, and leaves alone those of which it makes nothing. Returns what was written.
    pub(crate) async fn each(
        &self,
        states: Vec<AddressState>,
        change: impl Fn(&AddressState, Timestamp) -> Option<AddressState>,
    ) -> Result<Vec<AddressState>, End> {
        let change = &change;
        let mut writes =
            stream::iter(states).map(|state| self.update(state, change)).buffer_unordered(PARALLEL);
        let mut all = Vec::new();
        while let Some(written) = writes.next().await {
            all.extend(written?);
        }
        Ok(all)
    }

    /// Writes what `change` makes of a state, or of what the state has become if somebody else was faster. Returns what was
    /// written; `None` if nothing was.
    pub(crate) async fn update(
        &self,
        mut state: AddressState,
        change: impl Fn(&AddressState, Timestamp) -> Option<AddressState>,
    ) -> Result<Option<AddressState>, End> {
        for _ in 0..CONFLICTS {
            let Some(next) = change(&state, self.now()) else { return Ok(None) };
            match self.apply.states.put(&next, Some(state.version()), self.deadline).await? {
                Put::Done => return Ok(Some(next)),
                Put::Conflict(Some(held)) => state = *held,
                Put::Conflict(None) => match self.apply.states.get(state.address(), self.deadline).await? {
                    Some(fresh) => state = fresh,
                    None => return Ok(None),
                },
            }
        }
        Err(End::Later("others keep writing the same state"))
    }
}
