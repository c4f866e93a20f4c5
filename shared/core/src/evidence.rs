//! What an event says about an address: the rules by which nobody is suppressed wrongly.

use serde::{Deserialize, Serialize};

/// A reason to suppress an address, with the weight of SES's own two reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// The address does not take mail, for good.
    Bounce,
    /// Whoever reads it does not want mail.
    Complaint,
}

/// What kind of decision an event calls for: the attribute by which the table's stream is filtered, made of the record
/// alone. What follows from it is for the policy to say ([`crate::suppression::policy`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DecisionTrigger {
    /// A permanent bounce, which is enough by itself.
    Bounce,
    /// A complaint, which is enough by itself if it is known whose it is.
    Complaint,
    /// A transient bounce, which is enough only together with others.
    Transient,
    /// A bounce of which SES knows nothing, which is never enough unless a parameter says so.
    Undetermined,
}

impl DecisionTrigger {
    /// What the event says against the address by itself; `None` if it is not enough by itself.
    pub fn evidence_by_itself(self) -> Option<Evidence> {
        match self {
            Self::Bounce => Some(Evidence::Bounce),
            Self::Complaint => Some(Evidence::Complaint),
            Self::Transient | Self::Undetermined => None,
        }
    }
}

/// The subtypes by which each type of bounce is about the mailbox. Any other is a refusal by SES itself (a suppression
/// list, list management, validation), or is about the mail (its size, its content), or is new. AWS has named every
/// subtype of `Permanent` since these three for such a refusal, so what it adds next decides nothing either.
/// `Suppressed` is SES's own global list, which is made of hard bounces; the others' lists would be echoes.
const MAILBOX_SUBTYPES: [(&str, DecisionTrigger, &[&str]); 3] = [
    ("Permanent", DecisionTrigger::Bounce, &["General", "NoEmail", "Suppressed"]),
    ("Transient", DecisionTrigger::Transient, &["General", "MailboxFull", "CustomTimeoutExceeded"]),
    ("Undetermined", DecisionTrigger::Undetermined, &["Undetermined", "General"]),
];

/// Compares without regard to case: SES spells its values in one way, RFC 3464's are case-insensitive, and no two values
/// differ by case alone.
fn equals_ignoring_case(value: Option<&str>, expected: &str) -> bool {
    value.is_some_and(|value| value.trim().eq_ignore_ascii_case(expected))
}

/// What SES says of one bounced recipient, as far as it is evidence. An absent value is `None`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BounceReport<'a> {
    pub(crate) bounce_type: Option<&'a str>,
    pub(crate) subtype: Option<&'a str>,
    /// The fields of the recipient's delivery status notification (RFC 3464).
    pub(crate) action: Option<&'a str>,
    pub(crate) status: Option<&'a str>,
    pub(crate) diagnostic: Option<&'a str>,
}

impl BounceReport<'_> {
    /// What the bounce says of the recipient. It says nothing if it is an [auto-response](Self::is_auto_response), or if
    /// the recipient's own report says that the mail was delayed, got through, or failed for now (RFC 3463 class 4): one
    /// bounce may hold recipients who fared differently. A type that is not documented says nothing.
    pub(crate) fn decision_trigger(&self) -> Option<DecisionTrigger> {
        let spared = ["delayed", "delivered", "relayed", "expanded"]
            .into_iter()
            .any(|spared| equals_ignoring_case(self.action, spared));
        let status = self.status.unwrap_or_default().trim_start();
        let unreadable = [self.action, self.status].into_iter().flatten().any(is_json_list_or_object);
        if spared || unreadable || status.starts_with("2.") || self.is_auto_response() {
            return None;
        }
        let (_, decidable, subtypes) =
            MAILBOX_SUBTYPES.into_iter().find(|(name, ..)| equals_ignoring_case(self.bounce_type, name))?;
        let about_the_mailbox = self.subtype.is_none()
            || subtypes.iter().any(|subtype| equals_ignoring_case(self.subtype, subtype));
        let for_now = decidable == DecisionTrigger::Bounce && status.starts_with("4.");
        (about_the_mailbox && !for_now).then_some(decidable)
    }

    /// Whether an automatic reply, such as an out-of-office notice, was reported as a bounce. AWS documents that
    /// `Transient/General` typically means one ("Amazon SNS notification contents for Amazon SES", bounce types). A
    /// server that refuses a mail for now says so in a delivery status notification; an automatic reply has none.
    pub(crate) fn is_auto_response(&self) -> bool {
        let general = self.subtype.is_none() || equals_ignoring_case(self.subtype, "General");
        let reported = self.action.or(self.status).or(self.diagnostic).is_some();
        equals_ignoring_case(self.bounce_type, "Transient") && general && !reported
    }

    /// Whether a permanent bounce says nothing because of its subtype: SES refused to send, as far as is known.
    pub(crate) fn is_presumed_refusal_by_ses(&self) -> bool {
        let (permanent, _, subtypes) = MAILBOX_SUBTYPES[0];
        self.subtype.is_some()
            && equals_ignoring_case(self.bounce_type, permanent)
            && !subtypes.iter().any(|subtype| equals_ignoring_case(self.subtype, subtype))
    }
}

/// What a complaint says of each of its recipients. `not-spam` takes one back that we don't know, `auth-failure` is about
/// the message (RFC 5965, RFC 6591). Without a feedback type, or with an unknown one, it is still a complaint. With any
/// subtype it is not: nobody complained, but SES refused to send, as with `OnAccountSuppressionList`.
pub(crate) fn complaint_trigger(
    feedback_type: Option<&str>,
    refusal_subtype: Option<&str>,
) -> Option<DecisionTrigger> {
    let nothing = refusal_subtype.is_some()
        || equals_ignoring_case(feedback_type, "not-spam")
        || equals_ignoring_case(feedback_type, "auth-failure")
        || feedback_type.is_some_and(is_json_list_or_object);
    (!nothing).then_some(DecisionTrigger::Complaint)
}

/// Whether a list or an object stands where a word should: it may say anything.
fn is_json_list_or_object(word: &str) -> bool {
    word.trim_start().starts_with(['[', '{'])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A report in which an empty text stands for an absent value.
    fn report(texts: [&str; 5]) -> BounceReport<'_> {
        let [bounce_type, subtype, action, status, diagnostic] =
            texts.map(|text| Some(text).filter(|text| !text.is_empty()));
        BounceReport { bounce_type, subtype, action, status, diagnostic }
    }

    #[test]
    fn bounces() {
        let bounce = Some(DecisionTrigger::Bounce);
        let transient = Some(DecisionTrigger::Transient);
        let undetermined = Some(DecisionTrigger::Undetermined);
        let cases = [
            ("Permanent", "General", "failed", "5.1.1", bounce),
            ("Permanent", "General", "", "", bounce),
            ("Permanent", "", "", "", bounce),
            ("permanent", " general ", "failed", "5.1.1", bounce),
            ("Permanent", "NoEmail", "failed", "5.1.1", bounce),
            ("Permanent", "Suppressed", "failed", "5.1.1", bounce),
            ("Permanent", "UnsubscribedRecipient", "failed", "5.1.1", None),
            ("Permanent", "EmailValidationSuppressed", "failed", "5.1.1", None),
            ("Permanent", "OnAccountSuppressionList", "failed", "5.1.1", None),
            ("Permanent", "OnTenantSuppressionList", "failed", "5.1.1", None),
            ("Permanent", "MailboxFull", "failed", "5.2.2", None),
            ("Permanent", "SomethingNew", "failed", "5.1.1", None),
            ("Permanent", "General", "delayed", "5.1.1", None),
            ("Permanent", "General", "Delayed", "", None),
            ("Permanent", "General", "failed", "4.4.7", None),
            ("Permanent", "General", "", " 4.4.7 (timeout)", None),
            ("Permanent", "General", "relayed", "2.1.5", None),
            ("Permanent", "General", "failed", "2.0.0", None),
            ("Permanent", "General", "somehow", "X.4.1", bounce),
            ("Permanent", r#"["UnsubscribedRecipient"]"#, "failed", "5.1.1", None),
            ("Permanent", "General", r#"["delayed"]"#, "", None),
            ("Permanent", "General", "failed", r#"{"code":"4.4.7"}"#, None),
            (r#"["Permanent"]"#, "General", "failed", "5.1.1", None),
            ("Transient", "General", "failed", "5.1.1", transient),
            ("Transient", "General", "failed", "", transient),
            ("Transient", "General", "", "4.0.0", transient),
            ("Transient", "General", "", "", None),
            ("Transient", "", "", "", None),
            ("Transient", "MailboxFull", "failed", "5.2.2", transient),
            ("Transient", "MailboxFull", "failed", "4.2.2", transient),
            ("Transient", "MailboxFull", "", "", transient),
            ("Transient", "CustomTimeoutExceeded", "", "", transient),
            ("Transient", "SomethingNew", "failed", "5.1.1", None),
            ("Transient", "General", "delayed", "4.4.7", None),
            ("Transient", "General", "relayed", "", None),
            ("Transient", "MessageTooLarge", "failed", "5.3.4", None),
            ("Transient", "ContentRejected", "failed", "5.7.1", None),
            ("Transient", "AttachmentRejected", "failed", "5.7.1", None),
            ("Transient", "OnAccountSuppressionList", "failed", "", None),
            ("Undetermined", "Undetermined", "failed", "5.1.1", undetermined),
            ("Undetermined", "", "failed", "4.0.0", undetermined),
            ("Undetermined", "UnsubscribedRecipient", "failed", "5.1.1", None),
            ("Whimsical", "General", "failed", "5.1.1", None),
            ("", "General", "failed", "5.1.1", None),
        ];
        for (bounce_type, subtype, action, status, expected) in cases {
            let decidable = report([bounce_type, subtype, action, status, ""]).decision_trigger();
            assert_eq!(decidable, expected, "{bounce_type}/{subtype} {action} {status}");
        }
        assert_eq!(BounceReport::default().decision_trigger(), None);
    }

    #[test]
    fn an_automatic_reply_has_no_delivery_status() {
        let cases = [
            (["Transient", "General", "", "", ""], true),
            (["transient", "general", "", "", ""], true),
            (["Transient", "", "", "", ""], true),
            (["Transient", "General", "failed", "", ""], false),
            (["Transient", "General", "", "5.0.0", ""], false),
            (["Transient", "General", "", "", "smtp; 421 try again later"], false),
            (["Transient", "MailboxFull", "", "", ""], false),
            (["Permanent", "General", "", "", ""], false),
            (["Undetermined", "Undetermined", "", "", ""], false),
        ];
        for (texts, expected) in cases {
            assert_eq!(report(texts).is_auto_response(), expected, "{texts:?}");
            assert!(!expected || report(texts).decision_trigger().is_none(), "{texts:?}");
        }
    }

    #[test]
    fn refusals() {
        let cases = [
            ("Permanent", "UnsubscribedRecipient", true),
            ("Permanent", "EmailValidationSuppressed", true),
            ("Permanent", "OnAccountSuppressionList", true),
            ("Permanent", "OnTenantSuppressionList", true),
            ("Permanent", "SomethingNew", true),
            ("Permanent", "General", false),
            ("Permanent", "NoEmail", false),
            ("Permanent", "Suppressed", false),
            ("Permanent", "", false),
            ("Transient", "ContentRejected", false),
        ];
        for (bounce_type, subtype, expected) in cases {
            let report = report([bounce_type, subtype, "failed", "5.1.1", ""]);
            assert_eq!(report.is_presumed_refusal_by_ses(), expected, "{bounce_type}/{subtype}");
            assert!(!expected || report.decision_trigger().is_none(), "{bounce_type}/{subtype}");
        }
    }

    #[test]
    fn complaints() {
        let complaint = Some(DecisionTrigger::Complaint);
        let cases = [
            (Some("abuse"), None, complaint),
            (Some("fraud"), None, complaint),
            (Some("virus"), None, complaint),
            (Some("other"), None, complaint),
            (Some("something-new"), None, complaint),
            (None, None, complaint),
            (Some("not-spam"), None, None),
            (Some("Not-Spam"), None, None),
            (Some(r#"["not-spam"]"#), None, None),
            (Some("abuse"), Some("{}"), None),
            (Some("auth-failure"), None, None),
            (Some("abuse"), Some("OnAccountSuppressionList"), None),
            (None, Some("OnAccountSuppressionList"), None),
            (None, Some("OnTenantSuppressionList"), None),
            (Some("abuse"), Some("SomethingNew"), None),
        ];
        for (feedback_type, subtype, expected) in cases {
            assert_eq!(complaint_trigger(feedback_type, subtype), expected, "{feedback_type:?} {subtype:?}");
        }
    }

    #[test]
    fn only_two_are_enough_by_themselves() {
        let cases = [
            (DecisionTrigger::Bounce, Some(Evidence::Bounce)),
            (DecisionTrigger::Complaint, Some(Evidence::Complaint)),
            (DecisionTrigger::Transient, None),
            (DecisionTrigger::Undetermined, None),
        ];
        for (decidable, evidence) in cases {
            assert_eq!(decidable.evidence_by_itself(), evidence);
        }
    }
}
