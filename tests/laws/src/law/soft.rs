//! What soft bounces may do: suppress if they are counted, and if the count is right.

use std::collections::BTreeSet;

use mailroom_core::suppression::{AddressState, Statement, StatementSource};
use mailroom_core::timestamp::Timestamp;

use super::{Broken, broken};
use crate::soft::SoftBounces;
use crate::truth::Truth;

/// When soft bounces last suppressed an address; `None` if they did not, or something else has since.
pub(super) fn suppressed_at(state: Option<&AddressState>) -> Option<Timestamp> {
    let bounced = state?.state().bounced.as_ref();
    bounced.filter(|said| said.source == StatementSource::Transient).map(|said| said.at)
}

/// A law: soft bounces suppress an address only if they are counted, and if there are enough of them on enough days from the
/// one that the suppression counts from, with no delivery since that was known when the last of them was recorded. Each
/// Region counts what it was told itself.
pub(super) fn counted_since_the_latest_delivery(state: &AddressState, truth: &Truth) -> Result<(), Broken> {
    match &state.state().bounced {
        Some(said) if said.source == StatementSource::Transient => counted(said, state.address(), truth),
        _ => Ok(()),
    }
}

fn counted(said: &Statement, address: &str, truth: &Truth) -> Result<(), Broken> {
    let soft: &SoftBounces = &truth.soft;
    let Some(threshold) = soft.threshold else {
        return broken(format!("soft bounces are not counted, and {address} is suppressed by {said:?}"));
    };
    let mut counted: Vec<_> =
        soft.bounces(&said.region, address).filter(|bounce| bounce.occurred_at >= said.at).collect();
    let days: BTreeSet<_> = counted.iter().map(|bounce| bounce.occurred_at.seconds() / 86_400).collect();
    if counted.len() < threshold.events || days.len() < threshold.days {
        return broken(format!("{address} is suppressed by {said:?}, with {counted:?}"));
    }
    // It was decided no earlier than when enough of them were recorded.
    counted.sort_unstable_by_key(|bounce| (bounce.recorded_at.is_none(), bounce.recorded_at));
    let Some(enough_at) = counted.get(threshold.events - 1).and_then(|bounce| bounce.recorded_at) else {
        return broken(format!(
            "{address} is suppressed by {said:?} before enough is recorded of {counted:?}"
        ));
    };
    let delivered_at = soft.delivered_before(&said.region, address, Some(enough_at));
    if delivered_at >= Some(said.at) {
        return broken(format!(
            "{address} is suppressed by {said:?}, and was delivered to at {delivered_at:?}"
        ));
    }
    Ok(())
}

/// A law of rest: a Region keeps the latest delivery to each address if soft bounces are counted, and none if they are not.
pub(crate) fn latest_deliveries_are_kept(
    region: &str,
    records: &[serde_json::Value],
    truth: &Truth,
) -> Result<(), Broken> {
    let text = |record: &serde_json::Value, name: &str| record[name].as_str().unwrap_or_default().to_owned();
    let kept: BTreeSet<_> = records
        .iter()
        .filter(|record| record["sk"] == "DELIVERED")
        .map(|record| (text(record, "address"), text(record, "occurred_at")))
        .collect();
    let told = truth.soft.latest_deliveries(region);
    let told: BTreeSet<_> = told.into_iter().map(|(address, at)| (address, at.to_string())).collect();
    let expected = if truth.soft.threshold.is_some() { told } else { BTreeSet::new() };
    if kept != expected {
        return broken(format!("{region} keeps the deliveries {kept:?}, and was told {expected:?}"));
    }
    Ok(())
}
