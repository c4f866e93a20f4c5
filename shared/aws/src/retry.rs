//! How calls of DynamoDB, SQS and CloudFormation are retried: until they are answered or the deadline has come.

use std::time::Duration;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::deadline::Deadline;

const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(3);

/// Pauses between attempts that double, with full jitter.
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(FIRST_BACKOFF)
    }

    /// Sleeps for the next pause. Returns `false` at once if the deadline would come first.
    pub(crate) async fn sleep(&mut self, deadline: Deadline) -> bool {
        let has_slept = deadline.sleep(self.0.mul_f64(fastrand::f64())).await;
        self.0 = (2 * self.0).min(LONGEST_BACKOFF);
        has_slept
    }
}

/// Why a call failed.
#[derive(Debug)]
pub enum CallFailure<E> {
    /// There were only transient errors until the deadline. Holds the last of them.
    DeadlineExceeded(String),
    /// The service refused the call. Holds its error.
    Refused(Box<SdkError<E, HttpResponse>>),
}

/// Repeats a call until the service answers it, or the deadline has come.
///
/// # Errors
/// See [`CallFailure`].
pub async fn retry_until_deadline<T, E: ProvideErrorMetadata>(
    deadline: Deadline,
    call: impl AsyncFn() -> Result<T, SdkError<E, HttpResponse>>,
) -> Result<T, CallFailure<E>> {
    let mut backoff = Backoff::new();
    loop {
        let last_error = match deadline.limit(call()).await {
            None => "timed out".to_owned(),
            Some(Ok(output)) => return Ok(output),
            Some(Err(error)) if is_transient(&error) => error_code_or_text(&error),
            Some(Err(error)) => return Err(CallFailure::Refused(Box::new(error))),
        };
        if !backoff.sleep(deadline).await {
            return Err(CallFailure::DeadlineExceeded(last_error));
        }
    }
}

/// The error in a word, without anything that was in the call.
pub(crate) fn error_code_or_text<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> String {
    error.code().map_or_else(|| error.to_string(), str::to_owned)
}

/// Whether the same call may succeed later: it was throttled, failed on the service's side, or was not answered.
pub(crate) fn is_transient<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let SdkError::ServiceError(service) = error else {
        return !matches!(error, SdkError::ConstructionFailure(_));
    };
    let throttled = ["Throttl", "ThroughputExceeded", "LimitExceeded", "TooManyRequests", "Unavailable"];
    service.raw().status().is_server_error()
        || error.code().is_some_and(|code| throttled.iter().any(|word| code.contains(word)))
}
