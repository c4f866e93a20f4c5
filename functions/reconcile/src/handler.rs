//! One invocation: it pushes to peers, goes on with the pass over the list, and looks back on records.
//!
//! An invocation that finds the lease held by another one leaves at once: two passes at a time would make two requests a
//! second. Since the function is woken every few minutes, a pass of any length comes to its end.

use std::time::Duration;

use mailroom_aws::clock::Timer;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::invocation::SqsBatchResponse;
use mailroom_aws::metrics::Metrics;
use mailroom_aws::peer_queues::PeerQueues;
use mailroom_aws::rate_limiter::RateLimiter;
use mailroom_aws::suppression_list::SuppressionList;
use mailroom_aws::table::TableError;
use mailroom_aws::table::lease::{LeaseStore, run_with_lease};
use mailroom_aws::table::notes::NoteStore;
use mailroom_aws::table::record_scan::RecordScan;
use mailroom_aws::table::states::StateTable;
use mailroom_core::timestamp::Timestamp;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tracing::info;

pub use crate::abandoned_records::AbandonedRecordsError;
pub use crate::look_back::LookBackCounts;
pub use crate::pass::{PassError, PassOutcome};
pub use crate::pass_counts::PassCounts;
pub use crate::peer_push::PushCounts;

use crate::abandoned_records;
use crate::look_back::LookBack;
use crate::pass::{PassRunner, SAVING_MARGIN};
use crate::peer_push::PeerPush;
use crate::settings::Settings;

const LEASE_NAME: &str = "reconcile";
/// How much longer than the invocation the lease lasts, for clocks that differ and for the answer's way.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// The types of the ports.
pub trait Ports {
    /// The table: states, the records that they come from, the lease, and notes.
    type Table: StateTable + RecordScan + LeaseStore + NoteStore;
    /// SES's suppression list, which is only read.
    type List: SuppressionList;
    /// The queues of the peers.
    type Peers: PeerQueues;
    /// The clock.
    type Clock: Timer;
    /// Where metrics are counted.
    type Metrics: Metrics;
}

/// The reconcile function: its ports and its settings.
pub struct ReconcileFunction<P: Ports> {
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
pub enum ReconcileEvent<'a> {
    /// A schedule, or an operator.
    Request(ReconcileRequest),
    /// A batch of the queue into which Lambda puts what decide has given up: the payload.
    AbandonedBatches(&'a str),
}

impl<'a> ReconcileEvent<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// If it is neither. No retry can help.
    pub fn parse(payload: &'a str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Batch {
            #[serde(rename = "Records")]
            records: Option<IgnoredAny>,
        }
        let batch: Batch = serde_json::from_str(payload)?;
        if batch.records.is_some() {
            return Ok(Self::AbandonedBatches(payload));
        }
        serde_json::from_str(payload).map(Self::Request)
    }
}

/// The answer to an event.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ReconcileResponse {
    /// To a wake.
    Run(ReconcileRunOutcome),
    /// To a batch of the queue, all of whose messages are done.
    Batch(SqsBatchResponse),
}

/// The payload of a wake. A schedule's event has none of these fields; an operator may give any of them.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct ReconcileRequest {
    /// Begin a pass over the list now, unless one is in progress.
    #[serde(rename = "pass")]
    pub start_pass: bool,
    /// Tell the peers everything, and not only what has changed since they were last told.
    #[serde(rename = "everything")]
    pub full_push: bool,
    /// Look back on records now, even if that is not due.
    #[serde(rename = "records")]
    pub start_look_back: bool,
}

/// What an invocation did. This is also its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ReconcileRunOutcome {
    /// It did nothing, since another invocation is at work. What it was asked to do is not remembered.
    #[serde(rename = "held")]
    Busy,
    /// It did what it was woken for.
    #[serde(rename = "woken")]
    Completed {
        /// What came of telling the peers.
        #[serde(rename = "pushed")]
        push_counts: PushCounts,
        /// How the pass fared.
        #[serde(rename = "passed")]
        pass_outcome: PassOutcome,
        /// What came of looking back on records.
        #[serde(rename = "looked_back")]
        look_back_counts: LookBackCounts,
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
    AbandonedRecords(#[from] AbandonedRecordsError),
}

impl<P: Ports> ReconcileFunction<P> {
    /// Handles one invocation, and returns by `deadline`.
    ///
    /// # Errors
    /// See [`ReconcileError`].
    pub async fn handle_event(
        &self,
        event: ReconcileEvent<'_>,
        invocation_id: &str,
        deadline: Deadline,
    ) -> Result<ReconcileResponse, ReconcileError> {
        match event {
            ReconcileEvent::Request(wake) => {
                Ok(ReconcileResponse::Run(self.handle_request(wake, invocation_id, deadline).await?))
            }
            // Needs no lease, which a wake may hold for minutes: it is one note, and all else is left to the next wake.
            ReconcileEvent::AbandonedBatches(payload) => {
                let batches =
                    abandoned_records::note_abandoned_batches(payload, &self.table, &self.clock, deadline)
                        .await?;
                self.metrics.count(&[("BatchesGivenUp", batches)]);
                Ok(ReconcileResponse::Batch(SqsBatchResponse::default()))
            }
        }
    }

    /// Does what a wake asks for, in an invocation and returns by `deadline`.
    ///
    /// # Errors
    /// See [`ReconcileError`].
    pub async fn handle_request(
        &self,
        request: ReconcileRequest,
        invocation_id: &str,
        deadline: Deadline,
    ) -> Result<ReconcileRunOutcome, ReconcileError> {
        let run = async |ends_at| self.push_pass_and_look_back(request, ends_at, deadline).await;
        let (table, clock) = (&self.table, &self.clock);
        run_with_lease(table, clock, LEASE_NAME, invocation_id, LEASE_MARGIN, deadline, run)
            .await
            .map_err(ReconcileError::Lease)?
            .unwrap_or(Ok(ReconcileRunOutcome::Busy))
    }

    async fn push_pass_and_look_back(
        &self,
        request: ReconcileRequest,
        ends_at: Timestamp,
        deadline: Deadline,
    ) -> Result<ReconcileRunOutcome, ReconcileError> {
        let push = PeerPush {
            table: &self.table,
            peers: &self.peers,
            clock: &self.clock,
            region: &self.settings.region,
            is_full: request.full_push,
            // Telling a new peer everything must not keep the list from being read, nor the other way round: each has half
            // of the time.
            stop_at: deadline.half_time(),
            deadline,
        };
        let pushed = push.push_to_all(&self.settings.peers).await;
        let pace =
            RateLimiter::new(&self.clock, self.settings.call_interval, Some(ends_at.minus(SAVING_MARGIN)));
        let passing = PassRunner::<P> {
            table: &self.table,
            list: &self.list,
            clock: &self.clock,
            metrics: &self.metrics,
            rate_limiter: &pace,
            region: &self.settings.region,
            missing_entry_policy: self.settings.missing_entry_policy,
            emptied_list_guard: self.settings.emptied_list_guard,
            ends_at,
            deadline,
        };
        let passed = passing.resume_pass(self.settings.pass_interval, request.start_pass).await;
        let look_back = LookBack {
            table: &self.table,
            clock: &self.clock,
            region: &self.settings.region,
            policy: &self.settings.policy,
            deadline,
        };
        let mut looked_back = LookBackCounts::default();
        let result = look_back.resume_scan(request.start_look_back, &mut looked_back).await;
        self.emit_counts(&pushed, &passed, &looked_back);
        result.map_err(ReconcileError::LookBack)?;
        Ok(ReconcileRunOutcome::Completed {
            push_counts: pushed,
            pass_outcome: passed?,
            look_back_counts: looked_back,
        })
    }

    fn emit_counts(
        &self,
        push_counts: &PushCounts,
        pass_outcome: &Result<PassOutcome, PassError>,
        look_back_counts: &LookBackCounts,
    ) {
        self.metrics.count(&[
            ("StatesPushed", push_counts.states),
            ("MessagesPushed", push_counts.messages),
            ("PeerStatesRefused", push_counts.states_refused),
            ("PeersFailed", push_counts.peers_failed),
            ("PeersBehind", push_counts.peers_behind),
            ("PassesFailed", usize::from(pass_outcome.is_err())),
            ("RecordsLookedAt", look_back_counts.decidable_records),
            ("RecordsUnreadable", look_back_counts.unreadable_records),
            ("RecordsDecidedLate", look_back_counts.records_decided),
        ]);
        let (counts, alarmed) = match pass_outcome {
            Ok(PassOutcome::Ended(counts)) => (counts, false),
            Ok(PassOutcome::GuardTripped(counts)) => (counts, true),
            Ok(PassOutcome::NotDue | PassOutcome::Unfinished(_)) | Err(_) => return,
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
