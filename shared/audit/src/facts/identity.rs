//! One identity in a Region. Each is a value of its own: 500 of them are read one a second, over several invocations, and
//! kept meanwhile.

use std::collections::BTreeMap;

use mailroom_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use super::answer::ApiAnswer;

/// An identity that `ListEmailIdentities` named. One that was deleted before it was read (`NotFoundException`) is left
/// out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityFacts {
    /// The identity's name (`IdentityName`): a domain or an address.
    pub name: String,
    /// The identity's kind (`IdentityType`): `DOMAIN`, `EMAIL_ADDRESS`, `MANAGED_DOMAIN`, or what else SES says.
    pub kind: Option<String>,
    /// The answer to `GetEmailIdentity`.
    #[serde(default)]
    pub identity: ApiAnswer<EmailIdentity>,
    /// The answer to version 1's `GetIdentityNotificationAttributes`.
    #[serde(default)]
    pub notifications: ApiAnswer<IdentityNotificationAttributes>,
}

impl IdentityFacts {
    /// Whether the identity is a domain, rather than an address.
    pub fn is_domain(&self) -> bool {
        match self.kind.as_deref() {
            Some("DOMAIN" | "MANAGED_DOMAIN") => true,
            Some("EMAIL_ADDRESS") => false,
            _ => !self.name.contains('@'),
        }
    }
}

/// The answer to `GetEmailIdentity`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailIdentity {
    /// Whether mail can be sent from the identity (`VerifiedForSendingStatus`).
    pub verified_for_sending: bool,
    /// How far verification is: `PENDING`, `SUCCESS`, `FAILED`, `TEMPORARY_FAILURE`, `NOT_STARTED`, or what else SES
    /// says.
    pub verification_status: Option<String>,
    /// Why verification failed (`VerificationInfo.ErrorType`): `HOST_NOT_FOUND` and so on.
    pub verification_error: Option<String>,
    /// When SES last checked (`VerificationInfo.LastCheckedTimestamp`).
    pub last_checked_at: Option<Timestamp>,
    /// When a check last succeeded (`VerificationInfo.LastSuccessTimestamp`).
    pub last_success_at: Option<Timestamp>,
    /// How the identity's mail is signed (`DkimAttributes`).
    pub dkim: Option<DkimAttributes>,
    /// The custom MAIL FROM domain (`MailFromAttributes`). `None` if there is none: SES then leaves `MailFromDomain` out
    /// or empty.
    pub mail_from: Option<MailFromAttributes>,
    /// The sending authorization policies by name, each as the JSON text that SES gave.
    #[serde(default)]
    pub policies: BTreeMap<String, String>,
    /// The default configuration set (`ConfigurationSetName`).
    pub configuration_set: Option<String>,
    /// Whether bounces and complaints come by e-mail (`FeedbackForwardingStatus`).
    pub feedback_forwarding: bool,
}

/// How an identity's mail is signed (`DkimAttributes`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DkimAttributes {
    /// Whether mail is signed.
    pub signing_enabled: bool,
    /// How far DKIM's verification is: `PENDING`, `SUCCESS`, `FAILED`, `TEMPORARY_FAILURE`, `NOT_STARTED`, or what else
    /// SES says.
    pub status: Option<String>,
    /// The tokens: three with Easy DKIM, each the label of a CNAME; the selector with a key of the owner's own.
    pub tokens: Vec<String>,
    /// The zone in which the CNAMEs point: `<token>.<signing hosted zone>`. `None` in older answers, which lack it.
    pub signing_hosted_zone: Option<String>,
    /// Where the key comes from: `AWS_SES`; `EXTERNAL`, a key of the owner's own; `AWS_SES_US_EAST_1`, by deterministic
    /// Easy DKIM from that Region.
    pub signing_attributes_origin: Option<String>,
    /// The length of the key in use: `RSA_1024_BIT`, `RSA_2048_BIT`; `None` with a key of the owner's own.
    pub current_signing_key_length: Option<String>,
    /// The length of the key that is generated next; values as for `current_signing_key_length`.
    pub next_signing_key_length: Option<String>,
}

/// A custom MAIL FROM domain (`MailFromAttributes`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailFromAttributes {
    /// The domain (`MailFromDomain`).
    pub domain: String,
    /// Whether SES uses the domain (`MailFromDomainStatus`): `PENDING`, `SUCCESS`, `FAILED`, `TEMPORARY_FAILURE`, or what
    /// else SES says.
    pub status: String,
    /// What SES does if the MX record is missing: `USE_DEFAULT_VALUE`, `REJECT_MESSAGE`, or what else SES says.
    pub behavior_on_mx_failure: String,
}

/// Where bounces and complaints go (version 1's `IdentityNotificationAttributes`). SES gives none for an identity that
/// has none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IdentityNotificationAttributes {
    /// The ARN of the topic for bounces; `None` where SES leaves it out or empty.
    pub bounce_topic: Option<String>,
    /// The ARN of the topic for complaints; `None` where SES leaves it out or empty.
    pub complaint_topic: Option<String>,
    /// Whether bounces and complaints come by e-mail, too.
    pub forwarding_enabled: bool,
}
