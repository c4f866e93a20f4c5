//! Goes from one address to the next: puts and deletes, each for the state as it is when SES takes the call.

use mailroom_aws::suppression_list::{ListError, SuppressionList};
use mailroom_aws::table::states::StateTable;
use mailroom_core::suppression::address_state::{ApplyAttempt, ListAction};
use mailroom_core::suppression::dispatch::DueAddress;
use mailroom_core::suppression::{AddressState, SuppressionReason};

use crate::error::RunEnd;
use crate::list_caller::Idempotency;
use crate::ports::Ports;
use crate::run::ApplyRun;

/// The number of calls after which the backlog is looked at again. In a storm it has grown by then, so that a job is due.
const CALLS_PER_ROUND: usize = 10;

/// What came of the attempt for one address.
struct AttemptOutcome {
    attempt: ApplyAttempt,
    /// The error with which the run ends; `None` if it goes on.
    end: Option<ListError>,
}

impl AttemptOutcome {
    fn from_attempt(attempt: ApplyAttempt) -> Self {
        Self { attempt, end: None }
    }

    /// An attempt that failed. If SES finds the input wrong, that is about this address. Anything else is about SES, or
    /// about our permissions, and ends the run: it is recorded as this address's failure, so that the next run does not
    /// begin with the same.
    fn from_error(error: ListError) -> Self {
        let of_address =
            matches!(&error, ListError::Refused(refusal) if refusal.code == "BadRequestException");
        let attempt = ApplyAttempt::Failed { cause: error.to_string(), retryable: !of_address };
        Self { attempt, end: (!of_address).then_some(error) }
    }
}

/// Why a call for an address has no result.
enum AddressCallError {
    /// The state of the address has changed since it was read.
    StateChanged,
    /// SES did not do what it was asked.
    Failed(AttemptOutcome),
    /// The run ends with this.
    RunEnd(RunEnd),
}

impl<E: Into<RunEnd>> From<E> for AddressCallError {
    fn from(error: E) -> Self {
        Self::RunEnd(error.into())
    }
}

impl<P: Ports> ApplyRun<'_, P> {
    /// Does as much, in this order, as goes before the backlog must be looked at again. Returns how many addresses were done.
    pub(crate) async fn make_one_round_of_calls(&mut self, due: Vec<DueAddress>) -> Result<usize, RunEnd> {
        let before = self.list_caller.call_count;
        let mut done = 0;
        for stale in due {
            if self.list_caller.call_count - before >= CALLS_PER_ROUND {
                break;
            }
            let Some((state, outcome)) = self.apply_state(stale.state.address()).await? else { continue };
            self.counts.add(&outcome.attempt);
            self.record_attempt(state, &outcome.attempt).await?;
            done += 1;
            if let Some(error) = outcome.end {
                return Err(RunEnd::List(error));
            }
        }
        Ok(done)
    }

    /// Does what the list needs for one address. Returns the state for which it was done, and what came of it; `None` if
    /// the list needs nothing (any more).
    async fn apply_state(&mut self, address: &str) -> Result<Option<(AddressState, AttemptOutcome)>, RunEnd> {
        loop {
            let Some(DueAddress { state, to_do }) = self.reread(address).await? else { return Ok(None) };
            let outcome = match to_do {
                ListAction::Put { spelling, reason } => self.put_entry(&state, &spelling, reason).await,
                ListAction::Delete { spellings } => self.delete_entries(&state, &spellings).await,
                ListAction::Nothing | ListAction::Wait(_) | ListAction::TrustSes(_) => return Ok(None),
            };
            match outcome {
                Ok(outcome) | Err(AddressCallError::Failed(outcome)) => return Ok(Some((state, outcome))),
                Err(AddressCallError::StateChanged) => {}
                Err(AddressCallError::RunEnd(end)) => return Err(end),
            }
        }
    }

    async fn put_entry(
        &mut self,
        state: &AddressState,
        spelling: &str,
        reason: SuppressionReason,
    ) -> Result<AttemptOutcome, AddressCallError> {
        // The account is asked for first, so that what was put is recorded without waiting for another call.
        let enabled = self.account_status().await?.enabled_reasons.contains(&reason);
        let called = self.call_if_state_unchanged(state, async |list| list.put(spelling, reason).await).await;
        if let Err(AddressCallError::Failed(AttemptOutcome {
            end: None | Some(ListError::Refused(_)), ..
        })) = called
        {
            // The account may have come into the sandbox since it was asked for. Then the address is not to blame.
            if !self.reread_account().await?.has_production_access {
                return Ok(AttemptOutcome::from_attempt(ApplyAttempt::RefusedSandbox));
            }
        }
        called?;
        Ok(AttemptOutcome::from_attempt(ApplyAttempt::Written { reason: Some(reason), enabled }))
    }

    async fn delete_entries(
        &mut self,
        state: &AddressState,
        spellings: &[String],
    ) -> Result<AttemptOutcome, AddressCallError> {
        for spelling in spellings {
            self.call_if_state_unchanged(state, async |list| list.delete(spelling).await).await?;
        }
        Ok(AttemptOutcome::from_attempt(ApplyAttempt::Written { reason: None, enabled: true }))
    }

    /// Calls SES for a state, unless that has changed by the time of the call: a BOUNCE must not be put over a COMPLAINT
    /// that came while the call waited for its turn.
    async fn call_if_state_unchanged(
        &mut self,
        state: &AddressState,
        call: impl AsyncFn(&P::List) -> Result<(), ListError>,
    ) -> Result<(), AddressCallError> {
        let (apply, deadline) = (self.function, self.deadline);
        let is_unchanged = async || {
            let found = apply.table.get_state(state.address(), deadline).await?;
            let same = found.is_some_and(|found| found.version() == state.version());
            if same { Ok(()) } else { Err(AddressCallError::StateChanged) }
        };
        self.list_caller
            .check_and_call_with_retries(Idempotency::Idempotent, is_unchanged, call)
            .await
            .map_err(|error| match error {
                AddressCallError::RunEnd(RunEnd::List(error)) => {
                    AddressCallError::Failed(AttemptOutcome::from_error(error))
                }
                error => error,
            })
    }
}
