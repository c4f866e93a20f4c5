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
pub enum Decidable {
    /// A permanent bounce, which is enough by itself.
    Bounce,
    /// A complaint, which is enough by itself if it is known whose it is.
    Complaint,
    /// A transient bounce, which is enough only together with others.
    Transient,
    /// A bounce of which SES knows nothing, which is never enough unless a parameter says so.
    Undetermined,
}

impl Decidable {
    /// What the event says against the address by itself; `None` if it is not enough by itself.
    pub fn evidence(self) -> Option<Evidence> {
        match self {
            Self::Bounce => Some(Evidence::Bounce),
            Self::Complaint => Some(Evidence::Complaint),
            Self::Transient | Self::Undetermined => None,
        }
    }
}

/// The subtypes of transient bounces that are about the mail: another one to the same address might get through.
const ABOUT_THE_MESSAGE: [&str; 3] = ["MessageTooLarge", "ContentRejected", "AttachmentRejected"];

/// Whether a bounce was caused by a suppression list, and so is not news: deciding from it would have Regions echo each
/// other, bring back what an operator removed, and spread one tenant's list over the account. (`Suppressed`, SES's global
/// list, is news.)
fn is_echo(subtype: Option<&str>) -> bool {
    is(subtype, "OnAccountSuppressionList") || is(subtype, "OnTenantSuppressionList")
}

/// Compares without regard to case: SES spells its values in one way, RFC 3464's are case-insensitive, and no two values
/// differ by case alone.
fn is(value: Option<&str>, other: &str) -> bool {
    value.is_some_and(|value| value.trim().eq_ignore_ascii_case(other))
}

/// What a bounce says of one recipient. `Permanent` is enough with any subtype, also one that SES adds tomorrow, but not
/// as an echo; and not if the recipient's own report (RFC 3464) says that it was delayed, or got through, or failed
/// for now (RFC 3463 class 4): one bounce may hold recipients who fared differently. A type that we don't know says nothing.
pub(crate) fn of_bounce(
    bounce_type: Option<&str>,
    subtype: Option<&str>,
    action: Option<&str>,
    status: Option<&str>,
) -> Option<Decidable> {
    let spared = ["delayed", "delivered", "relayed", "expanded"].into_iter().any(|spared| is(action, spared));
    let status = status.unwrap_or_default().trim_start();
    if is_echo(subtype) || spared || status.starts_with("2.") {
        return None;
    }
    if is(bounce_type, "Permanent") {
        return (!status.starts_with("4.")).then_some(Decidable::Bounce);
    }
    if is(bounce_type, "Transient") {
        let about_the_message = ABOUT_THE_MESSAGE.into_iter().any(|about| is(subtype, about));
        return (!about_the_message).then_some(Decidable::Transient);
    }
    is(bounce_type, "Undetermined").then_some(Decidable::Undetermined)
}

/// What a complaint says of each of its recipients. `not-spam` takes one back that we don't know, `auth-failure` is about
/// the message (RFC 5965, RFC 6591). Without a feedback type, or with an unknown one, it is still a complaint.
pub(crate) fn of_complaint(feedback_type: Option<&str>, subtype: Option<&str>) -> Option<Decidable> {
    let nothing = is_echo(subtype) || is(feedback_type, "not-spam") || is(feedback_type, "auth-failure");
    (!nothing).then_some(Decidable::Complaint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounces() {
        let bounce = Some(Decidable::Bounce);
        let transient = Some(Decidable::Transient);
        let undetermined = Some(Decidable::Undetermined);
        let cases = [
            ("Permanent", "General", "failed", "5.1.1", bounce),
            ("Permanent", "General", "", "", bounce),
            ("Permanent", "NoEmail", "failed", "5.1.1", bounce),
            ("Permanent", "Suppressed", "failed", "5.1.1", bounce),
            ("Permanent", "UnsubscribedRecipient", "failed", "5.1.1", bounce),
            ("Permanent", "SomethingNew", "failed", "5.1.1", bounce),
            ("Permanent", "OnAccountSuppressionList", "failed", "5.1.1", None),
            ("Permanent", "OnTenantSuppressionList", "failed", "5.1.1", None),
            ("Permanent", "General", "delayed", "5.1.1", None),
            ("Permanent", "General", "Delayed", "", None),
            ("Permanent", "General", "failed", "4.4.7", None),
            ("Permanent", "General", "", " 4.4.7 (timeout)", None),
            ("Permanent", "General", "relayed", "2.1.5", None),
            ("Permanent", "General", "failed", "2.0.0", None),
            ("Permanent", "General", "somehow", "X.4.1", bounce),
            ("Transient", "General", "failed", "5.1.1", transient),
            ("Transient", "MailboxFull", "failed", "5.2.2", transient),
            ("Transient", "MailboxFull", "failed", "4.2.2", transient),
            ("Transient", "CustomTimeoutExceeded", "", "", transient),
            ("Transient", "SomethingNew", "", "", transient),
            ("Transient", "General", "delayed", "4.4.7", None),
            ("Transient", "General", "relayed", "", None),
            ("Transient", "MessageTooLarge", "failed", "5.3.4", None),
            ("Transient", "ContentRejected", "failed", "5.7.1", None),
            ("Transient", "AttachmentRejected", "failed", "5.7.1", None),
            ("Transient", "OnAccountSuppressionList", "failed", "", None),
            ("Undetermined", "Undetermined", "failed", "5.1.1", undetermined),
            ("Undetermined", "", "failed", "4.0.0", undetermined),
            ("Whimsical", "General", "failed", "5.1.1", None),
            ("", "General", "failed", "5.1.1", None),
        ];
        for (bounce_type, subtype, action, status, expected) in cases {
            let said = of_bounce(Some(bounce_type), Some(subtype), Some(action), Some(status));
            assert_eq!(said, expected, "{bounce_type}/{subtype} {action} {status}");
        }
        assert_eq!(of_bounce(Some("Permanent"), None, None, None), bounce);
        assert_eq!(of_bounce(None, None, None, None), None);
    }

    #[test]
    fn complaints() {
        let complaint = Some(Decidable::Complaint);
        let cases = [
            (Some("abuse"), None, complaint),
            (Some("fraud"), None, complaint),
            (Some("virus"), None, complaint),
            (Some("other"), None, complaint),
            (Some("something-new"), None, complaint),
            (None, None, complaint),
            (None, Some("SomethingNew"), complaint),
            (Some("not-spam"), None, None),
            (Some("Not-Spam"), None, None),
            (Some("auth-failure"), None, None),
            (Some("abuse"), Some("OnAccountSuppressionList"), None),
            (None, Some("OnAccountSuppressionList"), None),
        ];
        for (feedback_type, subtype, expected) in cases {
            assert_eq!(of_complaint(feedback_type, subtype), expected, "{feedback_type:?} {subtype:?}");
        }
    }

    #[test]
    fn only_two_are_enough_by_themselves() {
        let cases = [
            (Decidable::Bounce, Some(Evidence::Bounce)),
            (Decidable::Complaint, Some(Evidence::Complaint)),
            (Decidable::Transient, None),
            (Decidable::Undetermined, None),
        ];
        for (decidable, evidence) in cases {
            assert_eq!(decidable.evidence(), evidence);
        }
    }
}
