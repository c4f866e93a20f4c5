//! An answer, or why there is none.

use serde::{Deserialize, Serialize};

/// What came of a call, or of the calls that page through something. A call without an answer makes what depends on it
/// unknown, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiAnswer<T> {
    /// AWS answered, with this value.
    Answered(T),
    /// The permission is missing. Holds its name, such as `ses:GetAccount`.
    Denied(String),
    /// AWS does not take credentials here that it takes elsewhere, which is how a Region answers that the account has not
    /// enabled. Holds the error's code (`UnrecognizedClientException`, `InvalidClientTokenId`, `OptInRequired`, …).
    NotEnabled(String),
    /// AWS is called too often, no matter by whom, and a retry did not help. Holds the permission's name, as for a
    /// denial.
    Throttled(String),
    /// AWS answered with an error in spite of retries, or not at all.
    Failed {
        /// The permission's name, as for a denial.
        action: String,
        /// The error's code, or another cause. Never a text of SES's, which may name an address.
        why: String,
    },
    /// The call has not been made yet, or was not meant to be made.
    #[default]
    NotAsked,
}

impl<T> ApiAnswer<T> {
    /// The value that AWS answered; `None` if there is no answer.
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

    /// Turns the answer into something else, and leaves the reason for a missing one as it is.
    pub fn map<U>(self, turned: impl FnOnce(T) -> U) -> ApiAnswer<U> {
        match self {
            Self::Answered(answer) => ApiAnswer::Answered(turned(answer)),
            Self::Denied(action) => ApiAnswer::Denied(action),
            Self::NotEnabled(code) => ApiAnswer::NotEnabled(code),
            Self::Throttled(action) => ApiAnswer::Throttled(action),
            Self::Failed { action, why } => ApiAnswer::Failed { action, why },
            Self::NotAsked => ApiAnswer::NotAsked,
        }
    }
}
