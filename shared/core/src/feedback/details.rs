//! What only some kinds of event say.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::notification::{ContactPreferences, EventBody, Recipient};
use crate::text::{MAX_SES_TEXT_CHARS, sanitize_text};

/// How many characters are kept of a text that remote servers or mail clients wrote.
const MAX_REMOTE_CHARS: usize = 1000;
/// The most tags that are kept. SES allows 50 on a message; its own come on top.
const MAX_TAGS: usize = 100;

/// What only some kinds of event say, as SES spelled it, capped and with control characters made visible.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "SES's own names, in its own documentation")]
pub enum EventDetails {
    Bounce {
        bounce_type: Option<String>,
        bounce_subtype: Option<String>,
        #[serde(flatten)]
        report: DeliveryReport,
        remote_mta_ip: Option<String>,
        reporting_mta: Option<String>,
    },
    Complaint {
        complaint_feedback_type: Option<String>,
        complaint_subtype: Option<String>,
        user_agent: Option<String>,
        arrival_date: Option<String>,
        /// How many recipients the complaint may have come from. If more than one, the provider did not say which it was.
        candidates: usize,
    },
    Delivery {
        smtp_response: Option<String>,
        processing_time_ms: Option<u64>,
        remote_mta_ip: Option<String>,
        reporting_mta: Option<String>,
    },
    DeliveryDelay {
        delay_type: Option<String>,
        delay_expires_at: Option<String>,
        #[serde(flatten)]
        report: DeliveryReport,
        reporting_mta: Option<String>,
    },
    Send {},
    Reject {
        reject_reason: Option<String>,
    },
    Open {
        user_agent: Option<String>,
        ip_address: Option<String>,
        /// How many recipients it may have been, if several: SES does not say which of the mail's it was.
        #[serde(skip_serializing_if = "Option::is_none")]
        candidates: Option<usize>,
    },
    Click {
        link: Option<String>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        link_tags: BTreeMap<String, Vec<String>>,
        user_agent: Option<String>,
        ip_address: Option<String>,
        /// How many recipients it may have been, if several: SES does not say which of the mail's it was.
        #[serde(skip_serializing_if = "Option::is_none")]
        candidates: Option<usize>,
    },
    RenderingFailure {
        failure_message: Option<String>,
        template_name: Option<String>,
    },
    Subscription {
        contact_list: Option<String>,
        subscription_source: Option<String>,
        new_topic_preferences: TopicPreferences,
        old_topic_preferences: TopicPreferences,
        /// How many recipients it may have been, if several: SES does not say which of the mail's it was.
        #[serde(skip_serializing_if = "Option::is_none")]
        candidates: Option<usize>,
    },
    Unknown {
        /// What SES said besides the mail, as JSON.
        unknown: String,
        /// How many recipients it may have been, if several: SES does not say which of the mail's it was.
        #[serde(skip_serializing_if = "Option::is_none")]
        candidates: Option<usize>,
    },
}

/// What a bounce or delay says of one recipient, in the fields of RFC 3464.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryReport {
    /// What the remote server did: `failed`, `delayed`, …
    pub action: Option<String>,
    /// RFC 3463's enhanced status code, such as `5.1.1`.
    pub status: Option<String>,
    /// The remote server's own words, such as `smtp; 550 5.1.1 user unknown`.
    pub diagnostic: Option<String>,
}

/// A contact's subscription preferences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicPreferences {
    /// Whether the contact unsubscribed from everything: `true` or `false`, as text.
    pub unsubscribe_all: Option<String>,
    /// The contact's choice for each topic: `OptIn` or `OptOut`.
    pub topics: BTreeMap<String, String>,
}

impl EventDetails {
    pub(super) fn from_body(body: &EventBody, recipient: &Recipient, candidates: usize) -> Self {
        let report = || DeliveryReport {
            action: recipient.action.sanitized_text(MAX_SES_TEXT_CHARS),
            status: recipient.status.sanitized_text(MAX_SES_TEXT_CHARS),
            diagnostic: recipient.diagnostic_code.sanitized_text(MAX_REMOTE_CHARS),
        };
        let several = (candidates > 1).then_some(candidates);
        match body {
            EventBody::Bounce(bounce) => Self::Bounce {
                bounce_type: bounce.bounce_type.sanitized_text(MAX_SES_TEXT_CHARS),
                bounce_subtype: bounce.bounce_sub_type.sanitized_text(MAX_SES_TEXT_CHARS),
                report: report(),
                remote_mta_ip: bounce.remote_mta_ip.sanitized_text(MAX_SES_TEXT_CHARS),
                reporting_mta: bounce.reporting_mta.sanitized_text(MAX_REMOTE_CHARS),
            },
            EventBody::Complaint(complaint) => Self::Complaint {
                complaint_feedback_type: complaint.complaint_feedback_type.sanitized_text(MAX_SES_TEXT_CHARS),
                complaint_subtype: complaint.complaint_sub_type.sanitized_text(MAX_SES_TEXT_CHARS),
                user_agent: complaint.user_agent.sanitized_text(MAX_REMOTE_CHARS),
                arrival_date: complaint.arrival_date.sanitized_text(MAX_SES_TEXT_CHARS),
                candidates,
            },
            EventBody::Delivery(delivery) => Self::Delivery {
                smtp_response: delivery.smtp_response.sanitized_text(MAX_REMOTE_CHARS),
                processing_time_ms: delivery
                    .processing_time_millis
                    .get()
                    .and_then(|millis| millis.parse().ok()),
                remote_mta_ip: delivery.remote_mta_ip.sanitized_text(MAX_SES_TEXT_CHARS),
                reporting_mta: delivery.reporting_mta.sanitized_text(MAX_REMOTE_CHARS),
            },
            EventBody::DeliveryDelay(delay, _) => Self::DeliveryDelay {
                delay_type: delay.delay_type.sanitized_text(MAX_SES_TEXT_CHARS),
                delay_expires_at: delay.expiration_time.sanitized_text(MAX_SES_TEXT_CHARS),
                report: report(),
                reporting_mta: delay.reporting_mta.sanitized_text(MAX_REMOTE_CHARS),
            },
            EventBody::Send(..) => Self::Send {},
            EventBody::Reject(reject, _) => {
                Self::Reject { reject_reason: reject.reason.sanitized_text(MAX_SES_TEXT_CHARS) }
            }
            EventBody::Open(open, _) => Self::Open {
                user_agent: open.user_agent.sanitized_text(MAX_REMOTE_CHARS),
                ip_address: open.ip_address.sanitized_text(MAX_SES_TEXT_CHARS),
                candidates: several,
            },
            EventBody::Click(click, _) => Self::Click {
                link: click.link.sanitized_text(MAX_REMOTE_CHARS),
                link_tags: cap_tags(&click.link_tags.0),
                user_agent: click.user_agent.sanitized_text(MAX_REMOTE_CHARS),
                ip_address: click.ip_address.sanitized_text(MAX_SES_TEXT_CHARS),
                candidates: several,
            },
            EventBody::RenderingFailure(failure, _) => Self::RenderingFailure {
                failure_message: failure.error_message.sanitized_text(MAX_REMOTE_CHARS),
                template_name: failure.template_name.sanitized_text(MAX_SES_TEXT_CHARS),
            },
            EventBody::Subscription(subscription, _) => Self::Subscription {
                contact_list: subscription.contact_list.sanitized_text(MAX_SES_TEXT_CHARS),
                subscription_source: subscription.source.sanitized_text(MAX_SES_TEXT_CHARS),
                new_topic_preferences: topic_preferences(&subscription.new_topic_preferences),
                old_topic_preferences: topic_preferences(&subscription.old_topic_preferences),
                candidates: several,
            },
            EventBody::Unknown { content: whole, .. } => Self::Unknown {
                unknown: sanitize_text(&whole.to_string(), MAX_REMOTE_CHARS),
                candidates: several,
            },
        }
    }
}

fn topic_preferences(preferences: &ContactPreferences) -> TopicPreferences {
    let statuses = preferences.topic_subscription_status.iter();
    let topics = statuses.filter_map(|topic| {
        Some((
            topic.topic_name.sanitized_text(MAX_SES_TEXT_CHARS)?,
            topic.subscription_status.sanitized_text(MAX_SES_TEXT_CHARS)?,
        ))
    });
    TopicPreferences {
        unsubscribe_all: preferences.unsubscribe_all.sanitized_text(MAX_SES_TEXT_CHARS),
        topics: topics.take(MAX_TAGS).collect(),
    }
}

/// Names and values as they came, no more and no longer than SES allows.
pub(super) fn cap_tags(tags: &BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    let value = |value: &String| sanitize_text(value, MAX_SES_TEXT_CHARS);
    let tag = |(name, values): (&String, &Vec<String>)| {
        (sanitize_text(name, MAX_SES_TEXT_CHARS), values.iter().take(MAX_TAGS).map(value).collect())
    };
    tags.iter().take(MAX_TAGS).map(tag).collect()
}
