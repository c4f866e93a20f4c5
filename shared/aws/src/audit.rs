//! What the audit's ports have in common: pages, and why AWS did not tell. No text of AWS's is kept beyond an error's code: it
//! may name an address.

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use serde::{Deserialize, Serialize};

use crate::ses::SesError;

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
        match error {
            SesError::Throttled => Self::Throttled,
            SesError::Denied(code) | SesError::Refused { code, .. } => refusal(&code),
            SesError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

/// What an error says. The codes are those of "Common Errors" in the API references of SES, IAM and S3 (November 2026): the
/// query protocol leaves out `Exception`, and S3, whose answers to HEAD have no body, all but the status.
pub(crate) fn told<E>(error: &SdkError<E, HttpResponse>) -> AskError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let Some(code) = error.code() else {
        return match (status, error) {
            (Some(401 | 403), _) => AskError::Denied,
            (Some(429), _) => AskError::Throttled,
            (Some(status), _) => AskError::Unavailable(format!("status {status}")),
            (None, SdkError::ConstructionFailure(_)) => {
                AskError::Refused(DisplayErrorContext(error).to_string())
            }
            (None, _) => AskError::Unavailable(DisplayErrorContext(error).to_string()),
        };
    };
    match refusal(code) {
        AskError::Refused(_) if status == Some(429) => AskError::Throttled,
        AskError::Refused(_) if status.is_none_or(|status| status >= 500) => {
            AskError::Unavailable(code.to_owned())
        }
        error => error,
    }
}

fn refusal(code: &str) -> AskError {
    match code.strip_suffix("Exception").unwrap_or(code) {
        "AccessDenied" | "NotAuthorized" => AskError::Denied,
        "AuthFailure"
        | "InvalidClientTokenId"
        | "OptInRequired"
        | "SubscriptionRequired"
        | "UnrecognizedClient" => AskError::NotEnabled(code.to_owned()),
        "RequestLimitExceeded" | "SlowDown" | "Throttled" | "Throttling" | "TooManyRequests" => {
            AskError::Throttled
        }
        _ => AskError::Refused(code.to_owned()),
    }
}

/// Whether that is what it says: there is no such thing, or not any more.
pub(crate) fn is_not_found<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(error.code(), Some("NotFoundException" | "NoSuchEntity"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_says_whether_a_retry_can_help() {
        let not_enabled = |code: &str| AskError::NotEnabled(code.to_owned());
        for (code, expected) in [
            ("AccessDenied", AskError::Denied),
            ("AccessDeniedException", AskError::Denied),
            ("Throttling", AskError::Throttled),
            ("ThrottlingException", AskError::Throttled),
            ("TooManyRequestsException", AskError::Throttled),
            ("InvalidClientTokenId", not_enabled("InvalidClientTokenId")),
            ("UnrecognizedClientException", not_enabled("UnrecognizedClientException")),
            ("OptInRequired", not_enabled("OptInRequired")),
            ("BadRequestException", AskError::Refused("BadRequestException".to_owned())),
        ] {
            assert_eq!(refusal(code), expected, "{code}");
            // As version 1's adapters have it.
            let refused = SesError::Refused { code: code.to_owned(), message: "a@example.com".to_owned() };
            assert_eq!(AskError::from(refused), expected, "{code}");
            assert_eq!(AskError::from(SesError::Denied(code.to_owned())), expected, "{code}");
        }
    }
}
