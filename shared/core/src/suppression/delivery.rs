//! The latest delivery to an address: after it, the count of soft bounces starts again.
//!
//! A record for each delivery would be most of the bill, and only the latest one matters. So a later delivery overwrites
//! an earlier one, never the other way round, in whatever order they arrive.

use serde::Serialize;

use super::address_state::partition_key;
use crate::feedback::FeedbackRecord;
use crate::notification::EventKind;
use crate::timestamp::Timestamp;

/// The sort key of every address's item.
pub const DELIVERY_SORT_KEY: &str = "DELIVERED";

/// For how many days the item is kept after the delivery: twice the longest window of the policy (31 days), since a
/// bounce may be found up to a queue's 14 days and a look back later.
const RETENTION_DAYS: i64 = 62;

/// The item. The policy reads it as it reads a delivery's record ([`super::FeedbackSummary`]), so it has the same
/// attributes, except for the id of the mail: an index by it would double each write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LatestDelivery {
    /// `ADDR#<match address>`: the table's partition key.
    pub pk: String,
    /// [`DELIVERY_SORT_KEY`].
    pub sk: &'static str,
    /// `delivery`.
    pub kind: EventKind,
    /// The id of the event.
    pub event_id: String,
    /// When the recipient's server took the mail, according to SES.
    pub occurred_at: Timestamp,
    /// The recipient's address as SES spelled it.
    pub recipient: String,
    /// The recipient's address in match form.
    pub address: String,
    /// When the item expires, in seconds since the Unix epoch (DynamoDB's TTL).
    pub expires_at: i64,
}

impl LatestDelivery {
    /// The item of a delivery to `address` (match form), which SES spelled `recipient`.
    pub fn new(address: &str, recipient: &str, event_id: &str, occurred_at: Timestamp) -> Self {
        Self {
            pk: partition_key(address),
            sk: DELIVERY_SORT_KEY,
            kind: EventKind::Delivery,
            event_id: event_id.to_owned(),
            occurred_at,
            recipient: recipient.to_owned(),
            address: address.to_owned(),
            expires_at: occurred_at.seconds() + RETENTION_DAYS * 24 * 60 * 60,
        }
    }

    /// The item of a delivery's record; `None` if the record is of another kind.
    pub fn from_record(record: &FeedbackRecord) -> Option<Self> {
        let is_delivery = record.kind == EventKind::Delivery;
        is_delivery
            .then(|| Self::new(&record.address, &record.recipient, &record.event_id, record.occurred_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suppression::FeedbackSummary;

    #[test]
    fn the_policy_reads_it_as_a_delivery() {
        let at = Timestamp::parse("2026-11-01T00:00:00Z").unwrap();
        let item = LatestDelivery::new("jane@example.com", "Jane@example.com", "event", at);
        let fact: FeedbackSummary = serde_json::from_value(serde_json::to_value(&item).unwrap()).unwrap();
        assert_eq!(
            (fact.kind.as_str(), fact.occurred_at, fact.address.as_str()),
            ("delivery", at, "jane@example.com")
        );
        assert_eq!((fact.decidable, item.expires_at - at.seconds()), (None, 62 * 86_400));
    }
}
