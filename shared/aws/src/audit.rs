//! What the audit reads of a Region, and where it keeps what it found. Nothing here writes to SES.
//!
//! | module | is |
//! |---|---|
//! | [`ses`] | identities, configuration sets, receipt rules: both versions of SES's API |
//! | [`iam`] | access keys, and what they may do |
//! | [`buckets`] | whether the buckets that receipt rules name can be reached |
//! | [`table`] | readings and verdicts |
//!
//! These ports have pages in common, and why AWS did not tell. No text of AWS's is kept beyond an error's code: it may name
//! an address.

pub mod buckets;
pub mod iam;
pub mod ses;
pub mod table;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use serde::{Deserialize, Serialize};

use crate::ses::SesError;
pub(crate) use crate::ses::is_not_found;

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// What is on it. A page may be empty and not the last.
    pub items: Vec<T>,
    /// Where to go on; `None` after the last page.
    pub next: Option<String>,
}

/// Why AWS did not tell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The role may not. No retry helps until somebody has let it.
    #[error("not permitted")]
    Denied,
    /// AWS does not take these credentials here, which is also how a Region answers that is not enabled: the error's code. No
    /// retry helps.
    #[error("these credentials are not known here: {0}")]
    NotEnabled(String),
    /// Too fast. A retry can help, later.
    #[error("throttled")]
    Throttled,
    /// AWS does not take the request: the error's code. No retry helps.
    #[error("refused: {0}")]
    Refused(String),
    /// Failed on AWS's side, or unanswered. A retry can help.
    #[error("no answer: {0}")]
    Unavailable(String),
}

impl From<SesError> for AskError {
    fn from(error: SesError) -> Self {
        let not_enabled = |code: &str| {
            matches!(
                code.strip_suffix("Exception").unwrap_or(code),
                "AuthFailure"
                    | "InvalidClientTokenId"
                    | "OptInRequired"
                    | "SubscriptionRequired"
                    | "UnrecognizedClient"
            )
        };
        match error {
            SesError::Denied(code) | SesError::Refused { code, .. } if not_enabled(&code) => {
                Self::NotEnabled(code)
            }
            SesError::Throttled => Self::Throttled,
            SesError::Denied(_) => Self::Denied,
            SesError::Refused { code, .. } => Self::Refused(code),
            SesError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

/// What an error says.
pub(crate) fn told<E>(error: &SdkError<E, HttpResponse>) -> AskError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    crate::ses::told(error).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_that_are_not_known_are_no_missing_permission() {
        let not_enabled = |code: &str| AskError::NotEnabled(code.to_owned());
        for (code, denied, refused) in [
            ("AccessDenied", AskError::Denied, AskError::Refused("AccessDenied".to_owned())),
            ("BadRequestException", AskError::Denied, AskError::Refused("BadRequestException".to_owned())),
            (
                "InvalidClientTokenId",
                not_enabled("InvalidClientTokenId"),
                not_enabled("InvalidClientTokenId"),
            ),
            (
                "UnrecognizedClientException",
                not_enabled("UnrecognizedClientException"),
                not_enabled("UnrecognizedClientException"),
            ),
            ("OptInRequired", not_enabled("OptInRequired"), not_enabled("OptInRequired")),
        ] {
            let message = "a@example.com".to_owned();
            assert_eq!(AskError::from(SesError::Denied(code.to_owned())), denied, "{code}");
            let error = SesError::Refused { code: code.to_owned(), message };
            assert_eq!(AskError::from(error), refused, "{code}");
        }
    }
}
