//! One identity in a Region. Each is a value of its own: 500 of them are read one a second, over several invocations, and
//! kept meanwhile.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::asked::Asked;
use crate::timestamp::Timestamp;

/// An identity that was on the list. One that was deleted before it was read (`NotFoundException`) is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityFacts {
    /// `IdentityName`: a domain or an address.
    pub name: String,
    /// `IdentityType`: `DOMAIN`, `EMAIL_ADDRESS`, `MANAGED_DOMAIN`, or what else SES says.
    pub kind: Option<String>,
    /// `GetEmailIdentity`
    #[serde(default)]
    pub identity: Asked<Identity>,
    /// Version 1's `GetIdentityNotificationAttributes`.
    #[serde(default)]
    pub notifications: Asked<Notifications>,
}

impl IdentityFacts {
    /// Whether it is a domain, rather than an address.
    pub fn is_domain(&self) -> bool {
        match self.kind.as_deref() {
            Some("DOMAIN" | "MANAGED_DOMAIN") => true,
            Some("EMAIL_ADDRESS") => false,
            _ => !self.name.contains('@'),
        }
    }
}

/// `GetEmailIdentity`'s answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `VerifiedForSendingStatus`
    pub verified_for_sending: bool,
    /// `PENDING`, `SUCCESS`, `FAILED`, `TEMPORARY_FAILURE`, `NOT_STARTED`, or what else SES says.
    pub verification_status: Option<String>,
    /// `VerificationInfo.ErrorType`: `HOST_NOT_FOUND` and so on.
    pub verification_error: Option<String>,
    /// `VerificationInfo.LastCheckedTimestamp`
    pub last_checked_at: Option<Timestamp>,
    /// `VerificationInfo.LastSuccessTimestamp`
    pub last_success_at: Option<Timestamp>,
    /// `DkimAttributes`
    pub dkim: Option<Dkim>,
    /// `MailFromAttributes`; `None` without a custom MAIL FROM domain: SES then leaves `MailFromDomain` out or empty.
    pub mail_from: Option<MailFrom>,
    /// Sending authorization policies by name, each the JSON text that SES gave.
    #[serde(default)]
    pub policies: BTreeMap<String, String>,
    /// `ConfigurationSetName`: the default one.
    pub configuration_set: Option<String>,
    /// `FeedbackForwardingStatus`
    pub feedback_forwarding: bool,
}

/// `DkimAttributes`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Dkim {
    /// Whether mail is signed.
    pub signing_enabled: bool,
    /// `PENDING`, `SUCCESS`, `FAILED`, `TEMPORARY_FAILURE`, `NOT_STARTED`, or what else SES says.
    pub status: Option<String>,
    /// Three with Easy DKIM, each the label of a CNAME; the selector with a key of one's own.
    pub tokens: Vec<String>,
    /// Where the CNAMEs point: `<token>.<signing hosted zone>`. SES gives it in answers of today; older ones lack it.
    pub signing_hosted_zone: Option<String>,
    /// `AWS_SES`; `EXTERNAL`, a key of one's own; `AWS_SES_US_EAST_1`, by deterministic Easy DKIM from that Region.
    pub signing_attributes_origin: Option<String>,
    /// `RSA_1024_BIT`, `RSA_2048_BIT`; `None` with a key of one's own.
    pub current_signing_key_length: Option<String>,
    /// The same, of the key that is generated next.
    pub next_signing_key_length: Option<String>,
}

/// `MailFromAttributes`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailFrom {
    /// `MailFromDomain`
    pub domain: String,
    /// `MailFromDomainStatus`: `PENDING`, `SUCCESS`, `FAILED`, `TEMPORARY_FAILURE`, or what else SES says.
    pub status: String,
    /// `USE_DEFAULT_VALUE`, `REJECT_MESSAGE`, or what else SES says.
    pub behavior_on_mx_failure: String,
}

/// `IdentityNotificationAttributes`, version 1. SES gives none for an identity that has none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Notifications {
    /// The topic's ARN; `None` where SES leaves it out or empty.
    pub bounce_topic: Option<String>,
    /// Likewise.
    pub complaint_topic: Option<String>,
    /// Whether bounces and complaints come as mail, too.
    pub forwarding_enabled: bool,
}
