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

use std::time::Duration;

use mailroom_aws::deadline::Deadline;
use mailroom_aws::metrics::Metrics;
use mailroom_aws::stream;
use mailroom_aws::table::lease::run_with_lease;
use mailroom_core::suppression::AddressState;
use mailroom_core::suppression::address_state::STATE_SORT_KEY;
use mailroom_core::suppression::dispatch::select_most_urgent_addresses;
use mailroom_core::timestamp::Timestamp;
use serde::Serialize;
use tracing::{error, warn};

pub use crate::error::ApplyError;
use crate::error::RunEnd;
pub use crate::ports::{ApplyFunction, Ports};
use crate::run::ApplyRun;

/// The name of the lease, which only one instance holds at a time.
pub const LEASE_NAME: &str = "apply";
/// How much longer than the invocation the lease lasts, for clocks that differ a little.
const LEASE_MARGIN: Duration = Duration::from_secs(30);
/// The most addresses that are taken from the stream's event. In a storm the index shows enough.
const MAX_STREAM_ADDRESSES: usize = 100;

/// What became of an invocation. This is also its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// It did nothing, since another instance is at work.
    Busy,
    /// Everything that was due is done, or is in an import job.
    Drained,
    /// Something is left for the next run.
    Left,
}

impl<P: Ports> ApplyFunction<P> {
    /// Handles one invocation; returns shortly after `deadline` at the latest.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn handle(
        &self,
        payload: &str,
        invocation_id: &str,
        deadline: Deadline,
    ) -> Result<RunOutcome, ApplyError> {
        let run = async |ends_at| self.drain(payload, deadline, ends_at).await;
        let (table, clock) = (&self.table, &self.clock);
        run_with_lease(table, clock, LEASE_NAME, invocation_id, LEASE_MARGIN, deadline, run)
            .await?
            .unwrap_or(Ok(RunOutcome::Busy))
    }

    async fn drain(
        &self,
        payload: &str,
        deadline: Deadline,
        ends_at: Timestamp,
    ) -> Result<RunOutcome, ApplyError> {
        let (states, unread) = parse_stream_states(payload);
        self.metrics.count(&[("StreamRecordsUnread", unread)]);
        let mut run = ApplyRun::new(self, deadline, ends_at).await?;
        let drained =
            run.drain_due_actions(&select_most_urgent_addresses(&states, MAX_STREAM_ADDRESSES)).await;
        self.metrics.count(&run.metrics());
        match drained {
            Ok(()) => Ok(RunOutcome::Drained),
            Err(RunEnd::Failed(error)) => Err(error),
            Err(end) => {
                warn!("{end}");
                Ok(RunOutcome::Left)
            }
        }
    }
}

/// The states in the table's stream, which has none if the schedule woke the function, and the number of its records that
/// could not be read. Their addresses are looked at besides those of the index, which may lag behind the stream.
fn parse_stream_states(payload: &str) -> (Vec<AddressState>, usize) {
    let (mut states, mut unread) = (Vec::new(), 0);
    for record in stream::parse_stream_event(payload).unwrap_or_default() {
        let state = match record {
            Ok(written) if written.sort_key() != STATE_SORT_KEY => continue,
            // The error's text is left out, since it may name the address.
            Ok(written) => written.parse::<AddressState>().map_err(|_| "not a state"),
            Err(error) => Err(error.problem),
        };
        match state {
            Ok(state) => states.push(state),
            Err(why) => {
                unread += 1;
                error!("a record of the stream is left to the index: {why}");
            }
        }
    }
    (states, unread)
}
