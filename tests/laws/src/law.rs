//! The laws. Some are checked at every write, the others once everything is at rest.

mod accused;
mod order;
pub(crate) mod soft;

use std::collections::BTreeMap;
use std::time::Duration;

use doubles::{ListWrite, ListWriter};
use mailroom_core::address::Address;
use mailroom_core::suppression::address_state::ApplyOutcomeKind;
use mailroom_core::suppression::{AddressState, StatementSource, SuppressionReason, SuppressionState};
use mailroom_core::timestamp::Timestamp;

use crate::coverage::Coverage;
use crate::truth::{SKEW, Truth};

/// How long apply may run. The run that marks the addresses for a job also makes the job.
const MAX_RUN: Duration = Duration::from_mins(2);

/// A law that was broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub(crate) String);

pub(crate) fn broken<T>(what: impl Into<String>) -> Result<T, Broken> {
    Err(Broken(what.into()))
}

/// The states of one Region's addresses, each with the time at which it was written.
#[derive(Debug, Default)]
pub(crate) struct Chronicle(BTreeMap<String, Vec<(Timestamp, AddressState)>>);

impl Chronicle {
    fn of(&self, address: &str) -> &[(Timestamp, AddressState)] {
        self.0.get(address).map_or(&[], Vec::as_slice)
    }

    fn before(&self, address: &str, now: Timestamp) -> Option<&AddressState> {
        self.of(address).iter().rev().find(|(at, _)| *at < now).map(|(_, state)| state)
    }

    /// Checks a state that was written, and remembers it.
    pub(crate) fn state_written(
        &mut self,
        region: &str,
        state: AddressState,
        now: Timestamp,
        truth: &Truth,
        coverage: &mut Coverage,
    ) -> Result<(), Broken> {
        let old = self.of(state.address()).last().map(|(_, state)| state);
        if soft::suppressed_at(Some(&state)) > soft::suppressed_at(old) {
            coverage.note("suppressed by soft bounces");
        }
        accused::only_whom_an_event_accuses(&state, truth)?;
        order::counts_from_its_own_time(&state, truth)?;
        soft::counted_since_the_latest_delivery(&state, truth)?;
        settled_is_in_force(region, &state)?;
        if let Some(old) = old {
            release_stands(region, old, &state, truth)?;
            note(old, &state, coverage);
        }
        if Address::parse(state.address()).is_ok_and(|address| address.is_simulator()) {
            return broken("the mailbox simulator has a state");
        }
        let states = self.0.entry(state.address().to_owned()).or_default();
        states.push((now, state));
        Ok(())
    }

    /// Checks a write to the list.
    pub(crate) fn list_written(
        &self,
        region: &str,
        write: &ListWrite,
        first_pass_ended: bool,
        now: Timestamp,
        coverage: &mut Coverage,
    ) -> Result<(), Broken> {
        let address = Address::parse(&write.spelling).map(|address| address.match_form().to_owned());
        let address = address.map_err(|_| Broken(format!("{} is no address", write.spelling)))?;
        let known = match &write.by {
            ListWriter::Others => return Ok(()),
            ListWriter::Call => self.before(&address, now),
            // A job writes what was right when the address went into it, and can't be called back. But there is no excuse
            // for making a job from an object of long ago.
            ListWriter::Job { url, created_at } => {
                let held_by =
                    |state: &AddressState| state.assigned_job().is_some_and(|job| url.ends_with(&job.key));
                let Some((marked_at, held)) = self.of(&address).iter().find(|(_, state)| held_by(state))
                else {
                    return broken(format!("{region}: a job writes {address}, which was never in it"));
                };
                if *created_at > marked_at.plus(MAX_RUN) {
                    return broken(format!("{region}: a job is made of what was right long ago: {held:?}"));
                }
                Some(held)
            }
        };
        coverage.note(match write.by {
            ListWriter::Job { .. } => "writes to a list by job",
            _ => "writes to a list by call",
        });
        if write.after != Some(SuppressionReason::Bounce) {
            return Ok(());
        }
        if !first_pass_ended {
            return broken(format!("{region}: a BOUNCE of {address} before the first pass"));
        }
        if write.before == Some(SuppressionReason::Complaint) {
            coverage.note("a BOUNCE over a COMPLAINT that was released, or that nobody knew of");
            if known.is_some_and(|state| state.effective_reason() == Some(SuppressionReason::Complaint)) {
                return broken(format!("{region}: a BOUNCE over the COMPLAINT of {address}: {known:?}"));
            }
        }
        Ok(())
    }

    /// How often the list may have needed work, by the states.
    pub(crate) fn needs(&self) -> usize {
        let needs = |old: Option<&AddressState>, new: &AddressState| {
            let Some(old) = old else { return new.is_pending() };
            let failed =
                new.current_apply_outcome().filter(|outcome| outcome.kind == ApplyOutcomeKind::Failed);
            new.is_pending()
                && (!old.is_pending()
                    || old.state() != new.state()
                    || (old.assigned_job().is_some() && new.assigned_job().is_none())
                    || (failed.is_some() && old.current_apply_outcome() != failed))
        };
        let of = |states: &Vec<(Timestamp, AddressState)>| {
            let mut old = None;
            states.iter().filter(|(_, new)| needs(old.replace(new), new)).count()
        };
        self.0.values().map(of).sum()
    }
}

/// A law: a state is settled only for the version that was acted on, so what is settled as done is what is in force. It is
/// checked at every write, since reconcile would have fixed it once all is at rest.
fn settled_is_in_force(region: &str, state: &AddressState) -> Result<(), Broken> {
    let done = state.current_apply_outcome().map(|outcome| outcome.kind);
    let done = matches!(done, Some(ApplyOutcomeKind::Applied | ApplyOutcomeKind::ReasonNotEnabled));
    let applied = state.last_known_entry();
    // What somebody took off by hand stays off.
    let left_off = applied.is_some_and(|applied| applied.removal_accepted);
    let applied = applied.and_then(|applied| applied.reason);
    if done && !left_off && !state.is_pending() && applied != state.effective_reason() {
        return broken(format!("{region}: settled, and not as it should be: {state:?}"));
    }
    Ok(())
}

/// A law: a release is never undone by what stood on a list before it, nor by what a job has left there. Events and
/// decisions can't undo it, since they count from their own times.
fn release_stands(region: &str, old: &AddressState, new: &AddressState, truth: &Truth) -> Result<(), Broken> {
    let Some((reason, said)) = new.state().statement_in_force().filter(|_| old.effective_reason().is_none())
    else {
        return Ok(());
    };
    let released = old.state().released.as_ref().and_then(|released| truth.decisions.get(&released.id));
    let Some(released) = released.filter(|_| said.source == StatementSource::List) else { return Ok(()) };
    let address = new.address();
    if truth.last_entry(address).map(|at| at.plus(SKEW)) < Some(released.at) {
        return broken(format!(
            "{region}: the release of {address} at {} is undone as a {reason:?} by {said:?}",
            released.at
        ));
    }
    Ok(())
}

/// A law: in the end a state is what was said of its address, in whatever order that arrived. What stood on a list may have
/// been said later.
pub(crate) fn is_what_was_said(
    address: &str,
    state: Option<&AddressState>,
    truth: &Truth,
) -> Result<(), Broken> {
    let nothing = SuppressionState::default();
    let state = state.map_or(&nothing, AddressState::state);
    let [least, most] = truth.times(address);
    for (said, least, most) in [
        (&state.bounced, least.bounced, most.bounced),
        (&state.complained, least.complained, most.complained),
        (&state.released, least.released, most.released),
    ] {
        let at = said.as_ref().map(|said| said.at);
        let listed = said.as_ref().is_some_and(|said| said.source == StatementSource::List);
        if at < least || (at > most && !listed) {
            return broken(format!("{address} is {state:?} where {least:?} to {most:?} was said: {truth:?}"));
        }
    }
    let listed = state.statement_in_force().is_some_and(|(_, said)| said.source == StatementSource::List);
    let last_entry = truth.last_entry(address).map(|at| at.plus(SKEW));
    if listed && (last_entry.is_none() || last_entry < state.released_at()) {
        return broken(format!("{address} is suppressed by an entry that nobody else put there: {state:?}"));
    }
    Ok(())
}

fn note(old: &AddressState, new: &AddressState, coverage: &mut Coverage) {
    let newly = |what: fn(&AddressState) -> Option<Timestamp>| what(new) > what(old);
    let released = newly(|state| state.state().released_at());
    let complained = newly(|state| state.state().complained_at());
    let in_job = old.assigned_job().map(|job| job.reason);
    if released {
        coverage.note("releases");
        if in_job.is_some_and(|reason| reason.is_some()) {
            coverage.note("releases while a job puts the address");
        }
    }
    if in_job.is_some() && newly(|state| state.state().last_evidence_at()) {
        coverage.note("evidence while a job holds the address");
    }
    if complained && in_job == Some(Some(SuppressionReason::Bounce)) {
        coverage.note("complaints while a job puts a BOUNCE");
    }
    if complained && old.effective_reason() == Some(SuppressionReason::Bounce) {
        coverage.note("complaints of who has bounced");
    }
    if newly(|state| state.state().bounced_at())
        && old.effective_reason() == Some(SuppressionReason::Complaint)
    {
        coverage.note("bounces of who has complained");
    }
    if newly(|state| state.state().last_evidence_at())
        && old.effective_reason().is_none()
        && new.effective_reason().is_none()
    {
        coverage.note("evidence from before a release");
    }
    if old.effective_reason().is_none() && new.effective_reason().is_some() {
        coverage.note("suppressed again after a release");
    }
    let kind = |state: &AddressState| state.current_apply_outcome().map(|outcome| outcome.kind);
    if kind(new) != kind(old) {
        match kind(new) {
            Some(ApplyOutcomeKind::RefusedSandbox) => coverage.note("refused in the sandbox"),
            Some(ApplyOutcomeKind::Failed) => coverage.note("attempts that failed"),
            _ => {}
        }
    }
    let left_off =
        |state: &AddressState| state.last_known_entry().is_some_and(|applied| applied.removal_accepted);
    if left_off(new) && !left_off(old) {
        coverage.note("entries left off after a hand took them off");
    }
}
