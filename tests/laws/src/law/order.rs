//! In which order things arrive: it does not matter.

use mailroom_core::suppression::{AddressState, StatementSource, SuppressionState};

use super::{Broken, broken};
use crate::truth::Truth;

/// A law: whatever was said of an address counts from its own time, whenever and in whatever order it arrived.
pub(super) fn counts_from_its_own_time(state: &AddressState, truth: &Truth) -> Result<(), Broken> {
    let SuppressionState { bounced, complained, released } = state.state();
    for said in [bounced, complained, released].into_iter().flatten() {
        let at = match said.source {
            StatementSource::Bounce | StatementSource::Complaint | StatementSource::Transient => {
                truth.events.get(&said.id).map(|event| event.occurred_at)
            }
            StatementSource::Operator => truth.decisions.get(&said.id).map(|decision| decision.at),
            StatementSource::List | StatementSource::Unknown => continue,
        };
        if at != Some(said.at) {
            return broken(format!("{said:?} counts from {at:?}"));
        }
    }
    Ok(())
}
