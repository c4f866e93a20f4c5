//! The latest delivery to each address of an invocation, and the messages that tell of it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use mailroom_aws::deadline::Deadline;
use mailroom_aws::table::deliveries::DeliveryTable;
use mailroom_core::feedback::FeedbackRecord;
use mailroom_core::suppression::delivery::LatestDelivery;
use tracing::warn;

/// The number of deliveries that are held before they have to be written: more would be a matter of memory.
const MAX_BUFFERED_DELIVERIES: usize = 400;

/// One delivery for each address, so that an address in many messages costs few writes, and what became of those that were
/// written.
#[derive(Debug, Default)]
pub(crate) struct DeliveryBuffer {
    by_address: HashMap<String, (LatestDelivery, Vec<usize>)>,
    /// How many addresses' deliveries are durable, or known to be followed by a later one.
    pub(crate) durable_count: usize,
    /// How many are not known to be durable.
    pub(crate) not_durable_count: usize,
}

impl DeliveryBuffer {
    /// Takes in what a record of the message at this place in the payload tells of a delivery.
    pub(crate) fn add_from_record(&mut self, message_index: usize, record: &FeedbackRecord) {
        let Some(delivery) = LatestDelivery::from_record(record) else { return };
        match self.by_address.entry(delivery.address.clone()) {
            Entry::Vacant(entry) => {
                entry.insert((delivery, vec![message_index]));
            }
            Entry::Occupied(mut entry) => {
                let (latest, messages) = entry.get_mut();
                messages.push(message_index);
                if latest.occurred_at < delivery.occurred_at {
                    *latest = delivery;
                }
            }
        }
    }

    /// Whether so many deliveries are held that they have to be written now.
    pub(crate) fn is_full(&self) -> bool {
        self.by_address.len() >= MAX_BUFFERED_DELIVERIES
    }

    /// Writes the deliveries that are held, by `deadline`. Returns the messages, by their places in the payload, that tell
    /// of those that are not known to be durable.
    pub(crate) async fn write_deliveries(
        &mut self,
        table: &impl DeliveryTable,
        deadline: Deadline,
    ) -> Vec<usize> {
        let (latest, told_by): (Vec<_>, Vec<_>) = self.by_address.drain().map(|(_, held)| held).unzip();
        let not_durable = table.put_if_latest(&latest, deadline).await;
        if let Some(why) = not_durable.first().map(|lost| &lost.error) {
            warn!(deliveries = not_durable.len(), "not kept, their messages come back: {why}");
        }
        self.durable_count += latest.len() - not_durable.len();
        self.not_durable_count += not_durable.len();
        not_durable.iter().flat_map(|lost| &told_by[lost.index]).copied().collect()
    }
}
