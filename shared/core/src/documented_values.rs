//! The values that SES documents, to notice when it has added one: unknown is data, and worth a look.
//!
//! Source: "Contents of event data that Amazon SES publishes to Amazon SNS", Amazon SES Developer Guide, read 2026-11;
//! "Using tenant-level suppression lists in Amazon SES" for `OnTenantSuppressionList`; "Using list management" for
//! `UnsubscribedRecipient`.

use crate::notification::{EventBody, EventKind, Notification};
use crate::text::ScalarText;

const BOUNCE_TYPES: &[&str] = &["Undetermined", "Permanent", "Transient"];
const BOUNCE_SUBTYPES: &[&str] = &[
    "Undetermined",
    "General",
    "NoEmail",
    "Suppressed",
    "OnAccountSuppressionList",
    "OnTenantSuppressionList",
    "EmailValidationSuppressed",
    "UnsubscribedRecipient",
    "MailboxFull",
    "MessageTooLarge",
    "ContentRejected",
    "AttachmentRejected",
    "CustomTimeoutExceeded",
];
const COMPLAINT_SUBTYPES: &[&str] = &["OnAccountSuppressionList", "OnTenantSuppressionList"];
const COMPLAINT_FEEDBACK_TYPES: &[&str] = &["abuse", "auth-failure", "fraud", "not-spam", "other", "virus"];
const DELAY_TYPES: &[&str] = &[
    "InternalFailure",
    "General",
    "MailboxFull",
    "SpamDetected",
    "RecipientServerError",
    "IPFailure",
    "TransientCommunicationFailure",
    "BYOIPHostNameLookupUnavailable",
    "Undetermined",
    "SendingDeferral",
];

impl Notification {
    /// The fields that hold a value that is not in SES's documentation.
    pub fn fields_with_unknown_values(&self) -> Vec<&'static str> {
        let checks: &[(&'static str, &ScalarText, &[&str])] = match &self.body {
            EventBody::Bounce(bounce) => &[
                ("bounce.bounceType", &bounce.bounce_type, BOUNCE_TYPES),
                ("bounce.bounceSubType", &bounce.bounce_sub_type, BOUNCE_SUBTYPES),
            ],
            EventBody::Complaint(complaint) => &[
                ("complaint.complaintSubType", &complaint.complaint_sub_type, COMPLAINT_SUBTYPES),
                (
                    "complaint.complaintFeedbackType",
                    &complaint.complaint_feedback_type,
                    COMPLAINT_FEEDBACK_TYPES,
                ),
            ],
            EventBody::DeliveryDelay(delay, _) => {
                &[("deliveryDelay.delayType", &delay.delay_type, DELAY_TYPES)]
            }
            _ => &[],
        };
        let kind = matches!(self.kind, EventKind::Unknown(_)).then_some("eventType");
        let unknown =
            |value: &ScalarText, known: &[&str]| value.get().is_some_and(|value| !known.contains(&value));
        let values =
            checks.iter().filter(|(_, value, known)| unknown(value, known)).map(|(field, ..)| *field);
        kind.into_iter().chain(values).collect()
    }
}
