//! SES's two reasons for an entry of its suppression list.

use serde::{Deserialize, Serialize};

/// Why an address is suppressed. On a list the greater reason may replace the lesser, but never the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SuppressionReason {
    /// The address does not take mail.
    Bounce,
    /// Whoever reads the mail does not want it.
    Complaint,
}

impl SuppressionReason {
    /// SES's name for the reason: `BOUNCE` or `COMPLAINT`.
    pub fn as_ses(self) -> &'static str {
        match self {
            Self::Bounce => "BOUNCE",
            Self::Complaint => "COMPLAINT",
        }
    }

    /// Reads SES's name for a reason; `None` for one that SES may add.
    pub fn from_ses(text: &str) -> Option<Self> {
        [Self::Bounce, Self::Complaint].into_iter().find(|reason| reason.as_ses() == text)
    }
}
