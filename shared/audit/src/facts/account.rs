//! The account in a Region: SES v2 `GetAccount`.

use serde::{Deserialize, Serialize};

/// `GetAccount`'s answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccountFacts {
    /// Whether the account is out of the sandbox.
    pub production_access_enabled: bool,
    /// Whether the account may send; `false` if sending is paused.
    pub sending_enabled: bool,
    /// The account's standing: `HEALTHY`, `PROBATION`, `SHUTDOWN`, or what else SES says.
    pub enforcement_status: Option<String>,
    /// The sending limits, and how far they are used up.
    pub send_quota: Option<SendQuota>,
    /// The reasons for which addresses are suppressed (`SuppressionAttributes.SuppressedReasons`): `BOUNCE`, `COMPLAINT`.
    pub suppressed_reasons: Vec<String>,
    /// The review of the request for production access (`EventDetails.ReviewDetails`).
    pub review: Option<ProductionAccessReview>,
}

/// The sending limits (`SendQuota`). SES counts in floating point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SendQuota {
    /// The most mails in 24 hours; -1 is unlimited.
    pub max_24_hour_send: f64,
    /// The most mails in a second.
    pub max_send_rate: f64,
    /// The mails sent in the last 24 hours.
    pub sent_last_24_hours: f64,
}

/// The review of the request for production access (`ReviewDetails`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductionAccessReview {
    /// How far the review is: `PENDING`, `GRANTED`, `DENIED`, `FAILED`, or what else SES says.
    pub status: Option<String>,
    /// The number of the support case.
    pub case_id: Option<String>,
}
