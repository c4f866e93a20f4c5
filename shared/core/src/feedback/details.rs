//! What only some kinds of event say.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::notification::{Body, Preferences, Recipient};
use crate::text::{MAX_SES_TEXT_CHARS, visible};

/// How many characters are kept of a text that remote servers or mail clients wrote.
const MAX_REMOTE_CHARS: usize = 1000;
/// The most tags that are kept. SES allows 50 on a message; its own come on top.
const MAX_TAGS: usize = 100;

/// What only some kinds of event say, as SES spelled it, capped and with control characters made visible.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "SES's own names, in its own documentation")]
pub enum Details {
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

impl Details {
    pub(super) fn of(body: &Body, recipient: &Recipient, candidates: usize) -> Self {
        let report = || DeliveryReport {
            action: recipient.action.visible(MAX_SES_TEXT_CHARS),
            status: recipient.status.visible(MAX_SES_TEXT_CHARS),
            diagnostic: recipient.diagnostic_code.visible(MAX_REMOTE_CHARS),
        };
        let several = (candidates > 1).then_some(candidates);
        match body {
            Body::Bounce(bounce) => Self::Bounce {
                bounce_type: bounce.bounce_type.visible(MAX_SES_TEXT_CHARS),
                bounce_subtype: bounce.bounce_sub_type.visible(MAX_SES_TEXT_CHARS),
                report: report(),
                remote_mta_ip: bounce.remote_mta_ip.visible(MAX_SES_TEXT_CHARS),
                reporting_mta: bounce.reporting_mta.visible(MAX_REMOTE_CHARS),
            },
            Body::Complaint(complaint) => Self::Complaint {
                complaint_feedback_type: complaint.complaint_feedback_type.visible(MAX_SES_TEXT_CHARS),
                complaint_subtype: complaint.complaint_sub_type.visible(MAX_SES_TEXT_CHARS),
                user_agent: complaint.user_agent.visible(MAX_REMOTE_CHARS),
                arrival_date: complaint.arrival_date.visible(MAX_SES_TEXT_CHARS),
                candidates,
            },
            Body::Delivery(delivery) => Self::Delivery {
                smtp_response: delivery.smtp_response.visible(MAX_REMOTE_CHARS),
                processing_time_ms: delivery
                    .processing_time_millis
                    .get()
                    .and_then(|millis| millis.parse().ok()),
                remote_mta_ip: delivery.remote_mta_ip.visible(MAX_SES_TEXT_CHARS),
                reporting_mta: delivery.reporting_mta.visible(MAX_REMOTE_CHARS),
            },
            Body::DeliveryDelay(delay, _) => Self::DeliveryDelay {
                delay_type: delay.delay_type.visible(MAX_SES_TEXT_CHARS),
                delay_expires_at: delay.expiration_time.visible(MAX_SES_TEXT_CHARS),
                report: report(),
                reporting_mta: delay.reporting_mta.visible(MAX_REMOTE_CHARS),
            },
            Body::Send(..) => Self::Send {},
            Body::Reject(reject, _) => {
                Self::Reject { reject_reason: reject.reason.visible(MAX_SES_TEXT_CHARS) }
            }
            Body::Open(open, _) => Self::Open {
                user_agent: open.user_agent.visible(MAX_REMOTE_CHARS),
                ip_address: open.ip_address.visible(MAX_SES_TEXT_CHARS),
                candidates: several,
            },
            Body::Click(click, _) => Self::Click {
                link: click.link.visible(MAX_REMOTE_CHARS),
                link_tags: capped(&click.link_tags.0),
                user_agent: click.user_agent.visible(MAX_REMOTE_CHARS),
                ip_address: click.ip_address.visible(MAX_SES_TEXT_CHARS),
                candidates: several,
            },
            Body::RenderingFailure(failure, _) => Self::RenderingFailure {
                failure_message: failure.error_message.visible(MAX_REMOTE_CHARS),
                template_name: failure.template_name.visible(MAX_SES_TEXT_CHARS),
            },
            Body::Subscription(subscription, _) => Self::Subscription {
                contact_list: subscription.contact_list.visible(MAX_SES_TEXT_CHARS),
                subscription_source: subscription.source.visible(MAX_SES_TEXT_CHARS),
                new_topic_preferences: preferences(&subscription.new_topic_preferences),
                old_topic_preferences: preferences(&subscription.old_topic_preferences),
                candidates: several,
            },
            Body::Unknown { whole, .. } => {
                Self::Unknown { unknown: visible(&whole.to_string(), MAX_REMOTE_CHARS), candidates: several }
            }
        }
    }
}

fn preferences(preferences: &Preferences) -> TopicPreferences {
    let statuses = preferences.topic_subscription_status.iter();
    let topics = statuses.filter_map(|topic| {
        Some((
            topic.topic_name.visible(MAX_SES_TEXT_CHARS)?,
            topic.subscription_status.visible(MAX_SES_TEXT_CHARS)?,
        ))
    });
    TopicPreferences {
        unsubscribe_all: preferences.unsubscribe_all.visible(MAX_SES_TEXT_CHARS),
        topics: topics.take(MAX_TAGS).collect(),
    }
}

/// Names and values as they came, no more and no longer than SES allows.
pub(super) fn capped(tags: &BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    let value = |value: &String| visible(value, MAX_SES_TEXT_CHARS);
    let tag = |(name, values): (&String, &Vec<String>)| {
        (visible(name, MAX_SES_TEXT_CHARS), values.iter().take(MAX_TAGS).map(value).collect())
    };
    tags.iter().take(MAX_TAGS).map(tag).collect()
}
