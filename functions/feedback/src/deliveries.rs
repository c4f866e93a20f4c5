//! The latest delivery to each address of an invocation, and the messages that tell of it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use mailroom_aws::deliveries::LatestDeliveries;
use mailroom_core::feedback::FeedbackRecord;
use mailroom_core::suppression::delivery::LatestDelivery;
use tokio::time::Instant;
use tracing::warn;

/// One delivery for each address, so that an address costs at most one write in an invocation.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    by_address: HashMap<String, (LatestDelivery, Vec<usize>)>,
}

/// What became of an invocation's deliveries.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// How many addresses' deliveries are durable, or known to be followed by a later one.
    pub(crate) durable: usize,
    /// How many are not known to be durable.
    pub(crate) not_durable: usize,
    /// The messages that tell of those that are not, by their places in the payload.
    pub(crate) failed_messages: Vec<usize>,
}

impl Deliveries {
    /// Takes in what the records of the message at this place tell of deliveries.
    pub(crate) fn add(&mut self, message: usize, records: &[FeedbackRecord]) {
        for delivery in records.iter().filter_map(LatestDelivery::of) {
            match self.by_address.entry(delivery.address.clone()) {
                Entry::Vacant(entry) => {
                    entry.insert((delivery, vec![message]));
                }
                Entry::Occupied(mut entry) => {
                    let (latest, messages) = entry.get_mut();
                    messages.push(message);
                    if latest.occurred_at < delivery.occurred_at {
                        *latest = delivery;
                    }
                }
            }
        }
    }

    /// Writes them, by `deadline`.
    pub(crate) async fn keep(self, table: &impl LatestDeliveries, deadline: Instant) -> Outcome {
        let (latest, told_by): (Vec<_>, Vec<_>) = self.by_address.into_values().unzip();
        let not_durable = table.keep_latest(&latest, deadline).await;
        if let Some(why) = not_durable.first().map(|lost| &lost.error) {
            warn!(deliveries = not_durable.len(), "not kept, their messages come back: {why}");
        }
        Outcome {
            durable: latest.len() - not_durable.len(),
            not_durable: not_durable.len(),
            failed_messages: not_durable.iter().flat_map(|lost| &told_by[lost.index]).copied().collect(),
        }
    }
}
