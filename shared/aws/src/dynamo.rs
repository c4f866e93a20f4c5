//! What all adapters of the table share: which of DynamoDB's errors are transient, and how long calls are retried.

use std::time::Duration;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use tokio::time::{Instant, sleep_until, timeout_at};

const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(3);

/// Pauses between attempts that double, with full jitter.
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(FIRST_BACKOFF)
    }

    /// Sleeps for the next pause. Returns `false` at once if the deadline would come first.
    pub(crate) async fn pause(&mut self, deadline: Instant) -> bool {
        let end = Instant::now() + self.0.mul_f64(fastrand::f64());
        if end >= deadline {
            return false;
        }
        sleep_until(end).await;
        self.0 = (2 * self.0).min(LONGEST_BACKOFF);
        true
    }
}

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum Failure<E> {
    /// There were only transient errors until the deadline. Holds the last of them.
    Deadline(String),
    /// DynamoDB refused the call. Holds its error.
    Refused(Box<SdkError<E, HttpResponse>>),
}

/// Repeats a call until DynamoDB answers it, or the deadline has come.
pub(crate) async fn retried<T, E: ProvideErrorMetadata>(
    deadline: Instant,
    call: impl AsyncFn() -> Result<T, SdkError<E, HttpResponse>>,
) -> Result<T, Failure<E>> {
    let mut backoff = Backoff::new();
    loop {
        let trouble = match timeout_at(deadline, call()).await {
            Err(_) => "timed out".to_owned(),
            Ok(Ok(output)) => return Ok(output),
            Ok(Err(error)) if may_pass(&error) => told(&error),
            Ok(Err(error)) => return Err(Failure::Refused(Box::new(error))),
        };
        if !backoff.pause(deadline).await {
            return Err(Failure::Deadline(trouble));
        }
    }
}

/// The error in a word, without anything that was in the call.
pub(crate) fn told<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> String {
    error.code().map_or_else(|| error.to_string(), str::to_owned)
}

/// Whether the same call may succeed later: it was throttled, failed on DynamoDB's side, or was not answered.
pub(crate) fn may_pass<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let SdkError::ServiceError(service) = error else {
        return !matches!(error, SdkError::ConstructionFailure(_));
    };
    let throttled = ["Throttl", "ThroughputExceeded", "LimitExceeded", "TooManyRequests", "Unavailable"];
    service.raw().status().is_server_error()
        || error.code().is_some_and(|code| throttled.iter().any(|word| code.contains(word)))
}
