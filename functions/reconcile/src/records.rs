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
use mailroom_core::suppression::policy::{HISTORY_LIMIT, Policy};
use mailroom_core::suppression::state::MAX_SKEW;
use mailroom_core::suppression::{AddressState, FeedbackFact};
use mailroom_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use crate::given_up::{self, GivenUp};

/// How often records are looked back on.
const LOOK_BACK_EVERY: Duration = Duration::from_hours(7 * 24);
/// The time from the start of one scan to the start of the next if decide has given up records. In an outage it gives up one
/// after the other, and a scan reads the whole table; but none of them is to wait for longer than an hour.
const AFTER_GIVING_UP: Duration = Duration::from_mins(30);
/// How far back a scan looks: to before the last scan, and as long as an event may have been under way before decide gave it
/// up. That is 14 days in the queue, 14 as a dead letter, a day in the stream, and one on top.
const LOOK_BACK: Duration = Duration::from_hours((7 + 14 + 14 + 1 + 1) * 24);
/// Records younger than this are left out, since decide may still be about to process them.
const MIN_AGE: Duration = Duration::from_hours(1);
/// How long a page may take. No page is begun that would not be done in time.
const PAGE_TAKES: Duration = Duration::from_secs(4);
const PARALLEL: usize = 16;
const NOTE: &str = "records";

#[derive(Debug, Default, Serialize, Deserialize)]
struct LookBackNote {
    /// When the last scan that has ended was begun.
    last: Option<Timestamp>,
    open: Option<Scan>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Scan {
    started_at: Timestamp,
    /// Records after this time are left out; `None` in a note of an older version.
    until: Option<Timestamp>,
    after: Option<RecordKey>,
}

/// What came of looking back on records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LookedBack {
    /// The number of records that are worth deciding on.
    pub records: usize,
    /// The number of records that could not be read.
    pub unreadable: usize,
    /// The number of records that nobody had decided on before.
    pub decided: usize,
}

/// The ports by which records are looked back on.
pub(crate) struct LookBack<'a, T, C> {
    pub(crate) table: &'a T,
    pub(crate) clock: &'a C,
    pub(crate) region: &'a str,
    pub(crate) policy: &'a Policy,
    pub(crate) deadline: Deadline,
}

/// Up to when a scan that begins now takes records: what decide has given up it is not at any more. It does no harm to decide
/// on a record that decide is still at, except that this is done twice. SES's clock may be ahead of the stream's.
fn until(now: Timestamp, given_up: Option<GivenUp>) -> Timestamp {
    let settled = now.minus(MIN_AGE);
    given_up.map_or(settled, |given_up| given_up.until.plus(MAX_SKEW).min(now).max(settled))
}

/// A record that is worth deciding on.
enum Record {
    Feedback(FeedbackFact),
    Decision(OperatorDecision),
}

impl<T: StateTable + RecordScan + NoteStore, C: Clock> LookBack<'_, T, C> {
    /// Goes on with the open scan, or begins one if one is due.
    pub(crate) async fn go_on(&self, demanded: bool, done: &mut LookedBack) -> Result<(), TableError> {
        let now = self.clock.now();
        let mut note = self.table.get_note::<LookBackNote>(NOTE, self.deadline).await?.unwrap_or_default();
        let kept = &mut note.value;
        let given_up =
            self.table.get_note::<GivenUp>(given_up::NOTE, self.deadline).await?.map(|note| note.value);
        // A scan that was begun before this was noted may have passed the record already.
        let given_up = given_up.filter(|given_up| kept.last.is_none_or(|last| last <= given_up.noted_at));
        let every = if given_up.is_some() { AFTER_GIVING_UP } else { LOOK_BACK_EVERY };
        let due = demanded || kept.last.is_none_or(|last| now.since(last) >= every);
        let mut scan = match kept.open.take() {
            Some(scan) => scan,
            None if !due => return Ok(()),
            None => Scan { started_at: now, until: Some(until(now, given_up)), after: None },
        };
        let until = scan.until.unwrap_or_else(|| until(scan.started_at, None));
        let since = scan.started_at.minus(LOOK_BACK);
        while self.deadline.time_left() > PAGE_TAKES {
            let page = self.table.decidable_records(since, scan.after.as_ref(), self.deadline).await?;
            done.records += page.told.len() + page.decisions.len();
            done.unreadable += page.unreadable;
            let told = page.told.into_iter().filter(|told| told.counts_from() <= until).map(Record::Feedback);
            let decisions = page.decisions.into_iter().filter(|decision| decision.counts_from() <= until);
            let records: Vec<_> = told.chain(decisions.map(Record::Decision)).collect();
            let mut decided =
                stream::iter(&records).map(|record| self.decide(record)).buffer_unordered(PARALLEL);
            while let Some(decided) = decided.next().await {
                done.decided += usize::from(decided?);
            }
            let kept = &mut note.value;
            if page.next.is_some() {
                scan.after = page.next;
                kept.open = Some(scan.clone());
            } else {
                kept.last = Some(scan.started_at);
                kept.open = None;
            }
            let is_done = kept.open.is_none();
            if self.table.put_note(NOTE, &mut note, self.deadline).await? != PutOutcome::Written {
                return Err(TableError::Contended);
            }
            if is_done {
                break;
            }
        }
        Ok(())
    }

    /// Decides on a record. Returns whether it said something that nobody knew.
    async fn decide(&self, record: &Record) -> Result<bool, TableError> {
        let (address, window) = match record {
            Record::Feedback(told) => (&told.address, self.policy.history(told)),
            Record::Decision(decision) => (&decision.address, None),
        };
        let history = match window {
            Some(window) => self.table.history(address, &window, HISTORY_LIMIT, self.deadline).await?,
            None => Vec::new(),
        };
        let change = match record {
            Record::Feedback(told) => told.change(&self.policy.judge(told, &history), self.region),
            Record::Decision(decision) => Some(decision.change(self.region)),
        };
        let Some(change) = change else { return Ok(false) };
        let update = update_state(self.table, address, self.deadline, |known| {
            AddressState::advance(known, &change, self.clock.now())
        });
        Ok(update.await?.was_written)
    }
}
