//! What soft bounces may do: suppress if they are counted, and if the count is right.

use std::collections::BTreeSet;

use mailroom_core::suppression::{AddressState, Said, Source};
use mailroom_core::timestamp::Timestamp;

use super::{Broken, broken};
use crate::soft::SoftBounces;
use crate::truth::Truth;

/// When soft bounces last suppressed an address; `None` if they did not, or something else has since.
pub(super) fn suppressed_at(state: Option<&AddressState>) -> Option<Timestamp> {
    let bounced = state?.state().bounced.as_ref();
    bounced.filter(|said| said.source == Source::Transient).map(|said| said.at)
}

/// A law: soft bounces suppress an address only if they are counted, and if there are enough of them on enough days after
/// the latest delivery that was known when the last of them was recorded. Each Region counts what it was told itself.
pub(super) fn counted_since_the_latest_delivery(state: &AddressState, truth: &Truth) -> Result<(), Broken> {
    match &state.state().bounced {
        Some(said) if said.source == Source::Transient => counted(said, state.address(), truth),
        _ => Ok(()),
    }
}

fn counted(said: &Said, address: &str, truth: &Truth) -> Result<(), Broken> {
    let soft: &SoftBounces = &truth.soft;
    let Some(threshold) = soft.threshold else {
        return broken(format!("soft bounces are not counted, and {address} is suppressed by {said:?}"));
    };
    let recorded_at = truth.events.get(&said.id).and_then(|event| event.recorded_at);
    let delivered_at = soft.delivered_before(&said.region, address, recorded_at);
    let counted: Vec<_> = soft
        .bounces(&said.region, address)
        .filter(|bounce| Some(bounce.occurred_at) > delivered_at)
        .collect();
    let ids: BTreeSet<_> = counted.iter().map(|bounce| &bounce.id).collect();
    let days: BTreeSet<_> = counted.iter().map(|bounce| bounce.occurred_at.seconds() / 86_400).collect();
    if ids.len() < threshold.events || days.len() < threshold.days {
        return broken(format!(
            "{address} is suppressed by {said:?}, with {counted:?} since the delivery at {delivered_at:?}"
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
