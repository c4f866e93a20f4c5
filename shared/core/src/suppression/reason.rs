//! SES's two reasons for an entry of its suppression list.

use serde::{Deserialize, Serialize};

/// Why an address is suppressed. The greater one may replace the lesser on a list, never the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// The address does not take mail.
    Bounce,
    /// Whoever reads it does not want mail.
    Complaint,
}

impl Reason {
    /// As SES's API spells it: `BOUNCE`, `COMPLAINT`.
    pub fn as_ses(self) -> &'static str {
        match self {
            Self::Bounce => "BOUNCE",
            Self::Complaint => "COMPLAINT",
        }
    }

    /// The reverse. `None` for a reason that SES may add.
    pub fn from_ses(text: &str) -> Option<Self> {
        [Self::Bounce, Self::Complaint].into_iter().find(|reason| reason.as_ses() == text)
    }
}
