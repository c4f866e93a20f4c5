//! One invocation: it pushes to peers, goes on with the pass over the list, and looks back on records.
//!
//! An invocation that finds the lease held by another one leaves at once: two passes at a time would make two requests a
//! second. Since the function is woken every few minutes, a pass of any length comes to its end.

use std::time::Duration;

use mailroom_aws::clock::{Clock, Timer};
use mailroom_aws::deadline::Deadline;
use mailroom_aws::invocation::SqsBatchResponse;
use mailroom_aws::metrics::Metrics;
use mailroom_aws::pace::Pace;
use mailroom_aws::peers::Peers;
use mailroom_aws::suppression_list::SuppressionList;
use mailroom_aws::table::TableError;
use mailroom_aws::table::lease::{AcquireOutcome, LeaseStore};
use mailroom_aws::table::notes::NoteStore;
use mailroom_aws::table::record_scan::RecordScan;
use mailroom_aws::table::states::StateTable;
use mailroom_core::timestamp::Timestamp;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

pub use crate::given_up::GivenUpError;
pub use crate::pass::{PassError, Passed};
pub use crate::pass_counts::PassCounts;
pub use crate::push::Pushed;
pub use crate::records::LookedBack;

use crate::given_up;
use crate::pass::{Passing, TO_KEEP};
use crate::push::Push;
use crate::records::LookBack;
use crate::settings::Settings;

const LEASE: &str = "reconcile";
/// How much longer than the invocation the lease lasts, for clocks that differ and for the answer's way.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// The types of the ports.
pub trait Ports {
    /// The table: states, the records that they come from, the lease, and notes.
    type Table: StateTable + RecordScan + LeaseStore + NoteStore;
    /// SES's suppression list, which is only read.
    type List: SuppressionList;
    /// The queues of the peers.
    type Peers: Peers;
    /// The clock.
    type Clock: Timer;
    /// Where metrics are counted.
    type Metrics: Metrics;
}

/// The reconcile function: its ports and its settings.
pub struct Reconcile<P: Ports> {
    /// The table.
    pub table: P::Table,
    /// The suppression list.
    pub list: P::List,
    /// The queues of the peers.
    pub peers: P::Peers,
    /// The clock.
    pub clock: P::Clock,
    /// Where metrics are counted.
    pub metrics: P::Metrics,
    /// What the template tells the function.
    pub settings: Settings,
}

/// What an invocation is about, by its payload.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A schedule, or an operator.
    Wake(Wake),
    /// A batch of the queue into which Lambda puts what decide has given up: the payload.
    GivenUp(&'a str),
}

impl<'a> Event<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// If it is neither. No retry can help.
    pub fn read(payload: &'a str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Batch {
            #[serde(rename = "Records")]
            records: Option<IgnoredAny>,
        }
        let batch: Batch = serde_json::from_str(payload)?;
        if batch.records.is_some() {
            return Ok(Self::GivenUp(payload));
        }
        serde_json::from_str(payload).map(Self::Wake)
    }
}

/// The answer to an event.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To a wake.
    Done(Done),
    /// To a batch of the queue, all of whose messages are done.
    Noted(SqsBatchResponse),
}

/// The payload of a wake. A schedule's event has none of these fields; an operator may give any of them.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct Wake {
    /// Begin a pass over the list now, unless one is in progress.
    pub pass: bool,
    /// Tell the peers everything, and not only what has changed since they were last told.
    pub everything: bool,
    /// Look back on records now, even if that is not due.
    pub records: bool,
}

/// What an invocation did. This is also its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Done {
    /// It did nothing, since another invocation is at work. What it was asked to do is not remembered.
    Held,
    /// It did what it was woken for.
    Woken {
        /// What came of telling the peers.
        pushed: Pushed,
        /// How the pass fared.
        passed: Passed,
        /// What came of looking back on records.
        looked_back: LookedBack,
    },
}

/// Why an invocation failed. The peers were told nevertheless, once it held the lease. A retry may help, and the next wake
/// is one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReconcileError {
    /// The lease could not be taken, so it is not known whether another invocation is at work.
    #[error("the lease: {0}")]
    Lease(#[source] TableError),
    /// The pass over the list did not go on.
    #[error(transparent)]
    Pass(#[from] PassError),
    /// Looking back on records did not go on.
    #[error("records: {0}")]
    LookBack(#[source] TableError),
    /// What decide has given up was not noted.
    #[error("given up: {0}")]
    GivenUp(#[from] GivenUpError),
}

impl<P: Ports> Reconcile<P> {
    /// Handles one invocation, and returns by `deadline`.
    ///
    /// # Errors
    /// See [`ReconcileError`].
    pub async fn answer(
        &self,
        event: Event<'_>,
        invocation_id: &str,
        deadline: Deadline,
    ) -> Result<Answer, ReconcileError> {
        match event {
            Event::Wake(wake) => Ok(Answer::Done(self.handle(wake, invocation_id, deadline).await?)),
            // Needs no lease, which a wake may hold for minutes: it is one note, and all else is left to the next wake.
            Event::GivenUp(payload) => {
                let batches = given_up::note(payload, &self.table, &self.clock, deadline).await?;
                self.metrics.count(&[("BatchesGivenUp", batches)]);
                Ok(Answer::Noted(SqsBatchResponse::default()))
            }
        }
    }

    /// Does what a wake asks for, in an invocation and returns by `deadline`.
    ///
    /// # Errors
    /// See [`ReconcileError`].
    pub async fn handle(
        &self,
        wake: Wake,
        invocation_id: &str,
        deadline: Deadline,
    ) -> Result<Done, ReconcileError> {
        let now = self.clock.now();
        let ends_at = deadline.by_clock(now);
        let expires_at = ends_at.plus(LEASE_MARGIN);
        let outcome = self.table.acquire(LEASE, invocation_id, now, expires_at, deadline).await;
        if outcome.map_err(ReconcileError::Lease)? == AcquireOutcome::HeldByOther {
            info!("another invocation is at it");
            return Ok(Done::Held);
        }
        let done = self.woken(wake, ends_at, deadline).await;
        if let Err(error) = self.table.release(LEASE, invocation_id, deadline).await {
            warn!("not given back, so it has to run out: {error}");
        }
        done
    }

    async fn woken(
        &self,
        wake: Wake,
        ends_at: Timestamp,
        deadline: Deadline,
    ) -> Result<Done, ReconcileError> {
        let push = Push {
            table: &self.table,
            peers: &self.peers,
            clock: &self.clock,
            region: &self.settings.region,
            everything: wake.everything,
            // Telling a new peer everything must not keep the list from being read, nor the other way round: each has half
            // of the time.
            stop_at: deadline.half_time(),
            deadline,
        };
        let pushed = push.to_all(&self.settings.peers).await;
        let pace = Pace::new(&self.clock, self.settings.pace, Some(ends_at.minus(TO_KEEP)));
        let passing = Passing::<P> {
            table: &self.table,
            list: &self.list,
            clock: &self.clock,
            metrics: &self.metrics,
            pace: &pace,
            region: &self.settings.region,
            gone: self.settings.gone,
            guard: self.settings.guard,
            ends_at,
            deadline,
        };
        let passed = passing.go_on(self.settings.pass_every, wake.pass).await;
        let look_back = LookBack {
            table: &self.table,
            clock: &self.clock,
            region: &self.settings.region,
            policy: &self.settings.policy,
            deadline,
        };
        let mut looked_back = LookedBack::default();
        let result = look_back.go_on(wake.records, &mut looked_back).await;
        self.count(&pushed, &passed, &looked_back);
        result.map_err(ReconcileError::LookBack)?;
        Ok(Done::Woken { pushed, passed: passed?, looked_back })
    }

    fn count(&self, pushed: &Pushed, passed: &Result<Passed, PassError>, looked_back: &LookedBack) {
        self.metrics.count(&[
            ("StatesPushed", pushed.states),
            ("MessagesPushed", pushed.messages),
            ("PeerStatesRefused", pushed.states_refused),
            ("PeersFailed", pushed.peers_failed),
            ("PeersBehind", pushed.peers_behind),
            ("PassesFailed", usize::from(passed.is_err())),
            ("RecordsLookedAt", looked_back.records),
            ("RecordsUnreadable", looked_back.unreadable),
            ("RecordsDecidedLate", looked_back.decided),
        ]);
        let (counts, alarmed) = match passed {
            Ok(Passed::Ended(counts)) => (counts, false),
            Ok(Passed::Alarmed(counts)) => (counts, true),
            Ok(Passed::NotDue | Passed::Unfinished(_)) | Err(_) => return,
        };
        self.metrics.count(&[
            ("PassesEnded", 1),
            ("ListGone", usize::from(alarmed)),
            ("ListEntries", counts.entries),
            ("EntriesUnread", counts.unread),
            ("StatesUnreadable", counts.unreadable),
            ("Agree", counts.agree),
            ("Differ", counts.differ),
            ("Mended", counts.mended),
            ("Busy", counts.busy),
            ("LeftAsTheyAre", counts.left),
            ("EntriesGone", counts.gone),
            ("Drift", counts.drifted),
        ]);
        info!(?counts, alarmed, "a pass has ended");
    }
}
