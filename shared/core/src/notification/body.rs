//! The objects that say what happened, one type for each kind of event, with the fields that SES documents for it.

use serde_json::value::RawValue;

use super::extra::Extra;
use crate::json::{self, Fields};
use crate::malformed::{Malformed, Problem};
use crate::text::{Tags, Text};

#[derive(Debug, Default)]
#[expect(clippy::struct_field_names, reason = "SES's own names")]
pub(crate) struct Bounce {
    pub(crate) bounce_type: Text,
    pub(crate) bounce_sub_type: Text,
    pub(crate) bounced_recipients: Vec<Recipient>,
    pub(crate) timestamp: Text,
    pub(crate) feedback_id: Text,
    pub(crate) remote_mta_ip: Text,
    pub(crate) reporting_mta: Text,
    pub(crate) extra: Extra,
}

impl Bounce {
    pub(super) fn read(mut fields: Fields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            bounce_type: fields.take_word("bounceType"),
            bounce_sub_type: fields.take_word("bounceSubType"),
            bounced_recipients: recipients(&mut fields, "bouncedRecipients")?,
            timestamp: fields.take_text("timestamp"),
            feedback_id: fields.take_text("feedbackId"),
            remote_mta_ip: fields.take_text("remoteMtaIp"),
            reporting_mta: fields.take_text("reportingMTA"),
            extra: Extra::of(fields),
        })
    }
}

#[derive(Debug, Default)]
#[expect(clippy::struct_field_names, reason = "SES's own names")]
pub(crate) struct Complaint {
    pub(crate) complained_recipients: Vec<Recipient>,
    pub(crate) timestamp: Text,
    pub(crate) feedback_id: Text,
    pub(crate) complaint_sub_type: Text,
    pub(crate) complaint_feedback_type: Text,
    pub(crate) user_agent: Text,
    pub(crate) arrival_date: Text,
    pub(crate) extra: Extra,
}

impl Complaint {
    pub(super) fn read(mut fields: Fields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            complained_recipients: recipients(&mut fields, "complainedRecipients")?,
            timestamp: fields.take_text("timestamp"),
            feedback_id: fields.take_text("feedbackId"),
            complaint_sub_type: fields.take_word("complaintSubType"),
            complaint_feedback_type: fields.take_word("complaintFeedbackType"),
            user_agent: fields.take_text("userAgent"),
            arrival_date: fields.take_text("arrivalDate"),
            extra: Extra::of(fields),
        })
    }
}

#[derive(Debug, Default)]
pub(crate) struct Delivery {
    pub(crate) recipients: Vec<Recipient>,
    pub(crate) timestamp: Text,
    pub(crate) processing_time_millis: Text,
    pub(crate) smtp_response: Text,
    pub(crate) reporting_mta: Text,
    pub(crate) remote_mta_ip: Text,
    pub(crate) extra: Extra,
}

impl Delivery {
    pub(super) fn read(mut fields: Fields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            recipients: recipients(&mut fields, "recipients")?,
            timestamp: fields.take_text("timestamp"),
            processing_time_millis: fields.take_text("processingTimeMillis"),
            smtp_response: fields.take_text("smtpResponse"),
            reporting_mta: fields.take_text("reportingMTA"),
            remote_mta_ip: fields.take_text("remoteMtaIp"),
            extra: Extra::of(fields),
        })
    }
}

#[derive(Debug, Default)]
pub(crate) struct DeliveryDelay {
    pub(crate) delay_type: Text,
    pub(crate) delayed_recipients: Vec<Recipient>,
    pub(crate) timestamp: Text,
    pub(crate) expiration_time: Text,
    pub(crate) reporting_mta: Text,
    pub(crate) extra: Extra,
}

impl DeliveryDelay {
    pub(super) fn read(mut fields: Fields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            delay_type: fields.take_text("delayType"),
            delayed_recipients: recipients(&mut fields, "delayedRecipients")?,
            timestamp: fields.take_text("timestamp"),
            expiration_time: fields.take_text("expirationTime"),
            reporting_mta: fields.take_text("reportingMTA"),
            extra: Extra::of(fields),
        })
    }
}

#[derive(Debug, Default)]
pub(crate) struct Reject {
    pub(crate) timestamp: Text,
    pub(crate) reason: Text,
    pub(crate) extra: Extra,
}

impl Reject {
    pub(super) fn read(mut fields: Fields<'_>) -> Self {
        Self {
            timestamp: fields.take_text("timestamp"),
            reason: fields.take_text("reason"),
            extra: Extra::of(fields),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Open {
    pub(crate) timestamp: Text,
    pub(crate) user_agent: Text,
    pub(crate) ip_address: Text,
    pub(crate) extra: Extra,
}

impl Open {
    pub(super) fn read(mut fields: Fields<'_>) -> Self {
        Self {
            timestamp: fields.take_text("timestamp"),
            user_agent: fields.take_text("userAgent"),
            ip_address: fields.take_text("ipAddress"),
            extra: Extra::of(fields),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Click {
    pub(crate) timestamp: Text,
    pub(crate) user_agent: Text,
    pub(crate) ip_address: Text,
    pub(crate) link: Text,
    pub(crate) link_tags: Tags,
    pub(crate) extra: Extra,
}

impl Click {
    pub(super) fn read(mut fields: Fields<'_>) -> Self {
        Self {
            timestamp: fields.take_text("timestamp"),
            user_agent: fields.take_text("userAgent"),
            ip_address: fields.take_text("ipAddress"),
            link: fields.take_text("link"),
            link_tags: fields.take("linkTags").map(|tags| json::value(tags).into()).unwrap_or_default(),
            extra: Extra::of(fields),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct RenderingFailure {
    pub(crate) timestamp: Text,
    pub(crate) error_message: Text,
    pub(crate) template_name: Text,
    pub(crate) extra: Extra,
}

impl RenderingFailure {
    pub(super) fn read(mut fields: Fields<'_>) -> Self {
        Self {
            timestamp: fields.take_text("timestamp"),
            error_message: fields.take_text("errorMessage"),
            template_name: fields.take_text("templateName"),
            extra: Extra::of(fields),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Subscription {
    pub(crate) timestamp: Text,
    pub(crate) contact_list: Text,
    pub(crate) source: Text,
    pub(crate) new_topic_preferences: Preferences,
    pub(crate) old_topic_preferences: Preferences,
    pub(crate) extra: Extra,
}

impl Subscription {
    pub(super) fn read(mut fields: Fields<'_>) -> Self {
        Self {
            timestamp: fields.take_text("timestamp"),
            contact_list: fields.take_text("contactList"),
            source: fields.take_text("source"),
            new_topic_preferences: Preferences::take(&mut fields, "newTopicPreferences"),
            old_topic_preferences: Preferences::take(&mut fields, "oldTopicPreferences"),
            extra: Extra::of(fields),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Preferences {
    pub(crate) unsubscribe_all: Text,
    pub(crate) topic_subscription_status: Vec<TopicStatus>,
}

#[derive(Debug, Default)]
pub(crate) struct TopicStatus {
    pub(crate) topic_name: Text,
    pub(crate) subscription_status: Text,
}

impl Preferences {
    /// Takes the preferences, but only if everything in them is known: else they stay as well, to be kept whole.
    fn take(fields: &mut Fields<'_>, name: &str) -> Self {
        let Some(mut object) = fields.get(name).and_then(Fields::of) else { return Self::default() };
        let unsubscribe_all = object.take_text("unsubscribeAll");
        let statuses = object.take("topicSubscriptionStatus").map(list).unwrap_or_default();
        // The defaults of the list's topics: nothing that the contact has chosen.
        object.take("topicDefaultSubscriptionStatus");
        let mut is_known = object.is_empty();
        let status = |mut status: Fields<'_>| {
            let read = TopicStatus {
                topic_name: status.take_text("topicName"),
                subscription_status: status.take_text("subscriptionStatus"),
            };
            is_known &= status.is_empty();
            read
        };
        let statuses = statuses.into_iter().filter_map(Fields::of).map(status).collect();
        if is_known {
            fields.take(name);
        }
        Self { unsubscribe_all, topic_subscription_status: statuses }
    }
}

/// A recipient in a body: an object in bounces, complaints and delays, a bare address in deliveries.
#[derive(Debug, Default)]
pub(crate) struct Recipient {
    pub(crate) email_address: Text,
    pub(crate) action: Text,
    pub(crate) status: Text,
    pub(crate) diagnostic_code: Text,
    pub(crate) extra: Extra,
}

impl Recipient {
    pub(super) fn bare(address: Text) -> Self {
        Self { email_address: address, ..Self::default() }
    }

    fn read(json: &RawValue) -> Self {
        let Some(mut fields) = Fields::of(json) else { return Self::bare(json::value(json).into()) };
        Self {
            email_address: fields.take_text("emailAddress"),
            action: fields.take_word("action"),
            status: fields.take_word("status"),
            diagnostic_code: fields.take_text("diagnosticCode"),
            extra: Extra::of(fields),
        }
    }
}

/// Takes a list of recipients; an absent one is empty.
fn recipients(fields: &mut Fields<'_>, name: &str) -> Result<Vec<Recipient>, Malformed> {
    match fields.take(name) {
        Some(json) if json.get() != "null" => match serde_json::from_str::<Vec<&RawValue>>(json.get()) {
            Ok(recipients) => Ok(recipients.into_iter().map(Recipient::read).collect()),
            Err(_) => Err(Malformed::new(name, Problem::WrongType).quoting(json.get())),
        },
        _ => Ok(Vec::new()),
    }
}

/// The elements of a list; none if it is anything else.
fn list(json: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(json.get()).unwrap_or_default()
}
