//! Decides on records that nobody decided on. The table's stream keeps a record for a day; if decide could not process it
//! by then, the stream no longer has it.
//!
//! This is done seldom, and by a scan of the table: see [`mailroom_aws::table::record_scan`]. What is known already changes nothing.
//!
//! ```text
//! every week                     records older than an hour: decide may still be at the others
//! decide has given up records    also younger ones, up to the latest that it has given up
//! ```

use std::time::Duration;

use futures_util::{StreamExt, stream};
use mailroom_aws::clock::Clock;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::table::notes::NoteStore;
use mailroom_aws::table::record_scan::{RecordKey, RecordScan};
use mailroom_aws::table::states::{StateTable, update_state};
use mailroom_aws::table::{PutOutcome, TableError};
use mailroom_core::suppression::operator::OperatorDecision;
use mailroom_core::suppression::policy::{HISTORY_LIMIT, SuppressionPolicy};
use mailroom_core::suppression::state::MAX_CLOCK_SKEW;
use mailroom_core::suppression::{AddressState, FeedbackSummary};
use mailroom_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use crate::abandoned_records::{self, AbandonedRecordsNote};

/// How often records are looked back on.
const LOOK_BACK_INTERVAL: Duration = Duration::from_hours(7 * 24);
/// The time from the start of one scan to the start of the next if decide has given up records. In an outage it gives up one
/// after the other, and a scan reads the whole table; but none of them is to wait for longer than an hour.
const INTERVAL_WITH_ABANDONED_RECORDS: Duration = Duration::from_mins(30);
/// How far back a scan looks: to before the last scan, and as long as an event may have been under way before decide gave it
/// up. That is 14 days in the queue, 14 as a dead letter, a day in the stream, and one on top.
const LOOK_BACK_PERIOD: Duration = Duration::from_hours((7 + 14 + 14 + 1 + 1) * 24);
/// Records younger than this are left out, since decide may still be about to process them.
const MIN_RECORD_AGE: Duration = Duration::from_hours(1);
/// How long a page may take. No page is begun that would not be done in time.
const MAX_PAGE_TIME: Duration = Duration::from_secs(4);
const MAX_PARALLEL_RECORDS: usize = 16;
const NOTE_NAME: &str = "records";

#[derive(Debug, Default, Serialize, Deserialize)]
struct LookBackNote {
    /// When the last scan that has ended was begun.
    #[serde(rename = "last")]
    last_started_at: Option<Timestamp>,
    #[serde(rename = "open")]
    open_scan: Option<OpenScan>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct OpenScan {
    started_at: Timestamp,
    /// Records after this time are left out; `None` in a note of an older version.
    #[serde(rename = "until")]
    upper_bound: Option<Timestamp>,
    after: Option<RecordKey>,
}

/// What came of looking back on records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LookBackCounts {
    /// The number of records that are worth deciding on.
    #[serde(rename = "records")]
    pub decidable_records: usize,
    /// The number of records that could not be read.
    #[serde(rename = "unreadable")]
    pub unreadable_records: usize,
    /// The number of records that nobody had decided on before.
    #[serde(rename = "decided")]
    pub records_decided: usize,
}

/// The ports by which records are looked back on.
pub(crate) struct LookBack<'a, T, C> {
    pub(crate) table: &'a T,
    pub(crate) clock: &'a C,
    pub(crate) region: &'a str,
    pub(crate) policy: &'a SuppressionPolicy,
    pub(crate) deadline: Deadline,
}

/// Up to when a scan that begins now takes records: what decide has given up it is not at any more. It does no harm to decide
/// on a record that decide is still at, except that this is done twice. SES's clock may be ahead of the stream's.
fn scan_upper_bound(now: Timestamp, abandoned_records: Option<AbandonedRecordsNote>) -> Timestamp {
    let settled = now.minus(MIN_RECORD_AGE);
    abandoned_records
        .map_or(settled, |given_up| given_up.latest_arrival_at.plus(MAX_CLOCK_SKEW).min(now).max(settled))
}

/// A record that is worth deciding on.
enum DecidableRecord {
    Feedback(FeedbackSummary),
    Decision(OperatorDecision),
}

impl<T: StateTable + RecordScan + NoteStore, C: Clock> LookBack<'_, T, C> {
    /// Goes on with the open scan, or begins one if one is due.
    pub(crate) async fn resume_scan(
        &self,
        is_requested: bool,
        counts: &mut LookBackCounts,
    ) -> Result<(), TableError> {
        let now = self.clock.now();
        let mut note =
            self.table.get_note::<LookBackNote>(NOTE_NAME, self.deadline).await?.unwrap_or_default();
        let kept = &mut note.value;
        let given_up = self
            .table
            .get_note::<AbandonedRecordsNote>(abandoned_records::NOTE_NAME, self.deadline)
            .await?
            .map(|note| note.value);
        // A scan that was begun before this was noted may have passed the record already.
        let given_up =
            given_up.filter(|given_up| kept.last_started_at.is_none_or(|last| last <= given_up.noted_at));
        let every = if given_up.is_some() { INTERVAL_WITH_ABANDONED_RECORDS } else { LOOK_BACK_INTERVAL };
        let due = is_requested || kept.last_started_at.is_none_or(|last| now.since(last) >= every);
        let mut scan = match kept.open_scan.take() {
            Some(scan) => scan,
            None if !due => return Ok(()),
            None => {
                OpenScan { started_at: now, upper_bound: Some(scan_upper_bound(now, given_up)), after: None }
            }
        };
        let until = scan.upper_bound.unwrap_or_else(|| scan_upper_bound(scan.started_at, None));
        let since = scan.started_at.minus(LOOK_BACK_PERIOD);
        while self.deadline.time_left() > MAX_PAGE_TIME {
            let page = self.table.decidable_records(since, scan.after.as_ref(), self.deadline).await?;
            counts.decidable_records += page.feedback_summaries.len() + page.decisions.len();
            counts.unreadable_records += page.unreadable_count;
            let told = page
                .feedback_summaries
                .into_iter()
                .filter(|told| told.takes_effect_at() <= until)
                .map(DecidableRecord::Feedback);
            let decisions = page.decisions.into_iter().filter(|decision| decision.takes_effect_at() <= until);
            let records: Vec<_> = told.chain(decisions.map(DecidableRecord::Decision)).collect();
            let mut decided = stream::iter(&records)
                .map(|record| self.decide_record(record))
                .buffer_unordered(MAX_PARALLEL_RECORDS);
            while let Some(decided) = decided.next().await {
                counts.records_decided += usize::from(decided?);
            }
            let kept = &mut note.value;
            if page.next_key.is_some() {
                scan.after = page.next_key;
                kept.open_scan = Some(scan.clone());
            } else {
                kept.last_started_at = Some(scan.started_at);
                kept.open_scan = None;
            }
            let is_done = kept.open_scan.is_none();
            if self.table.put_note(NOTE_NAME, &mut note, self.deadline).await? != PutOutcome::Written {
                return Err(TableError::Contended);
            }
            if is_done {
                break;
            }
        }
        Ok(())
    }

    /// Decides on a record. Returns whether it said something that nobody knew.
    async fn decide_record(&self, record: &DecidableRecord) -> Result<bool, TableError> {
        let (address, window) = match record {
            DecidableRecord::Feedback(told) => (&told.address, self.policy.history_range(told)),
            DecidableRecord::Decision(decision) => (&decision.address, None),
        };
        let history = match window {
            Some(window) => {
                self.table
                    .feedback_and_latest_delivery(address, &window, HISTORY_LIMIT, self.deadline)
                    .await?
            }
            None => Vec::new(),
        };
        let change = match record {
            DecidableRecord::Feedback(told) => {
                told.to_state_change(&self.policy.decide(told, &history), self.region)
            }
            DecidableRecord::Decision(decision) => Some(decision.to_state_change(self.region)),
        };
        let Some(change) = change else { return Ok(false) };
        let update = update_state(self.table, address, self.deadline, |known| {
            AddressState::join_change(known, &change, self.clock.now())
        });
        Ok(update.await?.was_written)
    }
}
