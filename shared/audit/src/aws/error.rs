//! Why AWS does not answer, and the pages in which it does.

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use mailroom_aws::ses::{self, SesError};
use serde::{Deserialize, Serialize};

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultPage<T> {
    /// The items on the page. A page may be empty and not the last.
    pub items: Vec<T>,
    /// The token of the next page; `None` after the last one.
    #[serde(rename = "next")]
    pub next_token: Option<String>,
}

/// Why AWS did not answer what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
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

impl From<SesError> for ApiError {
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
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// What an error of the SDK's means for the audit.
pub(crate) fn classify_error<E>(error: &SdkError<E, HttpResponse>) -> ApiError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    ses::classify_error(error).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_that_are_not_known_are_no_missing_permission() {
        let not_enabled = |code: &str| ApiError::NotEnabled(code.to_owned());
        for (code, denied, refused) in [
            ("AccessDenied", ApiError::Denied, ApiError::Refused("AccessDenied".to_owned())),
            ("BadRequestException", ApiError::Denied, ApiError::Refused("BadRequestException".to_owned())),
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
            assert_eq!(ApiError::from(SesError::Denied(code.to_owned())), denied, "{code}");
            let error = SesError::Refused { code: code.to_owned(), message };
            assert_eq!(ApiError::from(error), refused, "{code}");
        }
    }
}
