//! Where a message came from.

use crate::timestamp::Timestamp;

/// What the envelopes around a message say. All of it may be absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageOrigin {
    /// The ARN of the SNS topic.
    pub topic_arn: Option<String>,
    /// The Region of EventBridge's event, of the topic or of the queue.
    pub region: Option<String>,
    /// The account of EventBridge's event.
    pub account: Option<String>,
    /// When SNS or EventBridge took the message: used as the time of an event that has none of its own.
    pub time: Option<Timestamp>,
}
