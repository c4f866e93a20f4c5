//! The account in a Region: SES v2 `GetAccount`.

use serde::{Deserialize, Serialize};

/// `GetAccount`'s answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// `false` in the sandbox.
    pub production_access_enabled: bool,
    /// `false` if sending is paused.
    pub sending_enabled: bool,
    /// `HEALTHY`, `PROBATION`, `SHUTDOWN`, or what else SES says.
    pub enforcement_status: Option<String>,
    /// The limits, and how far they are used up.
    pub send_quota: Option<SendQuota>,
    /// `SuppressionAttributes.SuppressedReasons`: `BOUNCE`, `COMPLAINT`.
    pub suppressed_reasons: Vec<String>,
    /// `Details.ReviewDetails`: of the request for production access.
    pub review: Option<Review>,
}

/// `SendQuota`. SES counts in floating point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SendQuota {
    /// Mails in 24 hours; -1 is unlimited.
    pub max_24_hour_send: f64,
    /// Mails in a second.
    pub max_send_rate: f64,
    /// Mails in the last 24 hours.
    pub sent_last_24_hours: f64,
}

/// `ReviewDetails`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// `PENDING`, `GRANTED`, `DENIED`, `FAILED`, or what else SES says.
    pub status: Option<String>,
    /// The support case.
    pub case_id: Option<String>,
}
