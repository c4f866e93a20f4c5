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
use mailroom_aws::pace::{OutOfTime, Pace};
use mailroom_aws::suppression_list::{ListError, SuppressionList};
use mailroom_aws::table::notes::{FIRST_PASS, FirstPass, LIST_PASSES, ListPasses, NoteStore};
use mailroom_aws::table::states::{Cursor, StateTable, update_state};
use mailroom_aws::table::{PutOutcome, TableError, Versioned};
use mailroom_core::suppression::import::only_a_job_deletes;
use mailroom_core::suppression::item::{AddressState, shards};
use mailroom_core::suppression::list_pass::ListPass;
use mailroom_core::suppression::reconcile::{
    Action, Gone, Guard, Leave, Listing, Pass, carried_out, confirmed, judge,
};
use mailroom_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::handler::Ports;
use crate::list_place::ListPlace;
use crate::pass_counts::PassCounts;
use crate::seen::{SeenAddresses, chunks_for};

/// The number of calls of the table that are under way at once.
const PARALLEL: usize = 32;
/// The number of states that are asked for at once. It is so high that DynamoDB's own limit of 1 MiB a page decides.
const PAGE: usize = 10_000;
/// How often an address is tried again after somebody else has written its state meanwhile.
const TRIES: usize = 5;
/// How often a pass in progress is kept. This is how much a crash costs.
const KEEP_EVERY: Duration = Duration::from_mins(1);
/// The number of entries that one pass asks SES for, at most: an hour's worth at a call a second. The next pass goes on.
const MOST_CONFIRMED: usize = 3600;
/// The time that is kept at the end of an invocation for keeping the pass, and for answering.
pub(crate) const TO_KEEP: Duration = Duration::from_secs(10);

/// A pass in progress, as it is kept between invocations.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Open {
    started_at: Timestamp,
    /// The number of chunks of the filter that remembers what was seen.
    chunks: usize,
    step: Step,
    /// Where in the list the pass is. It is absent if an older version began the pass, which had no windows.
    #[serde(default)]
    list: ListPlace,
    counts: PassCounts,
}

impl Open {
    /// The pass as it goes on. An older version, which had no windows, kept what it had found in the list so far with all
    /// counts. Here it is what was found in the window, so that it is not counted twice if the window is begun again.
    fn resumed(mut self) -> Self {
        if matches!(self.step, Step::List(_)) && self.list.is_new() {
            let restarts = self.counts.restarts;
            self.list.counts.join(PassCounts { restarts: 0, ..self.counts });
            self.counts = PassCounts { restarts, ..PassCounts::default() };
        }
        self
    }

    /// The counts so far, with those of the window that is being read.
    fn counts(&self) -> PassCounts {
        let mut counts = self.counts;
        counts.join(self.list.counts);
        counts
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Step {
    /// The next page of the window has this token.
    List(Option<String>),
    States(Place),
    Confirm(Place),
}

/// A place in the index of states.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Place {
    shard: usize,
    after: Option<Cursor>,
}

/// How the pass fared in one invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Passed {
    /// No pass is in progress and none is due.
    NotDue,
    /// The pass goes on at the next wake. These are its counts so far.
    Unfinished(PassCounts),
    /// The pass has ended, with these counts.
    Ended(PassCounts),
    /// The pass has ended, and concluded nothing from the entries that have gone, since too many have.
    Alarmed(PassCounts),
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
    OutOfTime(#[from] OutOfTime),
}

impl From<&ListError> for PassError {
    fn from(error: &ListError) -> Self {
        Self::List(error.kind())
    }
}

/// The note on passes.
type PassNote = Versioned<ListPasses<Open>>;

/// Writes the note; fails if somebody else has written it since it was read.
async fn keep_note(note: &mut PassNote, table: &impl NoteStore, deadline: Deadline) -> Result<(), PassError> {
    match table.put_note(LIST_PASSES, note, deadline).await? {
        PutOutcome::Written => Ok(()),
        PutOutcome::Conflict(()) => Err(PassError::Contended),
    }
}

/// The ports of a pass, and what the template says about it.
pub(crate) struct Passing<'a, P: Ports> {
    pub(crate) table: &'a P::Table,
    pub(crate) list: &'a P::List,
    pub(crate) clock: &'a P::Clock,
    pub(crate) metrics: &'a P::Metrics,
    pub(crate) pace: &'a Pace<'a, P::Clock>,
    pub(crate) region: &'a str,
    pub(crate) gone: Gone,
    pub(crate) guard: Guard,
    /// When to be done, by the function's clock.
    pub(crate) ends_at: Timestamp,
    /// When the table must have answered.
    pub(crate) deadline: Deadline,
}

/// What came of one address.
struct Judged {
    action: Action,
    mended: bool,
}

impl<P: Ports> Passing<'_, P> {
    /// Goes on with the open pass, or begins one if one is due.
    pub(crate) async fn go_on(&self, every: Duration, demanded: bool) -> Result<Passed, PassError> {
        let mut kept: PassNote = self.table.get_note(LIST_PASSES, self.deadline).await?.unwrap_or_default();
        let now = self.clock.now();
        let last = kept.value.last.as_ref();
        let due = demanded || last.is_none_or(|last| now.since(last.started_at) >= every);
        let mut open = match kept.value.open.clone() {
            Some(open) => open.resumed(),
            None if !due => return Ok(Passed::NotDue),
            None => Open {
                started_at: now,
                chunks: chunks_for(last.map_or(0, |last| last.entries.saturating_mul(2))),
                step: Step::List(None),
                list: ListPlace::default(),
                counts: PassCounts::default(),
            },
        };
        let mut seen = SeenAddresses::load(self.table, open.started_at, open.chunks, self.deadline).await?;
        let passed = match self.steps(&mut kept, &mut open, &mut seen).await {
            Err(PassError::OutOfTime(_)) => Ok(Passed::Unfinished(open.counts())),
            passed => passed,
        };
        match passed {
            Ok(Passed::Ended(_) | Passed::Alarmed(_)) => {
                kept.value.last = Some(ListPass {
                    started_at: open.started_at,
                    ended_at: Some(self.clock.now()),
                    entries: open.counts.entries,
                    agree: Some(open.counts.agree),
                    differ: Some(open.counts.differ),
                    mended: Some(open.counts.mended),
                    gone: Some(open.counts.gone),
                    alarmed: matches!(passed, Ok(Passed::Alarmed(_))),
                });
                kept.value.open = None;
                keep_note(&mut kept, self.table, self.deadline).await?;
            }
            Err(PassError::Contended) => {}
            // What was found before a failure is kept, so that a failure costs no more than the step that failed.
            Ok(Passed::Unfinished(_) | Passed::NotDue) | Err(_) => {
                self.keep(&mut kept, &open, &mut seen).await?;
            }
        }
        passed
    }

    /// Keeps the filter first and then the pass. Where the pass stands must never be ahead of what the filter has seen, or
    /// what the filter has forgotten would count as gone. If the filter can't be kept, both stay as they were.
    async fn keep(
        &self,
        kept: &mut PassNote,
        open: &Open,
        seen: &mut SeenAddresses,
    ) -> Result<(), PassError> {
        if !seen.keep(self.table, self.deadline).await? {
            return Err(PassError::Contended);
        }
        kept.value.open = Some(open.clone());
        keep_note(kept, self.table, self.deadline).await
    }

    async fn steps(
        &self,
        kept: &mut PassNote,
        open: &mut Open,
        seen: &mut SeenAddresses,
    ) -> Result<Passed, PassError> {
        let account = self.asking(async || self.list.account().await).await?;
        let account = account.map_err(|error| PassError::from(&error))?;
        let mut pass = Pass::new(self.region, open.started_at);
        pass.sandbox = !account.production_access;
        pass.gone = self.gone;
        let mut kept_at = self.clock.now();
        while self.has_time() {
            if self.clock.now().since(kept_at) >= KEEP_EVERY {
                self.keep(kept, open, seen).await?;
                kept_at = self.clock.now();
            }
            let counts = &mut open.counts;
            let next = match &open.step {
                Step::List(token) => {
                    self.list_page(token.as_deref(), &mut open.list, seen, &pass, counts).await?
                }
                Step::States(place) => match self.states_page(place, seen, &pass, counts).await? {
                    Some(place) => Some(Step::States(place)),
                    None if self.guard.trips(counts.expected, counts.gone) => {
                        warn!(
                            gone = counts.gone,
                            expected = counts.expected,
                            "too much has gone from the list"
                        );
                        return Ok(Passed::Alarmed(open.counts));
                    }
                    None => (counts.gone > 0).then(|| Step::Confirm(Place::default())),
                },
                Step::Confirm(place) => {
                    self.confirm_page(place, seen, &pass, counts).await?.map(Step::Confirm)
                }
            };
            match next {
                Some(step) => open.step = step,
                None => return Ok(Passed::Ended(open.counts)),
            }
        }
        Ok(Passed::Unfinished(open.counts()))
    }

    fn has_time(&self) -> bool {
        self.clock.now().plus(TO_KEEP) < self.ends_at && !self.deadline.has_passed()
    }

    /// Calls SES, again for a while if it is throttled or unavailable. A refusal is returned at once, since SES would
    /// refuse again.
    async fn asking<T>(
        &self,
        call: impl AsyncFn() -> Result<T, ListError>,
    ) -> Result<Result<T, ListError>, OutOfTime> {
        let passes = |error: &ListError| matches!(error, ListError::Throttled | ListError::Unavailable(_));
        self.pace.call(passes, call).await
    }

    /// Judges a page of the window.
    async fn list_page(
        &self,
        token: Option<&str>,
        place: &mut ListPlace,
        seen: &mut SeenAddresses,
        pass: &Pass<'_>,
        counts: &mut PassCounts,
    ) -> Result<Option<Step>, PassError> {
        let page = match self.asking(async || self.list.page(place.window, token).await).await? {
            Ok(page) => page,
            Err(ListError::Refused(_)) if token.is_some() => {
                let window = place.window;
                let split = place.restart(self.clock.now());
                warn!(?window, split, "SES no longer takes a page's token: the window is begun again");
                self.metrics.count(&[("ListRestarts", 1)]);
                counts.restarts += 1;
                return Ok(Some(Step::List(None)));
            }
            Err(error) => return Err(PassError::from(&error)),
        };
        let entries = page.items.len() + page.unread;
        let times = page.items.iter().map(|entry| entry.updated_at).collect();
        let (listings, unread) = Listing::group(page.items);
        let mut found = PassCounts { entries, unread: unread + page.unread, ..PassCounts::default() };
        let mut judged = stream::iter(&listings)
            .map(|listing| self.mend(listing.address(), Some(listing), pass))
            .buffer_unordered(PARALLEL);
        while let Some(judged) = judged.next().await {
            let Judged { action, mended } = judged?;
            found.add_action(&action, mended);
        }
        drop(judged);
        for listing in &listings {
            seen.insert(listing.address());
        }
        place.read_page(times, found);
        if page.next.is_some() {
            return Ok(Some(Step::List(page.next)));
        }
        let (found, more) = place.end_window();
        counts.join(found);
        if more {
            return Ok(Some(Step::List(None)));
        }
        // If the note is there already, that is as good.
        let mut note = Versioned { value: FirstPass { ended_at: self.clock.now() }, version: None };
        self.table.put_note(FIRST_PASS, &mut note, self.deadline).await?;
        Ok(Some(Step::States(Place::default())))
    }

    /// Judges a page of states: those that were not seen on the list.
    async fn states_page(
        &self,
        place: &Place,
        seen: &SeenAddresses,
        pass: &Pass<'_>,
        counts: &mut PassCounts,
    ) -> Result<Option<Place>, PassError> {
        let Some((states, mut found, next)) = self.page(place).await? else { return Ok(None) };
        let mut to_mend = Vec::new();
        for state in &states {
            let applied = state.applied().and_then(|applied| applied.reason);
            found.expected += usize::from(state.effective().is_some() && applied.is_some());
            if seen.contains(state.address()) {
                continue;
            }
            match judge(None, Some(state), pass) {
                Action::Confirm => found.gone += 1,
                action if carried_out(&action, None, Some(state), pass, self.clock.now()).is_some() => {
                    to_mend.push(state.address());
                }
                action => found.add_action(&action, false),
            }
        }
        let mut judged =
            stream::iter(to_mend).map(|address| self.mend(address, None, pass)).buffer_unordered(PARALLEL);
        while let Some(judged) = judged.next().await {
            let Judged { action, mended } = judged?;
            found.add_action(&action, mended);
        }
        counts.join(found);
        Ok(Some(next))
    }

    /// Asks SES for those entries of a page of states that seem to have gone.
    async fn confirm_page(
        &self,
        place: &Place,
        seen: &SeenAddresses,
        pass: &Pass<'_>,
        counts: &mut PassCounts,
    ) -> Result<Option<Place>, PassError> {
        let Some((states, _, next)) = self.page(place).await? else { return Ok(None) };
        let gone = |state: &&AddressState| {
            !seen.contains(state.address()) && judge(None, Some(state), pass) == Action::Confirm
        };
        for state in states.iter().filter(gone) {
            if counts.asked >= MOST_CONFIRMED {
                return Ok(None);
            }
            if !self.has_time() {
                // What was asked before is settled by now, so that the same page asks only for the rest.
                return Ok(Some(place.clone()));
            }
            counts.asked += 1;
            let judged = self.confirm(state.address(), pass, &mut counts.drifted).await?;
            counts.add_action(&judged.action, judged.mended);
        }
        Ok(Some(next))
    }

    /// Reads a page of the index of states, and says where the next one begins; `None` after the last shard.
    async fn page(&self, place: &Place) -> Result<Option<(Vec<AddressState>, PassCounts, Place)>, PassError> {
        let Some(shard) = shards().nth(place.shard) else { return Ok(None) };
        let page =
            self.table.changed(&shard, Timestamp::MIN, place.after.as_ref(), PAGE, self.deadline).await?;
        let next = Place { shard: place.shard + usize::from(page.next.is_none()), after: page.next };
        Ok(Some((page.items, PassCounts { unreadable: page.unreadable, ..PassCounts::default() }, next)))
    }

    /// Judges an address by its state as it is now, and writes what follows; tries again if somebody else was faster.
    async fn mend(
        &self,
        address: &str,
        listing: Option<&Listing>,
        pass: &Pass<'_>,
    ) -> Result<Judged, PassError> {
        let mut action = judge(listing, None, pass);
        let update = update_state(self.table, address, self.deadline, |state| {
            action = judge(listing, state, pass);
            carried_out(&action, listing, state, pass, self.clock.now())
        });
        let mended = update.await?.was_written;
        Ok(Judged { action, mended })
    }

    /// Asks SES for an entry that was not seen, in each of its spellings, and judges the address again.
    async fn confirm(
        &self,
        address: &str,
        pass: &Pass<'_>,
        drifted: &mut usize,
    ) -> Result<Judged, PassError> {
        for _ in 0..TRIES {
            let state = self.table.get_state(address, self.deadline).await?;
            let first = judge(None, state.as_ref(), pass);
            let Some(state) = state.filter(|_| first == Action::Confirm) else {
                // The state has changed since it was read from the index.
                return Ok(Judged { action: first, mended: false });
            };
            let (mut found, mut untold) = (None, false);
            for spelling in state.spellings().iter() {
                match self.asking(async || self.list.get(spelling).await).await? {
                    Ok(entry) => found = entry,
                    // SES refuses such an address in the path of any call. So it has to be enough that the list did not
                    // show it: if it were there all the same, the next pass would see it and note it.
                    Err(ListError::Refused(_)) if only_a_job_deletes(spelling) => {}
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
                return Ok(Judged { action: Action::Leave(Leave::Untold), mended: false });
            }
            let gone = found.is_none();
            let listing = Listing::group(found.clone()).0.pop();
            let action = confirmed(found, &state, pass);
            if let Some(mended) = self.carry_out(&action, listing.as_ref(), Some(&state), pass).await? {
                *drifted += usize::from(gone);
                return Ok(Judged { action, mended });
            }
        }
        Err(TableError::Contended.into())
    }

    /// Writes what an action makes of a state, and returns whether there was anything to write; `None` if somebody else was
    /// faster.
    async fn carry_out(
        &self,
        action: &Action,
        listing: Option<&Listing>,
        state: Option<&AddressState>,
        pass: &Pass<'_>,
    ) -> Result<Option<bool>, PassError> {
        let Some(next) = carried_out(action, listing, state, pass, self.clock.now()) else {
            return Ok(Some(false));
        };
        match self.table.put_state(&next, state.map(AddressState::version), self.deadline).await? {
            PutOutcome::Written => Ok(Some(true)),
            PutOutcome::Conflict(_) => Ok(None),
        }
    }
}
