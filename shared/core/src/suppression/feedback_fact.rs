//! A feedback record as the policy reads it, written by this version or an earlier one.
//!
//! Earlier versions took more for evidence: refusals by SES itself, and automatic replies. Their records say so to this
//! day, and are read again when soft bounces are counted and when reconcile looks back. So what a record calls for is
//! derived once more from what SES said. It can only become less, since a record that called for nothing may have had a
//! reason that it does not hold.

use serde::Deserialize;

use super::state::replace_skewed_time;
use crate::evidence::{BounceReport, DecisionTrigger, complaint_trigger};
use crate::notification::NotificationFormat;
use crate::timestamp::Timestamp;

/// The parts of a record that the policy reads, both of a new one in the stream and of earlier ones in the table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "StoredFeedback")]
pub struct FeedbackSummary {
    /// The kind of event: `bounce`, `complaint`, `delivery`, …
    pub kind: String,
    /// The id by which events are counted.
    pub event_id: String,
    /// When it happened, according to SES.
    pub occurred_at: Timestamp,
    /// When SES took the mail.
    pub sent_at: Option<Timestamp>,
    /// What kind of decision the record calls for, by the rules of this version; `None` if there is nothing to decide.
    pub decidable: Option<DecisionTrigger>,
    /// The recipient's address as SES spelled it.
    pub recipient: String,
    /// The recipient's address in match form.
    pub address: String,
    /// The tenant for whom the mail was sent; `None` if there is none.
    pub tenant: Option<String>,
    /// How many recipients a complaint may have come from; `None` if the record does not say.
    pub candidates: Option<usize>,
    /// Which of SES's vocabularies told the event; `None` if the record does not say.
    pub format: Option<NotificationFormat>,
}

impl FeedbackSummary {
    /// The record with each skewed time [replaced](replace_skewed_time) by when it was written.
    #[must_use]
    pub fn replace_skewed_times(mut self, written_at: Timestamp) -> Self {
        self.occurred_at = replace_skewed_time(self.occurred_at, written_at);
        self.sent_at = self.sent_at.map(|at| replace_skewed_time(at, written_at));
        self
    }

    /// When the event counts from by itself: when it happened, but not before its mail was sent.
    pub fn takes_effect_at(&self) -> Timestamp {
        self.sent_at.map_or(self.occurred_at, |sent_at| sent_at.max(self.occurred_at))
    }
}

/// The attributes of [`crate::feedback::FeedbackRecord`] that the policy needs.
#[derive(Deserialize)]
struct StoredFeedback {
    kind: String,
    event_id: String,
    occurred_at: Timestamp,
    #[serde(default)]
    sent_at: Option<Timestamp>,
    #[serde(default)]
    decidable: Option<DecisionTrigger>,
    recipient: String,
    address: String,
    #[serde(default)]
    tenant: Option<String>,
    #[serde(default)]
    candidates: Option<usize>,
    #[serde(default)]
    format: Option<NotificationFormat>,
    #[serde(default)]
    bounce_type: Option<String>,
    #[serde(default)]
    bounce_subtype: Option<String>,
    #[serde(default)]
    action: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    diagnostic: Option<String>,
    #[serde(default)]
    complaint_feedback_type: Option<String>,
    #[serde(default)]
    complaint_subtype: Option<String>,
}

impl StoredFeedback {
    /// What the record calls for by the rules of this version.
    fn confirm_decision_trigger(&self) -> Option<DecisionTrigger> {
        let stored = self.decidable?;
        let by_the_rules = if stored == DecisionTrigger::Complaint {
            complaint_trigger(self.complaint_feedback_type.as_deref(), self.complaint_subtype.as_deref())
        } else {
            let report = BounceReport {
                bounce_type: self.bounce_type.as_deref(),
                subtype: self.bounce_subtype.as_deref(),
                action: self.action.as_deref(),
                status: self.status.as_deref(),
                diagnostic: self.diagnostic.as_deref(),
            };
            report.decision_trigger()
        };
        by_the_rules.filter(|decidable| *decidable == stored)
    }
}

impl From<StoredFeedback> for FeedbackSummary {
    fn from(stored: StoredFeedback) -> Self {
        Self {
            decidable: stored.confirm_decision_trigger(),
            kind: stored.kind,
            event_id: stored.event_id,
            occurred_at: stored.occurred_at,
            sent_at: stored.sent_at,
            recipient: stored.recipient,
            address: stored.address,
            tenant: stored.tenant,
            candidates: stored.candidates,
            format: stored.format,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What this version makes of a record with these attributes.
    fn decidable(attributes: &Value) -> Option<DecisionTrigger> {
        let mut record = json!({"kind": "bounce", "event_id": "1", "occurred_at": "2026-01-01T00:00:00.000Z",
            "recipient": "Jane@example.com", "address": "jane@example.com", "evidence": null, "added": {"later": 1}});
        record.as_object_mut().unwrap().extend(attributes.as_object().unwrap().clone());
        serde_json::from_value::<FeedbackSummary>(record).unwrap().decidable
    }

    #[test]
    fn a_record_of_an_earlier_version_decides_no_more_than_one_of_today() {
        let bounce = |subtype| {
            json!({"decidable": "bounce", "bounce_type": "Permanent", "bounce_subtype": subtype,
            "action": "failed", "status": "5.1.1", "diagnostic": "smtp; 550 5.1.1 no such user"})
        };
        let transient = |subtype| json!({"decidable": "transient", "bounce_type": "Transient", "bounce_subtype": subtype});
        let reported = |mut record: Value, name: &str, text: &str| {
            record[name] = json!(text);
            record
        };
        let complaint = |subtype: Option<&str>| {
            json!({"kind": "complaint", "decidable": "complaint",
            "complaint_feedback_type": "abuse", "complaint_subtype": subtype})
        };
        let cases = [
            (bounce("General"), Some(DecisionTrigger::Bounce)),
            (bounce("NoEmail"), Some(DecisionTrigger::Bounce)),
            (bounce("UnsubscribedRecipient"), None),
            (bounce("EmailValidationSuppressed"), None),
            (bounce("SomethingNew"), None),
            (transient("General"), None),
            (reported(transient("General"), "action", "failed"), Some(DecisionTrigger::Transient)),
            (reported(transient("General"), "status", "4.2.0"), Some(DecisionTrigger::Transient)),
            (
                reported(transient("General"), "diagnostic", "smtp; 421 later"),
                Some(DecisionTrigger::Transient),
            ),
            (transient("MailboxFull"), Some(DecisionTrigger::Transient)),
            (
                json!({"decidable": "undetermined", "bounce_type": "Undetermined", "bounce_subtype": "Undetermined"}),
                Some(DecisionTrigger::Undetermined),
            ),
            (complaint(None), Some(DecisionTrigger::Complaint)),
            (complaint(Some("SomethingNew")), None),
            // A record that called for nothing still does not: its recipient may not have been a destination.
            (
                json!({"bounce_type": "Permanent", "bounce_subtype": "General", "not_in_destination": true}),
                None,
            ),
        ];
        for (attributes, expected) in cases {
            assert_eq!(decidable(&attributes), expected, "{attributes}");
        }
    }
}
