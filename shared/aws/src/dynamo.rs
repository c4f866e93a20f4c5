//! What all adapters of the table share: which of DynamoDB's errors pass, and how long they are waited for.

use std::time::Duration;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use tokio::time::{Instant, sleep_until, timeout_at};

const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(3);

/// Pauses between attempts: full jitter, doubling.
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(FIRST_BACKOFF)
    }

    /// Sleeps; `false`, and at once, if the deadline would come first.
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

/// Why a call came to nothing.
#[derive(Debug)]
pub(crate) enum Failure<E> {
    /// Errors that pass, until the deadline.
    Deadline(String),
    /// DynamoDB's own answer.
    Refused(Box<SdkError<E, HttpResponse>>),
}

/// Calls until DynamoDB answers, or the deadline has come.
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

/// The error in a word, without anything of the call's.
pub(crate) fn told<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> String {
    error.code().map_or_else(|| error.to_string(), str::to_owned)
}

/// Whether the same call may succeed later: throttled, failed on DynamoDB's side, or not answered.
pub(crate) fn may_pass<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let SdkError::ServiceError(service) = error else {
        return !matches!(error, SdkError::ConstructionFailure(_));
    };
    let throttled = ["Throttl", "ThroughputExceeded", "LimitExceeded", "TooManyRequests", "Unavailable"];
    service.raw().status().is_server_error()
        || error.code().is_some_and(|code| throttled.iter().any(|word| code.contains(word)))
}
