//! A pass over the list and the states, over as many invocations as it takes.
//!
//! ```text
//! List     each page of SES's list, window by window: every entry against its state. Ends the first pass: BOUNCEs may be
//!          put from then on.
//! States   the index of states: every address that was not seen on the list. Counts what has gone, concludes nothing.
//! Confirm  if something has gone, and no more than may: the index again, SES is asked for each of those entries.
//! ```
//!
//! Where a pass stands is kept in a note. An invocation that runs out of time leaves the rest to the next one; if one dies,
//! the next one goes back to what was kept last, so any of it may be done twice.
//!
//! SES does not say how long a page's token is good for. When a token is refused, the
//! [window](mailroom_core::suppression::window) that was being read is split, and its earlier part is begun: so each time
//! there is less that must be read before the tokens expire, down to the entries of one second. A window that was read to
//! its end is not read again.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use mailroom_aws::clock::Clock;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::metrics::Metrics;
use mailroom_aws::rate_limiter::{OutOfTimeError, RateLimiter};
use mailroom_aws::suppression_list::{ListError, SuppressionList};
use mailroom_aws::table::notes::{FIRST_PASS_NOTE, FirstPassNote, NoteStore, PASS_NOTE, PassNote};
use mailroom_aws::table::states::{StateCursor, StateTable, update_state};
use mailroom_aws::table::{PutOutcome, TableError, Versioned};
use mailroom_core::suppression::address_state::{AddressState, all_shards};
use mailroom_core::suppression::import::requires_import_job_to_delete;
use mailroom_core::suppression::list_pass::ListPass;
use mailroom_core::suppression::reconcile::{
    AddressEntries, EmptiedListGuard, MissingEntryPolicy, PassContext, ReconcileAction, SkipReason,
    judge_address, judge_after_lookup, state_after_action,
};
use mailroom_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::handler::Ports;
use crate::list_position::{ListPosition, WindowRestart};
use crate::pass_counts::PassCounts;
use crate::seen_addresses::{SeenAddresses, chunks_for};

/// The number of calls of the table that are under way at once.
const MAX_PARALLEL_CALLS: usize = 32;
/// The number of states that are asked for at once. It is so high that DynamoDB's own limit of 1 MiB a page decides.
const PAGE_SIZE: usize = 10_000;
/// How often an address is tried again after somebody else has written its state meanwhile.
const MAX_TRIES: usize = 5;
/// How often a pass in progress is kept. This is how much a crash costs.
const SAVE_INTERVAL: Duration = Duration::from_mins(1);
/// The number of entries that one pass asks SES for, at most: an hour's worth at a call a second. The next pass goes on.
const MAX_ENTRY_LOOKUPS: usize = 3600;
/// The time that is kept at the end of an invocation for keeping the pass, and for answering.
pub(crate) const SAVING_MARGIN: Duration = Duration::from_secs(10);

/// A pass in progress, as it is kept between invocations.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct OpenPass {
    started_at: Timestamp,
    /// The number of chunks of the filter that remembers what was seen.
    chunks: usize,
    step: PassStep,
    /// Where in the list the pass is. It is absent if an older version began the pass, which had no windows.
    #[serde(rename = "list", default)]
    list_position: ListPosition,
    counts: PassCounts,
}

impl OpenPass {
    /// The pass as it goes on. An older version, which had no windows, kept what it had found in the list so far with all
    /// counts. Here it is what was found in the window, so that it is not counted twice if the window is begun again.
    fn migrate_old_counts(mut self) -> Self {
        if matches!(self.step, PassStep::List(_)) && self.list_position.is_new() {
            let restarts = self.counts.restarts;
            self.list_position.counts.add_counts(PassCounts { restarts: 0, ..self.counts });
            self.counts = PassCounts { restarts, ..PassCounts::default() };
        }
        self
    }

    /// The counts so far, with those of the window that is being read.
    fn total_counts(&self) -> PassCounts {
        let mut counts = self.counts;
        counts.add_counts(self.list_position.counts);
        counts
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum PassStep {
    /// The next page of the window has this token.
    List(Option<String>),
    States(IndexPosition),
    #[serde(rename = "Confirm")]
    LookUpEntries(IndexPosition),
}

/// A place in the index of states.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct IndexPosition {
    shard: usize,
    after: Option<StateCursor>,
}

/// How the pass fared in one invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum PassOutcome {
    /// No pass is in progress and none is due.
    NotDue,
    /// The pass goes on at the next wake. These are its counts so far.
    Unfinished(PassCounts),
    /// The pass has ended, with these counts.
    Ended(PassCounts),
    /// The pass has ended, and concluded nothing from the entries that have gone, since too many have.
    #[serde(rename = "alarmed")]
    GuardTripped(PassCounts),
}

/// Why a pass did not go on. The next wake tries again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    /// The list can't be read. The text is not SES's own, which may name an address.
    #[error("the list: {0}")]
    List(String),
    /// The table can't be read or written.
    #[error("the table: {0}")]
    Table(#[from] TableError),
    /// Another instance goes on with the same pass.
    #[error("another instance is at it")]
    Contended,
    /// No time is left for another call. The next wake goes on.
    #[error(transparent)]
    OutOfTime(#[from] OutOfTimeError),
}

impl From<&ListError> for PassError {
    fn from(error: &ListError) -> Self {
        Self::List(error.redacted_text())
    }
}

/// The note on passes.
type VersionedPassNote = Versioned<PassNote<OpenPass>>;

/// Writes the note; fails if somebody else has written it since it was read.
async fn save_note(
    note: &mut VersionedPassNote,
    table: &impl NoteStore,
    deadline: Deadline,
) -> Result<(), PassError> {
    match table.put_note(PASS_NOTE, note, deadline).await? {
        PutOutcome::Written => Ok(()),
        PutOutcome::Conflict(()) => Err(PassError::Contended),
    }
}

/// The ports of a pass, and what the template says about it.
pub(crate) struct PassRunner<'a, P: Ports> {
    pub(crate) table: &'a P::Table,
    pub(crate) list: &'a P::List,
    pub(crate) clock: &'a P::Clock,
    pub(crate) metrics: &'a P::Metrics,
    pub(crate) rate_limiter: &'a RateLimiter<'a, P::Clock>,
    pub(crate) region: &'a str,
    pub(crate) missing_entry_policy: MissingEntryPolicy,
    pub(crate) emptied_list_guard: EmptiedListGuard,
    /// When to be done, by the function's clock.
    pub(crate) ends_at: Timestamp,
    /// When the table must have answered.
    pub(crate) deadline: Deadline,
}

/// What came of one address.
struct AddressResult {
    action: ReconcileAction,
    was_fixed: bool,
}

/// What came of writing a state.
enum StateWrite {
    Written,
    NothingToWrite,
    /// Somebody else was faster.
    Conflict,
}

impl<P: Ports> PassRunner<'_, P> {
    /// Goes on with the open pass, or begins one if one is due.
    pub(crate) async fn resume_pass(
        &self,
        pass_interval: Duration,
        is_requested: bool,
    ) -> Result<PassOutcome, PassError> {
        let mut kept: VersionedPassNote =
            self.table.get_note(PASS_NOTE, self.deadline).await?.unwrap_or_default();
        let now = self.clock.now();
        let last = kept.value.last_pass.as_ref();
        let due = is_requested || last.is_none_or(|last| now.since(last.started_at) >= pass_interval);
        let mut open = match kept.value.open_pass.clone() {
            Some(open) => open.migrate_old_counts(),
            None if !due => return Ok(PassOutcome::NotDue),
            None => OpenPass {
                started_at: now,
                chunks: chunks_for(last.map_or(0, |last| last.entries.saturating_mul(2))),
                step: PassStep::List(None),
                list_position: ListPosition::default(),
                counts: PassCounts::default(),
            },
        };
        let mut seen = SeenAddresses::load(self.table, open.started_at, open.chunks, self.deadline).await?;
        let passed = match self.run_steps(&mut kept, &mut open, &mut seen).await {
            Err(PassError::OutOfTime(_)) => Ok(PassOutcome::Unfinished(open.total_counts())),
            passed => passed,
        };
        match passed {
            Ok(PassOutcome::Ended(_) | PassOutcome::GuardTripped(_)) => {
                kept.value.last_pass = Some(ListPass {
                    started_at: open.started_at,
                    ended_at: Some(self.clock.now()),
                    entries: open.counts.entries,
                    agree: Some(open.counts.agree),
                    differ: Some(open.counts.differ),
                    mended: Some(open.counts.mended),
                    gone: Some(open.counts.gone),
                    alarmed: matches!(passed, Ok(PassOutcome::GuardTripped(_))),
                });
                kept.value.open_pass = None;
                save_note(&mut kept, self.table, self.deadline).await?;
            }
            Err(PassError::Contended) => {}
            // What was found before a failure is kept, so that a failure costs no more than the step that failed.
            Ok(PassOutcome::Unfinished(_) | PassOutcome::NotDue) | Err(_) => {
                self.save_pass(&mut kept, &open, &mut seen).await?;
            }
        }
        passed
    }

    /// Keeps the filter first and then the pass. Where the pass stands must never be ahead of what the filter has seen, or
    /// what the filter has forgotten would count as gone. If the filter can't be kept, both stay as they were.
    async fn save_pass(
        &self,
        note: &mut VersionedPassNote,
        open_pass: &OpenPass,
        seen: &mut SeenAddresses,
    ) -> Result<(), PassError> {
        if !seen.save(self.table, self.deadline).await? {
            return Err(PassError::Contended);
        }
        note.value.open_pass = Some(open_pass.clone());
        save_note(note, self.table, self.deadline).await
    }

    async fn run_steps(
        &self,
        note: &mut VersionedPassNote,
        open_pass: &mut OpenPass,
        seen: &mut SeenAddresses,
    ) -> Result<PassOutcome, PassError> {
        let account = self.call_ses(async || self.list.account_status().await).await?;
        let account = account.map_err(|error| PassError::from(&error))?;
        let mut pass = PassContext::new(self.region, open_pass.started_at);
        pass.in_sandbox = !account.has_production_access;
        pass.missing_entry_policy = self.missing_entry_policy;
        let mut kept_at = self.clock.now();
        while self.has_time() {
            if self.clock.now().since(kept_at) >= SAVE_INTERVAL {
                self.save_pass(note, open_pass, seen).await?;
                kept_at = self.clock.now();
            }
            let counts = &mut open_pass.counts;
            let next = match &open_pass.step {
                PassStep::List(token) => Some(
                    self.reconcile_list_page(
                        token.as_deref(),
                        &mut open_pass.list_position,
                        seen,
                        &pass,
                        counts,
                    )
                    .await?,
                ),
                PassStep::States(place) => {
                    match self.reconcile_unseen_states(place, seen, &pass, counts).await? {
                        Some(place) => Some(PassStep::States(place)),
                        None if self.emptied_list_guard.trips(counts.expected, counts.gone) => {
                            warn!(
                                gone = counts.gone,
                                expected = counts.expected,
                                "too much has gone from the list"
                            );
                            return Ok(PassOutcome::GuardTripped(open_pass.counts));
                        }
                        None => (counts.gone > 0).then(|| PassStep::LookUpEntries(IndexPosition::default())),
                    }
                }
                PassStep::LookUpEntries(place) => self
                    .look_up_missing_entries(place, seen, &pass, counts)
                    .await?
                    .map(PassStep::LookUpEntries),
            };
            match next {
                Some(step) => open_pass.step = step,
                None => return Ok(PassOutcome::Ended(open_pass.counts)),
            }
        }
        Ok(PassOutcome::Unfinished(open_pass.total_counts()))
    }

    fn has_time(&self) -> bool {
        self.clock.now().plus(SAVING_MARGIN) < self.ends_at && !self.deadline.has_passed()
    }

    /// Calls SES, again for a while if it is throttled or unavailable. A refusal is returned at once, since SES would
    /// refuse again.
    async fn call_ses<T>(
        &self,
        call: impl AsyncFn() -> Result<T, ListError>,
    ) -> Result<Result<T, ListError>, OutOfTimeError> {
        let passes = |error: &ListError| matches!(error, ListError::Throttled | ListError::Unavailable(_));
        self.rate_limiter.call_with_retries(passes, call).await
    }

    /// Judges a page of the window. Returns the step that comes next.
    async fn reconcile_list_page(
        &self,
        token: Option<&str>,
        position: &mut ListPosition,
        seen: &mut SeenAddresses,
        pass: &PassContext<'_>,
        counts: &mut PassCounts,
    ) -> Result<PassStep, PassError> {
        let page = match self.call_ses(async || self.list.list_entries(position.window, token).await).await? {
            Ok(page) => page,
            Err(ListError::Refused(_)) if token.is_some() => {
                let window = position.window;
                let split = position.split_or_restart_window(self.clock.now()) == WindowRestart::Split;
                warn!(?window, split, "SES no longer takes a page's token: the window is begun again");
                self.metrics.count(&[("ListRestarts", 1)]);
                counts.restarts += 1;
                return Ok(PassStep::List(None));
            }
            Err(error) => return Err(PassError::from(&error)),
        };
        let entries = page.items.len() + page.unreadable_count;
        let times = page.items.iter().map(|entry| entry.updated_at).collect();
        let grouped = AddressEntries::group_by_address(page.items);
        let unread = grouped.unreadable_count + page.unreadable_count;
        let mut found = PassCounts { entries, unread, ..PassCounts::default() };
        let mut judged = stream::iter(&grouped.addresses)
            .map(|listing| self.reconcile_address(listing.address(), Some(listing), pass))
            .buffer_unordered(MAX_PARALLEL_CALLS);
        while let Some(judged) = judged.next().await {
            let AddressResult { action, was_fixed: mended } = judged?;
            found.add_action(&action, mended);
        }
        drop(judged);
        for listing in &grouped.addresses {
            seen.insert(listing.address());
        }
        position.record_page(times, found);
        if page.next_token.is_some() {
            return Ok(PassStep::List(page.next_token));
        }
        let (found, more) = position.end_window();
        counts.add_counts(found);
        if more {
            return Ok(PassStep::List(None));
        }
        // If the note is there already, that is as good.
        let mut note = Versioned { value: FirstPassNote { ended_at: self.clock.now() }, version: None };
        self.table.put_note(FIRST_PASS_NOTE, &mut note, self.deadline).await?;
        Ok(PassStep::States(IndexPosition::default()))
    }

    /// Judges a page of states: those that were not seen on the list.
    async fn reconcile_unseen_states(
        &self,
        position: &IndexPosition,
        seen: &SeenAddresses,
        pass: &PassContext<'_>,
        counts: &mut PassCounts,
    ) -> Result<Option<IndexPosition>, PassError> {
        let Some((states, mut found, next)) = self.read_states_page(position).await? else { return Ok(None) };
        let mut to_mend = Vec::new();
        for state in &states {
            let applied = state.last_known_entry().and_then(|applied| applied.reason);
            found.expected += usize::from(state.effective_reason().is_some() && applied.is_some());
            if seen.may_contain(state.address()) {
                continue;
            }
            match judge_address(None, Some(state), pass) {
                ReconcileAction::LookUpEntry => found.gone += 1,
                action
                    if state_after_action(&action, None, Some(state), pass, self.clock.now()).is_some() =>
                {
                    to_mend.push(state.address());
                }
                action => found.add_action(&action, false),
            }
        }
        let mut judged = stream::iter(to_mend)
            .map(|address| self.reconcile_address(address, None, pass))
            .buffer_unordered(MAX_PARALLEL_CALLS);
        while let Some(judged) = judged.next().await {
            let AddressResult { action, was_fixed: mended } = judged?;
            found.add_action(&action, mended);
        }
        counts.add_counts(found);
        Ok(Some(next))
    }

    /// Asks SES for those entries of a page of states that seem to have gone.
    async fn look_up_missing_entries(
        &self,
        position: &IndexPosition,
        seen: &SeenAddresses,
        pass: &PassContext<'_>,
        counts: &mut PassCounts,
    ) -> Result<Option<IndexPosition>, PassError> {
        let Some((states, _, next)) = self.read_states_page(position).await? else { return Ok(None) };
        let gone = |state: &&AddressState| {
            !seen.may_contain(state.address())
                && judge_address(None, Some(state), pass) == ReconcileAction::LookUpEntry
        };
        for state in states.iter().filter(gone) {
            if counts.asked >= MAX_ENTRY_LOOKUPS {
                return Ok(None);
            }
            if !self.has_time() {
                // What was asked before is settled by now, so that the same page asks only for the rest.
                return Ok(Some(position.clone()));
            }
            counts.asked += 1;
            let judged = self.look_up_missing_entry(state.address(), pass, &mut counts.drifted).await?;
            counts.add_action(&judged.action, judged.was_fixed);
        }
        Ok(Some(next))
    }

    /// Reads a page of the index of states, and says where the next one begins; `None` after the last shard.
    async fn read_states_page(
        &self,
        position: &IndexPosition,
    ) -> Result<Option<(Vec<AddressState>, PassCounts, IndexPosition)>, PassError> {
        let Some(shard) = all_shards().nth(position.shard) else { return Ok(None) };
        let page = self
            .table
            .changed_states(&shard, Timestamp::MIN, position.after.as_ref(), PAGE_SIZE, self.deadline)
            .await?;
        let next = IndexPosition {
            shard: position.shard + usize::from(page.next_cursor.is_none()),
            after: page.next_cursor,
        };
        Ok(Some((
            page.items,
            PassCounts { unreadable: page.unreadable_count, ..PassCounts::default() },
            next,
        )))
    }

    /// Judges an address by its state as it is now, and writes what follows; tries again if somebody else was faster.
    async fn reconcile_address(
        &self,
        address: &str,
        address_entries: Option<&AddressEntries>,
        pass: &PassContext<'_>,
    ) -> Result<AddressResult, PassError> {
        let mut action = judge_address(address_entries, None, pass);
        let update = update_state(self.table, address, self.deadline, |state| {
            action = judge_address(address_entries, state, pass);
            state_after_action(&action, address_entries, state, pass, self.clock.now())
        });
        let mended = update.await?.was_written;
        Ok(AddressResult { action, was_fixed: mended })
    }

    /// Asks SES for an entry that was not seen, in each of its spellings, and judges the address again.
    async fn look_up_missing_entry(
        &self,
        address: &str,
        pass: &PassContext<'_>,
        drift_count: &mut usize,
    ) -> Result<AddressResult, PassError> {
        for _ in 0..MAX_TRIES {
            let state = self.table.get_state(address, self.deadline).await?;
            let first = judge_address(None, state.as_ref(), pass);
            let Some(state) = state.filter(|_| first == ReconcileAction::LookUpEntry) else {
                // The state has changed since it was read from the index.
                return Ok(AddressResult { action: first, was_fixed: false });
            };
            let (mut found, mut untold) = (None, false);
            for spelling in state.spellings().iter() {
                match self.call_ses(async || self.list.get(spelling).await).await? {
                    Ok(entry) => found = entry,
                    // SES refuses such an address in the path of any call. So it has to be enough that the list did not
                    // show it: if it were there all the same, the next pass would see it and note it.
                    Err(ListError::Refused(_)) if requires_import_job_to_delete(spelling) => {}
                    Err(ListError::Refused(_)) => untold = true,
                    Err(error) => return Err(PassError::from(&error)),
                }
                if found.is_some() {
                    break;
                }
            }
            if found.is_none() && untold {
                // This address is left as it is, so that it does not keep the pass from all others.
                warn!("SES refuses to tell whether an entry is on its list; it is left as it is");
                return Ok(AddressResult {
                    action: ReconcileAction::Skip(SkipReason::LookupRefused),
                    was_fixed: false,
                });
            }
            let gone = found.is_none();
            let listing = AddressEntries::group_by_address(found.clone()).addresses.pop();
            let action = judge_after_lookup(found, &state, pass);
            let was_fixed =
                match self.write_state_after_action(&action, listing.as_ref(), Some(&state), pass).await? {
                    StateWrite::Written => true,
                    StateWrite::NothingToWrite => false,
                    StateWrite::Conflict => continue,
                };
            *drift_count += usize::from(gone);
            return Ok(AddressResult { action, was_fixed });
        }
        Err(TableError::Contended.into())
    }

    /// Writes what an action makes of a state.
    async fn write_state_after_action(
        &self,
        action: &ReconcileAction,
        address_entries: Option<&AddressEntries>,
        state: Option<&AddressState>,
        pass: &PassContext<'_>,
    ) -> Result<StateWrite, PassError> {
        let Some(next) = state_after_action(action, address_entries, state, pass, self.clock.now()) else {
            return Ok(StateWrite::NothingToWrite);
        };
        match self.table.put_state(&next, state.map(AddressState::version), self.deadline).await? {
            PutOutcome::Written => Ok(StateWrite::Written),
            PutOutcome::Conflict(_) => Ok(StateWrite::Conflict),
        }
    }
}
