//! The sections of AWS's page "Regions and Amazon SES".

use serde::{Deserialize, Serialize};

/// A section of AWS's page, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditSection {
    /// Section 1: the Region is enabled and answers.
    Endpoints,
    /// Section 2: sandbox and sending limits.
    Sandbox,
    /// Section 3: identities are verified.
    Verification,
    /// Section 4: Easy DKIM.
    Dkim,
    /// Section 5: the account-level suppression list.
    SuppressionList,
    /// Section 6: feedback notifications.
    Feedback,
    /// Section 7: SMTP credentials. IAM is global, so this is the same in every Region.
    SmtpCredentials,
    /// Section 8: custom MAIL FROM domains.
    MailFrom,
    /// Section 9: sending authorization.
    Authorization,
    /// Section 10: receiving mail.
    Receiving,
}

impl AuditSection {
    /// All sections, in the page's order.
    pub const ALL: [Self; 10] = [
        Self::Endpoints,
        Self::Sandbox,
        Self::Verification,
        Self::Dkim,
        Self::SuppressionList,
        Self::Feedback,
        Self::SmtpCredentials,
        Self::MailFrom,
        Self::Authorization,
        Self::Receiving,
    ];

    /// The section's number on the page, from 1.
    pub fn number(self) -> u8 {
        match self {
            Self::Endpoints => 1,
            Self::Sandbox => 2,
            Self::Verification => 3,
            Self::Dkim => 4,
            Self::SuppressionList => 5,
            Self::Feedback => 6,
            Self::SmtpCredentials => 7,
            Self::MailFrom => 8,
            Self::Authorization => 9,
            Self::Receiving => 10,
        }
    }

    /// The section's name in sort keys and metrics, such as `mail_from`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Endpoints => "endpoints",
            Self::Sandbox => "sandbox",
            Self::Verification => "verification",
            Self::Dkim => "dkim",
            Self::SuppressionList => "suppression_list",
            Self::Feedback => "feedback",
            Self::SmtpCredentials => "smtp_credentials",
            Self::MailFrom => "mail_from",
            Self::Authorization => "authorization",
            Self::Receiving => "receiving",
        }
    }
}
