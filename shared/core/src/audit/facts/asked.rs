//! An answer, or why there is none.

use serde::{Deserialize, Serialize};

/// What came of a call, or of the calls that page through something. One that is not answered makes what depends on it
/// unknown, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked<T> {
    /// This.
    Answered(T),
    /// The permission is missing: its name, `ses:GetAccount`.
    Denied(String),
    /// AWS does not take credentials there that it takes elsewhere, which is what it does in a Region that the account has not
    /// enabled: the error's code (`UnrecognizedClientException`, `InvalidClientTokenId`, `OptInRequired`, …).
    NotEnabled(String),
    /// AWS is asked too often, by whomever, and a retry did not help: the permission's name, as for a denial.
    Throttled(String),
    /// An error that a retry did not help, or no answer at all.
    Failed {
        /// The permission's name, as for a denial.
        action: String,
        /// The error's code, or what else there was to tell. No text of SES's that may name an address.
        why: String,
    },
    /// It is not known yet, or was not to be asked.
    #[default]
    NotAsked,
}

impl<T> Asked<T> {
    /// The answer.
    pub fn answer(&self) -> Option<&T> {
        match self {
            Self::Answered(answer) => Some(answer),
            Self::Denied(_)
            | Self::NotEnabled(_)
            | Self::Throttled(_)
            | Self::Failed { .. }
            | Self::NotAsked => None,
        }
    }

    /// The same, of something that the answer is turned into.
    pub fn map<U>(self, turned: impl FnOnce(T) -> U) -> Asked<U> {
        match self {
            Self::Answered(answer) => Asked::Answered(turned(answer)),
            Self::Denied(action) => Asked::Denied(action),
            Self::NotEnabled(code) => Asked::NotEnabled(code),
            Self::Throttled(action) => Asked::Throttled(action),
            Self::Failed { action, why } => Asked::Failed { action, why },
            Self::NotAsked => Asked::NotAsked,
        }
    }
}
