//! Who may be suppressed: an address that an event accuses, for what the event says.

use mailroom_core::suppression::{AddressState, Statement, StatementSource, SuppressionReason};

use super::{Broken, broken};
use crate::truth::{Truth, Weight};

/// A law: an address is suppressed only for an event that accuses it, and only as heavily as the event weighs. A refusal by
/// SES, an automatic reply, an echo and whatever else says nothing change no state. Neither does an event that names the
/// address without the mail having been sent to it; and where it was sent to is not accused instead.
pub(super) fn only_whom_an_event_accuses(state: &AddressState, truth: &Truth) -> Result<(), Broken> {
    let bounced = state.state().bounced.as_ref().map(|said| (SuppressionReason::Bounce, said));
    let complained = state.state().complained.as_ref().map(|said| (SuppressionReason::Complaint, said));
    bounced.into_iter().chain(complained).try_for_each(|(reason, said)| accused(reason, said, state, truth))
}

fn accused(
    reason: SuppressionReason,
    said: &Statement,
    state: &AddressState,
    truth: &Truth,
) -> Result<(), Broken> {
    let weight = match said.source {
        StatementSource::Bounce => Weight::Enough(SuppressionReason::Bounce),
        StatementSource::Complaint => Weight::Enough(SuppressionReason::Complaint),
        StatementSource::Transient => Weight::Counts,
        StatementSource::Operator | StatementSource::List | StatementSource::Unknown => return Ok(()),
    };
    let Some(event) = truth.events.get(&said.id) else { return broken(format!("nobody said {said:?}")) };
    if event.weight != weight {
        return broken(format!("{reason:?} by {said:?}, and {event:?} does not say so"));
    }
    if !event.addresses.iter().any(|address| address == state.address()) {
        return broken(format!("{} is suppressed for another's event: {event:?}", state.address()));
    }
    Ok(())
}
