//! The objects that say what happened, one type for each kind of event, with the fields that SES documents for it.

use serde_json::value::RawValue;

use super::unknown_fields::UnknownFields;
use crate::json::{self, JsonFields};
use crate::malformed::{InputProblem, MalformedInput};
use crate::text::{LenientTags, LenientText};

#[derive(Debug, Default)]
pub(crate) struct BounceEvent {
    pub(crate) bounce_type: LenientText,
    pub(crate) bounce_sub_type: LenientText,
    pub(crate) bounced_recipients: Vec<Recipient>,
    pub(crate) timestamp: LenientText,
    pub(crate) feedback_id: LenientText,
    pub(crate) remote_mta_ip: LenientText,
    pub(crate) reporting_mta: LenientText,
    pub(crate) extra: UnknownFields,
}

impl BounceEvent {
    pub(super) fn from_fields(mut fields: JsonFields<'_>) -> Result<Self, MalformedInput> {
        Ok(Self {
            bounce_type: fields.take_word("bounceType"),
            bounce_sub_type: fields.take_word("bounceSubType"),
            bounced_recipients: take_recipients(&mut fields, "bouncedRecipients")?,
            timestamp: fields.take_text("timestamp"),
            feedback_id: fields.take_text("feedbackId"),
            remote_mta_ip: fields.take_text("remoteMtaIp"),
            reporting_mta: fields.take_text("reportingMTA"),
            extra: UnknownFields::from_remaining(fields),
        })
    }
}

#[derive(Debug, Default)]
pub(crate) struct ComplaintEvent {
    pub(crate) complained_recipients: Vec<Recipient>,
    pub(crate) timestamp: LenientText,
    pub(crate) feedback_id: LenientText,
    pub(crate) complaint_sub_type: LenientText,
    pub(crate) complaint_feedback_type: LenientText,
    pub(crate) user_agent: LenientText,
    pub(crate) arrival_date: LenientText,
    pub(crate) extra: UnknownFields,
}

impl ComplaintEvent {
    pub(super) fn from_fields(mut fields: JsonFields<'_>) -> Result<Self, MalformedInput> {
        Ok(Self {
            complained_recipients: take_recipients(&mut fields, "complainedRecipients")?,
            timestamp: fields.take_text("timestamp"),
            feedback_id: fields.take_text("feedbackId"),
            complaint_sub_type: fields.take_word("complaintSubType"),
            complaint_feedback_type: fields.take_word("complaintFeedbackType"),
            user_agent: fields.take_text("userAgent"),
            arrival_date: fields.take_text("arrivalDate"),
            extra: UnknownFields::from_remaining(fields),
        })
    }
}

#[derive(Debug, Default)]
pub(crate) struct DeliveryEvent {
    pub(crate) recipients: Vec<Recipient>,
    pub(crate) timestamp: LenientText,
    pub(crate) processing_time_millis: LenientText,
    pub(crate) smtp_response: LenientText,
    pub(crate) reporting_mta: LenientText,
    pub(crate) remote_mta_ip: LenientText,
    pub(crate) extra: UnknownFields,
}

impl DeliveryEvent {
    pub(super) fn from_fields(mut fields: JsonFields<'_>) -> Result<Self, MalformedInput> {
        Ok(Self {
            recipients: take_recipients(&mut fields, "recipients")?,
            timestamp: fields.take_text("timestamp"),
            processing_time_millis: fields.take_text("processingTimeMillis"),
            smtp_response: fields.take_text("smtpResponse"),
            reporting_mta: fields.take_text("reportingMTA"),
            remote_mta_ip: fields.take_text("remoteMtaIp"),
            extra: UnknownFields::from_remaining(fields),
        })
    }
}

#[derive(Debug, Default)]
pub(crate) struct DeliveryDelayEvent {
    pub(crate) delay_type: LenientText,
    pub(crate) delayed_recipients: Vec<Recipient>,
    pub(crate) timestamp: LenientText,
    pub(crate) expiration_time: LenientText,
    pub(crate) reporting_mta: LenientText,
    pub(crate) extra: UnknownFields,
}

impl DeliveryDelayEvent {
    pub(super) fn from_fields(mut fields: JsonFields<'_>) -> Result<Self, MalformedInput> {
        Ok(Self {
            delay_type: fields.take_text("delayType"),
            delayed_recipients: take_recipients(&mut fields, "delayedRecipients")?,
            timestamp: fields.take_text("timestamp"),
            expiration_time: fields.take_text("expirationTime"),
            reporting_mta: fields.take_text("reportingMTA"),
            extra: UnknownFields::from_remaining(fields),
        })
    }
}

#[derive(Debug, Default)]
pub(crate) struct RejectEvent {
    pub(crate) timestamp: LenientText,
    pub(crate) reason: LenientText,
    pub(crate) extra: UnknownFields,
}

impl RejectEvent {
    pub(super) fn from_fields(mut fields: JsonFields<'_>) -> Self {
        Self {
            timestamp: fields.take_text("timestamp"),
            reason: fields.take_text("reason"),
            extra: UnknownFields::from_remaining(fields),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct OpenEvent {
    pub(crate) timestamp: LenientText,
    pub(crate) user_agent: LenientText,
    pub(crate) ip_address: LenientText,
    pub(crate) extra: UnknownFields,
}

impl OpenEvent {
    pub(super) fn from_fields(mut fields: JsonFields<'_>) -> Self {
        Self {
            timestamp: fields.take_text("timestamp"),
            user_agent: fields.take_text("userAgent"),
            ip_address: fields.take_text("ipAddress"),
            extra: UnknownFields::from_remaining(fields),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct ClickEvent {
    pub(crate) timestamp: LenientText,
    pub(crate) user_agent: LenientText,
    pub(crate) ip_address: LenientText,
    pub(crate) link: LenientText,
    pub(crate) link_tags: LenientTags,
    pub(crate) extra: UnknownFields,
}

impl ClickEvent {
    pub(super) fn from_fields(mut fields: JsonFields<'_>) -> Self {
        Self {
            timestamp: fields.take_text("timestamp"),
            user_agent: fields.take_text("userAgent"),
            ip_address: fields.take_text("ipAddress"),
            link: fields.take_text("link"),
            link_tags: fields.take("linkTags").map(|tags| json::parse_value(tags).into()).unwrap_or_default(),
            extra: UnknownFields::from_remaining(fields),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct RenderingFailureEvent {
    pub(crate) timestamp: LenientText,
    pub(crate) error_message: LenientText,
    pub(crate) template_name: LenientText,
    pub(crate) extra: UnknownFields,
}

impl RenderingFailureEvent {
    pub(super) fn from_fields(mut fields: JsonFields<'_>) -> Self {
        Self {
            timestamp: fields.take_text("timestamp"),
            error_message: fields.take_text("errorMessage"),
            template_name: fields.take_text("templateName"),
            extra: UnknownFields::from_remaining(fields),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct SubscriptionEvent {
    pub(crate) timestamp: LenientText,
    pub(crate) contact_list: LenientText,
    pub(crate) source: LenientText,
    pub(crate) new_topic_preferences: ContactPreferences,
    pub(crate) old_topic_preferences: ContactPreferences,
    pub(crate) extra: UnknownFields,
}

impl SubscriptionEvent {
    pub(super) fn from_fields(mut fields: JsonFields<'_>) -> Self {
        Self {
            timestamp: fields.take_text("timestamp"),
            contact_list: fields.take_text("contactList"),
            source: fields.take_text("source"),
            new_topic_preferences: ContactPreferences::take_from_fields(&mut fields, "newTopicPreferences"),
            old_topic_preferences: ContactPreferences::take_from_fields(&mut fields, "oldTopicPreferences"),
            extra: UnknownFields::from_remaining(fields),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct ContactPreferences {
    pub(crate) unsubscribe_all: LenientText,
    pub(crate) topic_subscription_status: Vec<TopicStatus>,
}

#[derive(Debug, Default)]
pub(crate) struct TopicStatus {
    pub(crate) topic_name: LenientText,
    pub(crate) subscription_status: LenientText,
}

impl ContactPreferences {
    /// Takes the preferences, but only if everything in them is known: else they stay as well, to be kept whole.
    fn take_from_fields(fields: &mut JsonFields<'_>, name: &str) -> Self {
        let Some(mut object) = fields.get(name).and_then(JsonFields::from_json) else {
            return Self::default();
        };
        let unsubscribe_all = object.take_text("unsubscribeAll");
        let statuses = object.take("topicSubscriptionStatus").map(parse_list).unwrap_or_default();
        // The defaults of the list's topics: nothing that the contact has chosen.
        object.take("topicDefaultSubscriptionStatus");
        let mut is_known = object.is_empty();
        let status = |mut status: JsonFields<'_>| {
            let read = TopicStatus {
                topic_name: status.take_text("topicName"),
                subscription_status: status.take_text("subscriptionStatus"),
            };
            is_known &= status.is_empty();
            read
        };
        let statuses = statuses.into_iter().filter_map(JsonFields::from_json).map(status).collect();
        if is_known {
            fields.take(name);
        }
        Self { unsubscribe_all, topic_subscription_status: statuses }
    }
}

/// A recipient in a body: an object in bounces, complaints and delays, a bare address in deliveries.
#[derive(Debug, Default)]
pub(crate) struct Recipient {
    pub(crate) email_address: LenientText,
    pub(crate) action: LenientText,
    pub(crate) status: LenientText,
    pub(crate) diagnostic_code: LenientText,
    pub(crate) extra: UnknownFields,
}

impl Recipient {
    pub(super) fn from_address(address: LenientText) -> Self {
        Self { email_address: address, ..Self::default() }
    }

    fn from_json(json: &RawValue) -> Self {
        let Some(mut fields) = JsonFields::from_json(json) else {
            return Self::from_address(json::parse_value(json).into());
        };
        Self {
            email_address: fields.take_text("emailAddress"),
            action: fields.take_word("action"),
            status: fields.take_word("status"),
            diagnostic_code: fields.take_text("diagnosticCode"),
            extra: UnknownFields::from_remaining(fields),
        }
    }
}

/// Takes a list of recipients; an absent one is empty.
fn take_recipients(fields: &mut JsonFields<'_>, name: &str) -> Result<Vec<Recipient>, MalformedInput> {
    match fields.take(name) {
        Some(json) if json.get() != "null" => match serde_json::from_str::<Vec<&RawValue>>(json.get()) {
            Ok(recipients) => Ok(recipients.into_iter().map(Recipient::from_json).collect()),
            Err(_) => Err(MalformedInput::new(name, InputProblem::WrongType).with_excerpt(json.get())),
        },
        _ => Ok(Vec::new()),
    }
}

/// The elements of a list; none if it is anything else.
fn parse_list(json: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(json.get()).unwrap_or_default()
}
