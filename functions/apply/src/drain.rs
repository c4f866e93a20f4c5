//! Drains what is due: some of it by calls, the rest by import job.

use std::collections::VecDeque;

use futures_util::{StreamExt, stream};
use mailroom_aws::clock::Timer;
use mailroom_aws::lease::Lease;
use mailroom_aws::metrics::Metrics;
use mailroom_aws::notes::Notes;
use mailroom_aws::objects::ObjectStore;
use mailroom_aws::states::StateTable;
use mailroom_aws::suppression_list::{Account, SuppressionList};
use mailroom_core::suppression::item::{Attempt, OutcomeKind, SHARDS, Site, ToDo, shards};
use mailroom_core::suppression::{AddressState, Reason, import};
use tracing::warn;

use crate::calls::Twice;
use crate::handler::{End, PARALLEL, Run};

/// The most states that are kept in memory. What else is pending comes next.
const MOST: usize = 25_000;
/// The states that are read from a shard before it is the next one's turn, so that what is due first is seen whatever shard
/// it is in. That is about as many as DynamoDB gives at once.
const PAGE: usize = MOST / SHARDS as usize;

/// The states that are due, and what each of them needs.
pub(crate) type Work = Vec<(AddressState, ToDo)>;

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
    /// Does what is due, as long as there is time and something to do.
    pub(crate) async fn drain(&mut self, named: &[String]) -> Result<(), End> {
        let mut named = named;
        // The error if it is not known how far the job is.
        let mut unwatched = None;
        loop {
            let watched = if unwatched.is_none() { self.watch().await } else { Ok(()) };
            // Whatever came of watching the job, this is done: it counts for how long something has been pending.
            let due = self.collect(std::mem::take(&mut named)).await?;
            match watched {
                Err(End::List(error)) => {
                    warn!("it is not known how far the import job is: {}", error.kind());
                    unwatched = Some(error);
                }
                watched => watched?,
            }
            let (due, mut done) = self.without_calls(due).await?;
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
                // What is urgent does not wait for the job. What the stream names does: in a storm that is everything.
                singly.extend(by_job.into_iter().filter(|(_, to_do)| is_urgent(to_do)));
                waits = Some("an import job is under way");
            } else {
                singly.extend(by_job);
            }
            let (only_by_job, mut singly): (Work, Work) =
                singly.into_iter().partition(|(_, to_do)| import::only_by_job(to_do));
            if !only_by_job.is_empty() {
                if !self.account().await?.production_access {
                    // In the sandbox there are no import jobs. A call is tried all the same, since SES may have changed its
                    // mind.
                    singly.extend(only_by_job);
                } else if self.jobs.in_flight() || !self.jobs_allowed().await? {
                    waits = waits.or(Some("it needs an import job, which must wait"));
                } else if self.start(only_by_job).await? {
                    continue;
                }
            }
            done += self.singly(singly).await?;
            // Something was done, so look again. The index may still show it, but not for long, and then it counts as
            // nothing.
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

    /// The account, which SES is asked for once in a run, and only if there is something to put.
    pub(crate) async fn account(&mut self) -> Result<&Account, End> {
        let account = match self.account.take() {
            Some(account) => account,
            None => self.calls.call(Twice::Harmless, async |list| list.account().await).await?,
        };
        Ok(self.account.insert(account))
    }

    pub(crate) fn to_do(&self, state: &AddressState) -> ToDo {
        let settings = &self.apply.settings;
        let site = Site {
            region: &settings.region,
            first_pass_ended: self.first_pass_ended,
            trust_origin: settings.trust_origin,
        };
        state.to_do(site, self.now())
    }

    /// Hands all states of the index that are due to `take`, until that returns `false`: of each shard the first page, then
    /// of each the next.
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

    /// What is due and can be done now. An address that an import job holds is not touched, unless that job is no longer
    /// known: it is overdue, its intent was given up, or it ended before the index showed that it held the address. Then its
    /// mark is corrected, and the address is due.
    async fn collect(&mut self, named: &[String]) -> Result<Work, End> {
        let (mut work, mut stray) = (Work::new(), Vec::new());
        let mut reads = stream::iter(named)
            .map(|address| self.apply.states.get(address, self.deadline))
            .buffer_unordered(PARALLEL);
        while let Some(state) = reads.next().await {
            let Some(state) = state? else { continue };
            let to_do = self.to_do(&state);
            if can_be_done(&to_do) && !self.jobs.is_stray(&state) {
                work.push((state, to_do));
            }
        }
        let now = self.now();
        let mut oldest = now;
        self.due(|state| {
            oldest = state.pending_since().map_or(oldest, |since| oldest.min(since));
            let known = named.binary_search_by(|named| named.as_str().cmp(state.address())).is_ok();
            let to_do = self.to_do(&state);
            if self.jobs.is_stray(&state) {
                stray.push(state);
            } else if !known && can_be_done(&to_do) {
                work.push((state, to_do));
            }
            work.len() < MOST
        })
        .await?;
        self.counts.oldest = self.counts.oldest.max(now.since(oldest));
        let corrected = self.each(stray, |state, now| self.jobs.correct_mark(state, now)).await?;
        let corrected = corrected.into_iter().map(|state| (self.to_do(&state), state));
        work.extend(corrected.filter(|(to_do, _)| can_be_done(to_do)).map(|(to_do, state)| (state, to_do)));
        Ok(work)
    }

    /// Records what needs no call: what SES is trusted to have put, and what it refuses to put. Returns the rest, and the
    /// number of those that were recorded.
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
                // The index lags behind, so the state is read again: what is done already must not count as progress.
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
}

/// Whether this is a deletion that has failed. It must not go by job (again): no source tells whether a job fails at an
/// entry that is not on the list, so it may fail for ever. A single call says that there is none, and then nothing is left
/// to do.
pub(crate) fn failed_by_job((state, to_do): &(AddressState, ToDo)) -> bool {
    let failed = state.outcome().is_some_and(|outcome| outcome.kind == OutcomeKind::Failed);
    failed && matches!(to_do, ToDo::Delete { .. }) && !import::only_by_job(to_do)
}

/// Whether this stops mail to somebody who complained, or lets mail through again.
fn is_urgent(to_do: &ToDo) -> bool {
    matches!(to_do, ToDo::Put { reason: Reason::Complaint, .. } | ToDo::Delete { .. })
}

fn can_be_done(to_do: &ToDo) -> bool {
    !matches!(to_do, ToDo::Nothing | ToDo::Wait(_))
}
