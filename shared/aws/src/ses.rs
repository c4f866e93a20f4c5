//! What all calls of SES's API have in common: how they fail.
//!
//! Nothing is retried by these adapters: SES takes one request a second, so the caller keeps the pace and decides what is
//! worth another call.

// The SDK's crates share this type; this crate of them is there whatever the features.
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

/// Why SES did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SesError {
    /// SES was called faster than it allows. Nothing was done; a later retry can help.
    #[error("SES throttles")]
    Throttled,
    /// The role, or the account, lacks a permission. Nothing was done; a retry can help once it is granted.
    #[error("SES denies it: {0}")]
    Denied(String),
    /// SES does not take the request. Nothing was done, and no retry can help.
    #[error("SES refuses it: {code}")]
    Refused {
        /// SES's error code, such as `RuleSetDoesNotExist`.
        code: String,
        /// SES's text for people. It may name an address, so it may not go into a log line.
        message: String,
    },
    /// The call failed or was not answered. It may have been carried out nevertheless; a retry can help.
    #[error("SES does not answer: {0}")]
    Unavailable(String),
}

impl SesError {
    /// Whether the same call can have another answer in a while. What is denied may be granted later: a role that was
    /// made a moment ago is not known everywhere yet.
    pub fn may_succeed_later(&self) -> bool {
        !matches!(self, Self::Refused { .. })
    }
}

/// What an error means, of either version of SES's API and of the others that the audit asks. Version 1 throttles as
/// `Throttling` with status 400, version 2 as `TooManyRequestsException` with 429; the query protocol leaves out
/// `Exception`; S3's answers to HEAD have no body, and so no code of their own ("Common Errors" in the API references of
/// SES, IAM and S3, November 2026).
pub fn classify_error<E>(error: &SdkError<E, HttpResponse>) -> SesError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let Some(status) = error.raw_response().map(|response| response.status().as_u16()) else {
        let why = DisplayErrorContext(error).to_string();
        return match error {
            SdkError::ConstructionFailure(_) => {
                SesError::Refused { code: "ConstructionFailure".to_owned(), message: why }
            }
            _ => SesError::Unavailable(why),
        };
    };
    let code = error.code().map_or_else(|| format!("status {status}"), str::to_owned);
    let message = error.message().unwrap_or_default();
    classify_response(status, code, message)
}

fn classify_response(status: u16, code: String, message: &str) -> SesError {
    match (status, code.strip_suffix("Exception").unwrap_or(&code)) {
        (429, _)
        | (_, "RequestLimitExceeded" | "SlowDown" | "Throttled" | "Throttling" | "TooManyRequests") => {
            SesError::Throttled
        }
        (401 | 403, _)
        | (
            _,
            "AccessDenied"
            | "AuthFailure"
            | "ExpiredToken"
            | "IncompleteSignature"
            | "InvalidClientTokenId"
            | "NotAuthorized"
            | "OptInRequired"
            | "RequestExpired"
            | "SubscriptionRequired"
            | "UnrecognizedClient",
        ) => SesError::Denied(code),
        (300..=499, _) => SesError::Refused { code, message: message.to_owned() },
        _ => SesError::Unavailable(code),
    }
}

/// Whether an error says that something does not exist, or no longer does.
pub fn is_not_found<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(error.code(), Some("NotFoundException" | "NoSuchEntity"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_code_say_what_an_error_means() {
        let denied = |code: &str| SesError::Denied(code.to_owned());
        let refused = |code: &str| SesError::Refused { code: code.to_owned(), message: "why".to_owned() };
        let unavailable = |code: &str| SesError::Unavailable(code.to_owned());
        for (status, code, expected) in [
            (400, "Throttling", SesError::Throttled),
            (400, "ThrottlingException", SesError::Throttled),
            (429, "TooManyRequestsException", SesError::Throttled),
            (503, "SlowDown", SesError::Throttled),
            (403, "AccessDenied", denied("AccessDenied")),
            (400, "AccessDeniedException", denied("AccessDeniedException")),
            (403, "status 403", denied("status 403")),
            (400, "RequestExpired", denied("RequestExpired")),
            (400, "UnrecognizedClientException", denied("UnrecognizedClientException")),
            (400, "BadRequestException", refused("BadRequestException")),
            (400, "LimitExceededException", refused("LimitExceededException")),
            (404, "NotFoundException", refused("NotFoundException")),
            (301, "PermanentRedirect", refused("PermanentRedirect")),
            (500, "InternalFailure", unavailable("InternalFailure")),
            (503, "ServiceUnavailable", unavailable("ServiceUnavailable")),
        ] {
            assert_eq!(classify_response(status, code.to_owned(), "why"), expected, "{status} {code}");
        }
    }
}
