//! Drains what is due: some of it by calls, the rest by import job.

use futures_util::{StreamExt, stream};
use mailroom_aws::table::states::StateTable;
use mailroom_core::suppression::address_state::ApplyAttempt;
use mailroom_core::suppression::dispatch::{Backlog, Dispatch, DueAddress, JobAvailability};
use tracing::warn;

use crate::error::RunEnd;
use crate::import_job::JobStart;
use crate::ports::Ports;
use crate::run::{ApplyRun, MAX_DUE, MAX_PARALLEL_WRITES};

/// What came of recording what needs no call.
struct RecordingResult {
    /// The addresses that are still due.
    remaining: Vec<DueAddress>,
    /// The number of those that are done.
    recorded_count: usize,
}

impl<P: Ports> ApplyRun<'_, P> {
    /// Does what is due, as long as there is time and something to do. `addresses`, sorted, are looked at first, whatever the
    /// index says of them.
    pub(crate) async fn drain_due_actions(&mut self, addresses: &[&str]) -> Result<(), RunEnd> {
        let mut addresses = addresses;
        // The error if it is not known how far the job is.
        let mut unwatched = None;
        loop {
            let watched = if unwatched.is_none() { self.poll_jobs_and_note_overdue().await } else { Ok(()) };
            // Whatever came of watching the job, this is done: it counts for how long something has been pending.
            let due = self.correct_marks_and_collect_due(std::mem::take(&mut addresses)).await?;
            match watched {
                Err(RunEnd::List(error)) => {
                    warn!("it is not known how far the import job is: {}", error.redacted_text());
                    unwatched = Some(error);
                }
                watched => watched?,
            }
            let RecordingResult { remaining, recorded_count } =
                self.record_attempts_without_calls(due).await?;
            let backlog = Backlog::new(remaining, self.function.settings.calls_per_minute());
            let is_storm = backlog.exceeds_calls_per_minute();
            let jobs = self.job_availability(&backlog).await?;
            let Dispatch { job, calls, waits } = backlog.dispatch(jobs);
            if !job.is_empty() && self.start_job(job).await? == JobStart::Requested {
                continue;
            }
            let done = recorded_count + self.make_one_round_of_calls(calls).await?;
            // Something was done, so look again. The index may still show it, but not for long, and then it counts as
            // nothing.
            if done > 0 {
                continue;
            }
            if let Some(error) = unwatched.take() {
                return Err(RunEnd::List(error));
            }
            let Some(wait) = waits else { return Ok(()) };
            let until_watched = self.import_jobs.next_watch_in(self.now());
            if !(is_storm
                && self.import_jobs.note.is_in_flight()
                && self.list_caller.wait_for(until_watched).await)
            {
                return Err(RunEnd::Job(wait));
            }
        }
    }

    /// Whether a job may be made. The account is asked for only if that depends on it, since it costs a call.
    async fn job_availability(&mut self, backlog: &Backlog) -> Result<JobAvailability, RunEnd> {
        let is_suspended = self.import_jobs.note.is_suspended(self.now());
        if backlog.depends_on_account(is_suspended) && !self.account_status().await?.has_production_access {
            return Ok(JobAvailability::Sandbox);
        }
        Ok(if is_suspended {
            JobAvailability::Suspended
        } else if self.import_jobs.note.is_in_flight() {
            JobAvailability::InFlight
        } else {
            JobAvailability::Available
        })
    }

    /// What is due and can be done now. An address that an import job holds is not touched, unless that job is no longer
    /// known: it is overdue, its intent was given up, or it ended before the index showed that it held the address. Then its
    /// mark is corrected, and the address is due.
    async fn correct_marks_and_collect_due(&mut self, addresses: &[&str]) -> Result<Vec<DueAddress>, RunEnd> {
        let (mut due, mut stray) = (Vec::new(), Vec::new());
        let mut reads = stream::iter(addresses)
            .map(|address| self.function.table.get_state(address, self.deadline))
            .buffer_unordered(MAX_PARALLEL_WRITES);
        while let Some(state) = reads.next().await {
            due.extend(
                state?
                    .filter(|state| !self.import_jobs.note.contradicts_job_of(state))
                    .and_then(|state| self.due_address(state)),
            );
        }
        let now = self.now();
        let mut oldest = now;
        self.for_each_due(|state| {
            oldest = state.pending_since().map_or(oldest, |since| oldest.min(since));
            if self.import_jobs.note.contradicts_job_of(&state) {
                stray.push(state);
            } else if addresses.binary_search(&state.address()).is_err() {
                due.extend(self.due_address(state));
            }
            due.len() < MAX_DUE
        })
        .await?;
        self.counts.oldest_pending = self.counts.oldest_pending.max(now.since(oldest));
        let corrected = self
            .update_all(stray, |state, now| self.import_jobs.note.correct_assigned_job(state, now))
            .await?;
        due.extend(corrected.into_iter().filter_map(|state| self.due_address(state)));
        Ok(due)
    }

    /// Records what needs no call: what SES is trusted to have put, and what it refuses to put.
    async fn record_attempts_without_calls(
        &mut self,
        due: Vec<DueAddress>,
    ) -> Result<RecordingResult, RunEnd> {
        if !due.iter().any(DueAddress::depends_on_account) {
            return Ok(RecordingResult { remaining: due, recorded_count: 0 });
        }
        let account = self.account_status().await?.clone();
        let settle = |due: &DueAddress| {
            due.trusted_or_refused_attempt(account.has_production_access, &account.enabled_reasons)
        };
        let (settled, remaining): (Vec<_>, Vec<_>) = due.into_iter().partition(|due| settle(due).is_some());
        let (run, settle) = (&*self, &settle);
        let mut writes = stream::iter(settled)
            .map(|stale| async move {
                // What is done already must not count as progress.
                let due = run.reread(stale.state.address()).await?;
                let Some((attempt, due)) = due.and_then(|due| Some((settle(&due)?, due))) else {
                    return Ok(None);
                };
                run.record_attempt(due.state, &attempt).await?;
                Ok::<_, RunEnd>(Some(attempt))
            })
            .buffer_unordered(MAX_PARALLEL_WRITES);
        let mut attempts: Vec<ApplyAttempt> = Vec::new();
        while let Some(attempt) = writes.next().await {
            attempts.extend(attempt?);
        }
        drop(writes);
        for attempt in &attempts {
            self.counts.add(attempt);
        }
        Ok(RecordingResult { remaining, recorded_count: attempts.len() })
    }
}
