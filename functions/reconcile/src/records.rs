//! Decides on records that nobody decided on: the table's stream keeps them for a day, and what could not be processed by
//! then is gone from it.
//!
//! Seldom, and by a scan: see [`mailroom_aws::decidable`]. What is known already changes nothing.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use mailroom_aws::clock::Clock;
use mailroom_aws::decidable::{DecidableRecords, RecordKey};
use mailroom_aws::notes::{NoteError, Noted, Notes};
use mailroom_aws::states::{Put, StateTable, TableError};
use mailroom_core::suppression::operator::OperatorDecision;
use mailroom_core::suppression::policy::{HISTORY_LIMIT, Policy, Told};
use mailroom_core::suppression::{AddressState, SuppressionState, late};
use mailroom_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// How often it is looked back.
const EVERY: Duration = Duration::from_hours(7 * 24);
/// How far back: past the last time, and what decide was a day behind with.
const LOOK_BACK: Duration = Duration::from_hours(9 * 24);
/// What decide may still be about to do.
const TOO_NEW: Duration = Duration::from_hours(1);
/// How long a page may take: none is begun that would not be done.
const A_PAGE: Duration = Duration::from_secs(4);
const PARALLEL: usize = 16;
const TRIES: usize = 5;
const NOTE: &str = "records";

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// When the last scan that has ended began.
    last: Option<Timestamp>,
    open: Option<Scan>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Scan {
    started_at: Timestamp,
    after: Option<RecordKey>,
}

/// What came of looking back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LookedBack {
    /// Records that are worth deciding on.
    pub records: usize,
    /// How many of those could not be read.
    pub unreadable: usize,
    /// How many of those nobody had decided on.
    pub decided: usize,
}

/// Why it did not go on. It does at the next wake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookBackError {
    /// The table can't be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Where it stands can't be read or written.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Somebody else is at the same.
    #[error("another instance is at it")]
    Contended,
}

/// The ports by which it is looked back.
pub(crate) struct LookBack<'a, S, N, C> {
    pub(crate) states: &'a S,
    pub(crate) notes: &'a N,
    pub(crate) clock: &'a C,
    pub(crate) region: &'a str,
    pub(crate) policy: &'a Policy,
    pub(crate) deadline: Instant,
}

/// A record that is worth deciding on.
enum Record {
    Told(Told),
    Decision(OperatorDecision),
}

impl<S: StateTable + DecidableRecords, N: Notes, C: Clock> LookBack<'_, S, N, C> {
    /// Goes on with the open scan, or begins one if one is due.
    pub(crate) async fn go_on(&self, demanded: bool, done: &mut LookedBack) -> Result<(), LookBackError> {
        let now = self.clock.now();
        let note = self.notes.get::<Kept>(NOTE).await?;
        let mut version = note.as_ref().map(|note| note.version);
        let mut kept = note.map(|note| note.value).unwrap_or_default();
        let due = demanded || kept.last.is_none_or(|last| now.since(last) >= EVERY);
        let mut scan = match kept.open.take() {
            Some(scan) => scan,
            None if !due => return Ok(()),
            None => Scan { started_at: now, after: None },
        };
        let since = scan.started_at.minus(LOOK_BACK);
        while Instant::now() + A_PAGE < self.deadline {
            let page = self.states.decidable(since, scan.after.as_ref(), self.deadline).await?;
            done.records += page.told.len() + page.decisions.len();
            done.unreadable += page.unreadable;
            let until = scan.started_at.minus(TOO_NEW);
            let told = page.told.into_iter().filter(|told| told.occurred_at <= until).map(Record::Told);
            let decisions = page.decisions.into_iter().filter(|decision| decision.decided_at <= until);
            let records: Vec<_> = told.chain(decisions.map(Record::Decision)).collect();
            let mut decided =
                stream::iter(&records).map(|record| self.decide(record)).buffer_unordered(PARALLEL);
            while let Some(decided) = decided.next().await {
                done.decided += usize::from(decided?);
            }
            if page.next.is_some() {
                scan.after = page.next;
                kept.open = Some(scan.clone());
            } else {
                kept.last = Some(scan.started_at);
                kept.open = None;
            }
            match self.notes.put(NOTE, &kept, version).await? {
                Noted::Conflict => return Err(LookBackError::Contended),
                Noted::Done(new) => version = Some(new),
            }
            if kept.open.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Decides on a record; whether it said something that nobody knew.
    async fn decide(&self, record: &Record) -> Result<bool, LookBackError> {
        let (address, window) = match record {
            Record::Told(told) => (&told.address, self.policy.history(told)),
            Record::Decision(decision) => (&decision.address, None),
        };
        let history = match window {
            Some(window) => self.states.history(address, &window, HISTORY_LIMIT, self.deadline).await?,
            None => Vec::new(),
        };
        for _ in 0..TRIES {
            let known = self.states.get(address, self.deadline).await?;
            let nothing = SuppressionState::default();
            let state = known.as_ref().map_or(&nothing, AddressState::state);
            let now = self.clock.now();
            let change = match record {
                Record::Told(told) => late::feedback(told, self.policy, &history, state, self.region, now),
                Record::Decision(decision) => late::decision(decision, state, self.region, now),
            };
            let Some(change) = change else { return Ok(false) };
            let Some(next) = AddressState::advance(known.as_ref(), &change, now) else { return Ok(false) };
            match self.states.put(&next, known.map(|known| known.version()), self.deadline).await? {
                Put::Done => return Ok(true),
                Put::Conflict(_) => {}
            }
        }
        Err(LookBackError::Contended)
    }
}
