//! The objects that say what happened, one type for each kind of event, with the fields that SES documents for it.

use serde_json::value::RawValue;

use super::unknown_fields::UnknownFields;
use crate::json::{self, JsonFields};
use crate::malformed::{InputProblem, MalformedInput};
use crate::text::{LenientTags, ScalarText};

#[derive(Debug, Default)]
pub(crate) struct BounceEvent {
    pub(crate) bounce_type: ScalarText,
    pub(crate) bounce_sub_type: ScalarText,
    pub(crate) bounced_recipients: Vec<Recipient>,
    pub(crate) timestamp: ScalarText,
    pub(crate) feedback_id: ScalarText,
    pub(crate) remote_mta_ip: ScalarText,
    pub(crate) reporting_mta: ScalarText,
    pub(crate) extra: UnknownFields,
}

impl BounceEvent {
    pub(super) fn from_fields(mut fields: JsonFields<'_>) -> Result<Self, MalformedInput> {
        Ok(Self {
            bounce_type: fields.take_any_as_text("bounceType"),
            bounce_sub_type: fields.take_any_as_text("bounceSubType"),
            bounced_recipients: take_optional_recipients(&mut fields, "bouncedRecipients")?,
            timestamp: fields.take_if_scalar("timestamp"),
            feedback_id: fields.take_if_scalar("feedbackId"),
            remote_mta_ip: fields.take_if_scalar("remoteMtaIp"),
            reporting_mta: fields.take_if_scalar("reportingMTA"),
            extra: UnknownFields::from_remaining(fields),
        })
    }
}

#[derive(Debug, Default)]
pub(crate) struct ComplaintEvent {
    pub(crate) complained_recipients: Vec<Recipient>,
    pub(crate) timestamp: ScalarText,
    pub(crate) feedback_id: ScalarText,
    pub(crate) complaint_sub_type: ScalarText,
    pub(crate) complaint_feedback_type: ScalarText,
    pub(crate) user_agent: ScalarText,
    pub(crate) arrival_date: ScalarText,
    pub(crate) extra: UnknownFields,
}

impl ComplaintEvent {
    pub(super) fn from_fields(mut fields: JsonFields<'_>) -> Result<Self, MalformedInput> {
        Ok(Self {
            complained_recipients: take_optional_recipients(&mut fields, "complainedRecipients")?,
            timestamp: fields.take_if_scalar("timestamp"),
            feedback_id: fields.take_if_scalar("feedbackId"),
            complaint_sub_type: fields.take_any_as_text("complaintSubType"),
            complaint_feedback_type: fields.take_any_as_text("complaintFeedbackType"),
            user_agent: fields.take_if_scalar("userAgent"),
            arrival_date: fields.take_if_scalar("arrivalDate"),
            extra: UnknownFields::from_remaining(fields),
        })
    }
}

#[derive(Debug, Default)]
pub(crate) struct DeliveryEvent {
    pub(crate) recipients: Vec<Recipient>,
    pub(crate) timestamp: ScalarText,
    pub(crate) processing_time_millis: ScalarText,
    pub(crate) smtp_response: ScalarText,
    pub(crate) reporting_mta: ScalarText,
    pub(crate) remote_mta_ip: ScalarText,
    pub(crate) extra: UnknownFields,
}

impl DeliveryEvent {
    pub(super) fn from_fields(mut fields: JsonFields<'_>) -> Result<Self, MalformedInput> {
        Ok(Self {
            recipients: take_optional_recipients(&mut fields, "recipients")?,
            timestamp: fields.take_if_scalar("timestamp"),
            processing_time_millis: fields.take_if_scalar("processingTimeMillis"),
            smtp_response: fields.take_if_scalar("smtpResponse"),
            reporting_mta: fields.take_if_scalar("reportingMTA"),
            remote_mta_ip: fields.take_if_scalar("remoteMtaIp"),
            extra: UnknownFields::from_remaining(fields),
        })
    }
}

#[derive(Debug, Default)]
pub(crate) struct DeliveryDelayEvent {
    pub(crate) delay_type: ScalarText,
    pub(crate) delayed_recipients: Vec<Recipient>,
    pub(crate) timestamp: ScalarText,
    pub(crate) expiration_time: ScalarText,
    pub(crate) reporting_mta: ScalarText,
    pub(crate) extra: UnknownFields,
}

impl DeliveryDelayEvent {
    pub(super) fn from_fields(mut fields: JsonFields<'_>) -> Result<Self, MalformedInput> {
        Ok(Self {
            delay_type: fields.take_if_scalar("delayType"),
            delayed_recipients: take_optional_recipients(&mut fields, "delayedRecipients")?,
            timestamp: fields.take_if_scalar("timestamp"),
            expiration_time: fields.take_if_scalar("expirationTime"),
            reporting_mta: fields.take_if_scalar("reportingMTA"),
            extra: UnknownFields::from_remaining(fields),
        })
    }
}

#[derive(Debug, Default)]
pub(crate) struct RejectEvent {
    pub(crate) timestamp: ScalarText,
    pub(crate) reason: ScalarText,
    pub(crate) extra: UnknownFields,
}

impl RejectEvent {
    pub(super) fn from_fields(mut fields: JsonFields<'_>) -> Self {
        Self {
            timestamp: fields.take_if_scalar("timestamp"),
            reason: fields.take_if_scalar("reason"),
            extra: UnknownFields::from_remaining(fields),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct OpenEvent {
    pub(crate) timestamp: ScalarText,
    pub(crate) user_agent: ScalarText,
    pub(crate) ip_address: ScalarText,
    pub(crate) extra: UnknownFields,
}

impl OpenEvent {
    pub(super) fn from_fields(mut fields: JsonFields<'_>) -> Self {
        Self {
            timestamp: fields.take_if_scalar("timestamp"),
            user_agent: fields.take_if_scalar("userAgent"),
            ip_address: fields.take_if_scalar("ipAddress"),
            extra: UnknownFields::from_remaining(fields),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct ClickEvent {
    pub(crate) timestamp: ScalarText,
    pub(crate) user_agent: ScalarText,
    pub(crate) ip_address: ScalarText,
    pub(crate) link: ScalarText,
    pub(crate) link_tags: LenientTags,
    pub(crate) extra: UnknownFields,
}

impl ClickEvent {
    pub(super) fn from_fields(mut fields: JsonFields<'_>) -> Self {
        Self {
            timestamp: fields.take_if_scalar("timestamp"),
            user_agent: fields.take_if_scalar("userAgent"),
            ip_address: fields.take_if_scalar("ipAddress"),
            link: fields.take_if_scalar("link"),
            link_tags: fields
                .take("linkTags")
                .map(|tags| json::parse_value_or_text(tags).into())
                .unwrap_or_default(),
            extra: UnknownFields::from_remaining(fields),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct RenderingFailureEvent {
    pub(crate) timestamp: ScalarText,
    pub(crate) error_message: ScalarText,
    pub(crate) template_name: ScalarText,
    pub(crate) extra: UnknownFields,
}

impl RenderingFailureEvent {
    pub(super) fn from_fields(mut fields: JsonFields<'_>) -> Self {
        Self {
            timestamp: fields.take_if_scalar("timestamp"),
            error_message: fields.take_if_scalar("errorMessage"),
            template_name: fields.take_if_scalar("templateName"),
            extra: UnknownFields::from_remaining(fields),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct SubscriptionEvent {
    pub(crate) timestamp: ScalarText,
    pub(crate) contact_list: ScalarText,
    pub(crate) source: ScalarText,
    pub(crate) new_topic_preferences: ContactPreferences,
    pub(crate) old_topic_preferences: ContactPreferences,
    pub(crate) extra: UnknownFields,
}

impl SubscriptionEvent {
    pub(super) fn from_fields(mut fields: JsonFields<'_>) -> Self {
        Self {
            timestamp: fields.take_if_scalar("timestamp"),
            contact_list: fields.take_if_scalar("contactList"),
            source: fields.take_if_scalar("source"),
            new_topic_preferences: ContactPreferences::read_and_take_if_known(
                &mut fields,
                "newTopicPreferences",
            ),
            old_topic_preferences: ContactPreferences::read_and_take_if_known(
                &mut fields,
                "oldTopicPreferences",
            ),
            extra: UnknownFields::from_remaining(fields),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct ContactPreferences {
    pub(crate) unsubscribe_all: ScalarText,
    pub(crate) topic_subscription_status: Vec<TopicStatus>,
}

#[derive(Debug, Default)]
pub(crate) struct TopicStatus {
    pub(crate) topic_name: ScalarText,
    pub(crate) subscription_status: ScalarText,
}

impl ContactPreferences {
    /// Takes the preferences, but only if everything in them is known: else they stay as well, to be kept whole.
    fn read_and_take_if_known(fields: &mut JsonFields<'_>, name: &str) -> Self {
        let Some(mut object) = fields.get(name).and_then(JsonFields::from_json) else {
            return Self::default();
        };
        let unsubscribe_all = object.take_if_scalar("unsubscribeAll");
        let statuses = object.take("topicSubscriptionStatus").map(parse_list).unwrap_or_default();
        // The defaults of the list's topics: nothing that the contact has chosen.
        object.take("topicDefaultSubscriptionStatus");
        let mut is_known = object.is_empty();
        let status = |mut status: JsonFields<'_>| {
            let read = TopicStatus {
                topic_name: status.take_if_scalar("topicName"),
                subscription_status: status.take_if_scalar("subscriptionStatus"),
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
    pub(crate) email_address: ScalarText,
    pub(crate) action: ScalarText,
    pub(crate) status: ScalarText,
    pub(crate) diagnostic_code: ScalarText,
    pub(crate) extra: UnknownFields,
}

impl Recipient {
    pub(super) fn from_address(address: ScalarText) -> Self {
        Self { email_address: address, ..Self::default() }
    }

    fn from_json(json: &RawValue) -> Self {
        let Some(mut fields) = JsonFields::from_json(json) else {
            return Self::from_address(json::parse_value_or_text(json).into());
        };
        Self {
            email_address: fields.take_if_scalar("emailAddress"),
            action: fields.take_any_as_text("action"),
            status: fields.take_any_as_text("status"),
            diagnostic_code: fields.take_if_scalar("diagnosticCode"),
            extra: UnknownFields::from_remaining(fields),
        }
    }
}

/// Takes a list of recipients; an absent one is empty.
fn take_optional_recipients(
    fields: &mut JsonFields<'_>,
    name: &str,
) -> Result<Vec<Recipient>, MalformedInput> {
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
