//! What the audit reads of a Region, and where it keeps what it found. Nothing here writes to SES.
//!
//! | module | is |
//! |---|---|
//! | [`ses`] | identities and configuration sets, by version 2 of SES's API |
//! | [`iam`] | access keys, and what they may do |
//! | [`buckets`] | whether the buckets that receipt rules name can be reached |
//! | [`table`] | readings and verdicts |
//!
//! These ports share pages, and the errors with which AWS answers. No text of AWS's is kept beyond an error's code, since it
//! may name an address.

pub mod buckets;
pub mod iam;
pub mod ses;
pub mod table;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use serde::{Deserialize, Serialize};

use crate::ses::SesError;
pub(crate) use crate::ses::is_not_found;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The items on the page. A page may be empty and not the last.
    pub items: Vec<T>,
    /// The token of the next page; `None` after the last one.
    pub next: Option<String>,
}

/// Why AWS did not answer what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The role lacks a permission. No retry helps until it is granted.
    #[error("not permitted")]
    Denied,
    /// AWS does not take these credentials here, which is also how a Region answers that is not enabled. Holds the
    /// error's code. No retry helps.
    #[error("these credentials are not known here: {0}")]
    NotEnabled(String),
    /// AWS was called too fast. A later retry can help.
    #[error("throttled")]
    Throttled,
    /// AWS does not take the request. Holds the error's code. No retry helps.
    #[error("refused: {0}")]
    Refused(String),
    /// The call failed on AWS's side, or was not answered. A retry can help.
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

/// What an error of the SDK's means for the audit.
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
