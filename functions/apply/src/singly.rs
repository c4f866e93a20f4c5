//! Goes from one address to the next: puts and deletes, each for the state as it is when SES takes the call.

use mailroom_aws::clock::Timer;
use mailroom_aws::lease::Lease;
use mailroom_aws::metrics::Metrics;
use mailroom_aws::notes::Notes;
use mailroom_aws::objects::ObjectStore;
use mailroom_aws::states::StateTable;
use mailroom_aws::suppression_list::{ListError, SuppressionList};
use mailroom_core::suppression::item::{Attempt, ToDo};
use mailroom_core::suppression::{AddressState, Reason};

use crate::calls::Twice;
use crate::drain::{Work, failed_by_job};
use crate::handler::{End, Run};

/// The number of calls after which the backlog is looked at again. In a storm it has grown by then, so that a job is due.
const ROUND: usize = 10;

/// What came of the attempt for one address.
struct Tried {
    attempt: Attempt,
    /// The error with which the run ends; `None` if it goes on.
    end: Option<ListError>,
}

impl Tried {
    fn well(attempt: Attempt) -> Self {
        Self { attempt, end: None }
    }

    /// An attempt that failed. If SES finds the input wrong, that is about this address. Anything else is about SES, or
    /// about our permissions, and ends the run: it is recorded as this address's failure, so that the next run does not
    /// begin with the same.
    fn in_vain(error: ListError) -> Self {
        let of_address =
            matches!(&error, ListError::Refused(refusal) if refusal.code == "BadRequestException");
        let attempt = Attempt::Failed { why: error.to_string(), may_pass: !of_address };
        Self { attempt, end: (!of_address).then_some(error) }
    }
}

/// Why a call for an address has no result.
enum NotCalled {
    /// The state of the address has changed since it was read.
    Moved,
    /// The run ends with this.
    End(End),
}

impl<E: Into<End>> From<E> for NotCalled {
    fn from(error: E) -> Self {
        Self::End(error.into())
    }
}

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
    /// Does as much as goes before the backlog must be looked at again. Returns how many addresses were done.
    pub(crate) async fn singly(&mut self, mut due: Work) -> Result<usize, End> {
        // First what stops mail to somebody who complained, then what lets mail through again, then bounces. What a job
        // should have deleted comes last: most likely it has, or there was no such entry.
        let rank = |due: &(AddressState, ToDo)| match due.1 {
            ToDo::Put { reason: Reason::Complaint, .. } => 0,
            _ if failed_by_job(due) => 3,
            ToDo::Delete { .. } => 1,
            _ => 2,
        };
        due.sort_by_key(|due| (rank(due), due.0.pending_since()));
        let before = self.calls.made;
        let mut done = 0;
        for (stale, _) in due {
            if self.calls.made - before >= ROUND {
                break;
            }
            let Some((state, Tried { attempt, end })) = self.act(stale.address()).await? else { continue };
            match &attempt {
                Attempt::Written { reason: None, .. } => self.counts.deleted += 1,
                Attempt::Written { enabled, .. } => {
                    self.counts.put += 1;
                    self.counts.reason_not_enabled += usize::from(!enabled);
                }
                Attempt::Trusted { .. } => self.counts.trusted += 1,
                Attempt::RefusedSandbox => self.counts.refused_sandbox += 1,
                Attempt::Failed { .. } => self.counts.failed += 1,
            }
            self.attempted(state, &attempt).await?;
            done += 1;
            if let Some(error) = end {
                return Err(End::List(error));
            }
        }
        Ok(done)
    }

    /// Does what the list needs for one address. Returns the state for which it was done, and what came of it; `None` if
    /// the list needs nothing (any more).
    async fn act(&mut self, address: &str) -> Result<Option<(AddressState, Tried)>, End> {
        loop {
            // The index lags behind, so the state is read again.
            let Some(state) = self.apply.states.get(address, self.deadline).await? else { return Ok(None) };
            let tried = match self.to_do(&state) {
                ToDo::Put { spelling, reason } => self.put(&state, &spelling, reason).await,
                ToDo::Delete { spellings } => self.delete(&state, &spellings).await,
                ToDo::Nothing | ToDo::Wait(_) | ToDo::Trust(_) => return Ok(None),
            };
            match tried {
                Ok(tried) => return Ok(Some((state, tried))),
                Err(NotCalled::Moved) => {}
                Err(NotCalled::End(end)) => return Err(end),
            }
        }
    }

    async fn put(
        &mut self,
        state: &AddressState,
        spelling: &str,
        reason: Reason,
    ) -> Result<Tried, NotCalled> {
        // The account is asked for first, so that what was put is recorded without waiting for another call.
        let enabled = self.account().await?.enabled.contains(&reason);
        let put = self.call_for(state, async |list| list.put(spelling, reason).await).await?;
        if let Some(Tried { end: None | Some(ListError::Refused(_)), .. }) = put {
            // The account may have come into the sandbox since it was asked for. Then the address is not to blame.
            self.account = None;
            if !self.account().await?.production_access {
                return Ok(Tried::well(Attempt::RefusedSandbox));
            }
        }
        Ok(put.unwrap_or_else(|| Tried::well(Attempt::Written { reason: Some(reason), enabled })))
    }

    async fn delete(&mut self, state: &AddressState, spellings: &[String]) -> Result<Tried, NotCalled> {
        for spelling in spellings {
            if let Some(failed) = self.call_for(state, async |list| list.delete(spelling).await).await? {
                return Ok(failed);
            }
        }
        Ok(Tried::well(Attempt::Written { reason: None, enabled: true }))
    }

    /// Calls SES for a state, unless that has changed by the time of the call: a BOUNCE must not be put over a COMPLAINT
    /// that came while the call waited for its turn. `None` if SES did what it was asked.
    async fn call_for(
        &mut self,
        state: &AddressState,
        call: impl AsyncFn(&L) -> Result<(), ListError>,
    ) -> Result<Option<Tried>, NotCalled> {
        let (apply, deadline) = (self.apply, self.deadline);
        let still = async || {
            let found = apply.states.get(state.address(), deadline).await?;
            let same = found.is_some_and(|found| found.version() == state.version());
            if same { Ok(()) } else { Err(NotCalled::Moved) }
        };
        match self.calls.call_if(Twice::Harmless, still, call).await {
            Ok(()) => Ok(None),
            Err(NotCalled::End(End::List(error))) => Ok(Some(Tried::in_vain(error))),
            Err(not_called) => Err(not_called),
        }
    }

    /// Records what came of an attempt, which was made for this version of the state.
    pub(crate) async fn attempted(&self, state: AddressState, attempt: &Attempt) -> Result<(), End> {
        let acted_on = state.version();
        self.update(state, |state, now| Some(state.attempted(acted_on, attempt.clone(), now))).await?;
        Ok(())
    }
}
