//! The soft bounces and deliveries of which SES tells, by Region.

use std::collections::BTreeMap;

use mailroom_core::suppression::policy::TransientThreshold;
use mailroom_core::timestamp::Timestamp;

/// A soft bounce that counts.
#[derive(Debug, Clone)]
pub(crate) struct SoftBounce {
    region: &'static str,
    address: String,
    pub(crate) id: String,
    pub(crate) occurred_at: Timestamp,
    /// When the table first held it; `None` if it does not yet.
    pub(crate) recorded_at: Option<Timestamp>,
}

/// A delivery.
#[derive(Debug, Clone)]
struct Delivery {
    region: String,
    address: String,
    occurred_at: Timestamp,
}

/// What was told of soft bounces and deliveries, and what of the latter a table is known to hold.
#[derive(Debug, Default)]
pub(crate) struct SoftBounces {
    /// How many suppress; `None`: they are not counted.
    pub(crate) threshold: Option<TransientThreshold>,
    bounces: Vec<SoftBounce>,
    told: Vec<Delivery>,
    /// The deliveries that were written to a table, with the time of the write.
    written: Vec<(Delivery, Timestamp)>,
}

impl SoftBounces {
    pub(crate) fn new(threshold: Option<TransientThreshold>) -> Self {
        Self { threshold, ..Self::default() }
    }

    pub(crate) fn bounce(&mut self, region: &'static str, address: &str, id: &str, occurred_at: Timestamp) {
        let (address, id) = (address.to_owned(), id.to_owned());
        self.bounces.push(SoftBounce { region, address, id, occurred_at, recorded_at: None });
    }

    /// Notes that a table holds the record of a bounce from now on.
    pub(crate) fn recorded(&mut self, region: &str, id: &str, now: Timestamp) {
        let of_event = |bounce: &&mut SoftBounce| bounce.region == region && bounce.id == id;
        for bounce in self.bounces.iter_mut().filter(of_event) {
            bounce.recorded_at.get_or_insert(now);
        }
    }

    pub(crate) fn delivery(&mut self, region: &str, address: &str, occurred_at: Timestamp) {
        let (region, address) = (region.to_owned(), address.to_owned());
        self.told.push(Delivery { region, address, occurred_at });
    }

    /// Notes that a table holds a delivery from now on.
    pub(crate) fn written(&mut self, region: &str, address: &str, occurred_at: Timestamp, now: Timestamp) {
        let (region, address) = (region.to_owned(), address.to_owned());
        self.written.push((Delivery { region, address, occurred_at }, now));
    }

    /// The soft bounces of an address of which a Region was told.
    pub(crate) fn bounces(&self, region: &str, address: &str) -> impl Iterator<Item = &SoftBounce> {
        self.bounces.iter().filter(move |bounce| bounce.region == region && bounce.address == address)
    }

    /// The latest delivery to an address that a Region's table held before a time.
    pub(crate) fn delivered_before(
        &self,
        region: &str,
        address: &str,
        time: Option<Timestamp>,
    ) -> Option<Timestamp> {
        let of_address = |delivery: &Delivery| delivery.region == region && delivery.address == address;
        let known = self.written.iter().filter(|(delivery, at)| of_address(delivery) && Some(*at) < time);
        known.map(|(delivery, _)| delivery.occurred_at).max()
    }

    /// The latest delivery to each address of which a Region was told.
    pub(crate) fn latest_deliveries(&self, region: &str) -> BTreeMap<String, Timestamp> {
        let mut latest = BTreeMap::new();
        for delivery in self.told.iter().filter(|delivery| delivery.region == region) {
            let at = latest.entry(delivery.address.clone()).or_insert(delivery.occurred_at);
            *at = delivery.occurred_at.max(*at);
        }
        latest
    }
}
